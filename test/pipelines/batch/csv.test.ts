import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { type Lake, lake } from '../../helpers/lake.ts'
import { edit, tree, VIN } from './vehicles.ts'

const CSV = ['input.format=csv']

function put(home: Lake, name: string, content: string | Uint8Array): void {
  const path = join(home.dir, 'in', name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, content)
}

/** `n` rows; every seventh vin is missing, every eleventh empty. */
function vehicles(n: number, prefix = 'VIN', distinct = 40): string {
  const rows = Array.from({ length: n }, (_, i) => {
    const vin = i % 7 === 0 ? '' : i % 11 === 0 ? '""' : `${prefix}${i % distinct}`
    return `d${i % 5},${vin},"note ""${i}"",\n${Math.imul(i, 0x9e3779b1) >>> 0}"`
  })
  return `dept,vin,note\n${rows.join('\n')}\n`
}

async function dataFiles(home: Lake): Promise<string[]> {
  return readdirSync(join(home.table, 'data')).filter((name) => name.endsWith('.parquet'))
}

test('every cell of a CSV comes out as DuckDB reads it, and identifiers as their pseudonyms', async () => {
  const home = await lake()
  put(home, 'a.csv', vehicles(5000))
  const report = await home.run({ columns: VIN, set: CSV })
  expect(report).toMatchObject({ status: 'done', rows: 5000, files: 1, distinct: 40, gate: { passed: true } })
  const reader = `read_csv('${home.dir}/in/a.csv', all_varchar = true, allow_quoted_nulls = false)`
  const rows = await home.query('select dept, s_vin, note from t order by note')
  const back = await home.back(rows.map(([, pseudonym]) => pseudonym))
  const own = await home.query(`select dept, vin, note from ${reader} order by note`)
  expect(rows.map(([dept, , note], i) => [dept, back[i], note])).toEqual(own)
  expect(new Set(rows.map(([, pseudonym]) => pseudonym)).size).toBe(42)
  expect(await home.run({ columns: VIN, set: CSV })).toMatchObject({ status: 'nothing-to-do', skipped_files: 1 })
})

test('all columns are optional strings, and statistics of a replaced one are counts', async () => {
  const home = await lake()
  put(home, 'a.csv', vehicles(100))
  await home.run({ columns: VIN, set: CSV })
  const files = join(home.table, 'data', '*.parquet')
  expect(
    await home.query(
      `select name, type, repetition_type from parquet_schema('${files}') where name <> 'schema' order by 1`,
    ),
  ).toEqual(expect.arrayContaining(['dept', 'note', 's_vin'].map((name) => [name, 'BYTE_ARRAY', 'OPTIONAL'])))
  expect(
    await home.query(
      `select path_in_schema, stats_min_value is null, stats_null_count from parquet_metadata('${files}') order by 1`,
    ),
  ).toEqual([
    ['dept', false, '0'],
    ['note', false, '0'],
    ['s_vin', true, '15'],
  ])
})

test('modes, domains, nulls and normalization are those of Parquet', async () => {
  const home = await lake(['default', 'other'])
  put(home, 'a.csv', 'a,b,c,d\n x ,n/a,1,k\nX,y,2,k\n,"",3,k\n')
  const columns = {
    a: { mode: 'deterministic', normalize: ['trim', 'upper'] },
    b: { mode: 'random', null_values: ['n/a'], domain: 'other' },
    c: { mode: 'drop' },
  }
  expect(await home.run({ columns, set: CSV })).toMatchObject({ rows: 3, gate: { passed: true } })
  const rows = await home.query('select * from t')
  expect(await home.back(rows.map(([a]) => a))).toEqual(['X', 'X', null])
  expect(
    await home.back(
      rows.map(([, b]) => b),
      'other',
    ),
  ).toEqual([null, 'y', ''])
  expect(rows.map((row) => row.slice(2))).toEqual([['k'], ['k'], ['k']])
})

test('a large CSV is cut at the table’s target file size, its pieces are one input, and go together', {
  timeout: 60_000,
}, async () => {
  const home = await lake()
  put(home, 'first.csv', vehicles(10))
  const set = [...CSV, 'limits.memory_mb=64', 'input.changed=replace']
  await home.run({ columns: VIN, set })
  await edit(home, (metadata) => ({
    ...metadata,
    properties: { ...(metadata.properties as object), 'write.target-file-size-bytes': '1000' },
  }))
  put(home, 'large.csv', vehicles(400_000))
  const report = await home.run({ columns: VIN, set })
  const outputs = report.published[0]?.outputs ?? []
  expect(report).toMatchObject({ rows: 400_000, files: 1, distinct: 40 })
  expect(outputs.length).toBeGreaterThan(1)
  expect(await home.query('select count(*), count(distinct note) from t')).toEqual([['400010', '400000']])
  put(home, 'large.csv', vehicles(7))
  await home.run({ columns: VIN, set })
  expect(await home.query('select count(*) from t')).toEqual([['17']])
})

test('gzip is unpacked, whatever the file is called; one that is cut off is refused', async () => {
  const home = await lake()
  const packed = gzipSync(vehicles(20_000))
  put(home, 'a.csv.gz', Buffer.concat([packed, gzipSync('d9,V9,n\n')]))
  expect(await home.run({ columns: VIN, set: CSV })).toMatchObject({ rows: 20_001 })
  put(home, 'b.csv', packed.subarray(0, packed.length - 100))
  await expect(home.run({ columns: VIN, set: CSV })).rejects.toMatchObject({ code: 'input/corrupt' })
})

test.each([
  ['a Parquet file', Buffer.from('PAR1xxxxPAR1')],
  ['a zip archive', Buffer.from([0x50, 0x4b, 0x03, 0x04, 1, 2, 3])],
  ['blank lines', Buffer.from('\n\n')],
])('%s is not taken for CSV', async (_, content) => {
  const home = await lake()
  put(home, 'a.csv', content)
  await expect(home.run({ columns: VIN, set: CSV })).rejects.toMatchObject({ code: 'input/not-csv' })
})

test('key=value folders become columns of CSV files too', async () => {
  const home = await lake()
  put(home, 'day=1/plant=north/a.csv', 'vin,n\nV1,1\n')
  put(home, 'day=2/plant=south/a.csv', 'vin,n\nV2,2\n')
  await home.run({ columns: { ...VIN, plant: { mode: 'deterministic' } }, set: CSV })
  const rows = await home.query('select n, day, s_vin, s_plant from t order by n')
  expect(rows.map(([n, day]) => [n, day])).toEqual([
    ['1', '1'],
    ['2', '2'],
  ])
  expect(await home.back(rows.map((row) => row[3]))).toEqual(['north', 'south'])
})

test('a file with a header and no rows is done, and leaves nothing in the table', async () => {
  const home = await lake()
  put(home, 'a.csv', vehicles(3))
  put(home, 'b.csv', 'dept,vin,note\n')
  expect(await home.run({ columns: VIN, set: CSV })).toMatchObject({ rows: 3, files: 2 })
  expect(await dataFiles(home)).toHaveLength(1)
})

const SECRET = 'WVWZZZ1JZ3W386752'

test.each([
  ['has no header', `${SECRET},x\n${SECRET},y\n`, [], 'input/column-missing'],
  ['has a column more', `dept,vin,note\n1,${SECRET},2,${SECRET}\n`, [], 'input/corrupt'],
  ['is not UTF-8', Buffer.concat([Buffer.from(`vin,x\n${SECRET},`), Buffer.from([0xff])]), [], 'input/value-invalid'],
  ['has an identifier that is too long', `vin,x\n${SECRET.repeat(5000)},1\n`, [], 'input/value-invalid'],
  ['has a value where a rule forbids columns', `vin,x\n${SECRET},1\n`, ['unlisted_columns=fail'], 'config/invalid'],
])(
  'a file that %s is refused before anything is published, and its content is not told',
  async (_, content, set, code) => {
    const home = await lake()
    put(home, 'a.csv', content)
    const error = await home.run({ columns: VIN, set: [...CSV, ...set] }).then(
      () => undefined,
      (thrown: unknown) => thrown as PseudolakeError,
    )
    expect(error).toMatchObject({ code, context: { outcome: 'nothing-published' } })
    expect(`${error} ${JSON.stringify(error?.context)}`).not.toContain(SECRET)
    expect(tree(home.table)).toEqual([])
  },
)

test('a value that goes wrong late in a file takes what was finished of it back', async () => {
  const home = await lake()
  put(home, 'a.csv', `${vehicles(400_000)}too,few\n`)
  await expect(home.run({ columns: VIN, set: [...CSV, 'limits.memory_mb=64'] })).rejects.toMatchObject({
    code: 'input/corrupt',
    context: { record: 400_002 },
  })
  expect(tree(home.table)).toEqual([])
})

test('files of other columns do not come into one table', async () => {
  const home = await lake()
  put(home, 'a.csv', 'vin,x\nV1,1\n')
  put(home, 'b.csv', 'vin,y\nV2,2\n')
  await expect(home.run({ columns: VIN, set: CSV })).rejects.toMatchObject({ code: 'input/mixed-schemas' })
})

test('an identifier in a column that is copied fails the gate', async () => {
  const home = await lake()
  const rows = Array.from({ length: 1000 }, (_, i) => `VEHICLE${i},VEHICLE${i},${i}`)
  put(home, 'a.csv', `vin,again,n\n${rows.join('\n')}\n`)
  const report = await home.run({ columns: VIN, set: CSV })
  expect(report).toMatchObject({ status: 'gate-failed', rows: 0 })
  expect(report.gate.checks.find(({ name }) => name === 'originals')).toMatchObject({
    passed: false,
    findings: [{ column: 'again' }],
  })
  expect(tree(join(home.table, 'metadata'))).toEqual([])
})

test('a byte that changes between the gate’s look and the storage fails the gate', async () => {
  const home = await lake()
  put(home, 'a.csv', vehicles(1000))
  const inner = localStorage()
  const storage: Storage = {
    ...inner,
    async write(location) {
      const writer = await inner.write(location)
      return {
        ...writer,
        get bytes() {
          return writer.bytes
        },
        async write(bytes) {
          const other = new Uint8Array(bytes)
          // Inside of the replaced column’s dictionary.
          const at = Buffer.from(other).indexOf('p2.')
          if (at > 0) other[at + 20] = (other[at + 20] as number) ^ 1
          await writer.write(other)
        },
      }
    },
  }
  const report = await home.run({ columns: VIN, set: CSV }, {}, { storage })
  expect(report).toMatchObject({ status: 'gate-failed' })
})

test('files that were finished before a failure are taken over, row group by row group', {
  timeout: 60_000,
}, async () => {
  const home = await lake()
  for (const name of ['a', 'b', 'c']) put(home, `${name}.csv`, vehicles(60_000, `VIN${name}`))
  const set = [...CSV, 'limits.memory_mb=64']
  let calls = 0
  const service = async (
    connect: () => ReturnType<Parameters<NonNullable<Parameters<Lake['run']>[2]>['service'] & {}>[0]>,
  ) => {
    const client = await connect()
    return {
      ...client,
      stats: () => client.stats(),
      close: () => client.close(),
      client: {
        call: (request: Parameters<typeof client.client.call>[0]) => {
          if (++calls > 3) throw new PseudolakeError('service/unavailable', 'gone', {})
          return client.client.call(request)
        },
      },
    }
  }
  await expect(home.run({ columns: VIN, set }, {}, { service })).rejects.toMatchObject({ code: 'service/unavailable' })
  const finished = (await dataFiles(home)).length
  expect(finished).toBeGreaterThan(0)
  const report = await home.run({ columns: VIN, set })
  expect(report).toMatchObject({ status: 'done', rows: 180_000, files: 3, gate: { passed: true } })
  expect(report.notes.join()).toContain('taken over')
  const [[rows, distinct]] = (await home.query('select count(*), count(distinct s_vin) from t')) as [[string, string]]
  expect([rows, distinct]).toEqual(['180000', '121'])
})

test('threads make the files of several CSVs as one thread does', async () => {
  const home = await lake()
  for (let i = 0; i < 4; i++) put(home, `${i}.csv`, vehicles(20_000, 'VIN', 1000))
  const threads = { most: 2, leastBytes: 1 }
  const report = await home.run({ columns: VIN, set: [...CSV, 'limits.memory_mb=1024'] }, {}, { threads })
  expect(report).toMatchObject({ rows: 80_000, files: 4, distinct: 1000, gate: { passed: true } })
  expect(await home.query('select count(*), count(distinct s_vin), count(distinct note) from t')).toEqual([
    ['80000', '1001', '20000'],
  ])
})

test('a plan guesses from the beginning of each file, says so, and is near', { timeout: 60_000 }, async () => {
  const home = await lake()
  const n = 600_000
  put(home, 'a.csv', vehicles(n, 'VIN', 5000))
  const plan = await home.plan({ columns: VIN, set: CSV })
  expect(plan.notes.join()).toContain('guessed from the first')
  expect(plan.rows).toBeGreaterThan(n * 0.9)
  expect(plan.rows).toBeLessThan(n * 1.1)
  expect(plan.distinct).toMatchObject({ quality: 'guessed' })
  expect(plan.distinct.values).toBeGreaterThan(4500)
  expect(plan.distinct.values).toBeLessThan(5500)
  const report = await home.run({ columns: VIN, set: CSV })
  expect(plan.bytes_out).toBeGreaterThan(report.bytes_out * 0.7)
  expect(plan.bytes_out).toBeLessThan(report.bytes_out * 1.4)
})

test('settings of the format may be written in it, and no key is misread', async () => {
  const home = await lake()
  put(home, 'a.csv', 'vin;x\nV1;1\n')
  copyFileSync(join(home.dir, 'in', 'a.csv'), join(home.dir, 'in', 'b.csv'))
  expect(await home.run({ columns: VIN, set: [...CSV, 'input.csv.delimiter=;'] })).toMatchObject({ rows: 2 })
  for (const [set, key] of [
    [['input.csv.delimiter=;;', ...CSV], 'input.csv.delimiter'],
    [['input.csv.delimiter=ä', ...CSV], 'input.csv.delimiter'],
    [['input.csv.quote=,', ...CSV], 'input.csv.quote'],
    [['input.csv.encoding=ebcdic', ...CSV], 'input.csv.encoding'],
    [['input.csv.delimiter=;', 'input.format=parquet'], 'input.csv'],
  ] as const)
    await expect(home.run({ columns: VIN, set }), key).rejects.toMatchObject({
      code: 'config/invalid',
      context: { key },
    })
  expect(readFileSync(join(home.dir, 'in', 'a.csv'), 'utf8')).toContain('V1')
})
