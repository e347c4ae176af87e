/**
 * The reference's configuration of the Glue job, key for key, with its names filled in: CSV in, plain Parquet appended, on buckets and with the API
 * key in Secrets Manager. Judged by DuckDB, PyArrow and Spark, which know nothing of what stands beside the files.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { type AwsLake, awsLake, SECRET } from '../helpers/aws-lake.ts'
import { motoGlue, trino } from '../helpers/catalog-servers.ts'
import { pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { lake } from '../helpers/lake.ts'

/** @param vehicles of more than 1,100 the pseudonyms are a dictionary that writers of Snappy's own would cut into pieces of 64 KiB */
function csv(from: number, to: number, vehicles = 1000): string {
  const rows = Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return `${n % 50},${n % 7 === 0 ? '' : `VEHICLE${n % vehicles}`},2023-09-26T10:00:00.${n}`
  })
  return `dept_id,VIN,example_ts\r\n${rows.join('\r\n')}\r\n`
}

const glueForm = ({ endpoint }: Pick<AwsLake, 'endpoint'>) => `repartition_no: 10
aws_region: eu-west-1
endpoint_url: ${endpoint}
secret_name: ${SECRET}
determinism: 'True'
input_loc: s3://raw/vehicles/
output_loc: s3://lake/pseudonymized/
input_column: VIN
`

const put = ({ storage }: AwsLake, name: string, text: string) =>
  storage.create(`s3://raw/vehicles/${name}`, Buffer.from(text))

/** What is in the output, copied to this disk. */
async function copied(home: AwsLake): Promise<string> {
  const dir = join(home.dir, `copy-${Math.random()}`)
  mkdirSync(dir)
  for (const location of await home.list('s3://lake/pseudonymized/')) {
    const below = location.slice('s3://lake/pseudonymized/'.length)
    if (!below.includes('/')) writeFileSync(join(dir, below), await home.storage.read(location))
  }
  return dir
}

const COUNT = `
import pyarrow.dataset as ds
table = ds.dataset(args["folder"], format="parquet").to_table()
vins = table.column("s_VIN").to_pylist()
result = {
    "columns": table.schema.names,
    "rows": table.num_rows,
    "times": len(set(table.column("example_ts").to_pylist())),
    "pseudonyms": len(set(v for v in vins if v is not None)),
    "nulls": sum(1 for v in vins if v is None),
}
`

const counts = async (home: AwsLake) => pyiceberg<Record<string, unknown>>(COUNT, { folder: await copied(home) })

testWith(['versitygw', 'pyiceberg'], 'it runs as it is, appends what is new, and does nothing twice', async () => {
  const home = await awsLake()
  await put(home, 'a.csv', csv(0, 5000))
  const config = home.config(glueForm(home))
  expect(await home.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 5000, files: 1 })
  expect(await counts(home)).toEqual({
    columns: ['dept_id', 's_VIN', 'example_ts'],
    rows: 5000,
    times: 5000,
    pseudonyms: 1000,
    nulls: 715,
  })
  expect(await home.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
  await put(home, 'b.csv', csv(5000, 6000))
  expect(await home.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 1000, files: 1 })
  expect(await counts(home)).toMatchObject({ rows: 6000, times: 6000, pseudonyms: 1000 })
  expect(await home.list('s3://lake/pseudonymized/_pseudolake/tmp/')).toEqual([])
  expect(await home.list('s3://lake/pseudonymized/_pseudolake/intents/')).toEqual([])
  expect(home.glue.calls).toEqual([])
})

testWith(['versitygw', 'pyiceberg'], 'killed (-9) again and again, it ends with each row once', async () => {
  const home = await awsLake()
  for (let i = 0; i < 6; i++) await put(home, `${i}.csv`, csv(1000 * i, 1000 * (i + 1)))
  const config = home.config(glueForm(home))
  const steps = ['--set', 'commit.max_files=2']
  for (let kill = 0; kill < 8; kill++) {
    const running = home.start('batch', '--config', config, ...steps)
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 400 + 350 * kill)), running.ended])
    running.child.kill('SIGKILL')
    await running.ended
  }
  const last = await home.cli('batch', '--config', config, ...steps, '--json')
  expect(last.code, last.stderr).toBe(0)
  expect(await counts(home)).toMatchObject({ rows: 6000, times: 6000, pseudonyms: 1000 })
  expect(await home.json('batch', '--config', config)).toMatchObject({ status: 'nothing-to-do' })
})

testWith('spark', 'Spark reads the folder as plain Parquet and sees the files alone', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  writeFileSync(join(home.dir, 'in', 'a.csv'), csv(0, 3000, 2500))
  const set = ['input.format=csv', 'output.files=2']
  await home.run({ columns: { VIN: { mode: 'deterministic' } }, plain: true, set })
  const script = `
frame = spark.read.parquet(args["folder"])
result = {"columns": frame.columns, "rows": frame.count(), "distinct": frame.select("s_VIN").distinct().count()}
`
  expect(await spark<unknown>(script, { folder: join(home.dir, 'out') })).toEqual({
    columns: ['dept_id', 's_VIN', 'example_ts'],
    rows: 3000,
    distinct: 2215,
  })
})

testWith(
  ['versitygw', 'moto', 'trino'],
  'Trino, whose reader Athena’s is, takes the files of the folder as they are, and reads every row',
  async () => {
    const home = await awsLake()
    await put(home, 'a.csv', csv(0, 3000, 2500))
    await put(home, 'b.csv', csv(3000, 5000, 2500))
    const config = home.config(glueForm(home))
    expect(await home.json('batch', '--config', config)).toMatchObject({ status: 'done', rows: 5000 })

    const glue = await motoGlue()
    onTestFinished(glue.stop)
    const athena = await trino(join(home.dir, 'trino'), home.store, glue.url)
    onTestFinished(athena.stop)
    await athena.query('create schema glue.plain')
    await athena.query('create table glue.plain.t (dept_id varchar, "s_VIN" varchar, example_ts varchar)')
    // What lies in folders of it is ours alone.
    await athena.query(
      `alter table glue.plain.t execute add_files(location => 's3://lake/pseudonymized/', format => 'PARQUET', recursive_directory => 'FALSE')`,
    )
    const columns =
      'count(*), count(distinct example_ts), count(distinct s_vin), count(*) - count(s_vin), count(distinct dept_id)'
    expect(await athena.query(`select ${columns} from glue.plain.t`)).toEqual([[5000, 5000, 2500, 715, 50]])
  },
  300_000,
)
