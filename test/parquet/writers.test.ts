/** The same rows by many writers (test/fixtures/parquet/make-writers.py), every column copied and as a sensitive one. */
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { describe, expect, test } from 'vitest'
import type { LeafNode, SchemaNode, Treatment } from '../../lib/parquet/index.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { duckdb, fixture, mapStrings, opened, pseudonym, REPLACE, type Row, run } from './helpers.ts'

const duck = duckdb()

const FILES = [
  'writer-polars-lz4',
  'writer-polars-zstd',
  'writer-fastparquet-int96',
  'writer-fastparquet-category',
  'writer-clickhouse-lz4',
  'writer-clickhouse-brotli',
  'writer-spark-legacy-lz4',
  'writer-spark-lz4raw-millis',
  'writer-hive',
  'writer-java-v1-lz4',
  'writer-java-v2-zstd-split',
].map((name) => `${name}.parquet`)
const LISTS = ['writer-java-lists-v1.parquet', 'writer-java-lists-v2.parquet']

interface Source extends Row {
  readonly at: string
  readonly tags: readonly string[] | null
}
/** Made by Python beside the files. */
const ROWS = JSON.parse(new TextDecoder().decode(fixture('writers.json'))) as Source[]

function leaves(nodes: readonly SchemaNode[]): LeafNode[] {
  return nodes.flatMap((node) => {
    if (node.kind === 'leaf') return [node]
    if (node.kind === 'struct') return leaves(node.children)
    return leaves(node.kind === 'list' ? [node.element] : [node.key, node.value])
  })
}

/** Values as both readers can show them. */
function shown(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString().replace('Z', '')
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== 'string') return value ?? null
  const stamp = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?(\+00)?$/.exec(value)
  return stamp ? `${stamp[1]}T${stamp[2]}${(stamp[3] ?? '.').padEnd(4, '0').slice(0, 4)}` : value
}

function shownRow(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      name === 'id' && typeof value === 'string' ? value : shown(value),
    ]),
  )
}

async function byDuckdb(bytes: Uint8Array): Promise<Row[]> {
  return (await duck.rows(bytes)).map(shownRow)
}

async function byHyparquet(bytes: Uint8Array): Promise<Row[]> {
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer
  return ((await parquetReadObjects({ file, compressors })) as Row[]).map(shownRow)
}

/** The rows as a file of these columns holds them. */
function held(names: readonly string[], clickhouse: boolean): Row[] {
  return ROWS.map((row) => {
    const tags = clickhouse ? (row.tags ?? []) : row.tags
    return Object.fromEntries(names.map((name) => [name, name === 'tags' ? tags : row[name]]))
  })
}

describe.each(FILES)('%s', (name) => {
  const input = fixture(name)

  async function source() {
    const { file } = await opened(input)
    const columns = leaves(file.root)
    const names = file.root.map((node) => node.name)
    expect(names.slice(0, 6)).toEqual(['id', 'vin', 'code', 'flag', 'score', 'at'])
    return { columns, rows: held(names, name.includes('clickhouse')) }
  }

  test('keeps every value when it is copied', async () => {
    const { rows } = await source()
    const { bytes } = await run(input, {})
    expect((await byHyparquet(bytes)).map((row) => ({ ...row, id: Number(row.id) }))).toEqual(rows)
    expect((await byDuckdb(bytes)).map((row) => ({ ...row, id: Number(row.id) }))).toEqual(rows)
  })

  const gone = (text: string) => (text.includes('3') ? null : pseudonym(text))
  test.each([
    ['deterministic', REPLACE, pseudonym],
    ['random', { ...REPLACE, perCell: true }, pseudonym],
    ['with values that become null', { ...REPLACE, nullable: true }, gone],
  ] as [string, Treatment, (text: string) => string | null][])(
    'has the text of every value mapped: %s',
    async (_, treatment, map) => {
      const { columns, rows } = await source()
      const at = columns.find((leaf) => leaf.path[0] === 'at') as LeafNode
      const utc = at.physical === 'INT96' || (at.logical?.type === 'timestamp' && at.logical.utc)
      const texts = rows.map((row) => ({
        ...Object.fromEntries(Object.entries(row).map(([key, value]) => [key, text(value)])),
        at: `${row.at}000${utc ? 'Z' : ''}`,
        ...(row.tags !== undefined && { tags: row.tags }),
      }))
      const treatments = Object.fromEntries(columns.map((leaf) => [leaf.path.join('.'), treatment]))
      const { bytes } = await run(input, treatments, { replace: async (__, asked) => asked.map(map) })
      const expected = mapStrings(texts, map)
      expect(await byHyparquet(bytes)).toEqual(expected)
      expect(await byDuckdb(bytes)).toEqual(expected)
      expect(Buffer.from(bytes).includes('plain-')).toBe(false)
    },
  )
})

function text(value: unknown): unknown {
  return value === null || Array.isArray(value) ? value : String(value)
}

/** As make-writers.py fills them. */
function listRows(): Row[] {
  return Array.from({ length: 90 }, (_, i) => {
    if (i % 7 === 0)
      return {
        ...{ primitive: null, bare: [], tuple: null, array: null, fields: null, group: [], bag: null },
        ...{ nested: null, kv: null, oldmap: null },
      }
    const texts = [`plain-${i % 5}`, `plain-${i}`, ''].slice(0, i % 4)
    const optional = texts.map((s, k) => (k === 1 ? null : s))
    const entries = optional.map((value, k) => ({ key: `plain-k${k}`, value }))
    return {
      primitive: texts,
      bare: texts,
      tuple: optional.map((s) => ({ s })),
      array: optional.map((s) => ({ s })),
      fields: texts.map((s, k) => ({ s, n: k ? i + k : null })),
      group: optional.map((s, k) => ({ s, n: k === 1 ? null : i + k })),
      bag: optional,
      nested: texts.map((s, k) => Array.from({ length: k }, () => s)),
      kv: entries,
      oldmap: entries,
    }
  })
}

describe.each(LISTS)('lists and maps as old writers made them: %s', (name) => {
  test('are lists of three levels in the output, value by value', async () => {
    const { bytes, plan } = await run(name, {})
    expect(await duck.rows(bytes)).toEqual(listRows())
    expect(plan.columns.map(({ leaf }) => leaf.path.join('.'))).toEqual([
      'primitive.list.element',
      'bare.list.element',
      'tuple.list.element.s',
      'array.list.element.s',
      'fields.list.element.s',
      'fields.list.element.n',
      'group.list.element.s',
      'group.list.element.n',
      'bag.bag.array_element',
      'nested.list.element.list.element',
      'kv.map.key',
      'kv.map.value',
      'oldmap.map.k',
      'oldmap.map.v',
    ])
  })

  test.each([false, true])(
    'are mapped, and one that is just repeated gets the new name: per cell %s',
    async (perCell) => {
      const { file } = await opened(fixture(name))
      const texts = leaves(file.root).filter((leaf) => leaf.physical === 'BYTE_ARRAY')
      const treatments = Object.fromEntries(
        texts.map(({ path }) => [path.join('.'), { ...REPLACE, perCell, as: path[0] === 'bare' ? 'other' : '' }]),
      )
      const { bytes } = await run(name, treatments)
      const expected = listRows().map(({ bare, ...row }) => mapStrings({ ...row, other: bare }, pseudonym) as Row)
      expect((await duck.rows(bytes)).map(({ other, ...row }) => ({ ...row, other }))).toEqual(expected)
      expect(Buffer.from(bytes).includes('plain-')).toBe(false)
    },
  )

  test('their elements may become null, where the treatment says so', async () => {
    const gone = (value: string) => (value === 'plain-3' ? null : value)
    const treatment = { ...REPLACE, nullable: true }
    const { bytes } = await run(
      name,
      { 'primitive.array': treatment, bare: treatment, 'nested.array.array': treatment },
      { replace: async (_, texts) => texts.map(gone) },
    )
    const expected = listRows().map(({ primitive, bare, nested }) => mapStrings({ primitive, bare, nested }, gone))
    expect(await duck.rows(bytes, 'primitive, bare, nested')).toEqual(expected)
  })
})

test('pages that Hadoop compressed in several blocks are whole', async () => {
  const values = Array.from({ length: 900 }, (_, i) => `plain-${i % 3}${'x'.repeat(700)}`)
  const copied = await run('writer-java-lz4-blocks.parquet', {})
  expect((await duck.rows(copied.bytes)).map((row) => row.vin)).toEqual(values)
  const mapped = await run('writer-java-lz4-blocks.parquet', { vin: REPLACE })
  expect((await duck.rows(mapped.bytes)).map((row) => row.vin)).toEqual(values.map(pseudonym))
})

testWith('pyiceberg', 'PyArrow reads every output and agrees with DuckDB', async () => {
  const outputs = await Promise.all(
    [...FILES, ...LISTS].map(async (name) => {
      const { file } = await opened(fixture(name))
      const treated = leaves(file.root).filter((leaf) => leaf.physical === 'BYTE_ARRAY')
      const { bytes } = await run(name, Object.fromEntries(treated.map((leaf) => [leaf.path.join('.'), REPLACE])))
      return duck.put(bytes)
    }),
  )
  const lines = await pyiceberg<string[][]>(
    `
import pyarrow.parquet as pq, json
def plain(v):
    if isinstance(v, dict): return {k: plain(x) for k, x in v.items()}
    if isinstance(v, tuple): return {'key': plain(v[0]), 'value': plain(v[1])}
    if isinstance(v, list): return [plain(x) for x in v]
    if hasattr(v, 'isoformat'): return v.replace(tzinfo=None).isoformat(' ')
    return v
result = []
for path in args:
    table = pq.read_table(path, page_checksum_verification=True)
    table.validate(full=True)
    result.append([json.dumps(plain(row)) for row in table.to_pylist()])
`,
    outputs,
  )
  for (const [i, rows] of lines.entries()) {
    const read = rows.map((line) => shownRow(JSON.parse(line)))
    const own = (await duck.query(`SELECT * FROM read_parquet('${outputs[i]}')`)).map(shownRow)
    const numbered = (row: Row) => ('id' in row ? { ...row, id: Number(row.id) } : row)
    expect(read.map(numbered), outputs[i]).toEqual(own.map(numbered))
  }
  expect(lines.flat()).toHaveLength(FILES.length * ROWS.length + LISTS.length * 90)
})
