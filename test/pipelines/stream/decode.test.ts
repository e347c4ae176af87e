import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TextColumn } from '../../../lib/parquet/text-chunk.ts'
import { RecordDecoder } from '../../../pipelines/stream/decode.ts'
import { inferFields } from '../../../pipelines/stream/infer.ts'
import { parseExactly } from '../../../pipelines/stream/json.ts'
import { fieldsOfSchema, parseType, readFields, storedFields } from '../../../pipelines/stream/schema.ts'
import { BadRecord } from '../../../pipelines/stream/values.ts'

const record = (data: string | Buffer) => ({
  shard: 'shardId-000000000000',
  sequence: '1',
  sub: 0,
  arrivalMs: 0,
  partitionKey: 'k',
  data: Buffer.from(data as string),
})

function decoder(schema: Record<string, string>, sensitive: readonly string[] = []) {
  return new RecordDecoder({
    fields: fieldsOfSchema(new Map(Object.entries(schema))),
    sensitive: new Set(sensitive.map((name) => JSON.stringify(name.split('.')))),
    from: [],
  })
}

/** Texts of a column, in order. */
function textsOf(of: RecordDecoder, column = 0): string[] {
  const { plain, present } = of.take().columns[column] as TextColumn
  const texts: string[] = []
  for (let at = 0; texts.length < present; ) {
    const length = new DataView(plain.buffer, plain.byteOffset + at).getUint32(0, true)
    texts.push(Buffer.from(plain.subarray(at + 4, at + 4 + length)).toString())
    at += 4 + length
  }
  return texts
}

test.each([
  ['"a"', 'a'],
  ['""', ''],
  ['1', '1'],
  ['1.0', '1.0'],
  ['-0', '-0'],
  ['1e3', '1e3'],
  ['0.1', '0.1'],
  ['9007199254740993', '9007199254740993'],
  ['123456789012345678901234567890', '123456789012345678901234567890'],
  ['true', 'true'],
  ['false', 'false'],
  ['"\\u00e9\\ud83d\\ude00"', 'é😀'],
])('a sensitive %s is the text %s', (json, text) => {
  const of = decoder({ vin: 'string' }, ['vin'])
  of.add(record(`{"vin": ${json}}`))
  expect(textsOf(of)).toEqual([text])
})

test.each([
  ['no JSON', '{"vin": ', 'not-json'],
  ['two values', '{} {}', 'not-json'],
  ['a list', '[1]', 'not-an-object'],
  ['null', 'null', 'not-an-object'],
  ['nothing', '', 'not-json'],
  ['bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'not-utf8'],
  ['half a surrogate pair', '{"vin": "\\ud800"}', 'lone-surrogate'],
  ['half of one in another field', '{"vin": "a", "note": "\\udc00"}', 'lone-surrogate'],
  ['an object for an identifier', '{"vin": {"a": 1}}', 'no-text'],
  ['a list for an identifier', '{"vin": ["a"]}', 'no-text'],
  ['more than 64 KiB', `{"vin": "${'x'.repeat((64 << 10) + 1)}"}`, 'too-long'],
  ['a text for a number', '{"n": "1"}', 'wrong-type'],
  ['a fraction for an integer', '{"n": 1.5}', 'wrong-type'],
  ['an integer beyond 64 bits', '{"n": 9223372036854775808}', 'out-of-range'],
  ['a number beyond doubles', '{"x": 1e999}', 'out-of-range'],
  ['a day that there is not', '{"day": "2026-02-30"}', 'out-of-range'],
  ['a time without its zone', '{"at": "2026-01-01T00:00:00"}', 'wrong-type'],
  ['more digits than a decimal has', '{"price": 1.234}', 'out-of-range'],
])('%s is a bad record, and leaves nothing behind', (_, data, reason) => {
  const of = decoder(
    { note: 'string', n: 'long', x: 'double', day: 'date', at: 'timestamptz', price: 'decimal(9,2)', vin: 'string' },
    ['vin'],
  )
  of.add(record('{"note": "before", "n": 1, "vin": "V"}'))
  const failed = () => of.add(record(data))
  expect(failed).toThrow(BadRecord)
  expect(failed).toThrow(expect.objectContaining({ reason }))
  of.add(record('{"note": "after", "n": 2, "vin": "W"}'))
  const { rows, columns } = of.take()
  expect(rows).toBe(2)
  for (const { definition } of columns) expect(definition).toHaveLength(2)
  expect((columns[6] as TextColumn).present).toBe(2)
})

test('names that every object has are fields like any other', () => {
  const of = decoder({ constructor: 'string', toString: 'string' })
  of.add(record('{"toString": "own"}'))
  const { columns } = of.take()
  expect(columns.map(({ present }) => present)).toEqual([0, 1])
})

test('rows with bad ones among them are the rows without them, whatever the columns', () => {
  const good = fc.record(
    {
      vin: fc.option(fc.string({ unit: 'binary' }), { nil: null }),
      n: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: null }),
      tags: fc.option(fc.array(fc.option(fc.string({ unit: 'binary' }), { nil: null }), { maxLength: 3 }), {
        nil: null,
      }),
      who: fc.option(fc.record({ id: fc.string({ unit: 'binary' }), on: fc.boolean() }, { requiredKeys: [] }), {
        nil: null,
      }),
    },
    { requiredKeys: [] },
  )
  const bad = fc.constantFrom(
    '{',
    '{"vin": {}}',
    '{"who": {"on": 1}}',
    '{"tags": ["a", "b"], "n": "x"}',
    '{"tags": [1, []], "n": 1.5}',
  )
  const json = (value: unknown) =>
    JSON.stringify(value, (_, one: unknown) =>
      typeof one === 'bigint' ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(one.toString()) : one,
    )
  const schema = { vin: 'string', n: 'long', tags: 'list<string>', who: 'struct<id: string, on: boolean>' }
  const taken = (texts: readonly string[]) => {
    const of = decoder(schema, ['vin'])
    for (const text of texts)
      try {
        of.add(record(text))
      } catch (error) {
        if (!(error instanceof BadRecord)) throw error
      }
    return JSON.stringify(of.take(), (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    )
  }
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          good.map((value) => ({ text: json(value), isGood: true })),
          bad.map((text) => ({ text, isGood: false })),
        ),
        { maxLength: 20 },
      ),
      (records) => {
        expect(taken(records.map(({ text }) => text))).toBe(
          taken(records.filter(({ isGood }) => isGood).map(({ text }) => text)),
        )
      },
    ),
  )
})

test.each([
  ['{"a": 1}', '{"a": 9223372036854775807}', { a: 'long' }],
  ['{"a": 1}', '{"a": 1.0}', { a: 'double' }],
  ['{"a": 1}', '{"a": 9223372036854775808}', { a: 'decimal(38, 0)' }],
  ['{"a": 1}', '{"a": "x"}', { a: 'string' }],
  ['{"a": null}', '{}', { a: 'string' }],
  ['{"a": null}', '{"a": true, "b": null}', { a: 'boolean', b: 'string' }],
  ['{"a": []}', '{"a": [1]}', { a: ['long'] }],
  ['{"a": [[]]}', '{"a": [["x"]]}', { a: [['string']] }],
  ['{"a": {"x": 1}}', '{"a": {"y": "z"}}', { a: { x: 'long', y: 'string' } }],
  ['{"a": {"x": 1}}', '{"a": [1]}', { a: 'string' }],
  ['{"a": {}}', '{"a": {}}', { a: 'string' }],
])('%s and %s have the fields %j', (one, other, fields) => {
  const inferred = inferFields([one, other].map((text) => parseExactly(text) as Record<string, unknown>))
  expect(storedFields(inferred)).toEqual(fields)
  expect(readFields(JSON.parse(JSON.stringify(storedFields(inferred))))).toEqual(inferred)
})

test.each([
  'number',
  'list<>',
  'list<string',
  'struct<a>',
  'struct<a: string, a: long>',
  'decimal(39, 0)',
  'decimal(2, 3)',
  'binary',
  '',
])('%s is no type of a record', (text) => {
  expect(parseType(text)).toBeUndefined()
})

test('ten thousand rows of every type of number come out as they went in', () => {
  const types = { a: 'int', b: 'long', c: 'float', d: 'double', e: 'boolean', f: 'decimal(30, 0)' }
  const of = decoder(types)
  const count = 10_000
  for (let i = 0; i < count; i++) of.add(record(`{"a":${i},"b":${i},"c":${i},"d":${i},"e":${i % 2 === 1},"f":${i}}`))
  const { columns } = of.take()
  const views = columns.map(({ plain }) => new DataView(plain.buffer, plain.byteOffset, plain.byteLength))
  const [a, b, c, d, e, f] = views as [DataView, DataView, DataView, DataView, DataView, DataView]
  for (let i = 0; i < count; i++)
    expect([
      a.getInt32(4 * i, true),
      Number(b.getBigInt64(8 * i, true)),
      c.getFloat32(4 * i, true),
      d.getFloat64(8 * i, true),
      e.getUint8(i) === i % 2,
      f.getUint32((f.byteLength / count) * (i + 1) - 4),
    ]).toEqual([i, i, i, i, true, i])
})
