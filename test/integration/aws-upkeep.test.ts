/** Upkeep of a table where users have it: in a bucket, by its name in Glue, with the reference's own configuration. */
import { expect } from 'vitest'
import { type AwsLake, awsLake, originalConfig } from '../helpers/aws-lake.ts'
import { testWith } from '../helpers/interop.ts'

const TABLE = 'glue:blog_batch_db.pseudo_table'
const FOLDER = 's3://lake/batch/warehouse/blog_batch_db/pseudo_table'

const rows = (from: number, to: number) =>
  `select (i % 50)::varchar as dept_id, 'VIN' || (i % 1000) as vin, '2023-09-26T10:00:00.' || i as example_ts from range(${from}, ${to}) r(i)`

async function query(lake: AwsLake, sql: string) {
  const { rows: found } = (await lake.json('query', sql, '--table', `t=${await newest(lake)}`)) as { rows: unknown[] }
  return found
}

async function newest({ glue }: AwsLake): Promise<string> {
  return glue.tables.get('blog_batch_db.pseudo_table')?.Parameters?.metadata_location ?? ''
}

testWith(
  'versitygw',
  'a table in Glue and S3 is compacted, expired, freed of orphans, and whole all along',
  async () => {
    const lake = await awsLake()
    const config = lake.config(originalConfig(lake))
    for (let i = 0; i < 6; i++) {
      await lake.put(`vehicles/${i}.parquet`, rows(i * 100, i * 100 + 100))
      await lake.json('batch', '--config', config)
    }
    const before = await query(lake, 'select count(*), count(distinct s_vin), min(example_ts) from t')
    // What its job wrote stays, unless one says otherwise: an input may be replaced.
    expect(await lake.json('table', 'compact', TABLE, '--config', config)).toMatchObject({
      status: 'nothing-to-do',
      left_alone: { excluded: 6 },
    })
    expect(await lake.json('table', 'compact', TABLE, '--config', config, '--force')).toMatchObject({
      status: 'done',
      files_removed: 6,
      files_added: 1,
      rows: 600,
    })
    expect(await query(lake, 'select count(*), count(distinct s_vin), min(example_ts) from t')).toEqual(before)
    await lake.storage.create(`${FOLDER}/data/left-behind.parquet`, new Uint8Array(10))
    const planned = await lake.json('table', 'expire', TABLE, '--older-than', '0s', '--orphans', '--plan')
    expect(planned).toMatchObject({ status: 'planned', orphans: { searched: true, needed: 0 } })
    // Before it they have no bytes to name: of a plan they are the same files.
    const done = await lake.json('table', 'expire', TABLE, '--older-than', '0s', '--orphans')
    expect(done).toMatchObject({
      status: 'done',
      kept_snapshots: 1,
      failed: 0,
      outside: 0,
      removed: planned.removed,
      // Everything here is minutes old.
      orphans: { searched: true },
    })
    expect((done.removed as { data_files: number }).data_files).toBe(6)
    expect(
      (await lake.list(`${FOLDER}/data/`)).map((file) =>
        file.replace(/.*data\//, '').replace(/\d{8}T\d{6}Z-\w+/, 'RUN'),
      ),
    ).toEqual(['RUN-00000.parquet', 'left-behind.parquet'])
    expect(await query(lake, 'select count(*), count(distinct s_vin), min(example_ts) from t')).toEqual(before)
    const verified = await lake.cli('table', 'verify', TABLE, '--config', config, '--full', '--json')
    expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean', jobs: [{ epoch: 6, inputs: 6 }] })

    // The job goes on: its mark is there.
    await lake.put('vehicles/late.parquet', rows(900, 950))
    expect(await lake.json('batch', '--config', config)).toMatchObject({ rows: 50, skipped_files: 6 })
    expect(await query(lake, 'select count(*) from t')).toEqual([{ 'count_star()': '650' }])
  },
  180_000,
)

testWith(
  'versitygw',
  'what the reference wrote for missing values is found and mended through Glue, by its own configuration',
  async () => {
    const lake = await awsLake()
    const config = lake.config(originalConfig(lake))
    // A text None that our job reads is data. Put together with others the rows are in no ledger's file, as those of the reference are in none.
    const none = "select '1' as dept_id, 'None' as vin, 'none-' || i as example_ts from range(5) r(i)"
    for (const [i, more] of [none, rows(200, 300)].entries()) {
      await lake.put(`vehicles/${i}.parquet`, `${rows(i * 100, i * 100 + 100)} union all ${more}`)
      await lake.json('batch', '--config', config)
    }
    const legacy = ['table', 'verify', TABLE, '--config', config, '--legacy']
    expect(await lake.json(...legacy)).toMatchObject({ status: 'clean', files_of_jobs: 2, files_looked_at: 0 })
    await lake.json('table', 'compact', TABLE, '--config', config, '--force', '--min-files', '2')
    const found = await lake.cli(...legacy, '--json')
    expect([found.code, JSON.parse(found.stdout)]).toMatchObject([
      1,
      { status: 'needs-a-look', columns: { s_vin: { none: 5, empty: 0, key_checked: true } } },
    ])
    expect(await lake.json(...legacy, '--repair')).toMatchObject({ status: 'repaired', files_rewritten: 1 })
    expect(await query(lake, 'select count(*) n, count(s_vin) v from t')).toEqual([{ n: '305', v: '300' }])
    expect(await lake.json(...legacy, '--repair')).toMatchObject({ status: 'clean' })
  },
  120_000,
)
