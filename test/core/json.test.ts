import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseJson, stringifyJson } from '../../lib/core/json.ts'

test('64-bit integers come back to the digit, on both sides of 2^53', () => {
  const text = '{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740991,"d":9007199254740993,"e":[1,-1]}'
  const value = parseJson(text) as Record<string, unknown>
  expect(value).toEqual({
    a: 9223372036854775807n,
    b: -9223372036854775808n,
    c: Number.MAX_SAFE_INTEGER,
    d: 9007199254740993n,
    e: [1, -1],
  })
  expect(stringifyJson(value)).toBe(text)
})

test('numbers that are no integers stay numbers, however long they are written', () => {
  expect(parseJson('[0.1000000000000000000, 1e20, 12345678901234567890.5]')).toEqual([0.1, 1e20, 12345678901234567000])
})

test('digits inside a string are text', () => {
  const text = '{"id":"9223372036854775807","x":"-9223372036854775808"}'
  expect(parseJson(text)).toEqual({ id: '9223372036854775807', x: '-9223372036854775808' })
  expect(stringifyJson(parseJson(text))).toBe(text)
})

test('any document with any int64 in it comes back as it was, property order too', () => {
  const leaf = fc.oneof(
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
    fc.boolean(),
    fc.constant(null),
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('tree')), fc.dictionary(fc.string(), tie('tree'))),
  }))
  fc.assert(
    fc.property(tree, (value) => {
      const text = stringifyJson(value)
      expect(stringifyJson(parseJson(text))).toBe(text)
      expect(parseJson(text)).toEqual(value)
    }),
    { numRuns: 60 },
  )
})
