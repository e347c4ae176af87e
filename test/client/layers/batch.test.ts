import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type BatchOptions, batch } from '../../../lib/client/layers/batch.ts'
import type { PseudonymRequest } from '../../../lib/client/pseudonymizer.ts'
import { emptyStats } from '../../../lib/client/stats.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { answer, fakeNext, gate, pseudonym, request, settle } from '../support.ts'

const p = (value: string) => pseudonym(value, 'default')
const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))
const bodyBytes = ({ direction, values }: PseudonymRequest) =>
  Buffer.byteLength(JSON.stringify({ [direction === 'pseudonymize' ? 'identifiers' : 'pseudonyms']: values }))

test('10,000 values travel in 12 requests of at most 900, and come back in order', async () => {
  const { next, values } = fakeNext()
  const all = numbers(10_000)
  const got = await batch(next).call(request(all))
  expect(got.values).toEqual(all.map(p))
  expect(values().map(({ length }) => length)).toEqual([...Array(11).fill(900), 100])
})

test.each([
  ['plain', 'x'.repeat(100)],
  ['quotes and controls', '"\\\n\u0001\u007f'.repeat(20)],
  ['umlauts and emoji', 'ä€😀'.repeat(20)],
])('no request has more bytes than it may, %s', async (_, value) => {
  const { next, asked } = fakeNext()
  const all = numbers(300).map((number) => value + number)
  await batch(next, { maxRequestBytes: 3000, maxResponseBytes: 1e6 }).call(request(all))
  expect(Math.max(...asked.map(bodyBytes))).toBeLessThanOrEqual(3000)
  // Full, too: the next value would not have fitted.
  expect(Math.min(...asked.slice(0, -1).map(bodyBytes))).toBeGreaterThan(3000 - 2 * bodyBytes(request([value])))
})

test('no answer has more bytes than it may, in either format', async () => {
  const { next, asked } = fakeNext()
  const all = numbers(300).map((number) => `ä${number}`)
  await batch(next, { maxRequestBytes: 1e6, maxResponseBytes: 3000 }).call(request(all))
  for (const received of asked) {
    expect(Buffer.byteLength(JSON.stringify({ pseudonyms: answer(received).values }))).toBeLessThanOrEqual(3000)
    // Gson writes the padding of the original format as \u003d.
    const original = received.values.map((value) => Buffer.alloc(28 + Buffer.byteLength(value)).toString('base64'))
    const gson = JSON.stringify({ pseudonyms: original }).replaceAll('=', '\\u003d')
    expect(gson.length).toBeLessThanOrEqual(3000)
  }
  expect(asked.length).toBeLessThan(12)
})

test('a value larger than a request may be is sent alone', async () => {
  const { next, values } = fakeNext()
  await batch(next, { maxRequestBytes: 1000 }).call(request(['a', 'x'.repeat(2000), 'b']))
  expect(values()).toEqual([['a'], ['x'.repeat(2000)], ['b']])
})

test('pieces run side by side, no more than allowed', async () => {
  let running = 0
  let most = 0
  const { next } = fakeNext(async () => {
    most = Math.max(most, ++running)
    await settle()
    running--
  })
  await batch(next, { maxIdentifiers: 10, maxInFlight: 7 }).call(request(numbers(400)))
  expect(most).toBe(7)
})

test('calls of one moment share requests, whole or in parts', async () => {
  const { next, values } = fakeNext()
  const layer = batch(next, { maxIdentifiers: 4 })
  const calls = [['a', 'b', 'c'], ['d'], ['e', 'f', 'g', 'h', 'i']].map((each) => layer.call(request(each)))
  const answers = await Promise.all(calls)
  expect(answers.map((each) => each.values)).toEqual([
    ['a', 'b', 'c'].map(p),
    ['d'].map(p),
    ['e', 'f', 'g', 'h', 'i'].map(p),
  ])
  expect(values()).toEqual([['a', 'b', 'c', 'd'], ['e', 'f', 'g', 'h'], ['i']])
})

test('a lone call leaves at once; those that come while it is away travel together', async () => {
  const service = gate()
  const { next, values } = fakeNext((_, nth) => (nth === 1 ? service.wait : undefined))
  const layer = batch(next, { maxIdentifiers: 4 })
  const first = layer.call(request(['a']))
  await settle()
  expect(values()).toEqual([['a']])
  const rest = ['b', 'c'].map((value) => layer.call(request([value])))
  await settle()
  expect(values()).toEqual([['a']])
  service.open()
  await Promise.all([first, ...rest])
  expect(values()).toEqual([['a'], ['b', 'c']])
})

test('a full request does not wait for one that is away', async () => {
  const service = gate()
  const { next, values } = fakeNext((_, nth) => (nth === 1 ? service.wait : undefined))
  const layer = batch(next, { maxIdentifiers: 2 })
  const first = layer.call(request(['a']))
  await settle()
  await layer.call(request(['b', 'c']))
  expect(values()).toEqual([['a'], ['b', 'c']])
  service.open()
  await first
})

test('directions, domains, keys and modes never share a request; without coalescing nobody does', async () => {
  const { next, asked } = fakeNext()
  const layer = batch(next)
  const others: Partial<PseudonymRequest>[] = [
    {},
    { domain: 'vehicle' },
    { key: 'abcd' },
    { deterministic: false },
    { fresh: true },
  ]
  await Promise.all(others.map((over) => layer.call(request(['a'], over))))
  expect(asked).toHaveLength(5)
  const alone = fakeNext()
  const apart = batch(alone.next, { coalesce: false })
  await Promise.all([apart.call(request(['a'])), apart.call(request(['b']))])
  expect(alone.values()).toEqual([['a'], ['b']])
})

test('a large call does not hold up another group', async () => {
  const { next, asked } = fakeNext(() => settle())
  const layer = batch(next, { maxIdentifiers: 1, maxInFlight: 1 })
  const large = layer.call(request(numbers(50)))
  await settle()
  await layer.call(request(['a'], { domain: 'vehicle' }))
  expect(asked.length).toBeLessThan(10)
  await large
})

test('a request refused as too large is cut in two until it passes, and later ones are that small at once', async () => {
  const stats = emptyStats()
  const { next, asked } = fakeNext((received) => {
    if (bodyBytes(received) > 5000) throw new PseudolakeError('service/too-large', '413', { status: 413 })
  })
  const layer = batch(next, { maxInFlight: 1, stats })
  const all = numbers(900).map((number) => `number ${number}`)
  expect((await layer.call(request(all))).values).toEqual(all.map(p))
  const learned = stats.bisected
  expect(learned).toBeGreaterThan(0)
  asked.length = 0
  expect((await layer.call(request(all))).values).toEqual(all.map(p))
  expect(stats.bisected).toBe(learned)
  expect(Math.max(...asked.map(bodyBytes))).toBeLessThanOrEqual(5000)
})

test('a single value that is too large is named by its place and length, and does not shrink later requests', async () => {
  const { next, asked } = fakeNext(({ values }) => {
    if (values.some((value) => value.length > 1000)) throw new PseudolakeError('service/too-large', '413')
  })
  const layer = batch(next)
  const all = numbers(40)
  all[29] = 'ä'.repeat(1001)
  await expect(layer.call(request(all))).rejects.toMatchObject({
    code: 'service/too-large',
    context: { index: 29, length: 2002 },
  })
  asked.length = 0
  await layer.call(request(numbers(900)))
  expect(asked).toHaveLength(1)
})

test('a bad value fails its own call only, at its own place', async () => {
  const { next } = fakeNext(({ values }) => {
    const index = values.indexOf('bad')
    if (index >= 0) throw new PseudolakeError('service/refused', 'no', { indices: [index] })
  })
  const layer = batch(next, { maxIdentifiers: 3 })
  const bad = layer.call(request(['a', 'b', 'c', 'd', 'bad']))
  const good = layer.call(request(['e', 'f']))
  await expect(bad).rejects.toMatchObject({ code: 'service/refused', context: { indices: [4] } })
  expect((await good).values).toEqual([p('e'), p('f')])
})

test('a call that fails sends nothing more, and ends what it has under way', async () => {
  const { next, asked } = fakeNext(async ({ signal }, nth) => {
    if (nth === 2) throw new PseudolakeError('service/denied', '403')
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  })
  const layer = batch(next, { maxIdentifiers: 1, maxInFlight: 2 })
  await expect(layer.call(request(numbers(100)))).rejects.toMatchObject({ code: 'service/denied' })
  await settle()
  expect(asked).toHaveLength(2)
  expect(asked[0]?.signal?.aborted).toBe(true)
})

test('a caller that is aborted leaves at once; a request it shares goes on for the other', async () => {
  const service = gate()
  const { next, asked } = fakeNext(() => service.wait)
  const layer = batch(next)
  const impatient = new AbortController()
  const first = layer.call(request(['a'], { signal: impatient.signal }))
  const second = layer.call(request(['b']))
  await settle()
  impatient.abort(new Error('stop'))
  await expect(first).rejects.toThrow('stop')
  expect(asked[0]?.signal?.aborted).toBe(false)
  service.open()
  expect((await second).values).toEqual([p('b')])
})

test('text that no service may be asked is refused before anything is sent', async () => {
  const { next, asked } = fakeNext()
  const layer = batch(next)
  await expect(layer.call(request(['a', '\ud800']))).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: { index: 1, length: 1 },
  })
  await expect(layer.call(request(['x'.repeat(65_537)]))).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: { index: 0, length: 65_537 },
  })
  expect(asked).toEqual([])
  expect((await layer.call(request(['😀', 'x'.repeat(65_536)]))).values).toHaveLength(2)
})

test('an empty call needs no request', async () => {
  const { next, asked } = fakeNext()
  expect(await batch(next).call(request([]))).toEqual({ values: [] })
  expect(asked).toEqual([])
})

test('the keys of all pieces are told', async () => {
  const { next } = fakeNext((received, nth) => ({ ...answer(received), keys: [`key${nth}`] }))
  const got = await batch(next, { maxIdentifiers: 1 }).call(request(['a', 'b']))
  expect(got).toMatchObject({ domain: 'default', keys: ['key1', 'key2'] })
})

test('whatever is called at whatever time: right answers, in order, within limits', async () => {
  const calls = fc.array(fc.array(fc.string({ unit: 'grapheme', maxLength: 12 }), { maxLength: 30 }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(calls, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }), async (all, max, lanes) => {
      const { next, asked } = fakeNext((_, nth) => (nth % 3 === 0 ? settle() : undefined))
      const layer = batch(next, {
        maxIdentifiers: max,
        maxRequestBytes: 200,
        maxResponseBytes: 1e6,
        maxInFlight: lanes,
      })
      const got = await Promise.all(
        all.map(async (values, i) => {
          if (i % 2) await settle()
          return (await layer.call(request(values))).values
        }),
      )
      expect(got).toEqual(all.map((values) => values.map(p)))
      for (const received of asked) {
        expect(received.values.length).toBeLessThanOrEqual(max)
        if (received.values.length > 1) expect(bodyBytes(received)).toBeLessThanOrEqual(200)
      }
    }),
    { numRuns: 60 },
  )
})

test.each<[BatchOptions, string]>([
  [{ maxIdentifiers: 0 }, 'maxIdentifiers: expected an integer from 1, got 0'],
  [{ maxRequestBytes: 3.5 }, 'maxRequestBytes: expected an integer from 64, got 3.5'],
  [{ maxInFlight: Number.NaN }, 'maxInFlight: expected an integer from 1, got NaN'],
])('an option that cannot be is refused when the layer is made: %o', (options, message) => {
  expect(() => batch(fakeNext().next, options)).toThrow(message)
})
