/** What writers do that no writer here does: laid out by the test's own writer. */
import { describe, expect, test } from 'vitest'
import { planRewrite } from '../../lib/parquet/index.ts'
import { put, T, type ThriftStruct, writeStruct } from '../../lib/parquet/thrift.ts'
import { ENC } from '../helpers/parquet/encoders.ts'
import { parquetFile } from '../helpers/parquet/file.ts'
import { generate, shownBy } from '../helpers/parquet/generate.ts'
import { pagesOf } from '../helpers/parquet/mutate.ts'
import { Random } from '../helpers/parquet/random.ts'
import type { Spec, Tree } from '../helpers/parquet/schema.ts'
import { type TestType, TYPES } from '../helpers/parquet/types.ts'
import { DROP, duckdb, fixture, opened, REPLACE, run, treat } from './helpers.ts'

const duck = duckdb()
const named = (...names: string[]) => TYPES.filter((type) => names.includes(type.name))
const column = (name: string, type: TestType): Spec => ({ name, repetition: 'optional', type, fate: 'copy' })
const [INT32, STRING] = named('int32', 'string').sort((a, b) => a.name.localeCompare(b.name)) as [TestType, TestType]

describe('as Impala writes', () => {
  // INT96, decimals in the fewest bytes, PLAIN_DICTIONARY in Snappy, one page version, its own name.
  const options = {
    layout: { codec: 'snappy', version: 1, dictionary: 1, dictionaryEncoding: ENC.PLAIN_DICTIONARY },
    types: named('int96', 'string', 'decimal-fixed-short', 'decimal-fixed', 'boolean', 'double'),
    createdBy: 'impala version 4.4.0-RELEASE (build 0)',
    depth: 0,
  } as const

  test.each(Array.from({ length: 12 }, (_, i) => i))('every cell is kept or mapped: %i', async (seed) => {
    const of = generate(seed, options)
    const { bytes } = await run(of.bytes, of.treatments, of.options)
    expect(shownBy(of, await duck.rows(bytes))).toEqual(of.expected)
  })
})

test.each([
  ['parquet-mr version 1.2.8 (build x)', true],
  ['parquet-mr', true],
  ['parquet-mr version 1.2.9 (build x)', false],
  ['parquet-mr version 1.10.1 (build x)', false],
  ['parquet-mr-trino version 476 (build n/a)', false],
])('a length that its writer is known to get wrong is not believed: %s', async (createdBy, refused) => {
  const layout = { codec: 'none', version: 1, dictionary: 1, dictionaryEncoding: ENC.PLAIN_DICTIONARY } as const
  const of = generate(5, { layout, types: [STRING], columns: 1, depth: 0, rows: 20, createdBy })
  const found = await opened(of.bytes).then(
    () => 'opened',
    (error: unknown) => error,
  )
  if (refused) expect(found).toMatchObject({ code: 'input/unsupported', context: { column: 'c0', rowGroup: 0 } })
  else expect(found).toBe('opened')
})

const logical = (id: number) => ({ logical: put.struct({ [id]: put.struct({}) }) })
const text = { value: STRING.value, text: STRING.text, fromDuckdb: STRING.fromDuckdb }

test.each([
  ['an interval', { ...text, name: 'x', physical: 'FIXED_LEN_BYTE_ARRAY', length: 12, converted: 21 }],
  ['a geometry', { ...text, name: 'x', physical: 'BYTE_ARRAY', ...logical(17) }],
  ['a geography', { ...text, name: 'x', physical: 'BYTE_ARRAY', ...logical(18) }],
  ['a type of a later version', { ...text, name: 'x', physical: 'BYTE_ARRAY', ...logical(99) }],
  [
    'a decimal of 39 digits',
    { ...text, name: 'x', physical: 'FIXED_LEN_BYTE_ARRAY', length: 17, converted: 5, scale: 0, precision: 39 },
  ],
  ['a date on a text', { ...text, name: 'x', physical: 'BYTE_ARRAY', converted: 6 }],
] as [string, TestType][])(
  'what cannot be kept is refused by its column before anything is written: %s',
  async (_, type) => {
    const group: Spec = { name: 'g', repetition: 'optional', children: [column('odd', type)] }
    const rows: Record<string, Tree>[] = [{ n: 1, g: null }]
    const input = parquetFile([column('n', INT32), group], [rows], new Random(1))
    const { file } = await opened(input)
    const plan = (columns: Parameters<typeof treat>[0]) => planRewrite(file, treat(columns), { fieldIds: () => 1 })
    for (const columns of [{}, { 'g.odd': REPLACE }])
      expect(() => plan(columns)).toThrow(
        expect.objectContaining({ code: 'input/unsupported', context: { column: 'g.odd' } }),
      )
    expect(await duck.rows((await run(input, { 'g.odd': DROP })).bytes)).toEqual([{ n: 1 }])
  },
)

test('a file without columns, and row groups without rows', async () => {
  await expect(run(parquetFile([], [[{}, {}]], new Random(1)), {})).rejects.toMatchObject({
    code: 'input/unsupported',
    message: expect.stringContaining('no columns'),
  })
  const specs = [column('n', INT32), { ...column('s', STRING), fate: 'deterministic' as const }]
  const input = parquetFile(specs, [[], [{ n: 7, s: null }], [], []], new Random(1))
  const { bytes, plan } = await run(input, { s: REPLACE })
  expect(plan.rowGroups.map(({ index, rows }) => [index, rows])).toEqual([[1, 1]])
  expect(await duck.rows(bytes)).toEqual([{ n: 7, s: null }])
  const none = await run(parquetFile(specs, [[], []], new Random(1)), { s: REPLACE })
  expect(await duck.rows(none.bytes)).toEqual([])
})

test.each([
  ['leak-v1-none.parquet', 'a dictionary', 0],
  ['leak-v2-zstd.parquet', 'a page', 3],
])('a checksum that does not match is an error at the page: %s, %s', async (name, _, page) => {
  const input = Uint8Array.from(fixture(name))
  const { file } = await opened(input)
  const { start, end } = file.rowGroups[1]?.columns[2] ?? { start: 0, end: 0 }
  const { at, headBytes } = pagesOf(input).filter((found) => found.at >= start && found.at < end)[page] ?? {
    at: 0,
    headBytes: 0,
  }
  expect(headBytes).toBeGreaterThan(0)
  input[at + headBytes] = (input[at + headBytes] as number) ^ 1
  await expect(run(input, { mail: REPLACE })).rejects.toMatchObject({
    code: 'input/corrupt',
    message: expect.stringContaining('checksum'),
    context: { column: 'mail', rowGroup: 1, page },
  })
})

test('a page that is copied in an encoding that the format does not have is an error at the page', async () => {
  const input = Uint8Array.from(fixture('writer-java-v1-lz4.parquet'))
  const { file } = await opened(input)
  const { start, end } = file.rowGroups[0]?.columns[2] ?? { start: 0, end: 0 }
  const page = pagesOf(input).filter(({ at }) => at >= start && at < end)[1]
  const data = page?.header.get(5)?.value as ThriftStruct
  const header = new Map(page?.header).set(5, { type: T.STRUCT, value: new Map(data).set(2, put.i32(1)) })
  input.set(writeStruct(header), page?.at)
  await expect(run(input, { vin: REPLACE })).rejects.toMatchObject({
    code: 'input/unsupported',
    context: { column: 'code', rowGroup: 0, page: 1 },
  })
})

test('a page without values says of its positions what every reader takes', async () => {
  const layout = { codec: 'none', version: 1, dictionary: 1, dictionaryEncoding: ENC.RLE_DICTIONARY } as const
  let broken = 0
  for (let seed = 1; seed <= 20; seed++) {
    const of = generate(seed, { layout, types: [STRING], fates: ['deterministic'], columns: 1, depth: 0, rows: 6 })
    for (const { at, headBytes, bodyBytes, header } of pagesOf(of.bytes)) {
      const body = of.bytes.subarray(at + headBytes, at + headBytes + bodyBytes)
      // Levels of one run, all null, then a width and nothing.
      if (header.has(4) || !header.has(5) || bodyBytes !== 7 || body[0] !== 2 || body[5] !== 0) continue
      body[6] = 0xff
      broken++
    }
    const { bytes } = await run(of.bytes, of.treatments, of.options)
    expect(shownBy(of, await duck.rows(bytes)), `seed ${seed}`).toEqual(of.expected)
  }
  expect(broken).toBeGreaterThan(0)
})
