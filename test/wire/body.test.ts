import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readList } from '../../lib/wire/body.ts'
import { MAX_VALUES } from '../../lib/wire/contract.ts'

const read = (text: string, field = 'identifiers') => readList(Buffer.from(text, 'utf8'), field)

test('numbers and booleans count as they are spelt', () => {
  const body = '{"identifiers": [1.0, 12345678901234567890,-0 ,1e2,true,\n false\t, "1.0", null,0.10]}'
  expect(read(body)).toEqual(['1.0', '12345678901234567890', '-0', '1e2', 'true', 'false', '1.0', null, '0.10'])
})

test('other fields are ignored, whatever they hold', () => {
  const body = `{"a":{"identifiers":[1,2]},"b":"identifiers","c":["identifiers",[9],7],"identifiers":["x",1.50],"d":"}]\\"{","e":2.0}`
  expect(read(body)).toEqual(['x', '1.50'])
})

test('strings with escapes, brackets and commas stay what they are', () => {
  const texts = ['],[', '"', '\\', '\\"', '{"a":1}', ',', '', '\n', '\u2028', '\\\\"]']
  expect(read(JSON.stringify({ identifiers: texts }))).toEqual(texts)
})

test('any list of scalars comes back as its source texts', () => {
  const scalar = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
  )
  fc.assert(
    fc.property(
      fc.array(fc.option(scalar)),
      fc.jsonValue(),
      fc.constantFrom(undefined, 1, '\t'),
      (list, other, space) => {
        const expected = list.map((v) => (typeof v === 'string' || v === null ? v : JSON.stringify(v)))
        expect(read(JSON.stringify({ before: other, identifiers: list, after: other }, null, space))).toEqual(expected)
      },
    ),
    { numRuns: 300 },
  )
})

test('arrays and objects have no text', () => {
  expect(read('{"identifiers":["a",["b",1],{"c":[2,3]},[],4]}')).toEqual(['a', undefined, undefined, undefined, '4'])
})

test.each([
  ['', 'empty'],
  ['  ', 'empty'],
  ['{', 'not JSON'],
  ['{"identifiers":["SECRET"', 'not JSON'],
  ['{"identifiers":["SECRET"]} SECRET', 'not JSON'],
  ['{"identifiers":[01]}', 'not JSON'],
  ['{"identifiers":[SECRET]}', 'not JSON'],
  ["{'identifiers':['SECRET']}", 'not JSON'],
  ['{"identifiers":["a",]}', 'not JSON'],
  ['null', 'not a JSON object'],
  ['["SECRET"]', 'not a JSON object'],
  ['"identifiers"', 'not a JSON object'],
  ['{}', 'missing'],
  ['{"pseudonyms":["SECRET"]}', 'missing'],
  ['{"identifiers":"SECRET"}', 'not a list'],
  ['{"identifiers":null}', 'not a list'],
  ['{"identifiers":{"0":"SECRET","length":1}}', 'not a list'],
  ['{"identifiers":["a"],"identifiers":["SECRET"]}', 'twice'],
  ['{"identifiers":["a"],"\\u0069dentifiers":["SECRET"]}', 'twice'],
  [`{"identifiers":${'['.repeat(100)}${']'.repeat(100)}}`, 'deeper'],
  [`${'['.repeat(2_000_000)}`, 'deeper'],
  [`{"x":${'{"a":'.repeat(500_000)}`, 'deeper'],
  ['\ufeff{"identifiers":[]}', 'not JSON'],
  ['{"identifiers":["\\', 'not JSON'],
  ['{"a":1,"identifiers":[],"a":2}', 'a field comes twice'],
  ['{"a":1,"identifiers":[],"\\u0061":2}', 'a field comes twice'],
  [`{${Array.from({ length: 257 }, (_, i) => `"f${i}":1`).join()},"identifiers":[]}`, 'more than 256 fields'],
])('refused, by reason and without a value: %.40s', (text, why) => {
  const result = read(text)
  expect(result).toMatchObject({ wrong: expect.stringContaining(why) })
  expect(JSON.stringify(result)).not.toContain('SECRET')
})

test('so many values are read and no more, whatever they are', () => {
  for (const value of ['""', 'null', '0', '[]']) {
    expect(read(`{"identifiers":[${`${value},`.repeat(MAX_VALUES - 1)}${value}]}`)).toHaveLength(MAX_VALUES)
    const more = read(`{"identifiers":[${`${value},`.repeat(MAX_VALUES)}${value}]}`)
    expect(more).toMatchObject({ wrong: expect.stringContaining('150000'), tooMany: true })
  }
  expect(read(`{"x":[${'0,'.repeat(MAX_VALUES)}0],"identifiers":["a"]}`)).toEqual(['a'])
})

test('invalid UTF-8 is refused, never replaced', () => {
  const body = Buffer.concat([Buffer.from('{"identifiers":["'), Buffer.of(0xff, 0xc0, 0x80), Buffer.from('"]}')])
  expect(readList(body, 'identifiers')).toEqual({ wrong: 'the body is not UTF-8' })
})

test('names that mean something to JavaScript mean nothing here', () => {
  const body =
    '{"__proto__":{"identifiers":["x"],"polluted":1},"constructor":{"prototype":{"polluted":1}},"identifiers":["a"]}'
  expect(read(body)).toEqual(['a'])
  expect(read('{"__proto__":{"identifiers":["x"]}}')).toMatchObject({ wrong: expect.stringContaining('missing') })
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
})

test('a hundred thousand values, and a string of a million backslashes, are read', () => {
  const many = read(`{"identifiers":[${'1.0,'.repeat(99_999)}"a"]}`)
  expect(many).toHaveLength(100_000)
  expect(read(JSON.stringify({ identifiers: ['\\'.repeat(1_000_000)] }))).toEqual(['\\'.repeat(1_000_000)])
  expect(read(JSON.stringify({ identifiers: ['"'.repeat(1_000_000)] }))).toEqual(['"'.repeat(1_000_000)])
})
