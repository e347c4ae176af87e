import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as canonical from '../../lib/core/canonical.ts'

type Vector = { type: string; input: unknown; text?: string; error?: string }
const vectors = JSON.parse(
  readFileSync(new URL('../vectors/canonical-text.json', import.meta.url), 'utf8'),
) as readonly Vector[]

const of: Readonly<Record<string, (input: never) => string>> = {
  integer: (digits: string) => canonical.canonicalInteger(BigInt(digits)),
  decimal: ([unscaled, scale]: [string, number]) => canonical.canonicalDecimal(BigInt(unscaled), scale),
  float32: (hex: string) => canonical.canonicalFloat32(Buffer.from(hex, 'hex').readFloatBE()),
  float64: (hex: string) => canonical.canonicalFloat64(Buffer.from(hex, 'hex').readDoubleBE()),
  boolean: (value: boolean) => canonical.canonicalBoolean(value),
  date: (days: number) => canonical.canonicalDate(days),
  time: (micros: string) => canonical.canonicalTime(BigInt(micros)),
  timestamp: (micros: string) => canonical.canonicalTimestamp(BigInt(micros), false),
  timestamptz: (micros: string) => canonical.canonicalTimestamp(BigInt(micros), true),
  uuid: (hex: string) => canonical.canonicalUuid(Buffer.from(hex, 'hex')),
  utf8: (hex: string) => canonical.canonicalUtf8(new Uint8Array(Buffer.from(hex, 'hex'))),
}

for (const [type, make] of Object.entries(of)) {
  test(`${type} values have the texts of the shared vectors`, () => {
    const cases = vectors.filter((vector) => vector.type === type)
    expect(cases.length).toBeGreaterThan(1)
    const got = cases.map((vector) => ({ ...vector, ...outcome(() => make(vector.input as never)) }))
    expect(got).toEqual(cases)
  })
}

test('every vector belongs to a type that is checked', () => {
  expect(vectors.filter(({ type }) => of[type] === undefined)).toEqual([])
})

test('a number that may have lost digits, or has a fraction, is no integer', () => {
  expect(canonical.canonicalInteger(-0)).toBe('0')
  for (const value of [2 ** 53, 0.5, Number.NaN, Infinity])
    expect(outcome(() => canonical.canonicalInteger(value))).toEqual({ error: 'not-an-integer' })
  expect(outcome(() => canonical.canonicalDate(0.5))).toEqual({ error: 'not-an-integer' })
})

test('a double that is no float32 is refused by the float32 text', () => {
  expect(outcome(() => canonical.canonicalFloat32(0.1))).toEqual({ error: 'not-a-float32' })
})

test('any float32 reads back from its text, and no shorter one does', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = canonical.canonicalFloat32(value)
      expect(Object.is(Math.fround(Number(text)), value)).toBe(true)
      const digits = text.replace(/^-|e.*|\./g, '').replace(/^0+|0+$/g, '').length
      for (let shorter = 1; shorter < digits; shorter++)
        expect(Math.fround(Number(value.toPrecision(shorter)))).not.toBe(value)
    }),
    { numRuns: 3000 },
  )
})

test('bytes are read by their own length, inside a larger buffer too', () => {
  const buffer = new TextEncoder().encode('xxÄ-1yy')
  expect(canonical.canonicalUtf8(buffer.subarray(2, 6))).toBe('Ä-1')
})

test('an error says why and holds nothing of the value', () => {
  const bytes = new Uint8Array([0x56, 0x49, 0x4e, 0xff])
  try {
    canonical.canonicalUtf8(bytes)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(canonical.NotCanonical)
    expect(error).toMatchObject({ reason: 'bad-utf8', message: 'bad-utf8' })
  }
})

function outcome(make: () => string): { text: string } | { error: string } {
  try {
    return { text: make() }
  } catch (error) {
    if (error instanceof canonical.NotCanonical) return { error: error.reason }
    throw error
  }
}
