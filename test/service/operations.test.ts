import { expect, test } from 'vitest'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { embeddedBytes, embeddedService } from '../../service/operations/embedded.ts'
import { pseudonymize, reidentify } from '../../service/operations/operations.ts'
import { KEYS, ORIGINAL, V2 } from '../crypto/vectors.ts'
import { open, vectorKeyring } from './keyrings.ts'

const ring = open()

test('every vector, by domain and pinned key, both ways', async () => {
  for (const { material, cases, random } of KEYS) {
    const { domain } = material
    const of = material.format === 'v2' ? ring : open(vectorKeyring(cases === ORIGINAL[0]?.cases ? 0 : 1))
    const values = cases.map((c) => c.identifier)
    const answer = await pseudonymize(of, { domain, key: material.id, deterministic: true, values })
    expect(answer).toEqual({ values: cases.map((c) => c.pseudonym), domain, keys: [material.id] })
    const all = [...cases, ...random]
    const back = await reidentify(of, { domain, values: all.map((c) => c.pseudonym) })
    expect(back).toEqual({ values: all.map((c) => c.identifier), domain, keys: [material.id] })
  }
})

test('pseudonyms of several keys and formats go back in one request, each to its place', async () => {
  const [a, b] = V2
  const [o] = ORIGINAL
  if (!a || !b || !o) throw new Error('no vectors')
  const pairs = [a.cases[2], o.cases[2], b.cases[2], a.cases[3], o.cases[3], b.cases[4]].map((c) => c ?? a.cases[0])
  const values = pairs.map((c) => c?.pseudonym ?? null)
  const back = await reidentify(ring, { domain: 'default', values: [...values.slice(0, 3), null, ...values.slice(3)] })
  const identifiers = pairs.map((c) => c?.identifier)
  expect(back.values).toEqual([...identifiers.slice(0, 3), null, ...identifiers.slice(3)])
  expect(back.keys).toEqual([a.key.id, 'orig', b.key.id])
})

test('a null gives a null, and no values give none', async () => {
  const values = [null, 'a', null]
  const answer = await pseudonymize(ring, { domain: 'default', deterministic: true, values })
  expect(answer.values).toEqual([null, expect.stringMatching(/^p2\./), null])
  expect((await reidentify(ring, { domain: 'default', values: answer.values })).values).toEqual(values)
  expect(await reidentify(ring, { domain: 'default', values: [] })).toEqual({ values: [], domain: 'default', keys: [] })
  expect((await pseudonymize(ring, { domain: 'default', deterministic: true, values: [] })).keys).toEqual(['5kl9'])
})

test('all that is wrong is said at once, by index and code', async () => {
  const values = ['a', 'x\ud800', undefined, null, 'x'.repeat(65_537)]
  const request = { domain: 'default', deterministic: true, values }
  await expect(pseudonymize(ring, request)).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: {
      index: 1,
      indices: [1, 2, 4],
      codes: ['identifier/not-unicode', 'identifier/invalid', 'identifier/invalid'],
    },
  })
})

test('a pseudonym of another domain, of an unknown key, or none at all, is refused where it stands', async () => {
  const vehicle = V2.find((v) => v.domain === 'vehicle')?.cases[1]?.pseudonym ?? ''
  const mine = V2[0]?.cases[1]?.pseudonym ?? ''
  const original = ORIGINAL[0]?.cases[1]?.pseudonym ?? ''
  const values = [mine, vehicle, 'a', mine.replace('5kl9', '5kl8'), original, undefined, null, `${mine}A`, '']
  await expect(reidentify(ring, { domain: 'default', values })).rejects.toMatchObject({
    code: 'pseudonym/invalid',
    context: { index: 1, indices: [1, 2, 3, 5, 7, 8] },
  })
  await expect(reidentify(ring, { domain: 'vehicle', values: [original] })).rejects.toMatchObject({
    code: 'pseudonym/invalid',
  })
  await expect(reidentify(ring, { domain: 'default', key: '29k0', values: [mine] })).rejects.toMatchObject({
    code: 'pseudonym/invalid',
  })
})

test('at most a hundred errors are listed, over all slices, and the count is true', async () => {
  const values = Array<string>(4_500).fill('none')
  await expect(reidentify(ring, { domain: 'default', values })).rejects.toMatchObject({
    message: expect.stringContaining('4500 of 4500'),
    context: { indices: Array.from({ length: 100 }, (_, i) => i) },
  })
})

test('order and length survive slices, and others get the thread in between', async () => {
  const values = Array.from({ length: 4_100 }, (_, i) => (i % 7 === 0 ? null : `v${i}`))
  let pauses = 0
  const pause = async () => {
    pauses++
  }
  const answer = await pseudonymize(ring, { domain: 'default', deterministic: false, values }, { pause })
  expect(pauses).toBe(2)
  expect((await reidentify(ring, { domain: 'default', values: answer.values })).values).toEqual(values)
})

test('an answer that would be too large is refused before the work, to the byte', async () => {
  const values = ['a', null, 'WVWZZZ1JZXW000001']
  const request = { domain: 'default', deterministic: true, values }
  const bytes = Buffer.byteLength(JSON.stringify((await pseudonymize(ring, request)).values))
  await expect(pseudonymize(ring, request, { maxListBytes: bytes })).resolves.toBeDefined()
  await expect(pseudonymize(ring, request, { maxListBytes: bytes - 1 })).rejects.toMatchObject({
    code: 'service/too-large',
    context: { bytes },
  })
  await expect(pseudonymize(ring, { ...request, values: [] }, { maxListBytes: 2 })).resolves.toMatchObject({
    values: [],
  })
})

test('embedded, the service answers as over the wire', async () => {
  const service = embeddedService(ring)
  const call = { domain: 'vehicle', deterministic: true, values: ['a', 'b'] }
  const there = await service({ ...call, direction: 'pseudonymize' })
  expect(there).toMatchObject({ domain: 'vehicle', keys: ['660u'] })
  const back = await service({ ...call, direction: 'reidentify', values: there.values })
  expect(back.values).toEqual(['a', 'b'])
  await expect(service({ ...call, direction: 'pseudonymize', domain: 'none' })).rejects.toMatchObject({
    code: 'keyring/unknown-domain',
  })
})

test('embedded, the service fits the client’s port as it is', async () => {
  const transport: Pseudonymizer = { call: embeddedService(ring) }
  const request = { direction: 'pseudonymize', values: ['A'], domain: 'default', deterministic: true } as const
  expect((await transport.call(request)).values).toEqual([V2[0]?.cases[1]?.pseudonym])
})

test('embedded, bytes are answered as strings are, in slices too', async () => {
  const bytes = embeddedBytes(ring)
  const strings = embeddedService(ring)
  const values = Array.from({ length: 4_500 }, (_, i) => ['', 'ä', '\u2028', '😀', '"'][i % 5] + String(i))
  const call = { direction: 'pseudonymize' as const, domain: 'vehicle', deterministic: true }
  const answer = await bytes({ ...call, values: packTexts(values) as TextBatch })
  const expected = await strings({ ...call, values })
  expect({ ...answer, values: unpackTexts(answer.values) }).toEqual(expected)
  await expect(bytes({ ...call, domain: 'none', values: packTexts(['a']) as TextBatch })).rejects.toMatchObject({
    code: 'keyring/unknown-domain',
  })
  const invalid = { bytes: Uint8Array.of(...Buffer.from('a'.repeat(2_500)), 0xff), offsets: offsetsTo(2_501) }
  await expect(bytes({ ...call, values: invalid })).rejects.toMatchObject({
    code: 'identifier/invalid',
    context: { index: 2_500, indices: [2_500] },
  })
})

const offsetsTo = (count: number) => Uint32Array.from({ length: count + 1 }, (_, i) => i)

test('embedded, a caller who leaves is not worked for', async () => {
  const away = new AbortController()
  const values = Array.from({ length: 6_000 }, (_, i) => `v${i}`)
  let pauses = 0
  const service = embeddedService(ring, async () => {
    if (++pauses === 1) away.abort(new Error('gone'))
  })
  const request = { direction: 'pseudonymize' as const, domain: 'default', deterministic: true, values }
  await expect(service({ ...request, signal: away.signal })).rejects.toThrow('gone')
  expect(pauses).toBe(1)
})
