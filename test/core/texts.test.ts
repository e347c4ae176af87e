import fc from 'fast-check'
import { expect, test } from 'vitest'
import { areDistinct, firstPlaces, jsonSizes } from '../../lib/core/text-engine.ts'
import { joinTexts, notUtf8, packTexts, pickTexts, sliceOf, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'

const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 6 }), { maxLength: 30 })
const packed = (values: readonly string[]) => packTexts(values) as TextBatch

test('batches are cut, joined and picked from as lists of strings are', () => {
  fc.assert(
    fc.property(texts, texts, fc.nat({ max: 30 }), fc.nat({ max: 30 }), (some, others, a, b) => {
      const [from, to] = [Math.min(a, b, some.length), Math.min(Math.max(a, b), some.length)]
      const part = sliceOf(packed(some), from, to)
      expect(unpackTexts(part)).toEqual(some.slice(from, to))
      const joined = joinTexts([part, packed(others), part])
      expect(unpackTexts(joined)).toEqual([...some.slice(from, to), ...others, ...some.slice(from, to)])
      const places = others.map((_, i) => (i * 7) % Math.max(1, others.length))
      expect(unpackTexts(pickTexts(packed(others), places))).toEqual(places.map((place) => others[place]))
    }),
  )
  expect(unpackTexts(joinTexts([]))).toEqual([])
})

test('the first of equal texts is found', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 2, unit: fc.constantFrom('a', 'b', 'ä') }), { maxLength: 60 }),
      (values) => {
        const places = [...firstPlaces(packed(values))]
        expect(places).toEqual(values.map((value) => values.indexOf(value)))
        expect(areDistinct(packed(values))).toBe(new Set(values).size === values.length)
      },
    ),
  )
  const many = Array.from({ length: 100_000 }, (_, i) => `value ${i}`)
  expect(areDistinct(packed(many))).toBe(true)
  expect(areDistinct(packed([...many, 'value 77777']))).toBe(false)
})

test('what a text will have in JSON is known before it is written, in batches larger than go through at once too', () => {
  const hard = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.toWellFormed()),
    fc.constantFrom(
      '"',
      '\\',
      '\u0000\u001f\u007f',
      '\u2028',
      '\b\t\n\f\r',
      '😀',
      'x'.repeat(500_000),
      '\n'.repeat(500_000),
    ),
  )
  fc.assert(
    fc.property(fc.array(hard, { maxLength: 12 }), (values) => {
      expect([...jsonSizes(packed(values))]).toEqual(
        values.map((value) => Buffer.byteLength(JSON.stringify(value)) - '""'.length),
      )
    }),
    { numRuns: 30 },
  )
})

test('a text that is no UTF-8 by itself is found, also where it is with the next one', () => {
  const batch = (...parts: number[][]): TextBatch => ({
    bytes: Uint8Array.from(parts.flat()),
    offsets: Uint32Array.from([0, ...parts.map((_, i) => parts.slice(0, i + 1).flat().length)]),
  })
  expect(notUtf8(batch([0x61], [0xc3, 0xa4], []))).toBe(-1)
  expect(notUtf8(batch([0x61], [0xff]))).toBe(1)
  expect(notUtf8(batch([0x61, 0xc3], [0xa4]))).toBe(0)
  expect(notUtf8(batch([0x61], [], [0xed, 0xa0, 0x80]))).toBe(2)
  // What stands around a batch is nobody's.
  const { bytes } = batch([0xff], [0x61], [0xbf])
  expect(notUtf8({ bytes, offsets: Uint32Array.of(1, 2, 2) })).toBe(-1)
})
