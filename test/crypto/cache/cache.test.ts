import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, textAt, unpackTexts } from '../../../lib/core/texts.ts'
import { type CacheOptions, merged, pseudonymCache } from '../../../lib/crypto/cache/cache.ts'
import { worth } from '../../../lib/crypto/cache/pays.ts'
import { cacheEngine } from '../../../lib/crypto/cache/wasm/engine.ts'
import type { KeyMaterial } from '../../../lib/crypto/kernel.ts'
import { wasmKernel } from '../../../lib/crypto/wasm.ts'
import { runBytes } from '../../../service/operations/run.ts'
import { watchMemories } from './memories.ts'

const MB = 1 << 20
const THERE = { direction: 'pseudonymize', deterministic: true } as const
const BACK = { direction: 'reidentify', deterministic: true } as const

function clock() {
  let ms = 0
  return { now: () => ms, pass: (more: number) => (ms += more) }
}

const cacheOf = (more: Partial<CacheOptions> = {}) =>
  pseudonymCache({ bytes: 4 * MB, ageMs: 60_000, now: () => 0, randomBytes, ...more })

const v2 = (id = 'abcd'): KeyMaterial => ({
  format: 'v2',
  id,
  domain: 'default',
  aead: randomBytes(32),
  mac: randomBytes(32),
})
const original = (): KeyMaterial => ({
  format: 'original',
  id: 'orig',
  domain: 'default',
  secretKey: randomBytes(32),
  nonceKey: randomBytes(8),
  nonceStrPos: 3,
})

const pack = (texts: readonly string[]) => packTexts(texts) as TextBatch
const vins = (count: number, from = 0) => pack(Array.from({ length: count }, (_, i) => `vin-${from + i}`))

/** Small numbers, the same each time. */
function numbers(seed: number) {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test('a million texts of all kinds are answered as without the cache, there and back, by two keys and three callers', async () => {
  const time = clock()
  const cache = cacheOf({ bytes: 2 * MB, now: time.now })
  const kernels = [v2(), original()].map((material) => cache.wrap(wasmKernel)(material, { randomBytes }))
  const callers = [{}, {}, {}]
  const next = numbers(7)
  const endings = ['', 'ä', '€uro', '🚲', ' ', '"\\', 'x'.repeat(40), 'y'.repeat(1_010), 'z'.repeat(1_100)]
  const text = (range: number) => {
    const n = next(next(5) === 0 ? 1e9 : range)
    // Long ones seldom, or nothing else would be kept.
    return n % 97 === 0 ? `${n}${endings[7 + (n % 2)]}` : n % 50 === 1 ? '' : `${n}${endings[n % 7]}`
  }
  let seen = 0
  let found = 0
  for (let round = 0; seen < 1_000_000; round++) {
    const count = 1 + next(6_000)
    const range = [200, 2_000][round % 2] as number
    const texts = pack(Array.from({ length: count }, () => text(range)))
    const kernel = kernels[next(2)] as (typeof kernels)[0]
    const remembered = { cache, caller: callers[next(3)] as object }
    const expected = await runBytes(kernel, texts, THERE, {})
    const made = await runBytes(kernel, texts, THERE, { remembered })
    expect(Buffer.compare(made.bytes, expected.bytes), `round ${round}`).toBe(0)
    expect(Buffer.compare(Buffer.from(made.offsets.buffer), Buffer.from(expected.offsets.buffer))).toBe(0)
    const back = await runBytes(kernel, made, BACK, { remembered })
    expect(Buffer.compare(back.bytes, texts.bytes)).toBe(0)
    found += count - (cache.of(remembered.caller, kernel, false)?.look(texts).missing.length ?? count)
    seen += count
    if (round % 20 === 0) time.pass(next(50_000))
  }
  expect(found).toBeGreaterThan(seen / 20)
}, 120_000)

test('what is refused is refused with the same words and indices, whatever is known of the rest', async () => {
  const cache = cacheOf()
  const kernel = cache.wrap(wasmKernel)(v2(), { randomBytes })
  const remembered = { cache, caller: {} }
  const pseudonyms = unpackTexts(await runBytes(kernel, vins(300), THERE, { remembered }))
  await runBytes(kernel, pack(pseudonyms), BACK, { remembered })
  const spoilt = pack(pseudonyms.flatMap((text, i) => (i % 2 ? [text, `${text.slice(0, -1)}!`] : [text])))
  const failure = (options: object) => runBytes(kernel, spoilt, BACK, options).catch((error: unknown) => error)
  const expected = (await failure({})) as Error & { context: unknown }
  expect(expected.context).toMatchObject({ count: 150 })
  const got = await failure({ remembered })
  expect(got).toEqual(expected)
  expect(got).toMatchObject({ message: expected.message, context: expected.context })

  const known = vins(4)
  const broken = {
    bytes: Buffer.concat([known.bytes, Buffer.of(0xff)]),
    offsets: Uint32Array.from([...known.offsets, known.bytes.length + 1]),
  }
  await expect(runBytes(kernel, broken, THERE, { remembered })).rejects.toMatchObject({ context: { indices: [4] } })
})

test('a caller finds nothing that another has asked, nor what it has asked itself of another key or in the other direction', async () => {
  const cache = cacheOf()
  const [one, other] = [v2('aaaa'), v2('bbbb')].map((m) => cache.wrap(wasmKernel)(m, { randomBytes }))
  if (!one || !other) throw new Error('no kernels')
  const [alice, bob] = [{}, {}]
  const texts = vins(100)
  await runBytes(one, texts, THERE, { remembered: { cache, caller: alice } })
  const missing = (...of: Parameters<typeof cache.of>) => cache.of(...of)?.look(texts).missing.length
  expect(missing(alice, one, false)).toBe(0)
  expect(missing(bob, one, false)).toBe(100)
  expect(missing(alice, other, false)).toBe(100)
  expect(missing(alice, one, true)).toBe(100)
  // The same key, opened anew.
  expect(missing({}, one, false)).toBe(100)
})

test('the newest stay where there is no room for all', async () => {
  const cache = cacheOf({ bytes: 2 * MB })
  const kernel = cache.wrap(wasmKernel)(v2(), { randomBytes })
  const caller = {}
  for (let from = 0; from < 400_000; from += 2_000) {
    const texts = vins(2_000, from)
    const made = await runBytes(kernel, texts, THERE, {})
    cache.of(caller, kernel, false)?.keep(texts, made)
  }
  const missing = (from: number) => cache.of(caller, kernel, false)?.look(vins(1_000, from)).missing.length as number
  expect(missing(399_000)).toBeLessThan(100)
  expect(missing(0)).toBe(1_000)
})

test('after their time texts are not found, and then nothing of them is left; a later one is', () => {
  const memory = watchMemories()
  const time = clock()
  const cache = cacheOf({ now: time.now })
  const kernel = cache.wrap(wasmKernel)(v2(), { randomBytes })
  const known = cache.of({}, kernel, false)
  const [early, late] = ['planted-early', 'planted-late'].map((text) => pack([text]))
  if (!known || !early || !late) throw new Error('nothing')
  known.keep(early, kernel.pseudonymizeBytes(early, { deterministic: true }))
  time.pass(45_000)
  known.keep(late, kernel.pseudonymizeBytes(late, { deterministic: true }))
  expect(known.look(early).missing).toEqual([])
  time.pass(16_000)
  expect(known.look(early).missing).toEqual([0])
  expect([memory.holds('planted-early'), memory.holds('planted-late')]).toEqual([1, 1])
  cache.expire()
  expect([memory.holds('planted-early'), memory.holds('planted-late')]).toEqual([0, 1])
  expect(known.look(late).missing).toEqual([])
})

test.each([
  ['wiping the cache', (cache: ReturnType<typeof cacheOf>) => cache.clear()],
  ['disposing of one of its keys', (_: unknown, kernel: ReturnType<typeof wasmKernel>) => kernel.dispose()],
])('after %s nothing is left of what was asked, there or back', (_, end) => {
  const memory = watchMemories()
  const cache = cacheOf()
  const kernel = cache.wrap(wasmKernel)(v2(), { randomBytes })
  const caller = {}
  const texts = pack(Array.from({ length: 500 }, (_, i) => `planted-${i}`))
  const made = kernel.pseudonymizeBytes(texts, { deterministic: true })
  const pseudonym = textAt(made, 100)
  const known = cache.of(caller, kernel, false)
  known?.keep(texts, made)
  cache.of(caller, kernel, true)?.keep(made, texts)
  known?.look(texts)
  // Once each, from there and from back.
  expect([memory.holds('planted-100'), memory.holds(pseudonym)]).toEqual([2, 2])
  end(cache, kernel)
  expect([memory.holds('planted-'), memory.holds(pseudonym)]).toEqual([0, 0])
  // Whoever was at work then keeps nothing of before.
  known?.keep(texts, made)
  expect([memory.holds('planted-'), memory.holds(pseudonym)]).toEqual([0, 0])
})

/** SipHash-1-3 as assembly/hash.ts has it, by the paper. */
function hash([k0, k1]: readonly [bigint, bigint], text: Uint8Array, owner: number): bigint {
  const cut = (n: bigint) => BigInt.asUintN(64, n)
  const rotl = (n: bigint, by: bigint) => cut((n << by) | (n >> (64n - by)))
  let [v0, v1, v2, v3] = [
    k0 ^ 0x736f6d6570736575n,
    k1 ^ 0x646f72616e646f6dn,
    k0 ^ 0x6c7967656e657261n,
    k1 ^ 0x7465646279746573n,
  ] as [bigint, bigint, bigint, bigint]
  const round = () => {
    v0 = cut(v0 + v1)
    v2 = cut(v2 + v3)
    v1 = rotl(v1, 13n) ^ v0
    v3 = rotl(v3, 16n) ^ v2
    v0 = rotl(v0, 32n)
    v2 = cut(v2 + v1)
    v0 = cut(v0 + v3)
    v1 = rotl(v1, 17n) ^ v2
    v3 = rotl(v3, 21n) ^ v0
    v2 = rotl(v2, 32n)
  }
  const words = [(BigInt(owner) << 32n) | BigInt(text.length)]
  for (let at = 0; at < text.length; at += 8) {
    const word = Buffer.alloc(8)
    word.set(text.subarray(at, at + 8))
    words.push(word.readBigUInt64LE())
  }
  for (const word of words) {
    v3 ^= word
    round()
    v0 ^= word
  }
  v2 ^= 0xffn
  for (let i = 0; i < 3; i++) round()
  return v0 ^ v1 ^ v2 ^ v3
}

test('who knows the hash’s key can have four texts kept of those that meet and no more; with another key they don’t meet', () => {
  const key = [1n, 2n] as const
  const engine = cacheEngine(2 * MB)
  const { places, memory, words } = engine
  const put = (texts: readonly string[], where: 'text' | 'out') => {
    const { bytes, offsets } = pack(texts)
    memory.set(bytes, places[where])
    words.set(offsets, places[`${where}Offsets`] >> 2)
  }
  const missing = (texts: readonly string[]) => {
    put(texts, 'text')
    return engine.recall(texts.length, 5, 0)
  }
  // Of as many buckets as there can be at most with so much memory.
  const meeting: string[] = []
  for (let i = 0; meeting.length < 12; i++)
    if ((hash(key, Buffer.from(`id-${i}`), 5) & 0x1fffn) === 77n) meeting.push(`id-${i}`)
  const others = Array.from({ length: 500 }, (_, i) => `other-${i}`)
  const keep = (texts: readonly string[]) => {
    put(texts, 'text')
    put(
      texts.map((text) => `of ${text}`),
      'out',
    )
    engine.keep(texts.length, 5, 0, 10)
  }
  engine.setKey(...key)
  keep(others)
  keep(meeting)
  expect(missing(meeting)).toBe(8)
  expect(missing(meeting.slice(-4))).toBe(0)
  expect(missing(others)).toBeLessThan(5)
  engine.clear()
  engine.setKey(3n, 4n)
  keep(meeting)
  expect(missing(meeting)).toBe(0)
})

test('of who asks for other texts each time, a request in thirty-two is looked at; once it repeats itself, each', () => {
  const { pays, saw } = worth()
  const request = (found: number) => {
    const looked = pays()
    if (looked) saw(1_000, found)
    return looked
  }
  const looked = (requests: number, found: number) =>
    Array.from({ length: requests }, () => request(found)).filter(Boolean).length
  looked(40, 0)
  expect(looked(320, 0)).toBe(10)
  looked(32, 900)
  expect(looked(160, 900)).toBe(160)
})

test('found texts and new ones come together in their places', () => {
  const found = pack(['a', '', '', 'dd', ''])
  const { bytes, offsets } = merged(
    { made: found as { bytes: Uint8Array; offsets: Uint32Array }, missing: [1, 2, 4] },
    pack(['B', 'CCC', 'E']),
  )
  expect(unpackTexts({ bytes, offsets })).toEqual(['a', 'B', 'CCC', 'dd', 'E'])
})

test('offsets that are none, and texts that have no room, trap or are left out', () => {
  const engine = cacheEngine(2 * MB)
  engine.words.set([0, 5, 3], engine.places.textOffsets >> 2)
  expect(() => engine.recall(2, 1, 0)).toThrow(WebAssembly.RuntimeError)
  expect(() => engine.recall(4_000, 1, 0)).toThrow(WebAssembly.RuntimeError)
  expect(() => cacheEngine(1_000)).toThrow(RangeError)
  const cache = cacheOf()
  const kernel = cache.wrap(wasmKernel)(v2(), { randomBytes })
  const long = pack(['a', 'b'.repeat(300_000), 'c', 'd'.repeat(2_000)])
  const known = cache.of({}, kernel, false)
  known?.keep(long, long)
  expect(known?.look(long).missing).toEqual([1, 3])
})
