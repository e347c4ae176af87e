/** Tables that a batch run made of odd inputs, read by other engines: each must give the expected rows, cell by cell. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import parquetjs from 'parquetjs-lite'
import { afterAll, beforeAll, expect } from 'vitest'
import { interop, pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { cli, inOrder, ODD, type OddTables, oddTables, openKeys, type Row, withTexts } from '../helpers/odd.ts'

/** 25 seconds on two idle cores; ten times that where others want them too. */
const SPARK_MS = 320_000

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-odd-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let odd: OddTables

const demo = join(folder, 'demo')

beforeAll(async () => {
  if (!interop('pyiceberg').there) return
  odd = await oddTables(folder)
  await cli(['demo', '--dir', demo, '--rows', '5000', '--json', '--quiet'], folder)
}, 180_000)

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
  /** Every how many-th filter is asked: Spark takes its time for each. */
  every: 1,
  pseudonyms: await pseudonymFilters(),
})

/** For a script that defines `read(location)` and `count(location, column, operator, value)`. */
const READ_ALL = `
result = {}
for name in args['names']:
    location = f"{args['warehouse']}/odd/{name}"
    result[name] = {'rows': read(location), 'filters': []}
    wanted = filters(f"{args['inputs']}/{name}") if name in args['filtered'] else []
    wanted = wanted[::args['every']]
    wanted += [(c, '=', p, n) for t, c, p, n in args['pseudonyms'] if t == name]
    for c, o, v, n in wanted: result[name]['filters'].append([described(c, o, v), count(location, c, o, v), n])
`

testWith('pyiceberg', 'PyIceberg reads every row of every odd table exactly, and its filters lose none', async () => {
  const tables = await pyiceberg<Record<string, Read>>(
    `${ODD}
opened = {}
def read(location):
    opened[location] = static_table(location)
    return shown_rows(opened[location].scan().to_arrow())
def count(location, c, o, v): return opened[location].scan(row_filter=iceberg_filter(c, o, v)).count()
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

/** What Spark does in its one session: starting it takes longer than all the rest. */
let session: Promise<{ tables: Record<string, Read>; turns: Turns; demo: Demo }> | undefined

/** Rows of the larger table in no order, and how many a join of both has. */
interface Demo {
  readonly rows: unknown[][]
  readonly joined: number
}

interface Turns {
  readonly first: unknown[][]
  readonly reports: { readonly status: string; readonly rows: number }[]
  readonly last: unknown[][]
  readonly deleteFiles: number
}

const inSpark = () => {
  session ??= turnsConfig().then(async (turns) =>
    spark(
      `${ODD}
# Many queries over few rows: compiling each takes longer than running it.
spark.conf.set('spark.sql.codegen.wholeStage', 'false')
spark.conf.set('spark.sql.codegen.factoryMode', 'NO_CODEGEN')
types = {}
def read(location):
    name = os.path.basename(location)
    table = spark.table('h.odd.' + name)
    types[location] = {f.name: f.dataType for f in table.schema}
    return sorted((spark_shown(table.schema, row) for row in table.collect()), key=lambda row: int(row['id'][4:]))
def count(location, c, o, v): return spark.table('h.odd.' + os.path.basename(location)).where(spark_filter(types[location], c, o, v)).count()
${READ_ALL}
tables = result

turns = args['turns']
def batch_now(name, ids):
    turn(turns['input'], name, ids)
    return batch(turns['node'], turns['program'], turns['config'])
reports = [batch_now('a', range(0, 100))]
first = rows('select id, word from h.odd.turns order by id limit 3')
rows("insert into h.odd.turns select /*+ coalesce(1) */ * from values (1000, 'theirs', 'spark'), (1001, null, 'spark') as v(id, s_vin, word)")
reports.append(batch_now('b', range(100, 150)))
rows("alter table h.odd.turns set tblproperties ('write.delete.mode'='merge-on-read')")
rows('delete from h.odd.turns where id in (7, 120, 1001)')
reports.append(batch_now('c', range(150, 160)))
reports.append(batch(turns['node'], turns['program'], turns['config']))
last = rows('select id, word from h.odd.turns order by id')
demo = {'rows': rows('select * from d.demo.trips'), 'joined': rows('select count(*) from d.demo.trips join d.demo.services using (s_vin)')[0][0]}
result = {'tables': tables, 'demo': demo, 'turns': {'first': first, 'reports': reports, 'last': last, 'deleteFiles': rows('select count(*) from h.odd.turns.delete_files')[0][0]}}
`,
      // Spark has no time of day.
      {
        ...(await asked([...odd.rows.keys()].filter((name) => name !== 'times'))),
        filtered: ['types', 'groups'],
        every: 5,
        turns,
      },
      { catalogs: { h: odd.warehouse, d: join(demo, 'warehouse') }, timeoutMs: SPARK_MS - 20_000 },
    ),
  )
  return session
}

testWith(
  ['pyiceberg', 'duckdb', 'spark'],
  'the tables of the demo are what its datasets were, to PyIceberg, DuckDB and Spark, and so is a join of them',
  async () => {
    const found = await pyiceberg<Record<'expected' | 'pyiceberg' | 'duckdb', Demo>>(
      `${ODD}
tables = [args + '/warehouse/demo/' + name for name in ('trips', 'services')]
inputs = [args + '/' + name + '.parquet' for name in ('trips', 'services')]
con = iceberg_duck()
def found(first, second, vin): return {'rows': con.execute(f'select * from {first}').fetchall(), 'joined': con.execute(f'select count(*) from {first} join {second} using ({vin})').fetchone()[0]}
trips, services = [static_table(table).scan().to_arrow() for table in tables]
result = {'expected': found(*[f"read_parquet('{f}')" for f in inputs], 'vin'), 'duckdb': found(*[f"iceberg_scan('{t}')" for t in tables], 's_vin'), 'pyiceberg': found('trips', 'services', 's_vin')}
`,
      demo,
    )
    const keys = await openKeys(join(demo, 'keys.json'))
    const texts = async (rows: unknown[][]) => {
      const back = await withTexts(
        keys,
        rows.map(([dept, vin, time]) => ({ dept, vin, time })),
      )
      return back.map((row) => JSON.stringify(row)).sort()
    }
    const expected = found.expected.rows
      .map(([dept, vin, time]) => JSON.stringify({ dept, vin: { $: vin }, time }))
      .sort()
    expect(expected).toHaveLength(5000)
    for (const [engine, { rows, joined }] of Object.entries({ ...found, spark: (await inSpark()).demo })) {
      if (engine === 'expected') continue
      expect(await texts(rows), engine).toEqual(expected)
      expect(joined, engine).toBe(found.expected.joined)
    }
    expect(found.expected.joined).toBeGreaterThan(0)
  },
  SPARK_MS,
)

async function turnsConfig() {
  const input = join(folder, 'turns')
  const config = join(folder, 'turns.json')
  const settings = JSON.parse(readFileSync(odd.config('flat'), 'utf8')) as { output: object }
  const output = { ...settings.output, table: 'odd.turns' }
  writeFileSync(config, JSON.stringify({ ...settings, job: 'turns', input: { path: input }, output }))
  return {
    input,
    config,
    node: process.execPath,
    program: resolve('bin/pseudolake.js'),
    location: odd.location('turns'),
  }
}

testWith(
  ['pyiceberg', 'spark'],
  'Spark reads every row of every odd table exactly, and its filters lose none',
  async () => {
    const { tables } = await inSpark()
    // Its answer says neither zone nor offset.
    const naive = (_: string, cell: unknown) => (typeof cell === 'string' ? cell.replace(/^(stamp .*)Z$/, '$1') : cell)
    await expectRows(tables, (row) => JSON.parse(JSON.stringify(row), naive))
  },
  SPARK_MS,
)

testWith(
  ['pyiceberg', 'spark', 'duckdb'],
  'Spark, PyIceberg and our runs write one table by turns: no row is lost, and what Spark deleted stays deleted',
  async () => {
    const { turns } = await inSpark()
    const config = await turnsConfig()
    expect(turns.reports.map(({ status, rows }) => [status, rows])).toEqual([
      ['done', 100],
      ['done', 50],
      ['done', 10],
      ['nothing-to-do', 0],
    ])
    expect(turns.first).toEqual([0, 1, 2].map((id) => [id, 'a']))
    const range = (from: number, to: number, word: string) =>
      Array.from({ length: to - from }, (_, i): [number, string] => [from + i, word])
    const live = [
      ...range(0, 100, 'a'),
      ...range(100, 150, 'b'),
      ...range(150, 160, 'c'),
      [1000, 'spark'] as [number, string],
    ].filter(([id]) => id !== 7 && id !== 120)
    expect(turns.last).toEqual(live)
    expect(turns.deleteFiles).toBeGreaterThan(0)

    const after = await pyiceberg<{
      report: { status: string; rows: number }
      duck: unknown[]
      own: unknown[]
      vins: Row[]
    }>(
      `${ODD}
iceberg_writable(args['location']).append(pa.table({'id': pa.array([2000], pa.int32()), 's_vin': pa.array([None], pa.string()), 'word': ['pyiceberg']}))
turn(args['input'], 'd', range(160, 170))
report = batch(args['node'], args['program'], args['config'])
duck = iceberg_duck().execute(f"select id, word from iceberg_scan('{args['location']}') order by id").fetchall()
rows = static_table(args['location']).scan().to_arrow()
result = {'report': report, 'duck': duck, 'own': sorted([r['id'], r['word']] for r in rows.to_pylist()), 'vins': shown_rows(rows)}
`,
      config,
    )
    expect(after.report).toMatchObject({ status: 'done', rows: 10 })
    const all = [...live.slice(0, -1), ...range(160, 170, 'd'), [1000, 'spark'], [2000, 'pyiceberg']]
    expect(after.duck).toEqual(all)
    expect(after.own).toEqual(all)
    for (const { id, s_vin: vin, word } of await odd.withTexts(after.vins)) {
      const number = Number(String(id).slice(4))
      if (number < 1000) expect(vin, `id ${number}, ${word}`).toEqual({ $: `PLANTED-${number % 50}` })
    }
  },
  SPARK_MS,
)

testWith(
  'pyiceberg',
  'no data file, manifest, metadata or ledger holds an identifier, in clear or compressed',
  async () => {
    const found = await pyiceberg<{
      before: Record<string, number>
      after: Row
      bytes: number
      holes: Row
      files: number
    }>(
      `${ODD}
found, size = findings(args['warehouse'])
data = [f for f in input_files(args['warehouse']) if f.endswith('.parquet')]
# PyIceberg and Spark wrote one each, and put what they like between the chunks.
ours = [f for f in data if not os.path.basename(f).startswith('0')]
result = {'before': findings(args['inputs'])[0], 'after': found, 'bytes': size, 'holes': {f: holes(f) for f in ours if holes(f)}, 'files': len(ours)}
`,
      { inputs: join(folder, 'in'), warehouse: odd.warehouse },
    )
    // The search finds what there is to find, in every codec and on both sides of it.
    const tables = ['types', 'times', 'int96', 'texts', 'nested', 'required', 'wide', 'modes', 'groups', 'flat', 'duck']
    for (const name of [...tables, 'pages'])
      for (const file of readdirSync(join(folder, 'in', name)))
        expect(found.before, name).toHaveProperty([`${name}/${file}`])
    expect(found.after).toEqual({})
    expect(found.holes).toEqual({})
    expect(found.files).toBeGreaterThan(odd.rows.size)
    expect(found.bytes).toBeGreaterThan(1_000_000)
  },
)

testWith('pyiceberg', 'two JavaScript readers read the data files as far as they can', async () => {
  const data = (name: string) => {
    const at = join(odd.location(name), 'data')
    return readdirSync(at)
      .sort()
      .map((file) => join(at, file))
  }
  const reader = await parquetjs.ParquetReader.openFile(data('flat')[0] as string)
  const cursor = reader.getCursor()
  const old: Row[] = []
  for (let row = await cursor.next(); row !== null; row = await cursor.next())
    // It gives numbers as text.
    old.push({ ...row, id: Number(row.id), f: Number(row.f), word: row.word ?? null })
  await reader.close()
  expect(await odd.withTexts(old)).toEqual(odd.rows.get('flat')?.map(simply))

  // By default it takes a leading U+FEFF away.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes) }
  for (const name of ['flat', 'groups', 'strings', 'nested', 'wide', 'required']) {
    const rows: Row[] = []
    for (const file of data(name))
      rows.push(...(await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors, parsers })))
    const read = await odd.withTexts(rows.map(plainly).sort((a, b) => Number(a.id) - Number(b.id)))
    expect(read, name).toEqual(inOrder((odd.rows.get(name) as Row[]).map(simply)))
  }
})

/** What hyparquet gives, in one form with `simply`: numbers as numbers, times as text, a map as the list of its entries. */
function plainly(row: Row): Row {
  return JSON.parse(
    JSON.stringify(row, (key, value) => {
      if (typeof value === 'bigint') return Number(value)
      if ((key === 's_attrs' || key === 's_codes') && value) return { map: Object.entries(value) }
      return value ?? null
    }),
  ) as Row
}

/** An expected row without the kinds that JSON has not. */
function simply(row: Row): Row {
  return JSON.parse(JSON.stringify(row), (_, value) => {
    const [, kind, text] = (typeof value === 'string' && /^(int|float|decimal|stamp|date) (.*)$/.exec(value)) || []
    if (kind === undefined) return value
    if (kind === 'stamp') return new Date(`${text?.slice(0, 23)}Z`).toISOString()
    return kind === 'date' ? new Date(`${text}T00:00:00Z`).toISOString() : Number(text)
  }) as Row
}
