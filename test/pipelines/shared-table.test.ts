/** Batch runs into a table in Glue that others write too, careless ones among them. */

import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { UpdateTableCommand } from '@aws-sdk/client-glue'
import { expect, test } from 'vitest'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { currentSchema } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { type GlueFake, glueFake } from '../helpers/glue-fake.ts'
import { type Lake, lake } from '../helpers/lake.ts'
import { waitlessClock } from '../iceberg/clock.ts'

const TABLE = { database: 'db', name: 't' }
const JOB = { columns: { vin: { mode: 'deterministic' } } }
const storage = localStorage()
const context = { clock: waitlessClock(), random: Math.random, uuid: randomUUID }

test('a commit of ours that a writer without versions overwrote: the next run puts the rows back, once, and what was lost is told', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  await input(home, 'b', 4, 6)
  await home.run(JOB, {}, { catalog })
  // It read the table before our second commit, and writes its own without saying which version it replaces.
  await careless(glue, before)
  expect(await rows(catalog)).toEqual([1, 2, 3])
  const lost = await verifyTable(await catalog.load(TABLE), { storage, current: true, now: Date.now() })
  expect(lost.findings.filter(({ kind, location }) => kind === 'orphan' && location.includes('/data/'))).toHaveLength(1)

  const report = await home.run(JOB, {}, { catalog })
  expect(report).toMatchObject({ status: 'done', files: 1, rows: 3, skipped_files: 1 })
  expect(report.notes).toEqual([
    expect.stringMatching(/^epoch 2 of this job \(run \S+, 3 rows\) was committed and is not in the table any more: /),
  ])
  expect(await rows(catalog)).toEqual([1, 2, 3, 4, 5, 6])
  expect(await home.run(JOB, {}, { catalog })).toMatchObject({ status: 'nothing-to-do', skipped_files: 2, notes: [] })
})

test('of several commits that were overwritten each is told, and their rows come back, once', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  for (const [i, name] of ['b', 'c', 'd'].entries()) await input(home, name, 10 + i, 10 + i)
  await home.run({ ...JOB, set: ['commit.max_files=1'] }, {}, { catalog })
  await careless(glue, before)
  const { notes, rows: put } = await home.run(JOB, {}, { catalog })
  expect(put).toBe(3)
  expect(notes.map((note) => /^epoch \d/.exec(note)?.[0])).toEqual(['epoch 2', 'epoch 3', 'epoch 4'])
  expect(await rows(catalog)).toEqual([1, 2, 3, 10, 11, 12])
})

test('the first commit that was overwritten is told by name with the way out, by the run and by the plan', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await foreign(home, catalog)
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  await input(home, 'b', 4, 6)
  await home.run({ ...JOB, input: '{dir}/in/b.parquet' }, { adopt: 'none' }, { catalog })
  await careless(glue, before)
  expect(await rows(catalog)).toEqual([1, 2, 3])

  const ours = { ...JOB, input: '{dir}/in/b.parquet' }
  const told = {
    code: 'table/commit-overwritten',
    message: expect.stringMatching(/epoch 1 \(run \S+, 3 rows in all\)/),
    context: { epoch: 1, commits: 1, rows: 3, hint: expect.stringContaining('--adopt none') },
  }
  await expect(home.run(ours, {}, { catalog })).rejects.toMatchObject(told)
  await expect(home.plan(ours, {}, { catalog })).rejects.toMatchObject(told)
  const plan = await home.plan(ours, { adopt: 'none' }, { catalog })
  expect(plan.notes).toContainEqual(expect.stringMatching(/^epoch 1 of this job /))
  const report = await home.run(ours, { adopt: 'none' }, { catalog })
  expect(report).toMatchObject({ status: 'done', rows: 3 })
  expect(report.notes).toContainEqual(expect.stringMatching(/^epoch 1 of this job /))
  expect(await rows(catalog)).toEqual([1, 2, 3, 4, 5, 6])
})

test('where the job had adopted inputs before, they are not read in again with those whose rows are lost', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await foreign(home, catalog)
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  expect(await home.run(JOB, { adopt: 'all' }, { catalog })).toMatchObject({ rows: 0 })
  await input(home, 'b', 4, 6)
  await home.run(JOB, {}, { catalog })
  expect(await rows(catalog)).toEqual([1, 2, 3, 4, 5, 6])
  await careless(glue, before)
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({
    code: 'table/commit-overwritten',
    context: { epoch: 2, commits: 1, rows: 3, adopted: 1, hint: expect.stringContaining('--adopt all --inputs-from') },
  })
  // As the hint says.
  await home.run(JOB, { adopt: 'all', inputsFrom: [join(home.dir, 'in', 'a.parquet')] }, { catalog })
  await home.run(JOB, {}, { catalog })
  expect(await rows(catalog)).toEqual([1, 2, 3, 4, 5, 6])
})

test('a mark that somebody took out of a table that has its rows is no commit that was overwritten', async () => {
  const { home, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  await setProperties(catalog, TABLE, { remove: ['pseudolake.job.test'] }, context)
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({ code: 'table/no-mark' })
})

test('a plan tells of commits that were overwritten, as its run does, and changes nothing', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  await input(home, 'b', 4, 6)
  await home.run(JOB, {}, { catalog })
  expect((await home.plan(JOB, {}, { catalog })).notes).toEqual([])
  await careless(glue, before)
  for (let i = 0; i < 2; i++) {
    const { notes } = await home.plan(JOB, {}, { catalog })
    expect(notes).toContainEqual(expect.stringMatching(/^epoch 2 of this job \(run \S+, 3 rows\)/))
  }
  expect((await home.run(JOB, {}, { catalog })).notes).toHaveLength(1)
})

test('a first run that failed before its commit leaves a table without a mark, and no word of a commit', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await foreign(home, catalog)
  glue.fault('UpdateTable', 'denied')
  await expect(home.run(JOB, { adopt: 'none' }, { catalog })).rejects.toMatchObject({ code: 'catalog/denied' })
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({ code: 'table/no-mark' })
})

test('a run that failed before its commit is nothing that was overwritten', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  await input(home, 'b', 4, 6)
  glue.fault('UpdateTable', 'denied')
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({ code: 'catalog/denied' })
  const { notes } = await home.run(JOB, {}, { catalog })
  expect(notes).toEqual([expect.stringContaining('taken over')])
  expect(await rows(catalog)).toEqual([1, 2, 3, 4, 5, 6])
})

test('overwritten between two steps of a run: the run stops, and the next one brings what is missing', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  const before = glue.tables.get('db.t')?.Parameters?.metadata_location as string
  for (const [i, name] of ['b', 'c', 'd'].entries()) await input(home, name, 10 + i, 10 + i)
  let commits = 0
  const watched: Catalog = {
    ...catalog,
    async commit(...commit) {
      const state = await catalog.commit(...commit)
      if (++commits === 1) await careless(glue, before)
      return state
    },
  }
  const steps = { ...JOB, set: ['commit.max_files=1'] }
  await expect(home.run(steps, {}, { catalog: watched })).rejects.toMatchObject({
    code: 'table/mark-changed',
    message: expect.stringContaining('has been taken back'),
  })
  expect(commits).toBe(1)
  await home.run(steps, {}, { catalog })
  expect(await rows(catalog)).toEqual([1, 2, 3, 10, 11, 12])
})

test('a table that was rolled back behind our mark stops the run, whoever did it and however', async () => {
  const { home, glue, catalog } = await place()
  await input(home, 'a', 1, 3)
  await home.run(JOB, {}, { catalog })
  const { metadata } = await catalog.load(TABLE)
  const first = metadata['current-snapshot-id'] as bigint
  await input(home, 'b', 4, 6)
  await home.run(JOB, {}, { catalog })
  const state = await catalog.load(TABLE)
  await catalog.commit(TABLE, state, [
    { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': first },
  ])
  const version = glue.tables.get('db.t')?.VersionId
  await input(home, 'c', 7, 9)
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({ code: 'table/mark-unreadable' })
  expect(glue.tables.get('db.t')?.VersionId).toBe(version)
})

test('two jobs into one table at once: both land, each with its mark', async () => {
  const { home, catalog } = await place()
  for (const [i, folder] of ['x', 'y'].entries()) {
    mkdirSync(join(home.dir, folder))
    await home.sql(`copy (select ${i}::varchar as vin, ${i} as n) to '{dir}/${folder}/1.parquet'`)
  }
  await home.run({ ...JOB, input: '{dir}/x', set: ['job=x'] }, {}, { catalog })
  for (const [i, folder] of ['x', 'y'].entries())
    await home.sql(`copy (select ${i}::varchar as vin, ${10 + i} as n) to '{dir}/${folder}/2.parquet'`)
  const run = (job: string) =>
    home.run({ ...JOB, input: `{dir}/${job}`, set: [`job=${job}`] }, { adopt: 'none' }, { catalog })
  await Promise.all([run('x'), run('y')])
  expect(await rows(catalog)).toEqual([0, 1, 10, 11])
  const { properties } = (await catalog.load(TABLE)).metadata
  expect(
    Object.keys(properties)
      .filter((name) => name.startsWith('pseudolake.job.'))
      .sort(),
  ).toEqual(['pseudolake.job.x', 'pseudolake.job.y'])
})

test('a table keeps no more snapshots than it says, and its job, its rows and their files are none the worse', async () => {
  const { home, catalog } = await place()
  await input(home, '0', 0, 0)
  await home.run(JOB, {}, { catalog })
  expect((await catalog.load(TABLE)).metadata.properties['pseudolake.max-snapshots']).toBe('200')
  await setProperties(catalog, TABLE, { set: { 'pseudolake.max-snapshots': '10' } }, context)
  for (let i = 1; i < 14; i++) {
    await input(home, String(i), i, i)
    await home.run(JOB, {}, { catalog })
    const { metadata } = await catalog.load(TABLE)
    expect(metadata.snapshots.length).toBe(i < 10 ? i + 1 : 9 + ((i - 10) % 2))
  }
  expect(await rows(catalog)).toEqual(Array.from({ length: 14 }, (_, i) => i))
  expect(await home.run(JOB, {}, { catalog })).toMatchObject({ status: 'nothing-to-do', skipped_files: 14 })
  const report = await verifyTable(await catalog.load(TABLE), { storage, current: true, now: Date.now() })
  expect(report.counts).toEqual({})
})

async function place(): Promise<{ home: Lake; glue: GlueFake; catalog: Catalog }> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  const glue = await glueFake()
  const catalog = glueCatalog({ client: glue.client(), storage, warehouse: join(home.dir, 'warehouse'), ...context })
  return { home, glue, catalog }
}

/** A table of somebody else's: rows, and no job's mark. */
async function foreign(home: Lake, catalog: Catalog): Promise<void> {
  await home.run({ ...JOB, set: ['job=other'] }, {}, { catalog })
  await setProperties(catalog, TABLE, { remove: ['pseudolake.job.other'] }, context)
}

async function input(home: Lake, name: string, from: number, to: number): Promise<void> {
  await home.sql(
    `copy (select 'VIN' || i as vin, i as n from range(${from}, ${to + 1}) t(i)) to '{dir}/in/${name}.parquet'`,
  )
}

/** A commit upon the metadata at `base`, put over whatever the table is now. */
async function careless(glue: GlueFake, base: string): Promise<void> {
  const now = glue.tables.get('db.t') as { Parameters: Record<string, string> }
  const stale = glueCatalog({
    client: {
      send: (async (command: { input: Record<string, unknown> }) => {
        if (!(command instanceof UpdateTableCommand)) {
          const answer = (await glue.client().send(command as never)) as { Table?: { Parameters: object } }
          return answer.Table
            ? { Table: { ...answer.Table, Parameters: { ...now.Parameters, metadata_location: base } } }
            : answer
        }
        delete command.input.VersionId
        return glue.client().send(command)
      }) as never,
    },
    storage,
    warehouse: 'none',
    ...context,
  })
  const { metadata } = await stale.load(TABLE)
  const schema = currentSchema(metadata)
  await appendFiles(stale, TABLE, { schema, files: [], runId: 'careless' }, context)
}

async function rows(catalog: Catalog): Promise<number[]> {
  const tables = new Map([['t', { state: await catalog.load(TABLE), storage }]])
  const { rows } = await runQuery('select n from t order by n', { storage, tables })
  return rows.map(([n]) => Number(n))
}
