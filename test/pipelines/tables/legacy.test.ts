import { randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../lib/core/clock.ts'
import type { Catalog } from '../../../lib/iceberg/catalogs/catalog.ts'
import { currentSchema } from '../../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../../lib/iceberg/operations/append.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { batchJob } from '../../../pipelines/batch/job.ts'
import { readBatchConfig } from '../../../pipelines/config/load.ts'
import { connectService } from '../../../pipelines/service.ts'
import { checkLegacy, type LegacyOptions } from '../../../pipelines/tables/legacy.ts'
import { openFolder } from '../../../pipelines/tables/open.ts'
import { createKeyring } from '../../../service/keys/create.ts'
import { saveKeyring } from '../../../service/keys/file.ts'
import { pseudolake } from '../../helpers/cli.ts'
import { type Lake, lake } from '../../helpers/lake.ts'
import { legacyTable } from '../../helpers/legacy-table.ts'
import { commitDeletes, equalityDeletes, positionDeletes } from '../../iceberg/deletes.ts'

const COLUMNS = { vin: { mode: 'deterministic' } }

/** A table of the reference's: 900 rows in three files, of which two have cells that should be null. */
async function legacy(columns: Record<string, unknown> = COLUMNS) {
  const home = await lake()
  const clock = systemClock()
  const source = (keyring: string) => ({
    job: 'legacy',
    input: { path: join(home.dir, 'in') },
    columns,
    service: { embedded: { keyring } },
    output: { table: 'db.t', warehouse: join(home.dir, 'warehouse') },
  })
  const config = join(home.dir, 'job.json')
  writeFileSync(config, JSON.stringify(source(home.keyring)))
  const connect = async (keyring = home.keyring) => {
    const settings = readBatchConfig(JSON.stringify(source(keyring)), {})
    const service = await connectService(settings, { env: {}, cwd: home.dir, clock, random: Math.random, randomBytes })
    onTestFinished(() => service.close())
    return { job: batchJob(settings, home.dir), client: service.client }
  }
  const { client } = await connect()
  const texts = ['None', '', ...Array.from({ length: 7 }, (_, i) => `VIN${i}`)]
  const { values } = await client.call({
    direction: 'pseudonymize',
    values: texts,
    domain: 'default',
    deterministic: true,
  })
  const [none, empty, ...vins] = values as [string, string, ...string[]]
  const list = `[${vins.map((vin) => `'${vin}'`).join()}]`
  await legacyTable(home.table, [
    {
      rows: 300,
      select: `select '${none}' as dept_id, case when i % 10 = 0 then '${none}' when i % 15 = 1 then '${empty}' when i % 50 = 7 then null when i % 50 = 9 then '' else ${list}[i % 7 + 1] end as s_vin, 't' || i as example_ts from range(300) r(i)`,
    },
    {
      rows: 300,
      select: `select 'd' as dept_id, ${list}[i % 7 + 1] as s_vin, 't' || (i + 300) as example_ts from range(300) r(i)`,
    },
    {
      // Too many values for a dictionary.
      rows: 300,
      select: `select 'd' as dept_id, case when i = 299 then '${none}' else md5(i::varchar) end as s_vin, 't' || (i + 600) as example_ts from range(300) r(i)`,
    },
  ])
  const check = async (options: Partial<LegacyOptions> = {}, keyring?: string, meanwhile?: () => Promise<unknown>) => {
    const { job, client: now } = await connect(keyring)
    const { catalog, ...found } = await opened()
    let first = meanwhile
    const disturbed: Catalog = {
      ...catalog,
      async commit(...args) {
        const before = first
        first = undefined
        await before?.()
        return catalog.commit(...args)
      },
    }
    return checkLegacy(
      { ...found, catalog: disturbed },
      job,
      now,
      {
        runId: `legacy-${randomUUID().slice(0, 8)}`,
        createdBy: 'pseudolake version 0.0.0',
        ...options,
      },
      { clock, random: Math.random, uuid: randomUUID },
    )
  }
  const opened = () => openFolder(home.table, localStorage(), clock)
  return { ...home, config, none, empty, check, opened, context: { clock, random: Math.random, uuid: randomUUID } }
}

const rowsOf = ({ query }: Pick<Lake, 'query'>) => query('select dept_id, s_vin, example_ts from t order by example_ts')

test('cells that should be null are counted by column and file, and no pseudonym is shown', async () => {
  const home = await legacy()
  const before = await rowsOf(home)
  const report = await home.check()
  expect(report).toMatchObject({
    status: 'needs-a-look',
    columns: { s_vin: { none: 31, empty: 20, domain: 'default', key_checked: false } },
    files_found: 2,
    files_looked_at: 3,
    files_rewritten: 0,
    files: [
      { rows: 300, columns: { s_vin: { none: 30, empty: 20 } } },
      { rows: 300, columns: { s_vin: { none: 1, empty: 0 } } },
    ],
    notes: [expect.stringContaining('no key for s_vin')],
  })
  for (const text of [home.none, home.empty]) expect(JSON.stringify(report)).not.toContain(text)
  expect(await rowsOf(home)).toEqual(before)
})

test('a repair makes them null in one snapshot, everything else stays, and a second one has nothing to do', async () => {
  const home = await legacy()
  const before = await rowsOf(home)
  expect(await home.check({ repair: true, plan: true })).toMatchObject({
    status: 'planned',
    files_found: 2,
    files_rewritten: 0,
  })
  expect((await home.opened()).state.metadata['format-version']).toBe(1)
  const report = await home.check({ repair: true })
  expect(report).toMatchObject({ status: 'repaired', files_rewritten: 2, upgraded: true, left_alone: {} })
  const { metadata } = (await home.opened()).state
  expect(metadata).toMatchObject({ 'format-version': 2, properties: { owner: 'hadoop' } })
  expect(metadata.snapshots.map(({ summary }) => summary.operation)).toEqual(['append', 'overwrite'])
  expect(metadata.snapshots.at(-1)?.summary).toMatchObject({
    'deleted-records': '600',
    'added-records': '600',
    'total-records': '900',
  })
  const wrong = [home.none, home.empty]
  expect(await rowsOf(home)).toEqual(
    before.map(([dept, vin, at]) => [dept, wrong.includes(vin as string) ? null : vin, at]),
  )
  expect(await home.query('select count(*) from t where s_vin is null')).toEqual([['57']])
  expect(await home.check({ repair: true })).toMatchObject({ status: 'clean', files_rewritten: 0, files_found: 0 })
  expect((await home.opened()).state.metadata.snapshots).toHaveLength(2)
  // Not in a dictionary either, of the files that the table has now.
  for (const name of readdirSync(join(home.table, 'data')))
    if (name.startsWith('legacy-'))
      expect(readFileSync(join(home.table, 'data', name)).includes(home.empty), name).toBe(false)
  const verified = await pseudolake(['table', 'verify', home.table, '--json'])
  expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean', counts: {} })
})

test('another key finds nothing where the table has no pin, and is refused where it has one; what our job wrote is data', async () => {
  const home = await legacy()
  const other = join(home.dir, 'other.json')
  await saveKeyring(other, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
  expect(await home.check({}, other)).toMatchObject({ status: 'clean', files_found: 0 })
  await home.check({ repair: true })
  // The first run of ours pins the column.
  await home.sql(`copy (select 'd' as dept_id, 'None' as vin, 'u' as example_ts) to '{dir}/u.parquet'`)
  await home.run({ input: '{dir}/u.parquet', columns: COLUMNS }, { adopt: 'none' })
  await expect(home.check({}, other)).rejects.toMatchObject({ code: 'table/key-changed' })
  expect(await home.check()).toMatchObject({
    status: 'clean',
    files_of_jobs: 1,
    columns: { s_vin: { none: 0, key_checked: true } },
  })
})

test('rows that are deleted, by position or by equal values, stay deleted', async () => {
  const home = await legacy()
  const { catalog, table } = await home.opened()
  await upgraded(home)
  const first = join(home.table, 'data', '00000-0-legacy-00001.parquet')
  await commitDeletes(catalog, table, [
    await positionDeletes(catalog, join(home.table, 'data', 'd.parquet'), [
      [first, 0],
      [first, 5],
    ]),
  ])
  expect(await home.check({ repair: true })).toMatchObject({ status: 'repaired', files_rewritten: 2 })
  expect(await home.query('select count(*), count(s_vin) from t')).toEqual([['898', String(898 - 56)]])

  const again = await legacy()
  const opened = await again.opened()
  await upgraded(again)
  await commitDeletes(opened.catalog, opened.table, [
    await equalityDeletes(opened.catalog, join(again.table, 'data', 'e.parquet'), ['t10', 't450', 't899', 'x'], {
      id: 3,
      name: 'example_ts',
    }),
  ])
  // One row each of the files that are written anew, and one of the file that is not: for that one the delete file stays.
  expect(await again.check({ repair: true })).toMatchObject({ status: 'repaired', left_alone: {}, files_rewritten: 2 })
  expect(await again.query('select count(*) from t')).toEqual([['897']])
  expect(await again.query("select count(*) from t where example_ts in ('t10', 't450', 't899')")).toEqual([['0']])
})

/** Tables of version 1 have no deletes. */
function upgraded({ opened, context }: Awaited<ReturnType<typeof legacy>>) {
  return opened().then(({ catalog, table, state }) =>
    appendFiles(catalog, table, { files: [], schema: currentSchema(state.metadata), runId: 'upgrade' }, context),
  )
}

test('beside appends it goes through; where a row is deleted meanwhile it stops, and nothing is left', async () => {
  const home = await legacy()
  expect(await home.check({ repair: true }, undefined, () => upgraded(home))).toMatchObject({ status: 'repaired' })
  expect((await home.opened()).state.metadata.snapshots).toHaveLength(3)

  const other = await legacy()
  await upgraded(other)
  const { catalog, table } = await other.opened()
  const first = join(other.table, 'data', '00000-0-legacy-00001.parquet')
  const deleted = async () =>
    commitDeletes(catalog, table, [
      await positionDeletes(catalog, join(other.table, 'data', 'd.parquet'), [[first, 0]]),
    ])
  await expect(other.check({ repair: true }, undefined, deleted)).rejects.toMatchObject({ code: 'table/conflict' })
  expect(readdirSync(join(other.table, 'data')).filter((name) => name.startsWith('legacy-'))).toEqual([])
  expect(await other.check()).toMatchObject({ status: 'needs-a-look', files_found: 2 })
  expect(await other.check({ repair: true })).toMatchObject({ status: 'repaired' })
  expect(await other.query('select count(*), count(s_vin) from t')).toEqual([['899', String(899 - 56)]])
})

test('columns of mode random, and of another type, cannot be looked for', async () => {
  const random = await legacy({ vin: { mode: 'random' } })
  await expect(random.check()).rejects.toMatchObject({ code: 'config/invalid' })
  const other = await legacy({ nowhere: { mode: 'deterministic' } })
  await expect(other.check()).rejects.toMatchObject({ code: 'config/invalid' })
})

test('the command counts with status 1, plans and repairs with status 0, and says what options go together', async () => {
  const home = await legacy()
  const command = (...more: string[]) =>
    pseudolake(['table', 'verify', home.table, '--config', home.config, '--legacy', ...more])
  const found = await command()
  expect(found).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/s_vin +default +31 +20 +no pin[\s\S]*needs a look/),
  })
  expect(found.stdout + found.stderr).not.toContain(home.none)
  expect((await command('--repair', '--plan')).code).toBe(0)
  const repaired = await command('--repair', '--json')
  expect([repaired.code, JSON.parse(repaired.stdout).status]).toEqual([0, 'repaired'])
  expect((await command()).code).toBe(0)
  for (const wrong of [
    ['table', 'verify', home.table, '--repair'],
    ['table', 'verify', home.table, '--legacy'],
    ['table', 'verify', home.table, '--config', home.config, '--legacy', '--plan'],
  ])
    expect((await pseudolake(wrong)).code).toBe(2)
}, 60_000)
