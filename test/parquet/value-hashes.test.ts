import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyHashes, hashByteArrays } from '../../lib/parquet/value-hashes.ts'

/** Byte arrays in PLAIN encoding. */
function plain(values: readonly Uint8Array[]): Buffer {
  const out = Buffer.alloc(values.reduce((size, value) => size + 4 + value.length, 0))
  let at = 0
  for (const value of values) {
    at = out.writeUInt32LE(value.length, at)
    out.set(value, at)
    at += value.length
  }
  return out
}

function hashed(values: readonly Uint8Array[], seed = 7) {
  const bytes = plain(values)
  const hashes = emptyHashes(values.length)
  const empty = hashByteArrays(bytes, values.length, seed, hashes)
  const { a, b, from, to } = hashes
  return values.map((value, i) => {
    expect(Buffer.from(bytes.subarray(from[i], to[i])).equals(value)).toBe(true)
    expect(b[i]).not.toBe(0)
    expect(empty).toBe(values.filter(({ length }) => length === 0).length)
    return `${a[i]} ${b[i]}`
  })
}

test('equal values have equal hashes and others have others, wherever they stand', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 200 }), fc.integer(), (values, seed) => {
      const hashes = hashed(values, seed)
      const texts = values.map((value) => Buffer.from(value).toString('hex'))
      for (const [i, hash] of hashes.entries()) expect(hashes.indexOf(hash)).toBe(texts.indexOf(texts[i] as string))
      expect(hashed([...values].reverse(), seed)).toEqual([...hashes].reverse())
    }),
    { numRuns: 60 },
  )
})

test('each byte of a value counts, and so do its length and the seed', () => {
  for (let length = 1; length < 30; length++) {
    const value = Buffer.alloc(length, 'v')
    const others = Array.from({ length }, (_, at) => Buffer.from(value).fill('x', at, at + 1))
    const all = [value, Buffer.concat([value, Buffer.alloc(1)]), ...others]
    expect(new Set(hashed(all)).size).toBe(all.length)
    expect(hashed([value], 8)).not.toEqual(hashed([value], 7))
  }
})

test.each([1, 3, 12])('of values of %s bytes, more than one call takes are hashed as they are one by one', (length) => {
  const value = (i: number) => Buffer.from(i.toString(36).padStart(length, '0').slice(-length))
  const values = Array.from({ length: 700_000 }, (_, i) => value(i))
  const all = emptyHashes(values.length)
  hashByteArrays(plain(values), values.length, 1, all)
  for (const i of [0, 81_919, 81_920, 81_921, 262_144, 524_287, 524_288, 524_289, 699_999]) {
    const one = emptyHashes(1)
    hashByteArrays(plain([value(i)]), 1, 1, one)
    expect([i, all.a[i], all.b[i], (all.to[i] as number) - (all.from[i] as number)]).toEqual([
      i,
      one.a[0],
      one.b[0],
      length,
    ])
  }
})

test('a million values do not meet', () => {
  const values = Array.from({ length: 1_000_000 }, (_, i) => Buffer.from(`VEHICLE${i}`))
  const hashes = emptyHashes(values.length)
  hashByteArrays(plain(values), values.length, 1, hashes)
  const both = new BigUint64Array(values.length)
  for (let i = 0; i < both.length; i++)
    both[i] = (BigInt(hashes.a[i] as number) << 32n) | BigInt((hashes.b[i] as number) >>> 0)
  expect(new Set(both).size).toBe(values.length)
})

test('more than one call takes is hashed in pieces, and a value of any length', () => {
  const long = Buffer.alloc(9 << 20, 'long')
  const other = Buffer.from(long).fill('x', (9 << 20) - 1)
  const [first, second, third, fourth] = hashed([Buffer.from('a'), long, other, Buffer.from('b')])
  expect([first, fourth]).toEqual([...hashed([Buffer.from('a')]), ...hashed([Buffer.from('b')])])
  expect(second).not.toBe(third)
  expect(hashed([long])).toEqual([second])
  const many = Array.from({ length: 40 }, (_, i) => Buffer.alloc(500_000, `value ${i}`))
  expect(hashed(many)).toEqual(many.flatMap((value) => hashed([value])))
})

test('bytes that end before their values do are refused', () => {
  const bytes = plain([Buffer.from('one'), Buffer.from('two')])
  for (const cut of [0, 1, 3, 4, 6, 8, 13])
    expect(() => hashByteArrays(bytes.subarray(0, cut), 2, 1, emptyHashes(2)), `${cut} bytes`).toThrow(RangeError)
  const lying = Buffer.from(bytes)
  lying.writeUInt32LE(0xffffffff, 0)
  expect(() => hashByteArrays(lying, 1, 1, emptyHashes(1))).toThrow(RangeError)
  const long = Buffer.alloc(9 << 20)
  long.writeUInt32LE(9 << 20)
  expect(() => hashByteArrays(long, 1, 1, emptyHashes(1))).toThrow(RangeError)
})
