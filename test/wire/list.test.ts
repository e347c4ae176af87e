import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packTexts, type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { readTexts as readPieces, writeList } from '../../lib/wire/list.ts'

/** Everything that is hard on a writer of JSON. */
const texts = fc.array(
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.toWellFormed()),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constantFrom(
      '',
      '"',
      '\\',
      '\u0000',
      '\u001f',
      '\u007f',
      '\u2028\u2029',
      '\b\t\n\f\r',
      '😀',
      'ä',
      '=',
      '/',
      '</script>',
    ),
  ),
  { maxLength: 20 },
)
/** In pieces, as it comes: the way they are cut is no matter. */
const readTexts = (body: Buffer, field: string, most: number) => {
  const cut = body.length % 3 === 0 ? [body] : [body.subarray(0, body.length >> 1), body.subarray(body.length >> 1)]
  return readPieces(cut, field, most)
}
const packed = (values: readonly string[]) => packTexts(values) as TextBatch

test('a list is written as JSON.stringify writes it, byte by byte', () => {
  fc.assert(
    fc.property(texts, (values) => {
      expect(Buffer.from(writeList('identifiers', packed(values))).toString()).toBe(
        JSON.stringify({ identifiers: values }),
      )
    }),
    { numRuns: 500 },
  )
})

test('so are a part of a batch, long texts, and all characters of one byte', () => {
  const values = [
    'before',
    'x'.repeat(65_536),
    Array.from({ length: 128 }, (_, i) => String.fromCharCode(i)).join(''),
    '',
  ]
  const { bytes, offsets } = packed([...values, 'behind'])
  const part = { bytes, offsets: offsets.subarray(1, 5) }
  expect(Buffer.from(writeList('pseudonyms', part)).toString()).toBe(JSON.stringify({ pseudonyms: values.slice(1) }))
})

test('what is read is what JSON.parse reads, or nothing', () => {
  fc.assert(
    fc.property(texts, (values) => {
      const body = Buffer.from(JSON.stringify({ pseudonyms: values }))
      const read = readTexts(body, 'pseudonyms', 20)
      if (!body.includes('\\')) expect(read).toBeDefined()
      if (read) expect(unpackTexts(read)).toEqual(values)
    }),
    { numRuns: 500 },
  )
})

test.each([
  '{"pseudonyms": ["a", "b é"]}',
  '{"pseudonyms": [ "a" , "b é" ] }',
  ' \t\r\n{ "pseudonyms"\n:\t[\r\n"a",\n    "b é"\n]\n}\n',
])('white space is read where JSON has it: %j', (body) => {
  expect(unpackTexts(readTexts(Buffer.from(body), 'pseudonyms', 9) as TextBatch)).toEqual(['a', 'b é'])
})

test.each(['{"pseudonyms":[]}', '{"pseudonyms": [ ]}', '{ "pseudonyms" : [\n] }'])('so is none at all: %j', (body) => {
  expect(readTexts(Buffer.from(body), 'pseudonyms', 9)?.offsets).toEqual(new Uint32Array(1))
})

test('where white space may stand, however much there is, the list is read or left', () => {
  const space = fc.array(fc.constantFrom(' ', '\t', '\n', '\r'), { maxLength: 30 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(texts, fc.array(space, { minLength: 7, maxLength: 7 }), (values, [a, b, c, d, e, f, g]) => {
      const list = values.map((value) => JSON.stringify(value)).join(`${d},${e}`)
      const body = Buffer.from(`${a}{${b}"pseudonyms"${c}:[${d}${list}${e}]${f}}${g}`)
      const read = readTexts(body, 'pseudonyms', 20)
      if (read) expect(unpackTexts(read)).toEqual(JSON.parse(body.toString()).pseudonyms)
    }),
    { numRuns: 500 },
  )
})

test('the padding of the original service, as Gson writes it, is read', () => {
  const read = readTexts(Buffer.from('{"pseudonyms":["QUJD\\u003d","REVG\\u003D\\u003d",""]}'), 'pseudonyms', 9)
  expect(unpackTexts(read as TextBatch)).toEqual(['QUJD=', 'REVG==', ''])
})

test.each([
  '',
  '{}',
  '{"pseudonyms":[]',
  '{"pseudonyms":[]}}',
  '\ufeff{"pseudonyms":[]}',
  '{"pseudonyms":[,]}',
  '{"pseudonyms":["a",]}',
  '{"pseudonyms":["a", ]}',
  '{"pseudonyms":[ ,"a"]}',
  '{"pseudonyms":["a" "b"]}',
  '{"pseudonyms":["a",\u00a0"b"]}',
  '{"pseudonyms":["a",\f"b"]}',
  '\v{"pseudonyms":["a"]}',
  '{"pseudonyms":["a"]}\u2028',
  '{"pseudonyms":["a"]]}',
  '{"pseudonyms":["a"}]}',
  '{"pseudonyms":["a"]}]}',
  '{"pseudonyms":["a""b"]}',
  '{"pseudonyms":["a","b]}',
  '{"pseudonyms":["a\\"]}',
  '{"pseudonyms":["a\\u003"]}',
  '{"pseudonyms":["a\\u003e"]}',
  '{"pseudonyms":["\\u0041"]}',
  '{"pseudonyms":["a\tb"]}',
  '{"pseudonyms":["a\u0000"]}',
  '{"pseudonyms":[null]}',
  '{"pseudonyms":[1]}',
  '{"pseudonyms":[["a"]]}',
  '{"pseudonyms":[{"a":"b"}]}',
  '{"pseudonyms":["a"],"pseudonyms":["b"]}',
  '{"pseudonyms":["a"],"x":["b"]}',
  '{"x":[],"pseudonyms":["b"]}',
  '{"pseudonym":["a"]}',
  '{"identifiers":["a"]}',
  '["a"]',
])('left to the JSON parser: %j', (body) => {
  expect(readTexts(Buffer.from(body), 'pseudonyms', 9)).toBeUndefined()
})

test('so is a list of more texts than were asked for', () => {
  const body = Buffer.from('{"pseudonyms":["a","b"]}')
  expect(readTexts(body, 'pseudonyms', 1)).toBeUndefined()
  expect(readTexts(body, 'pseudonyms', 2)).toBeDefined()
})

test('so is a body of more than 8 MiB, for which no memory is kept', () => {
  const body = (length: number) => Buffer.from(`{"pseudonyms":["${'a'.repeat(length)}"]}`)
  expect(readTexts(body((8 << 20) - 100), 'pseudonyms', 1)?.bytes).toHaveLength((8 << 20) - 100)
  expect(readTexts(body(8 << 20), 'pseudonyms', 1)).toBeUndefined()
})

test('bytes that are no UTF-8 are left to it too', () => {
  expect(readTexts(Buffer.from('{"pseudonyms":["\xff"]}', 'latin1'), 'pseudonyms', 9)).toBeUndefined()
})

test('a body that was changed anywhere is read as JSON.parse reads it, or not at all', () => {
  const body = JSON.stringify({ pseudonyms: ['QUJD', 'p2.abcd.xyz', '', 'ä'] })
  const change = fc.tuple(
    fc.nat({ max: body.length }),
    fc.nat({ max: 3 }),
    fc.constantFrom(
      '',
      '"',
      ',',
      ']',
      '}',
      '\\',
      '\\u003d',
      '\\u003D',
      '[',
      '{',
      ':',
      ' ',
      '\n',
      'null',
      'a',
      '"pseudonyms":',
    ),
  )
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const changed = changes.reduce((text, [at, gone, put]) => text.slice(0, at) + put + text.slice(at + gone), body)
      const read = readTexts(Buffer.from(changed), 'pseudonyms', 9)
      if (read) expect(JSON.parse(changed)).toEqual({ pseudonyms: unpackTexts(read) })
    }),
    { numRuns: 5000 },
  )
})
