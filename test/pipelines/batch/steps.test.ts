import { copyFileSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Client } from '../../../lib/client/compose.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { openTable } from '../../../lib/iceberg/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { type Lake, lake } from '../../helpers/lake.ts'
import { inputs, stripMarks, tree, VEHICLES, VIN } from './vehicles.ts'

test('steps are published one by one', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  expect(await home.run({ columns: VIN, set: ['commit.max_files=2'] })).toMatchObject({
    commits: 3,
    files: 5,
    rows: 5000,
  })
  expect(await home.query(`select count(*) from t`)).toEqual([['5000']])
})

test('of two runs of one job at once, one does the work and the other stops without doubling anything', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  const runs = await Promise.allSettled([home.run({ columns: VIN }), home.run({ columns: VIN })])
  expect(runs.filter((run) => run.status === 'fulfilled')).toHaveLength(1)
  expect(runs.find((run) => run.status === 'rejected')?.reason).toMatchObject({ code: 'table/mark-changed' })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
  const { metadata } = await openTable(localStorage(), home.table)
  expect(metadata.snapshots).toHaveLength(1)
  // What the other one had finished is nobody's now, and goes with the next commit.
  await inputs(home, { '5.parquet': VEHICLES })
  await home.run({ columns: VIN })
  expect(tree(join(home.table, 'data'))).toHaveLength(5)
  expect(tree(join(home.dir, 'warehouse', '_pseudolake', 'unpublished'))).toEqual([])
})

test('a run that is told to stop publishes no part of a step, and the next one does the work', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  const stop = new AbortController()
  const outside = {
    signal: stop.signal,
    onEvent: (event: { type: string }) => event.type === 'committed' && stop.abort(),
  }
  await expect(home.run({ columns: VIN, set: ['commit.max_files=2'] }, {}, outside)).rejects.toMatchObject({
    code: 'run/interrupted',
    context: { outcome: 'partly-published' },
  })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
  expect(await home.run({ columns: VIN })).toMatchObject({ files: 4, skipped_files: 2 })
  expect(await home.query('select count(*) from t')).toEqual([['6000']])
})

test('a table that another job makes or changes meanwhile is not written to under old assumptions', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const other = await lake()
  await inputs(other, { 'a.parquet': VEHICLES })
  const set = [`output.warehouse=${home.dir}/warehouse`, 'job=other']
  // Made by another job, with another key, between the look and the commit.
  const making = () => other.run({ columns: VIN, set })
  await expect(home.run({ columns: VIN }, {}, { meanwhile: making })).rejects.toMatchObject({ code: 'table/changed' })
  expect(await home.query('select count(*) from t')).toEqual([['1000']])
  // Its key changed on purpose, between the look and the commit.
  await inputs(other, { 'b.parquet': VEHICLES })
  const keyed = [...set, `service.embedded.keyring=${home.keyring}`]
  const changing = () => other.run({ columns: VIN, set: keyed }, { allowKeyChange: true })
  await inputs(home, { 'c.parquet': VEHICLES })
  await expect(
    home.run({ columns: VIN, set: [`service.embedded.keyring=${other.keyring}`] }, {}, { meanwhile: changing }),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^table\/(changed|key-changed)$/) })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})

test('files that a stopped run had finished are taken over to the byte, the rest is done', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  await stoppedAfter(home, 3)
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({ rows: 5000, files: 5 })
  expect(report.notes).toEqual(['3 files that an earlier run had finished and not published were taken over'])
  expect(await home.query('select count(*), count(s_vin), sum(n) from t')).toEqual([['5000', '4285', `${5 * 499500}`]])
  expect(tree(join(home.table, 'data'))).toHaveLength(5)
  expect(tree(join(home.dir, 'warehouse', '_pseudolake', 'unpublished'))).toEqual([])
})

test('a finished file that was moved is known by its bytes, a large one is made anew', async () => {
  const home = await lake()
  const rows = (n: number) => `select 'VIN' || (i % 40) as vin, md5(i::varchar) as n from range(${n}) r(i)`
  await inputs(home, { '0.parquet': rows(1000), '2.parquet': rows(1000) })
  await home.sql(`copy (${rows(300_000)}) to '${join(home.dir, 'in', '1.parquet')}' (format parquet)`)
  await stoppedAfter(home, 2)
  for (const name of tree(join(home.table, 'data'))) utimesSync(join(home.table, 'data', name), new Date(), new Date())
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({ rows: 302_000, files: 3 })
  expect(report.notes).toEqual(['1 file that an earlier run had finished and not published was taken over'])
  expect(tree(join(home.table, 'data'))).toHaveLength(3)
})

test.each([
  ['another configuration', async () => ({ set: ['columns.vin.normalize=[upper]'] })],
  ['another key', async () => ({ set: [`service.embedded.keyring=${(await lake()).keyring}`] })],
  [
    'an altered file',
    async (home: Lake) => {
      for (const name of tree(join(home.table, 'data'))) {
        const path = join(home.table, 'data', name)
        const bytes = readFileSync(path)
        bytes[200] = (bytes[200] ?? 0) ^ 1
        writeFileSync(path, bytes)
      }
      return {}
    },
  ],
  [
    'a changed input',
    async (home: Lake) => {
      for (const name of tree(join(home.dir, 'in'))) utimesSync(join(home.dir, 'in', name), new Date(), new Date())
      return {}
    },
  ],
])('nothing is taken over with %s, and what nobody wants goes with the commit', async (_, change) => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  await stoppedAfter(home, 2)
  expect(tree(join(home.table, 'data'))).toHaveLength(2)
  const report = await home.run({ columns: VIN, ...(await change(home)) })
  expect(report).toMatchObject({ rows: 3000, notes: [] })
  expect(tree(join(home.table, 'data'))).toHaveLength(3)
})

test('a run that was killed behind its commit has its files neither published twice nor removed', async () => {
  const home = await lake()
  await inputs(home, { '0.parquet': VEHICLES })
  await stoppedAfter(home, 1)
  const listed = join(home.dir, 'warehouse', '_pseudolake', 'unpublished')
  const left = tree(listed).map((name) => [join(listed, name), readFileSync(join(listed, name))] as const)
  await home.run({ columns: VIN })
  for (const [path, bytes] of left) writeFileSync(path, bytes)
  await inputs(home, { '1.parquet': VEHICLES })
  await home.run({ columns: VIN })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
  // Without its mark the table says itself which files it has.
  for (const [path, bytes] of left) writeFileSync(path, bytes)
  await stripMarks(home)
  await home.run({ columns: VIN }, { adopt: 'none' })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
})

test('a service that goes away half-way ends the run; once it is back, the next run goes on where that one was', async () => {
  const home = await lake()
  const values = (file: number) => `select 'VIN' || (i + ${file * 1000}) as vin from range(1000) r(i)`
  await inputs(home, Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`${i}.parquet`, values(i)])))
  let calls = 0
  const service = async (connect: () => Promise<Client>): Promise<Client> => {
    const real = await connect()
    const call: Client['client']['call'] = async (request) => {
      if (++calls > 6) throw new PseudolakeError('service/unavailable', 'the service could not be asked')
      return real.client.call(request)
    }
    return { ...real, client: { call } }
  }
  await expect(home.run({ columns: VIN, set: ['commit.max_files=2'] }, {}, { service })).rejects.toMatchObject({
    code: 'service/unavailable',
    context: { outcome: 'partly-published' },
  })
  const before = Number((await home.query('select count(*) from t'))[0]?.[0])
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(6000)
  const report = await home.run({ columns: VIN })
  expect(report.rows + before).toBe(6000)
  expect(await home.query('select count(*), count(distinct s_vin) from t')).toEqual([['6000', '6000']])
})

test('a listing that was struck between its name and the end of its temporary costs no file that a later run took over', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  await stoppedAfter(home, 3)
  const folder = join(home.dir, 'warehouse', '_pseudolake', 'unpublished', 'db.t', 'test')
  const [listed = ''] = readdirSync(folder).filter((name) => name.endsWith('.json'))
  // One sorts before the other, and a listing has no order: both ways.
  for (const temporary of [`_tmp-0-${listed}`, `zz-${listed}`])
    copyFileSync(join(folder, listed), join(folder, temporary))
  writeFileSync(join(folder, `${listed.replace(/-\d+\.json$/, '')}.begun`), '')
  expect(await home.run({ columns: VIN })).toMatchObject({ rows: 4000, files: 4 })
  expect(await home.query('select count(*), sum(n) from t')).toEqual([['4000', `${4 * 499500}`]])
  expect(tree(folder)).toEqual([])
})

/** Stops a run when so many files are finished and listed. */
async function stoppedAfter(home: Lake, files: number): Promise<void> {
  const stop = new AbortController()
  const storage = localStorage()
  let listed = 0
  const counting = {
    ...storage,
    create: async (location: string, bytes: Uint8Array) => {
      const made = await storage.create(location, bytes)
      if (/\/unpublished\/.*\.json$/.test(location) && ++listed === files) stop.abort()
      return made
    },
  }
  await expect(home.run({ columns: VIN }, {}, { storage: counting, signal: stop.signal })).rejects.toMatchObject({
    code: 'run/interrupted',
    context: { outcome: 'nothing-published' },
  })
}
