/**
 * The batch job where users run it: inputs and table in buckets, the catalog in Glue, the key in Secrets Manager, the service over HTTP. What
 * holds on a disk holds there: once, resumable, and nothing of a killed run left behind.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openTable } from '../../lib/iceberg/open.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { type AwsLake, awsLake, originalConfig, SECRET } from '../helpers/aws-lake.ts'
import { testWith } from '../helpers/interop.ts'
import { duckdb } from '../helpers/lake.ts'

const TABLE = 's3://lake/batch/warehouse/blog_batch_db/pseudo_table'

const rows = (from: number, to: number) =>
  `select (i % 50)::varchar as dept_id, 'VIN' || (i % 1000) as vin, '2023-09-26T10:00:00.' || i as example_ts from range(${from}, ${to}) r(i)`

/** Rows of a table by its files, which are brought here for DuckDB: count, distinct `example_ts`, distinct `s_vin`. */
async function counted(lake: AwsLake, location: string, columns = ['example_ts', 's_vin']): Promise<number[]> {
  const { metadata } = await openTable(lake.storage, location)
  const files: string[] = []
  for await (const { file } of planFiles(lake.storage, metadata)) {
    const path = join(lake.dir, `data-${files.length}.parquet`)
    writeFileSync(path, await lake.storage.read(file.path))
    files.push(path)
  }
  if (files.length === 0) return [0, ...columns.map(() => 0)]
  const out = join(lake.dir, 'counts.csv')
  const counts = ['count(*)', ...columns.map((column) => `count(distinct ${column})`)].join(', ')
  await duckdb(
    `copy (select ${counts} from read_parquet([${files.map((file) => `'${file}'`)}])) to '${out}' (header false)`,
  )
  return readFileSync(out, 'utf8').trim().split(',').map(Number)
}

/** Pointer of Glue to the newest metadata. */
const pointer = ({ glue }: AwsLake, table = 'blog_batch_db.pseudo_table') =>
  glue.tables.get(table)?.Parameters?.metadata_location ?? ''

testWith('versitygw', 'the reference’s configuration runs as it is, and again only for what is new', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 2000))
  const config = lake.config(originalConfig(lake))
  expect(await lake.json('batch', '--config', config, '--plan')).toMatchObject({
    rows: 2000,
    creates: { table: true, database: true },
  })
  expect(lake.glue.databases.size).toBe(0)

  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 2000, location: TABLE })
  expect(lake.glue.databases).toContain('blog_batch_db')
  expect(pointer(lake)).toMatch(new RegExp(`^${TABLE}/metadata/0000\\d-.*metadata.json$`))
  expect(lake.glue.tables.get('blog_batch_db.pseudo_table')?.StorageDescriptor).toMatchObject({
    Location: TABLE,
    Columns: [
      { Name: 'dept_id', Type: 'string' },
      { Name: 's_vin', Type: 'string' },
      { Name: 'example_ts', Type: 'string' },
    ],
  })
  expect(await counted(lake, pointer(lake))).toEqual([2000, 2000, 1000])

  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do', skipped_files: 1 })
  await lake.put('vehicles/b.parquet', rows(2000, 2500))
  await lake.put('vehicles/_hidden/c.parquet', rows(0, 10))
  expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 500, files: 1, skipped_files: 1 })
  expect(await counted(lake, pointer(lake))).toEqual([2500, 2500, 1000])
  expect(await lake.list('s3://lake/batch/warehouse/_pseudolake/unpublished/')).toEqual([])

  const named = 'glue:blog_batch_db.pseudo_table'
  expect(await lake.json('table', 'show', named)).toMatchObject({ location: TABLE, rows: 2500, files: 2 })
  expect(await lake.json('table', 'show', named, '--config', config)).toMatchObject({ rows: 2500 })
  expect(await lake.json('table', 'show', TABLE)).toMatchObject({ rows: 2500 })
  expect((await lake.json('table', 'history', named)).snapshots).toHaveLength(2)
  expect((await lake.json('table', 'files', named)).files).toHaveLength(2)
  expect(await lake.json('table', 'verify', named, '--full')).toMatchObject({ status: 'clean' })
  const sql = 'select count(*)::int n, count(distinct s_vin)::int d from t'
  for (const location of [named, TABLE])
    expect(await lake.json('query', sql, '--table', `t=${location}`)).toMatchObject({ rows: [{ n: 2500, d: 1000 }] })
  expect(await lake.json('table', 'expire', named, '--older-than', '0d')).toMatchObject({ kept_snapshots: 1 })
  expect(await lake.json('table', 'show', named)).toMatchObject({ rows: 2500 })
  const { code, stdout } = await lake.cli('table', 'show', 'rest:db.t', '--json')
  expect([code, JSON.parse(stdout).error.code]).toEqual([2, 'options/invalid'])
})

testWith('versitygw', 'an input that changed is refused, appended or put in the place of its rows', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 100))
  await lake.put('vehicles/b.parquet', rows(100, 150))
  const config = lake.config(originalConfig(lake))
  await lake.json('batch', '--config', config)
  await lake.put('vehicles/a.parquet', rows(0, 120))
  const refused = await lake.cli('batch', '--config', config, '--json')
  expect([refused.code, JSON.parse(refused.stdout).error.code]).toEqual([2, 'input/changed'])
  await lake.json('batch', '--config', config, '--set', 'input.changed=replace')
  expect(await counted(lake, pointer(lake))).toEqual([170, 150, 150])
  await lake.put('vehicles/a.parquet', rows(1000, 1010))
  await lake.json('batch', '--config', config, '--set', 'input.changed=append')
  expect(await counted(lake, pointer(lake))).toEqual([180, 160, 150])
})

testWith('versitygw', 'a run that is killed loses the file in flight and no more', async () => {
  const lake = await awsLake()
  for (let i = 0; i < 6; i++) await lake.put(`vehicles/${i}.parquet`, rows(i * 1000, i * 1000 + 1000))
  const config = lake.config(originalConfig(lake))
  const unpublished = 's3://lake/batch/warehouse/_pseudolake/unpublished/'
  const slow = ['--set', 'limits.max_identifiers=10', '--set', 'limits.requests_per_second=60']
  const { child, ended } = lake.start('batch', '--config', config, '--quiet', ...slow)
  for (;;) {
    const finished = (await lake.list(unpublished)).filter((name) => name.endsWith('.json'))
    if (finished.length >= 2 || child.exitCode !== null) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.kill('SIGKILL')
  expect((await ended).signal).toBe('SIGKILL')
  expect(lake.glue.tables.size).toBe(0)

  const report = await lake.json('batch', '--config', config)
  expect(report).toMatchObject({ status: 'done', rows: 6000, files: 6 })
  expect(String(report.notes)).toMatch(/[2-6] files that an earlier run had finished/)
  expect(await counted(lake, pointer(lake))).toEqual([6000, 6000, 1000])
  expect(await lake.list(unpublished)).toEqual([])
  expect(await lake.json('table', 'verify', 'glue:blog_batch_db.pseudo_table', '--full')).toMatchObject({
    status: 'clean',
  })
})

testWith('versitygw', 'two jobs into one table: both land, and each knows its own', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 300))
  await lake.put('trucks/a.parquet', rows(1000, 1200))
  const config = lake.config(originalConfig(lake))
  await lake.json('batch', '--config', config)
  const other = ['--set', 'job=trucks', '--set', 'input.path=s3://raw/trucks/']
  await lake.put('vehicles/b.parquet', rows(300, 400))
  const [one, two] = await Promise.all([
    lake.json('batch', '--config', config),
    lake.json('batch', '--config', config, ...other),
  ])
  expect([one.rows, two.rows]).toEqual([100, 200])
  // Two hundred identifiers are in both.
  expect(await counted(lake, pointer(lake))).toEqual([600, 600, 400])
  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
  expect(await lake.json('batch', '--config', config, ...other)).toMatchObject({ status: 'nothing-to-do' })
  expect(await lake.json('table', 'verify', 'glue:blog_batch_db.pseudo_table')).toMatchObject({ status: 'clean' })
})

testWith('versitygw', 'a commit whose answer is lost is found, and the next run has nothing to do', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 300))
  const config = lake.config(originalConfig(lake))
  lake.glue.databases.add('blog_batch_db')
  lake.glue.fault('CreateTable', 'lost')
  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 300 })
  await lake.put('vehicles/b.parquet', rows(300, 400))
  lake.glue.fault('UpdateTable', 'lost-500')
  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 100 })
  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
  expect(await counted(lake, pointer(lake))).toEqual([400, 400, 400])
})

testWith('versitygw', 'the native form does the same on a filesystem catalog in a bucket', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/day=1/a.parquet', rows(0, 300))
  const config = lake.config(`
job: native
input: { path: "s3a://raw/vehicles/**/*.parquet" }
columns: { vin: { mode: deterministic }, example_ts: { mode: drop } }
service: { url: "${lake.endpoint}", api_key: { secret: ${SECRET} } }
output: { table: db.t, warehouse: "s3://lake/native/" }
`)
  expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 300, location: 's3://lake/native/db/t' })
  expect(await lake.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
  expect(await counted(lake, 's3://lake/native/db/t', ['day', 's_vin'])).toEqual([300, 1, 300])
  expect(lake.glue.calls).toEqual([])
  expect(await lake.json('table', 'verify', 's3://lake/native/db/t', '--full')).toMatchObject({ status: 'clean' })
})

testWith('versitygw', 'a configuration and a list of inputs may be objects too', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 100))
  await lake.put('vehicles/b.parquet', rows(100, 200))
  await lake.storage.create('s3://raw/conf/job.yaml', Buffer.from(originalConfig(lake)))
  await lake.storage.create('s3://raw/conf/list', Buffer.from('s3://raw/vehicles/b.parquet\n'))
  const config = 's3://raw/conf/job.yaml'
  expect(await lake.json('batch', '--config', config, '--inputs-from', 's3://raw/conf/list')).toMatchObject({
    rows: 100,
    published: [{ input: 's3://raw/vehicles/b.parquet' }],
  })
  const missing = await lake.cli('batch', '--config', 's3://raw/conf/none.yaml', '--json')
  expect([missing.code, JSON.parse(missing.stdout).error.code]).toEqual([2, 'config/invalid'])
})

testWith('versitygw', 'a location that does not fit is refused before anything is written', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 100))
  const config = lake.config(originalConfig(lake))
  const failing = async (...set: string[]) => {
    const { code, stdout } = await lake.cli(
      'batch',
      '--config',
      config,
      '--json',
      ...set.flatMap((one) => ['--set', one]),
    )
    const { error } = JSON.parse(stdout)
    return [code, error.code, error.message]
  }
  expect(await failing('output.warehouse=s3://raw/vehicles')).toEqual([2, 'config/overlap', expect.any(String)])
  expect(await failing('output.create=table')).toEqual([
    2,
    expect.any(String),
    expect.stringContaining('blog_batch_db'),
  ])
  expect(await failing('input.path=s3://nowhere-at-all/x')).toEqual([
    2,
    'storage/not-found',
    expect.stringContaining('nowhere-at-all'),
  ])
  // A table that is there already keeps its place, and that may be inside the input.
  await lake.json('batch', '--config', config)
  expect(await failing('input.path=s3://lake/batch/', 'output.warehouse=s3://lake/other')).toEqual([
    2,
    'config/overlap',
    expect.stringContaining(TABLE),
  ])
  expect(await lake.list('s3://lake/other')).toEqual([])
})

testWith('versitygw', 'a denial names the action, and what Lake Formation must grant', async () => {
  const lake = await awsLake()
  await lake.put('vehicles/a.parquet', rows(0, 100))
  const config = lake.config(originalConfig(lake))
  const failing = async () => {
    const { code, stdout } = await lake.cli('batch', '--config', config, '--json')
    const { error } = JSON.parse(stdout)
    return { code, ...error }
  }
  lake.glue.fault('CreateTable', 'lake-formation', 9)
  lake.glue.databases.add('blog_batch_db')
  expect(await failing()).toMatchObject({
    code: 'catalog/denied',
    outcome: 'nothing-published',
    message: expect.stringMatching(/glue:CreateTable.*Lake Formation.*CREATE_TABLE on the database/),
  })
  // A definite refusal leaves nothing of the attempt.
  expect(await lake.list(`${TABLE}/metadata/`)).toEqual([])
  const fresh = await awsLake()
  await fresh.put('vehicles/a.parquet', rows(0, 100))
  const file = fresh.config(originalConfig(fresh))
  await fresh.json('batch', '--config', file)
  await fresh.put('vehicles/b.parquet', rows(100, 200))
  fresh.glue.fault('UpdateTable', 'lake-formation')
  const { code, stdout } = await fresh.cli('batch', '--config', file, '--json')
  expect([code, JSON.parse(stdout).error]).toMatchObject([
    2,
    { code: 'catalog/denied', message: expect.stringMatching(/glue:UpdateTable.*ALTER on the table/) },
  ])
  // What was finished is taken over once the grant is there.
  const report = await fresh.json('batch', '--config', file)
  expect(report).toMatchObject({ rows: 100, skipped_files: 1 })
  expect(String(report.notes)).toContain('1 file that an earlier run had finished')
})
