import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, expect, test } from 'vitest'
import { type DatagenOptions, generate } from '../../datagen/index.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-datagen-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const storage = localStorage()

test('another reader finds the rows, types, row groups and statistics that an engine would write', async () => {
  const location = join(folder, 'engine.parquet')
  const result = await generate({ location, rows: 300_000 }, { storage })
  expect(result).toMatchObject({ rows: 300_000, files: 1, distinct: 10_000, bytes: (await stat(location)).size })

  const [columns, facts, chunks] = await duckdb(
    `select column_name, column_type, "null" from (describe from '${location}')`,
    `select count(*) as n, count(distinct vin) as vin, min(vin::int) as low, max(vin::int) as high, count(distinct dept_id) as dept,
       max(dept_id::int) as last, min(length(example_ts)) as shortest, max(length(example_ts)) as longest,
       min(example_ts) as first_ts, max(example_ts) as last_ts, count(example_ts::timestamp) as stamps from '${location}'`,
    `select row_group_num_rows as n, path_in_schema as name, compression, encodings, stats_null_count as nulls,
       stats_min_value as low, stats_max_value as high from parquet_metadata('${location}') order by row_group_id, column_id`,
  )
  expect(columns).toEqual(
    ['dept_id', 'vin', 'example_ts'].map((name) => ({ column_name: name, column_type: 'VARCHAR', null: 'YES' })),
  )
  expect(facts).toMatchObject([
    { n: '300000', vin: '10000', low: 0, high: 9999, dept: '50', last: 49, stamps: '300000' },
  ])
  expect(facts).toMatchObject([{ shortest: '26', longest: '26' }])
  const pattern = /^2024-01-01T\d\d:\d\d:\d\d\.\d{6}$/
  expect(facts).toMatchObject([{ first_ts: expect.stringMatching(pattern), last_ts: expect.stringMatching(pattern) }])
  expect(chunks?.map(({ n }) => Number(n))).toEqual([
    122880, 122880, 122880, 122880, 122880, 122880, 54240, 54240, 54240,
  ])
  expect(chunks?.slice(0, 2)).toMatchObject([
    {
      name: 'dept_id',
      compression: 'SNAPPY',
      encodings: 'PLAIN_DICTIONARY, RLE',
      nulls: '0',
      low: '0',
      high: '9',
    },
    { name: 'vin', compression: 'SNAPPY', encodings: 'PLAIN_DICTIONARY, RLE', nulls: '0', low: '0', high: '9999' },
  ])
  // Distinct times of a whole row group pass 1 MiB, where engines give dictionaries up; of the last, smaller one they do not.
  expect(chunks?.filter(({ name }) => name === 'example_ts').map(({ encodings }) => encodings)).toEqual([
    'PLAIN, RLE',
    'PLAIN, RLE',
    'PLAIN_DICTIONARY, RLE',
  ])
})

test('statistics are the bounds of what is there, in byte order', async () => {
  const location = join(folder, 'bounds.parquet')
  await generate({ location, rows: 130_000, distribution: 'unique' }, { storage })
  const [bounds] = await duckdb(
    `select name, s_low = low and s_high = high as same from (
       select path_in_schema as name, min(stats_min_value) as s_low, max(stats_max_value) as s_high from parquet_metadata('${location}') group by 1)
     join (unpivot (select min(vin) as vin, min(dept_id) as dept_id, min(example_ts) as example_ts from '${location}') on columns(*) into name name value low) using (name)
     join (unpivot (select max(vin) as vin, max(dept_id) as dept_id, max(example_ts) as example_ts from '${location}') on columns(*) into name name value high) using (name)`,
  )
  expect(bounds).toHaveLength(3)
  expect(bounds?.every(({ same }) => same === true)).toBe(true)
  const [unique] = await duckdb(`select count(distinct vin) as n, max(vin::int) as high from '${location}'`)
  expect(unique).toEqual([{ n: '130000', high: 129_999 }])
})

test('files of a folder share the rows evenly and go on in time', async () => {
  const location = join(folder, 'many')
  const result = await generate({ location: `${location}/`, rows: 10_001, files: 3 }, { storage })
  expect((await readdir(location)).sort()).toEqual(['part-00000.parquet', 'part-00001.parquet', 'part-00002.parquet'])
  expect(result.files).toBe(3)
  const [files] = await duckdb(
    `select count(*) as n, min(example_ts) as low, max(example_ts) as high from read_parquet('${location}/*', filename = true) group by filename order by filename`,
  )
  expect(files?.map(({ n }) => n)).toEqual(['3334', '3334', '3333'])
  const times = files?.flatMap(({ low, high }) => [low as string, high as string]) ?? []
  expect(times).toEqual([...times].sort())
})

test('Parquet and CSV of one seed hold the same rows, and every run the same bytes', async () => {
  const memory = memoryStorage()
  const bytesOf = async (location: string, options: Partial<DatagenOptions>) => {
    await generate({ location, rows: 5000, distinct: 700, ...options }, { storage: memory })
    return memory.read(location)
  }
  const parquet = await bytesOf('memory:/a.parquet', {})
  expect(Buffer.compare(parquet, await bytesOf('memory:/b.parquet', {}))).toBe(0)
  expect(Buffer.compare(parquet, await bytesOf('memory:/c.parquet', { seed: 2 }))).not.toBe(0)

  await generate({ location: join(folder, 'x.parquet'), rows: 5000 }, { storage })
  await generate({ location: join(folder, 'x.csv'), rows: 5000, format: 'csv' }, { storage })
  const [differences, lines] = await duckdb(
    `select count(*) as n from (from '${folder}/x.parquet' except all from read_csv('${folder}/x.csv', header = true, all_varchar = true))`,
    `select count(*) as n from read_csv('${folder}/x.csv', header = true, all_varchar = true)`,
  )
  expect(differences).toEqual([{ n: '0' }])
  expect(lines).toEqual([{ n: '5000' }])
  expect(await readFile(join(folder, 'x.csv'), 'utf8')).toMatch(
    /^dept_id,vin,example_ts\n\d+,\d+,2024-01-01T00:00:00\.\d{6}\n/,
  )
})

const SIZES: readonly (Omit<DatagenOptions, 'location'> & { bytes: number })[] = [
  { bytes: 5000 },
  { bytes: 700_000 },
  { bytes: 2_500_000, files: 2 },
  { bytes: 2_000_000, distribution: 'unique' },
  { bytes: 1_500_000, distribution: 'zipf', distinct: 1_000_000 },
  { bytes: 1_500_000, distinct: 2 ** 30 },
  { bytes: 1_000_000, format: 'csv' },
]
for (const size of SIZES)
  test(`a size is met within 5 %: ${JSON.stringify(size)}`, async () => {
    const { bytes } = await generate({ location: 'memory:/sized', ...size }, { storage: memoryStorage() })
    expect(Math.abs(bytes / size.bytes - 1)).toBeLessThan(0.05)
  })

test('as many distinct values are reported as were drawn', async () => {
  const location = join(folder, 'distinct.parquet')
  const result = await generate({ location, rows: 20_000, distribution: 'zipf', distinct: 50_000 }, { storage })
  expect(await duckdb(`select count(distinct vin) as n from '${location}'`)).toEqual([[{ n: String(result.distinct) }]])
})

test('nothing is overwritten', async () => {
  const memory = memoryStorage()
  await memory.create('memory:/there/file.parquet', new Uint8Array([1]))
  for (const options of [
    { location: 'memory:/there/file.parquet' },
    { location: 'memory:/there', files: 2 },
    { location: 'memory:/there' },
  ])
    await expect(generate({ rows: 10, ...options }, { storage: memory })).rejects.toMatchObject({
      code: 'output/exists',
    })
  expect(await memory.read('memory:/there/file.parquet')).toEqual(new Uint8Array([1]))
})

test('a run that is stopped leaves nothing behind', async () => {
  const memory = memoryStorage()
  const stop = new AbortController()
  const run = generate(
    { location: 'memory:/stopped', rows: 4000, files: 4 },
    { storage: memory, signal: stop.signal, onProgress: ({ rows }) => rows >= 2000 && stop.abort() },
  )
  await expect(run).rejects.toMatchObject({ code: 'run/interrupted' })
  for await (const left of memory.list('memory:/stopped')) expect.unreachable(left.location)
})

test('options that cannot be are refused by name', async () => {
  const bad: readonly [string, Partial<DatagenOptions>][] = [
    ['rows', {}],
    ['rows', { rows: 0 }],
    ['rows', { rows: 1.5 }],
    ['size', { bytes: Number.NaN }],
    ['size', { bytes: -1 }],
    ['files', { rows: 2, files: 3 }],
    ['distinct', { rows: 2, distinct: 0 }],
    ['distinct', { rows: 2, distinct: 5, distribution: 'unique' }],
    ['seed', { rows: 2, seed: -1 }],
  ]
  for (const [option, options] of bad)
    await expect(generate({ location: 'memory:/x', ...options }, { storage: memoryStorage() })).rejects.toMatchObject({
      code: 'options/invalid',
      context: { option },
    })
})

test('memory does not grow with the rows: two million in 300 MB', () => {
  const script = `
    import { generate } from './datagen/index.ts'
    import { localStorage } from './lib/storage/local.ts'
    await generate({ location: process.argv[1], rows: 2_000_000 }, { storage: localStorage() })
    console.log(process.resourceUsage().maxRSS * 1024)`
  const root = new URL('../..', import.meta.url)
  const run = ['--input-type=module-typescript', '-e', script, join(folder, 'large.parquet')]
  const peak = Number(execFileSync(process.execPath, run, { cwd: root, encoding: 'utf8', timeout: 60_000 }))
  expect(peak).toBeLessThan(300e6)
}, 60_000)

/** Rows of each statement as JSON values. */
async function duckdb(...statements: string[]): Promise<Record<string, unknown>[][]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const answers = []
    for (const sql of statements) answers.push((await connection.runAndReadAll(sql)).getRowObjectsJson())
    return answers as Record<string, unknown>[][]
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
