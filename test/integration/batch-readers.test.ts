/** Tables that a batch run made of odd inputs, read by other engines: each must give the expected rows, cell by cell. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { interop, pyiceberg, testWith } from '../helpers/interop.ts'
import { inOrder, ODD, type OddTables, oddTables, type Row } from '../helpers/odd.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-odd-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let odd: OddTables

beforeAll(async () => {
  if (interop('pyiceberg').there) odd = await oddTables(folder)
}, 60_000)

/** What a script finds in a table: its rows, and how many of them each filter lets through. */
interface Read {
  readonly rows: Row[]
  readonly filters: readonly (readonly [filter: string, found: number, expected: number])[]
}

/**
 * @param known what an engine makes of an expected row, where it has no type for it or a defect of its own
 */
async function expectRows(tables: Record<string, Read>, known: (row: Row) => Row = (row) => row): Promise<void> {
  expect(Object.keys(tables).length).toBeGreaterThan(10)
  for (const [name, { rows, filters }] of Object.entries(tables)) {
    const expected = inOrder(odd.rows.get(name) as Row[])
    const read = await odd.withTexts(rows)
    expect(read.length, name).toBe(expected.length)
    for (const [i, row] of expected.entries()) expect(read[i], `${name}, row ${i}`).toEqual(known(row))
    for (const [filter, found, wanted] of filters) expect(found, `${name}: ${filter}`).toBe(wanted)
  }
}

async function pseudonymFilters(): Promise<[table: string, column: string, pseudonym: string, rows: number][]> {
  const filters: [string, string, string, number][] = []
  for (const [table, column, text] of [
    ['groups', 's_vin', 'PLANTED-17'],
    ['groups', 's_vin', 'PLANTED-nobody'],
    ['types', 's_vin', 'PLANTED-4-é'],
    ['texts', 's_f32', '0.1'],
    ['texts', 's_us_utc', '1970-01-01T00:00:00.000000Z'],
  ] as const) {
    const rows = odd.rows.get(table)?.filter((row) => (row[column] as { $?: string } | null)?.$ === text) ?? []
    filters.push([table, column, await odd.pseudonym(text), rows.length])
  }
  return filters
}

const FILTERED = ['types', 'times', 'groups', 'duck', 'flat']

const asked = async (names = [...odd.rows.keys()]) => ({
  names,
  warehouse: odd.warehouse,
  inputs: join(folder, 'in'),
  filtered: FILTERED,
  pseudonyms: await pseudonymFilters(),
})

/** For a script that defines `read(location)` and `count(location, column, operator, value)`. */
const READ_ALL = `
result = {}
for name in args['names']:
    location = f"{args['warehouse']}/odd/{name}"
    result[name] = {'rows': read(location), 'filters': []}
    wanted = filters(f"{args['inputs']}/{name}") if name in args['filtered'] else []
    wanted += [(c, '=', p, n) for t, c, p, n in args['pseudonyms'] if t == name]
    for c, o, v, n in wanted: result[name]['filters'].append([described(c, o, v), count(location, c, o, v), n])
`

testWith('pyiceberg', 'PyIceberg reads every row of every odd table exactly, and its filters lose none', async () => {
  const tables = await pyiceberg<Record<string, Read>>(
    `${ODD}
def read(location): return shown_rows(static_table(location).scan().to_arrow())
def count(location, c, o, v): return static_table(location).scan(row_filter=iceberg_filter(c, o, v)).count()
${READ_ALL}`,
    await asked(),
  )
  await expectRows(tables, (row) => JSON.parse(JSON.stringify(row), emptyForNull))
})

/** PyIceberg 0.12 shows a null list of structs as an empty one, though PyArrow reads null in the file (apache/iceberg-python#3833). */
const emptyForNull = (key: string, value: unknown) => (key === 'trips' || key === 'structs' ? (value ?? []) : value)

testWith(
  ['pyiceberg', 'duckdb'],
  'DuckDB’s iceberg extension reads every row of every odd table exactly, and its filters lose none',
  async () => {
    const tables = await pyiceberg<Record<string, Read>>(
      `${ODD}
con = iceberg_duck()
def read(location): return shown_rows(con.execute(f"select * from iceberg_scan('{location}')").to_arrow_table())
def count(location, c, o, v):
    where = f'"{c}" is null' if v is None else f'"{c}" {o} ?'
    return con.execute(f"select count(*) from iceberg_scan('{location}') where {where}", [] if v is None else [v]).fetchone()[0]
${READ_ALL}`,
      await asked(),
    )
    await expectRows(tables)
  },
)

testWith('pyiceberg', 'the data files by themselves are plain Parquet to DuckDB and PyArrow', async () => {
  const readers = [
    `con = duckdb.connect(config={'threads': 2})
con.execute("set timezone = 'UTC'")
def table(files): return con.execute(f"select * from read_parquet({files})").to_arrow_table()`,
    `def table(files): return pa.concat_tables([pq.ParquetFile(f).read() for f in files], promote_options='permissive')`,
  ]
  for (const reader of readers) {
    const script = `${ODD}\n${reader}
def read(location): return shown_rows(table(input_files(location + '/data')))
${READ_ALL}`
    // A table of no rows has no files.
    const names = [...odd.rows.keys()].filter((name) => name !== 'empty')
    await expectRows(
      await pyiceberg<Record<string, Read>>(script, { ...(await asked(names)), filtered: [], pseudonyms: [] }),
    )
  }
})
