import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openTable } from '../../../lib/iceberg/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { verifyTable } from '../../../pipelines/verify/verify.ts'
import { type JobOverrides, type Lake, lake } from '../../helpers/lake.ts'
import { inputs, VEHICLES, VIN } from './vehicles.ts'

const PLAIN: JobOverrides = { columns: VIN, plain: true }

function visible(home: Lake): string[] {
  return readdirSync(join(home.dir, 'out'))
    .filter((name) => !/^[_.]/.test(name))
    .sort()
}

function count(home: Lake, what = 'count(*)') {
  return home.query(`select ${what} from read_parquet('${home.dir}/out/**/*.parquet')`)
}

/** A table must be there for the query to name; it is not looked at. */
async function plainLake(): Promise<Lake> {
  const home = await lake()
  const inner = await lake()
  await inputs(inner, { 'a.parquet': 'select 1 as n, 2 as vin' })
  await inner.run({ columns: VIN })
  return { ...home, query: inner.query }
}

async function marks(home: Lake) {
  return openTable(localStorage(), join(home.dir, 'out', '_pseudolake', 'marks', 'files'))
}

function hidden(home: Lake, folder: string): string[] {
  try {
    return readdirSync(join(home.dir, 'out', '_pseudolake', folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
  } catch {
    return []
  }
}

test('files are put into the folder, one for an input, and a rerun has nothing to do', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  expect(await home.run(PLAIN)).toMatchObject({ status: 'done', rows: 2000, files: 2, gate: { passed: true } })
  expect(visible(home)).toHaveLength(2)
  for (const name of visible(home)) expect(name).toMatch(/^test-00000001-[0-9a-f]{16}\.parquet$/)
  expect(await count(home, 'count(*), count(distinct s_vin)')).toEqual([['2000', '41']])
  expect(hidden(home, 'tmp')).toEqual([])
  expect(hidden(home, 'intents')).toEqual([])
  expect(await home.run(PLAIN)).toMatchObject({ status: 'nothing-to-do', skipped_files: 2 })
  await inputs(home, { 'c.parquet': VEHICLES })
  expect(await home.run(PLAIN)).toMatchObject({ rows: 1000, files: 1 })
  expect(await count(home)).toEqual([['3000']])
  const { metadata, metadataLocation } = await marks(home)
  const found = await verifyTable({ metadata, metadataLocation }, { storage: localStorage(), now: Date.now() })
  expect(found.findings).toEqual([])
})

test('files of others in the folder stay, and are told of once', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES })
  mkdirSync(join(home.dir, 'out'))
  await home.sql(`copy (select 'x' as s_vin) to '{dir}/out/part-00000.parquet'`)
  const report = await home.run(PLAIN)
  expect(report.notes.join()).toContain('1 Parquet files')
  expect(visible(home)).toHaveLength(2)
  expect((await home.run(PLAIN)).notes).toEqual([])
})

test('changed inputs: their earlier files go, and no others', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  await home.run(PLAIN)
  const before = visible(home)
  await inputs(home, { 'a.parquet': `${VEHICLES} where i < 10` })
  await expect(home.run(PLAIN)).rejects.toMatchObject({ code: 'input/changed' })
  await home.run({ ...PLAIN, set: ['input.changed=replace'] })
  expect(await count(home)).toEqual([['1010']])
  expect(visible(home).filter((name) => before.includes(name))).toHaveLength(1)
})

test('the key is pinned beside the files', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run(PLAIN)
  await inputs(home, { 'b.parquet': VEHICLES })
  const other = await lake()
  const set = [`service.embedded.keyring=${other.keyring}`]
  await expect(home.run({ ...PLAIN, set })).rejects.toMatchObject({ code: 'table/key-changed' })
  expect(visible(home)).toHaveLength(1)
})

test('a gate that fails leaves nothing in the folder', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': `select 'VEHICLE' || i as vin, 'VEHICLE' || i as again from range(1000) r(i)` })
  expect(await home.run(PLAIN)).toMatchObject({ status: 'gate-failed' })
  expect(visible(home)).toEqual([])
})

test('of two runs at once one does the work, and no file is there twice', async () => {
  const home = await plainLake()
  await inputs(home, Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`${i}.parquet`, VEHICLES])))
  const runs = await Promise.allSettled([home.run(PLAIN), home.run(PLAIN)])
  expect(runs.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(runs.find((run) => run.status === 'rejected')?.reason).toMatchObject({ code: 'table/mark-changed' })
  expect(await count(home)).toEqual([['4000']])
})

test('a run that finds another one at a later step than it knows of takes nothing of it back', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  const job = { ...PLAIN, set: ['commit.max_files=1'] }
  const placed = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  const disk = localStorage()
  // The files of its second step have their names, its mark is not set yet.
  const atWork: Storage = {
    ...disk,
    async create(location, bytes) {
      if (location.endsWith('/v2.metadata.json')) {
        placed.resolve()
        await late.promise
      }
      return disk.create(location, bytes)
    },
  }
  let first: Promise<unknown> | undefined
  // It has read the marks, of which there are none, when the other run begins.
  const slow: Storage = {
    ...disk,
    async *list(prefix) {
      if (!first && prefix.endsWith('/intents/test/')) {
        first = home.run(job, {}, { storage: atWork }).catch((error: unknown) => error)
        await Promise.race([placed.promise, first])
      }
      yield* disk.list(prefix)
    },
  }
  const [second] = await Promise.allSettled([home.run(job, {}, { storage: slow })])
  late.resolve()
  const runs = [await first, second.status === 'fulfilled' ? second.value : second.reason]
  expect(runs).toContainEqual(expect.objectContaining({ code: 'table/mark-changed' }))
  expect(await count(home)).toEqual([['2000']])
  expect(visible(home)).toHaveLength(2)
  expect(await home.run(job)).toMatchObject({ status: 'nothing-to-do', skipped_files: 2 })
})

test('two jobs into one folder: both are there, each with its own marks', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run(PLAIN)
  await home.run({ ...PLAIN, set: ['job=other'] })
  expect(await count(home)).toEqual([['2000']])
  expect(await home.run({ ...PLAIN, set: ['job=other'] })).toMatchObject({ status: 'nothing-to-do' })
})

test('an intent of a newer version stops a run', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES })
  mkdirSync(join(home.dir, 'out', '_pseudolake', 'intents', 'test'), { recursive: true })
  writeFileSync(join(home.dir, 'out', '_pseudolake', 'intents', 'test', '00000001.json'), '{"version":2}')
  await expect(home.run(PLAIN)).rejects.toMatchObject({ code: 'table/mark-unreadable' })
})

test('no identifier is in any file of the output, those of marks and ledgers included', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': `select 'VEHICLE' || i as vin, i as n from range(1000) r(i)` })
  await home.run(PLAIN)
  for (const entry of readdirSync(join(home.dir, 'out'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) expect(readFileSync(join(entry.parentPath, entry.name), 'latin1')).not.toContain('VEHICLE')
})

test('a job says how many files a CSV comes out as', { timeout: 60_000 }, async () => {
  const home = await plainLake()
  mkdirSync(join(home.dir, 'in'))
  const rows = Array.from({ length: 900_000 }, (_, i) => `VIN${i % 50},${i},some more text in each row`)
  writeFileSync(join(home.dir, 'in', 'a.csv'), `vin,n,note\n${rows.join('\n')}\n`)
  const set = ['input.format=csv', 'output.files=3']
  expect(await home.run({ ...PLAIN, set })).toMatchObject({ rows: 900_000, files: 1 })
  expect(visible(home)).toHaveLength(3)
  expect(await count(home, 'count(*), count(distinct n)')).toEqual([['900000', '900000']])
})

test('each file is of the format that it begins as, where the job takes both', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': `select 'V1' as vin, 'x' as n` })
  writeFileSync(join(home.dir, 'in', 'b.csv'), 'vin,n\nV2,y\n')
  expect(await home.run({ ...PLAIN, set: ['input.format=auto'] })).toMatchObject({ rows: 2, files: 2 })
  expect(await count(home, "string_agg(n, '' order by n)")).toEqual([['xy']])
})

test('plain files do not go into the folder of an Iceberg table, where they would be orphans', async () => {
  const home = await plainLake()
  await inputs(home, { 'a.parquet': VEHICLES })
  mkdirSync(join(home.dir, 'out', 'metadata'), { recursive: true })
  writeFileSync(join(home.dir, 'out', 'metadata', 'v1.metadata.json'), '{}')
  await expect(home.run(PLAIN)).rejects.toMatchObject({ code: 'output/exists' })
  expect(visible(home)).toEqual(['metadata'])
})
