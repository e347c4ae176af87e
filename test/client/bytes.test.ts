import fc from 'fast-check'
import { expect, test } from 'vitest'
import { composeClient } from '../../lib/client/compose.ts'
import type { BytesRequest, PseudonymRequest } from '../../lib/client/pseudonymizer.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { answer, fakeNext, pseudonym, request } from './support.ts'
import { serve, transportTo } from './transports/server.ts'

const p = (value: string) => pseudonym(value, 'default')
const packed = (values: readonly string[]) => packTexts(values) as TextBatch
const ask = (values: TextBatch, over: Partial<PseudonymRequest> = {}): BytesRequest => {
  const { values: _, ...question } = request([], over)
  return { ...question, values }
}
const compose = (transport: Parameters<typeof composeClient>[0], over = {}) =>
  composeClient(transport, { clock: systemClock(), random: () => 0, retry: { maxAttempts: 1 }, ...over })

const values = fc.uniqueArray(
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed()),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom('', '"\\', '\u0000\u001f', '\u2028', '😀', 'x'.repeat(65_536), 'ä'.repeat(32_768)),
  ),
  { maxLength: 12 },
)

test('over HTTP bytes are answered as strings are, whatever the identifiers, there and back', async () => {
  const service = await serve()
  const { client } = compose(transportTo(service.url), { cacheBytes: 0 })
  await fc.assert(
    fc.asyncProperty(values, fc.boolean(), async (identifiers, once) => {
      const bytes = await client.callBytes(ask(packed(identifiers), { once }))
      const strings = await client.call(request(identifiers))
      expect(unpackTexts(bytes.values)).toEqual(identifiers.map(p))
      expect(strings.values).toEqual(identifiers.map(p))
      const back = await client.callBytes(ask(bytes.values, { direction: 'reidentify', once }))
      expect(unpackTexts(back.values)).toEqual(identifiers)
    }),
    { numRuns: 60 },
  )
})

test('bytes and strings share what the client knows', async () => {
  const { next, asked } = fakeNext()
  const { client, stats } = compose(next)
  const [bytes, strings] = await Promise.all([
    client.callBytes(ask(packed(['a', 'b', 'a']))),
    client.call(request(['b', 'c'])),
  ])
  expect([unpackTexts(bytes.values), strings.values]).toEqual([['a', 'b', 'a'].map(p), ['b', 'c'].map(p)])
  expect(unpackTexts((await client.callBytes(ask(packed(['c', 'a'])))).values)).toEqual(['c', 'a'].map(p))
  expect(asked.flatMap((each) => each.values).sort()).toEqual(['a', 'b', 'c'])
  expect(stats()).toMatchObject({ distinct: 3, identifiers: 3, cacheHits: 2, shared: 2 })
})

test('a part of a batch is asked for, not what stands around it', async () => {
  const { next, asked } = fakeNext()
  const { client } = compose(next)
  const { bytes, offsets } = packed(['before', 'a', 'b', 'behind'])
  const got = await client.callBytes(ask({ bytes, offsets: offsets.subarray(1, 4) }, { once: true }))
  expect(unpackTexts(got.values)).toEqual(['a', 'b'].map(p))
  expect(asked[0]?.values).toEqual(['a', 'b'])
})

test.each([true, false])(
  'bytes that are no text are refused before anything is sent, at their place (once: %s)',
  async (once) => {
    const { next, asked } = fakeNext()
    const { client } = compose(next)
    const bytes = Uint8Array.of(0x61, 0x53, 0x45, 0x43, 0xff)
    const error = await client
      .callBytes(ask({ bytes, offsets: Uint32Array.of(0, 1, 5) }, { once }))
      .catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'identifier/invalid', context: { index: 1, length: 4 } })
    expect(String(error)).not.toContain('SEC')
    await expect(
      client.callBytes(ask({ bytes, offsets: Uint32Array.of(0, 5) }, { once, direction: 'reidentify' })),
    ).rejects.toMatchObject({ code: 'pseudonym/invalid', context: { index: 0 } })
    expect(asked).toEqual([])
  },
)

test.each([true, false])('so are offsets that are none (once: %s)', async (once) => {
  const { next, asked } = fakeNext()
  const { client } = compose(next)
  for (const offsets of [[], [0, 4], [2, 1]])
    await expect(
      client.callBytes(ask({ bytes: Buffer.from('abc'), offsets: Uint32Array.from(offsets) }, { once })),
    ).rejects.toThrow('offsets')
  expect(asked).toEqual([])
})

test('an identifier that is too long is refused at its place, and the ones before it are not answered', async () => {
  const { next } = fakeNext()
  const { client } = compose(next)
  await expect(client.callBytes(ask(packed(['a', 'ä'.repeat(32_769)]), { once: true }))).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: { index: 1, length: 65_538 },
  })
})

test.each<[string, Partial<{ bytes: Uint8Array; offsets: Uint32Array }>]>([
  ['offsets beyond the bytes', { offsets: Uint32Array.of(0, 1000, 2000) }],
  ['offsets that go back', { offsets: Uint32Array.of(0, 40, 20) }],
  ['no offsets', { offsets: new Uint32Array(0) }],
  ['a text too few', { offsets: Uint32Array.of(0, 45) }],
  ['bytes that are no pseudonyms', { bytes: new Uint8Array(200) }],
])('a transport of bytes is believed no more than one of strings: %s', async (_, wrong) => {
  const callBytes = async (received: BytesRequest) => ({
    values: { ...packed(unpackTexts(received.values).map(p)), ...wrong },
    domain: 'default',
    keys: ['test'],
  })
  const { client } = compose({ call: async (received) => answer(received), callBytes })
  await expect(client.callBytes(ask(packed(['a', 'b']), { once: true }))).rejects.toMatchObject({
    code: 'service/bad-answer',
  })
})

test('on the way back bytes that are no text are no identifier', async () => {
  const values = { bytes: Uint8Array.of(0x61, 0xff), offsets: Uint32Array.of(0, 1, 2) }
  const { client } = compose({ call: async (received) => answer(received), callBytes: async () => ({ values }) })
  await expect(
    client.callBytes(ask(packed(['a', 'b'].map(p)), { direction: 'reidentify', once: true })),
  ).rejects.toMatchObject({ code: 'service/bad-answer', context: { index: 1 } })
})

test('what passes leaves nothing behind: two million values in flat memory', async () => {
  const transport = { call: async (received: PseudonymRequest) => answer(received), callBytes: sealed }
  const { client } = compose(transport)
  let most = 0
  for (let round = 0; round < 40; round++) {
    const identifiers = packed(Array.from({ length: 50_000 }, (_, i) => `value ${round} ${i}`))
    const got = await client.callBytes(ask(identifiers, { once: true }))
    expect(got.values.offsets).toHaveLength(50_001)
    most = Math.max(most, process.memoryUsage().arrayBuffers)
  }
  // What came back are 110 MB.
  expect(most).toBeLessThan(64 << 20)
})

/** Something in the form of pseudonyms, quickly. */
let sealedSoFar = 0
async function sealed({ values }: BytesRequest) {
  const count = values.offsets.length - 1
  const bytes = Buffer.alloc(56 * count, 'A')
  for (let i = 0; i < count; i++) bytes.write(String(++sealedSoFar).padStart(12, '0'), 56 * i, 'latin1')
  return {
    values: { bytes: new Uint8Array(bytes), offsets: Uint32Array.from({ length: count + 1 }, (_, i) => 56 * i) },
  }
}
