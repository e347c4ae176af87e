import { describe, expect, test } from 'vitest'
import type { Treatment } from '../../lib/parquet/output-tree.ts'
import type { LeafNode, LogicalType, PhysicalType } from '../../lib/parquet/schema.ts'
import { decimalBytes, outputType, refusedAsText, widen } from '../../lib/parquet/types.ts'
import { DROP, duckdb, fixture, opened, REPLACE, run } from './helpers.ts'

const duck = duckdb()
/** Made by Python beside the Parquet files (test/fixtures/parquet/make.py). */
const TEXTS = JSON.parse(new TextDecoder().decode(fixture('types.json'))) as Record<string, (string | null)[]>
const NAMES = Object.keys(TEXTS)

function all(treatment: Treatment): Record<string, Treatment> {
  return Object.fromEntries(NAMES.map((name) => [name, treatment]))
}

describe.each(['types.parquet', 'types-dictionary.parquet'])('values of every type: %s', (name) => {
  test.each([
    ['deterministic', REPLACE],
    ['random', { ...REPLACE, perCell: true }],
  ])('reach the map as their canonical text: %s', async (_, treatment) => {
    const { bytes } = await run(name, all(treatment), {
      replace: async (__, texts) => texts.map((text) => `<${text}>`),
    })
    const rows = await duck.rows(bytes)
    const got = Object.fromEntries(NAMES.map((column) => [column, rows.map((row) => row[column])]))
    const wrapped = (text: string | null) => (text ? `<${text}>` : text)
    expect(got).toEqual(Object.fromEntries(NAMES.map((column) => [column, TEXTS[column]?.map(wrapped)])))
  })

  test('keep their value when they are copied, in types that Iceberg has', async () => {
    const input = fixture(name)
    const { bytes } = await run(input, {})
    const types = Object.fromEntries(
      (await duck.query(`DESCRIBE SELECT * FROM read_parquet('${duck.put(bytes)}')`)).map((column) => [
        column.column_name,
        column.column_type,
      ]),
    )
    expect(types).toEqual({
      string: 'VARCHAR',
      large_string: 'VARCHAR',
      binary: 'BLOB',
      fixed: 'BLOB',
      bool: 'BOOLEAN',
      date: 'DATE',
      time_ms: 'TIME',
      time_us: 'TIME',
      time_ns: 'TIME',
      ts_ms: 'TIMESTAMP',
      ts_us: 'TIMESTAMP',
      ts_us_utc: 'TIMESTAMP WITH TIME ZONE',
      ts_ns: 'TIMESTAMP',
      float: 'FLOAT',
      double: 'DOUBLE',
      half: 'FLOAT',
      uuid: 'UUID',
      json: 'VARCHAR',
      null: 'VARCHAR',
      int8: 'INTEGER',
      int16: 'INTEGER',
      int32: 'INTEGER',
      int64: 'BIGINT',
      uint8: 'INTEGER',
      uint16: 'INTEGER',
      uint32: 'BIGINT',
      uint64: 'DECIMAL(20,0)',
      decimal_4_2: 'DECIMAL(4,2)',
      decimal_9_2: 'DECIMAL(9,2)',
      decimal_18_4: 'DECIMAL(18,4)',
      decimal_19_4: 'DECIMAL(19,4)',
      decimal_38_10: 'DECIMAL(38,10)',
    })
    // Cast to the output's type, the input's values are the output's.
    const casts = NAMES.filter((column) => column !== 'null')
      .map((column) => `${castOf(`"${column}"`, types[column] as string)} AS "${column}"`)
      .join(', ')
    expect(await duck.rows(bytes, casts)).toEqual(await duck.rows(input, casts))
  })
})

function castOf(column: string, type: string): string {
  // DuckDB has no cast between the two kinds of time; as text they are comparable.
  if (type === 'TIME') return `replace(${column}::VARCHAR, '+00', '')`
  return type.startsWith('DECIMAL') || type === 'BLOB' ? column : `${column}::${type}`
}

test('decimals have the physical type that Iceberg wants, whatever the input had', async () => {
  for (const name of ['types.parquet', 'decimal-integers.parquet']) {
    const drops = name === 'types.parquet' ? NAMES.filter((column) => !column.startsWith('decimal')) : []
    const input = fixture(name)
    const { bytes } = await run(input, Object.fromEntries(drops.map((column) => [column, DROP])))
    const { file } = await opened(bytes)
    expect(file.leaves.map((leaf) => [leaf.physical, leaf.typeLength])).toEqual([
      ['INT32', undefined],
      ['INT32', undefined],
      ['INT64', undefined],
      ['FIXED_LEN_BYTE_ARRAY', 9],
      ['FIXED_LEN_BYTE_ARRAY', 16],
    ])
    const columns = 'decimal_4_2, decimal_9_2, decimal_18_4, decimal_19_4, decimal_38_10'
    expect(await duck.rows(bytes, columns)).toEqual(await duck.rows(input, columns))
  }
})

test('a decimal takes the fewest bytes that hold its digits and sign', () => {
  expect([1, 2, 3, 9, 18, 19, 20, 28, 38].map(decimalBytes)).toEqual([1, 1, 2, 4, 8, 9, 9, 12, 16])
})

test('INT96 becomes microseconds adjusted to UTC', async () => {
  const { bytes } = await run('int96.parquet', {})
  const rows = await duck.rows(bytes, '"at"::VARCHAR AS "at"')
  expect(rows.map((row) => row.at)).toEqual(['2024-02-29 23:59:59.123+00', '1969-12-31 23:59:59.999+00'])
  const { asked } = await run('int96.parquet', { at: REPLACE })
  expect(asked[0]?.texts).toEqual(['2024-02-29T23:59:59.123000Z', '1969-12-31T23:59:59.999000Z'])
})

test('nanoseconds that microseconds cannot hold are refused where they stand, copied or replaced', async () => {
  await expect(run('nanoseconds.parquet', {})).rejects.toMatchObject({
    code: 'input/unsupported',
    context: { column: 'at', rowGroup: 0, page: 0, index: 1 },
  })
  await expect(run('nanoseconds.parquet', { at: REPLACE })).rejects.toMatchObject({
    code: 'input/value-invalid',
    context: { column: 'at', rowGroup: 0, index: 1 },
  })
})

test.each([
  ['bad-utf8.parquet', { index: 1, length: 2 }],
  ['nan.parquet', { index: 1, type: 'DOUBLE' }],
  ['long-value.parquet', { index: 1, length: 65_537 }],
])('a value without canonical text is named by its place and never shown: %s', async (name, context) => {
  const failure = await run(name, { x: REPLACE }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'input/value-invalid', context: { column: 'x', rowGroup: 0, ...context } })
  expect(String(failure)).not.toContain('xxx')
  // Copied, it is nobody's business.
  expect(await duck.rows((await run(name, {})).bytes)).toEqual(await duck.rows(fixture(name)))
})

test('a decimal of more digits than Iceberg has is refused before anything is read', async () => {
  await expect(run('decimal-50.parquet', {})).rejects.toMatchObject({
    code: 'input/unsupported',
    message: expect.stringContaining('mode: drop'),
    context: { column: 'd' },
  })
})

function leaf(physical: PhysicalType, logical?: LogicalType, typeLength?: number): LeafNode {
  return {
    kind: 'leaf',
    name: 'c',
    path: ['c'],
    repetition: 'optional',
    physical,
    ...(logical && { logical }),
    ...(typeLength && { typeLength }),
    maxDefinitionLevel: 1,
    maxRepetitionLevel: 0,
    column: 0,
  }
}

test.each([
  leaf('FIXED_LEN_BYTE_ARRAY', { type: 'interval' }, 12),
  leaf('BYTE_ARRAY', { type: 'geometry' }),
  leaf('BYTE_ARRAY', { type: 'geography' }),
  leaf('BYTE_ARRAY', { type: 'variant' }),
  leaf('INT64', { type: 'string' }),
  leaf('BYTE_ARRAY', { type: 'uuid' }),
])('what neither Iceberg nor text can hold is refused by its type: $logical.type on $physical', (column) => {
  expect(outputType(column)).toHaveProperty('refused')
  expect(refusedAsText(column)).toEqual(expect.any(String))
})

test('a widening that would overflow is refused', () => {
  const millis = leaf('INT64', { type: 'timestamp', unit: 'millis', utc: true })
  const to = leaf('INT64')
  const most = 9_223_372_036_854_775n
  expect(widen('millis-to-micros', millis, to, new BigInt64Array([most, -most]))).toHaveLength(16)
  for (const value of [most + 1n, -most - 1n])
    expect(() => widen('millis-to-micros', millis, to, new BigInt64Array([value]))).toThrow('out of the range')
  const digits = leaf('BYTE_ARRAY', { type: 'decimal', precision: 5, scale: 0 })
  expect(() => widen('decimal', digits, leaf('INT32'), [Uint8Array.of(1, 0, 0, 0, 0)])).toThrow('more digits')
  expect([...widen('decimal', digits, leaf('INT32'), [Uint8Array.of(0xff, 0xfe), new Uint8Array(0)])]).toEqual([
    0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0,
  ])
})
