import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { BatchPlan } from '../../../pipelines/batch/plan/document.ts'
import { shippedPrices } from '../../../pipelines/batch/plan/prices.ts'
import { type Lake, lake } from '../../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }
const VEHICLES = `select 'd' || (i % 5) as dept, case when i % 7 = 0 then null when i % 11 = 0 then '' else 'VIN' || (i % 40) end as vin, i as n from range(1000) r(i)`

async function inputs(home: Lake, files: Record<string, string>, options = 'row_group_size 200'): Promise<void> {
  for (const [name, select] of Object.entries(files)) {
    const path = join(home.dir, 'in', name)
    mkdirSync(join(path, '..'), { recursive: true })
    await home.sql(`copy (${select}) to '${path}' (format parquet, ${options})`)
  }
}

/** Every file and folder below, with what would change by writing to it. */
function tree(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => `${name} ${statSync(join(dir, name)).size} ${statSync(join(dir, name)).mtimeMs}`)
    .sort()
}

/** Fails at whatever changes something. */
function readOnly(): Storage {
  const storage = localStorage()
  const refuse = () => {
    throw new Error('a plan wrote something')
  }
  return { ...storage, create: refuse, replace: refuse, write: refuse, delete: refuse }
}

test('a plan writes nothing: no file, no folder, no table', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  const before = tree(home.dir)
  const plan = await home.plan({ columns: VIN }, {}, { storage: readOnly() })
  expect(tree(home.dir)).toEqual(before)
  expect(plan).toMatchObject({ status: 'planned', files: 2, rows: 2000, steps: 1, row_groups: expect.any(Number) })
  // The same for a table that is there and has a ledger.
  await home.run({ columns: VIN })
  const after = tree(home.dir)
  expect(await home.plan({ columns: VIN }, {}, { storage: readOnly() })).toMatchObject({
    status: 'nothing-to-do',
    files: 0,
    skipped_files: 2,
    bytes_out: 0,
    creates: { table: false, database: false, data_files: 0, snapshots: 0, properties: [] },
  })
  expect(tree(home.dir)).toEqual(after)
})

test('the only request of a plan is the key check', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const sent: (readonly string[])[] = []
  const heard = {
    client: {
      call: async ({ values }: { readonly values: readonly string[] }) => {
        sent.push(values)
        // Form and length are those of a pseudonym; nobody takes it back.
        return { values: values.map(() => `p2.abcd.${'A'.repeat(64)}`) }
      },
    },
    stats: () => {
      throw new Error('not asked for')
    },
    close: async () => {},
  }
  const plan = await home.plan({ columns: VIN }, {}, { connect: async () => heard })
  expect(sent).toEqual([['pseudolake key check']])
  expect(plan.service).toMatchObject({ key_check: 'passed', key_checks: 1, requests: 2 })
})

test('what is planned is what comes of it', async () => {
  const home = await lake()
  const rows = `select 'WVW' || lpad((i * 7919 % 3000)::varchar, 14, '0') as vin, 'o' || (i % 17) as owner, uuid()::varchar as note, i as n from range(20000) r(i)`
  await inputs(home, { 'a.parquet': rows, 'b.parquet': rows }, 'row_group_size 5000')
  const job = { columns: { ...VIN, owner: { mode: 'deterministic' }, note: { mode: 'drop' } } }
  const plan = await home.plan(job)
  const report = await home.run(job)
  expect(plan.distinct).toEqual({ values: report.distinct, at_most: report.distinct, quality: 'exact' })
  expect(plan.service).toMatchObject({
    requests: report.service.requests,
    identifiers: report.service.identifiers,
  })
  expect([plan.files, plan.rows, plan.steps]).toEqual([report.files, report.rows, report.commits])
  expect(plan.bytes_in).toBe(report.bytes_in)
  expect(plan.bytes_out / report.bytes_out).toBeGreaterThan(0.95)
  expect(plan.bytes_out / report.bytes_out).toBeLessThan(1.05)
  expect(plan.columns.map(({ column, action, as }) => [column, action, as])).toEqual(
    report.columns.map(({ column, action, as }) => [column, action, as]),
  )
  for (const [i, column] of plan.columns.entries())
    if (column.action !== 'dropped') expect(column).toMatchObject({ cells: 40_000, nulls: report.columns[i]?.nulls })
})

test('each column says what happens to it, and how many chunks are treated how and why', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const [dept, vin, n] = (await home.plan({ columns: { ...VIN, n: { mode: 'drop' } } })).columns
  expect(dept).toMatchObject({ column: 'dept', action: 'copied', as: 'dept', type: 'string', cells: 1000, nulls: 0 })
  expect(dept?.chunks).toEqual([
    { action: 'copy', why: 'not protected', chunks: expect.any(Number), bytes_in: expect.any(Number) },
  ])
  expect(vin).toMatchObject({
    action: 'replaced',
    as: 's_vin',
    type: 'string',
    mode: 'deterministic',
    nulls: 143,
    distinct: { values: 40, at_most: 40, quality: 'exact' },
  })
  expect(vin?.chunks).toMatchObject([{ action: 'swap-dictionary', why: 'its values are in a dictionary' }])
  expect(n).toMatchObject({ column: 'n', action: 'dropped', chunks: [], cells: 1000 })
})

test('the plan shows how many distinct values normalization merges, nulls and empties aside', async () => {
  const home = await lake()
  await inputs(home, {
    'a.parquet': `select * from (values ('ab'), (' ab'), ('AB'), ('cd'), (''), (' '), ('none'), (null)) v(vin)`,
  })
  const job = { columns: { vin: { mode: 'deterministic', normalize: ['trim', 'upper'], null_values: ['none'] } } }
  const plan = await home.plan(job)
  expect(plan.columns[0]).toMatchObject({
    distinct: { values: 2, quality: 'exact' },
    merged: { values: 2, quality: 'exact' },
  })
  expect((await home.plan({ columns: VIN })).columns[0]?.merged).toBeUndefined()
  expect((await home.run(job)).distinct).toBe(2)
})

test('equal values of two columns of one domain are sent once, those of two domains twice', async () => {
  const home = await lake(['default', 'other'])
  await inputs(home, { 'a.parquet': `select 'v' || (i % 50) as a, 'v' || (i % 50) as b from range(500) r(i)` })
  const one = await home.plan({ columns: { a: { mode: 'deterministic' }, b: { mode: 'deterministic' } } })
  expect(one.distinct.values).toBe(50)
  expect(one.columns.map(({ distinct }) => distinct?.values)).toEqual([50, 50])
  const two = await home.plan({
    columns: { a: { mode: 'deterministic' }, b: { mode: 'deterministic', domain: 'other' } },
  })
  expect(two.distinct.values).toBe(100)
  expect(two.service).toMatchObject({ key_checks: 2, identifiers: 102 })
})

test('cells of mode random are all sent, and partitions that are protected too', async () => {
  const home = await lake()
  await inputs(home, { 'region=eu/a.parquet': VEHICLES, 'region=us/b.parquet': VEHICLES })
  const job = { columns: { vin: { mode: 'random' }, region: { mode: 'deterministic' } } }
  const plan = await home.plan(job)
  const report = await home.run(job)
  // Every row that is not null counts: whether it is empty, only its page says.
  expect(plan.service.identifiers).toBeGreaterThanOrEqual(report.service.identifiers)
  expect(plan.distinct).toEqual({ values: 2, at_most: 2, quality: 'exact' })
  expect(plan.columns.find(({ column }) => column === 'region')).toMatchObject({
    action: 'replaced',
    chunks: [{ action: 'constant' }],
    cells: 2000,
    distinct: { values: 2 },
  })
})

test('what will be created is listed, and what is there is not', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const { creates } = await home.plan({ columns: VIN })
  expect(creates).toEqual({
    table: true,
    database: true,
    columns: [
      { name: 'dept', type: 'string' },
      { name: 's_vin', type: 'string' },
      { name: 'n', type: 'long' },
    ],
    properties: [
      'pseudolake.column.s_vin',
      'pseudolake.columns',
      'pseudolake.job.test',
      'write.metadata.metrics.column.s_vin',
    ],
    data_files: 1,
    snapshots: 1,
  })
  await home.run({ columns: VIN })
  const { metadata } = await import('../../../lib/iceberg/open.ts').then(({ openTable }) =>
    openTable(localStorage(), home.table),
  )
  for (const name of creates.properties) expect(metadata.properties).toHaveProperty([name])
  await inputs(home, { 'b.parquet': VEHICLES })
  expect((await home.plan({ columns: VIN })).creates).toEqual({
    table: false,
    database: false,
    columns: [],
    properties: [],
    data_files: 1,
    snapshots: 1,
  })
})

test('a plan stops where the run would: another key, another column', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  await inputs(home, { 'b.parquet': VEHICLES })
  const other = (await lake()).keyring
  await expect(home.plan({ columns: VIN, set: [`service.embedded.keyring=${other}`] })).rejects.toMatchObject({
    code: 'table/key-changed',
  })
  await expect(home.plan({ columns: { ...VIN, dept: { mode: 'drop' } } })).rejects.toMatchObject({
    code: 'table/schema-changed',
  })
  await inputs(home, { 'c.parquet': 'select 1 as other' })
  await expect(home.plan({ columns: VIN })).rejects.toMatchObject({ code: 'input/column-missing' })
})

test('without a service to ask the plan goes on, and says so', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const connect = async () => {
    throw new PseudolakeError('service/unavailable', 'nobody there', {})
  }
  const plan = await home.plan({ columns: VIN }, {}, { connect })
  expect(plan).toMatchObject({ status: 'planned', rows: 1000, service: { key_check: 'not-reached' } })
  expect(plan.notes.join()).toContain('the service was not reached')
  const denied = async () => {
    throw new PseudolakeError('service/denied', 'who are you', {})
  }
  await expect(home.plan({ columns: VIN }, {}, { connect: denied })).rejects.toMatchObject({ code: 'service/denied' })
})

test('a run that was planned first holds the plan against what came of it', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const { plan } = await home.run({ columns: VIN }, { plan: shippedPrices() })
  expect(plan).toMatchObject({
    files: { planned: 1, actual: 1 },
    rows: { planned: 1000, actual: 1000 },
    distinct: { planned: 40, actual: 40, quality: 'exact' },
    requests: { planned: 2, actual: 2 },
    identifiers: { planned: 41, actual: 41 },
    bytes_out: { planned: expect.any(Number), actual: expect.any(Number) },
    seconds: { planned: expect.any(Number), actual: expect.any(Number) },
    cost: { currency: 'USD', prices_of: '2026-11-23' },
  })
})

test('beyond its bound the plan reads dictionaries only, and calls the rest an upper bound', async () => {
  const home = await lake()
  // Values that fill the dictionary many times over: the rest of each chunk is plain, and more than a plan reads.
  await inputs(
    home,
    { 'a.parquet': `select repeat(md5(i::varchar), 16) as vin from range(160000) r(i)` },
    `row_group_size 160000, codec 'uncompressed'`,
  )
  let read = 0
  const storage = localStorage()
  const counting: Storage = {
    ...storage,
    read: async (location, options) => {
      const bytes = await storage.read(location, options)
      read += bytes.length
      return bytes
    },
  }
  const plan = await home.plan({ columns: VIN }, {}, { storage: counting })
  expect(plan.bytes_in).toBeGreaterThan(64 << 20)
  expect(read).toBeLessThan(plan.bytes_in / 2)
  expect(plan.distinct.quality).toBe('at-most')
  expect(plan.distinct.at_most).toBeGreaterThanOrEqual(160_000)
})

test('the plan holds no value of a column', async () => {
  const home = await lake()
  await inputs(home, { 'vin=SECRETFOLDER/a.parquet': `select 'SECRETCELL' || i as owner from range(100) r(i)` })
  const plan: BatchPlan = await home.plan({ columns: { ...VIN, owner: { mode: 'deterministic' } } })
  expect(plan.distinct.values).toBe(101)
  expect(JSON.stringify(plan)).not.toContain('SECRET')
})
