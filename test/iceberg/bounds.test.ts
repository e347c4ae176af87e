import fc from 'fast-check'
import { expect, test } from 'vitest'
import { boundsFromPlain, decimalBound, truncateBytesUp, truncateTextUp } from '../../lib/iceberg/single-value.ts'
import { int64, utf8 } from './tables.ts'

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')
const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
const FULL = Number.POSITIVE_INFINITY

test('a text bound is cut by code points, not by UTF-16 units or bytes, and the upper one is raised', () => {
  const value = `${'a'.repeat(15)}\u{1F697}tail`
  const { lower, upper } = boundsFromPlain('string', utf8(value), utf8(value), 16)
  expect(text(lower)).toBe(`${'a'.repeat(15)}\u{1F697}`)
  expect(text(upper)).toBe(`${'a'.repeat(15)}\u{1F698}`)
})

test('a text of exactly the length is its own bound', () => {
  const value = `${'z'.repeat(15)}\u{10FFFF}`
  const { lower, upper } = boundsFromPlain('string', utf8(value), utf8(value), 16)
  expect([text(lower), text(upper)]).toEqual([value, value])
})

test('raising steps over what cannot be raised, over surrogates, and gives up rather than be wrong', () => {
  expect(truncateTextUp('ab\u{10FFFF}\u{10FFFF}x', 4)).toBe('ac')
  expect(truncateTextUp('a\uD7FFx', 2)).toBe('a\uE000')
  expect(truncateTextUp('\u{10FFFF}\u{10FFFF}', 1)).toBeUndefined()
  expect(hex(truncateBytesUp(Uint8Array.of(1, 0xff, 0xff, 7), 3))).toBe('02')
  expect(truncateBytesUp(Uint8Array.of(0xff, 0xff), 1)).toBeUndefined()
})

test('the cut bounds of any text enclose it in the order of its bytes, and are no longer than asked for', () => {
  const anyText = fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => value.isWellFormed())
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 20 }), (value, length) => {
      const bytes = utf8(value)
      const { lower, upper } = boundsFromPlain('string', bytes, bytes, length)
      expect(Buffer.compare(lower as Uint8Array, bytes)).toBeLessThanOrEqual(0)
      if (upper) expect(Buffer.compare(upper, bytes)).toBeGreaterThanOrEqual(0)
      else expect([...value].slice(0, length).every((character) => character === '\u{10FFFF}')).toBe(true)
      for (const bound of [lower, upper]) expect([...(text(bound) ?? '')].length).toBeLessThanOrEqual(length)
    }),
  )
})

test('the cut bounds of any bytes enclose them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), fc.integer({ min: 1, max: 20 }), (bytes, length) => {
      const { lower, upper } = boundsFromPlain('binary', bytes, bytes, length)
      expect(Buffer.compare(lower as Uint8Array, bytes)).toBeLessThanOrEqual(0)
      if (upper) expect(Buffer.compare(upper, bytes)).toBeGreaterThanOrEqual(0)
      else expect(bytes.slice(0, length).every((byte) => byte === 0xff)).toBe(true)
    }),
  )
})

test('text statistics that were cut inside a character give no bound', () => {
  const cut = utf8('ü').slice(0, 1)
  expect(boundsFromPlain('string', utf8('a'), cut, 16)).toEqual({ lower: utf8('a') })
})

test('a decimal bound is the shortest big-endian two’s complement, of whichever physical type', () => {
  const int32 = (value: number) => new Uint8Array(Int32Array.of(value).buffer)
  expect(hex(decimalBound(int32(0), false))).toBe('00')
  expect(hex(decimalBound(int32(127), false))).toBe('7f')
  expect(hex(decimalBound(int32(128), false))).toBe('0080')
  expect(hex(decimalBound(int32(-1), false))).toBe('ff')
  expect(hex(decimalBound(int32(-128), false))).toBe('80')
  expect(hex(decimalBound(int32(-129), false))).toBe('ff7f')
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const little = int64(value)
      const bound = decimalBound(little, false) as Uint8Array
      expect(hex(decimalBound(little.toReversed(), true))).toBe(hex(bound))
      expect(BigInt.asIntN(bound.length * 8, BigInt(`0x${hex(bound)}`))).toBe(value)
      // One byte less would not hold it.
      if (bound.length > 1) expect(BigInt.asIntN(bound.length * 8 - 8, value)).not.toBe(value)
    }),
  )
})

test('NaN is no bound, and zeros move outwards', () => {
  const double = (value: number) => new Uint8Array(Float64Array.of(value).buffer)
  expect(boundsFromPlain('double', double(Number.NaN), double(1), FULL)).toEqual({})
  expect(boundsFromPlain('double', double(1), double(Number.NaN), FULL)).toEqual({})
  expect(boundsFromPlain('double', double(0), double(-0), FULL)).toEqual({ lower: double(-0), upper: double(0) })
  const float = (value: number) => new Uint8Array(Float32Array.of(value).buffer)
  expect(boundsFromPlain('float', float(-1.5), float(2), FULL)).toEqual({ lower: float(-1.5), upper: float(2) })
  expect(boundsFromPlain('double', float(-1.5), float(2), FULL)).toEqual({ lower: double(-1.5), upper: double(2) })
})

test('an int file in a long column has long bounds', () => {
  const int32 = (value: number) => new Uint8Array(Int32Array.of(value).buffer)
  expect(boundsFromPlain('long', int32(-2), int32(3), FULL)).toEqual({ lower: int64(-2), upper: int64(3) })
})

test('fixed-width types are kept whole, and bytes of another width give no bound', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i)
  expect(boundsFromPlain('uuid', uuid, uuid, 4)).toEqual({ lower: uuid, upper: uuid })
  expect(boundsFromPlain('fixed[16]', uuid, uuid, 4)).toEqual({ lower: uuid, upper: uuid })
  for (const type of ['uuid', 'int', 'long', 'date', 'timestamp', 'boolean', 'fixed[3]', 'float'])
    expect([type, boundsFromPlain(type, Uint8Array.of(1, 2), Uint8Array.of(1, 2), FULL)]).toEqual([type, {}])
  expect(boundsFromPlain('variant', uuid, uuid, FULL)).toEqual({})
})
