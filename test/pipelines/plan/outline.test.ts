/** The plan that every run makes of the footers it opens anyway. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openParquet } from '../../../lib/parquet/open.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { type BatchJob, batchJob } from '../../../pipelines/batch/job.ts'
import { Outline } from '../../../pipelines/batch/plan/outline.ts'
import { Pool, poolOf } from '../../../pipelines/batch/plan/pool.ts'
import { shippedPrices } from '../../../pipelines/batch/plan/prices.ts'
import type { PlanAgainstActual } from '../../../pipelines/batch/report.ts'
import { shapeOf } from '../../../pipelines/batch/shape.ts'
import type { Target } from '../../../pipelines/batch/target.ts'
import { readBatchConfig } from '../../../pipelines/config/load.ts'
import { type Lake, lake } from '../../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }
const DRAWN = (rows: number, values: number) =>
  `select 'WVW' || lpad((hash(i) % ${values})::varchar, 14, '0') as vin, case when i % 4 = 0 then i end as n from range(${rows}) r(i)`

async function inputs(home: Lake, files: Record<string, string>, options = 'row_group_size 20000'): Promise<void> {
  mkdirSync(join(home.dir, 'in'), { recursive: true })
  for (const [name, select] of Object.entries(files))
    await home.sql(`copy (${select}) to '{dir}/in/${name}' (format parquet, ${options})`)
}

/** The collector, which Node shows only when asked to. */
const gc = (() => {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
})()

function jobOf({ dir }: Lake): BatchJob {
  const source = {
    job: 'test',
    input: { path: join(dir, 'in') },
    columns: VIN,
    service: { embedded: { keyring: 'none' } },
    output: { table: 'db.t', warehouse: '/warehouse' },
  }
  return batchJob(readBatchConfig(JSON.stringify(source)), '/')
}

/** A disk that counts what is read of inputs. */
function counting(): { readonly storage: Storage; readonly reads: () => number } {
  const storage = localStorage()
  let reads = 0
  const read: Storage['read'] = (location, options) => {
    if (location.includes('/in/')) reads++
    return storage.read(location, options)
  }
  return { storage: { ...storage, read }, reads: () => reads }
}

test('a run tells what its footers promised beside what came of it: files, rows, cells and nulls exactly', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(['a', 'b', 'c'].map((name) => [`${name}.parquet`, DRAWN(40_000, 500)])))
  const job = { columns: { ...VIN, n: { mode: 'drop' } }, set: ['commit.max_files=2'] }
  const planned = await home.plan(job)
  const plan = (await home.run(job)).plan as PlanAgainstActual
  expect(plan).toMatchObject({
    basis: 'footers',
    files: { planned: 3, actual: 3 },
    rows: { planned: 120_000, actual: 120_000 },
    distinct: { at_most: 120_000, actual: 500, quality: 'guessed' },
    requests: { actual: 2, quality: 'guessed' },
    bytes_out: { quality: 'guessed' },
    seconds: { quality: 'guessed' },
    cost: { currency: 'USD', prices_of: shippedPrices().date },
    columns: [
      {
        column: 'vin',
        action: 'replaced',
        as: 's_vin',
        cells: { planned: 120_000, actual: 120_000 },
        nulls: { planned: 0, actual: 0 },
      },
      {
        column: 'n',
        action: 'dropped',
        chunks: [],
        cells: { planned: 120_000, actual: null },
        nulls: { planned: 90_000, actual: null },
      },
    ],
  })
  // What happens to which chunk, and why, is no guess.
  expect(plan.columns.map(({ chunks }) => chunks)).toEqual(planned.columns.map(({ chunks }) => chunks))
})

test('nothing is read for it: a step’s inputs are opened once before its first file is written', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': DRAWN(40_000, 500), 'b.parquet': DRAWN(40_000, 500) })
  const opening = counting()
  for (const name of ['a', 'b'])
    await openParquet(opening.storage, await opening.storage.stat(join(home.dir, 'in', `${name}.parquet`)))
  const { storage, reads } = counting()
  let before = 0
  const meanwhile = async () => {
    before = reads()
  }
  const { plan } = await home.run({ columns: VIN }, {}, { storage, meanwhile })
  expect(plan?.rows.planned).toBe(80_000)
  expect(before).toBe(opening.reads())
})

test.each(['uncompressed', 'snappy', 'zstd'])(
  'distinct values, requests and sizes are guessed from %s chunks that draw from one pool',
  async (codec) => {
    const home = await lake()
    const files = { 'a.parquet': DRAWN(100_000, 3000), 'b.parquet': DRAWN(100_000, 3000) }
    await inputs(home, files, `row_group_size 50000, codec '${codec}'`)
    const plan = (await home.run({ columns: VIN })).plan as PlanAgainstActual
    for (const part of ['distinct', 'identifiers', 'requests', 'bytes_out'] as const) {
      const { planned, actual } = plan[part]
      expect(planned / actual, part).toBeGreaterThan(0.75)
      expect(planned / actual, part).toBeLessThan(1.33)
    }
  },
)

test('values that never come twice are as many as their cells, in a dictionary or without', async () => {
  const home = await lake()
  const unique = (from: number) =>
    `select 'WVW' || lpad(i::varchar, 14, '0') as vin from range(${from}, ${from + 20_000}) r(i)`
  await inputs(home, { 'a.parquet': unique(0), 'b.parquet': unique(20_000) }, 'row_group_size 10000')
  const { distinct } = (await home.run({ columns: VIN })).plan as PlanAgainstActual
  expect(distinct.actual).toBe(40_000)
  expect(distinct.planned / 40_000).toBeGreaterThan(0.9)
  expect(distinct.at_most).toBe(40_000)
})

test('cells of mode random are known, as they are all sent', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': DRAWN(5000, 50) })
  const { plan } = await home.run({ columns: { vin: { mode: 'random' } } })
  expect(plan).toMatchObject({
    distinct: { planned: 5000, actual: 5000 },
    // The key check is one of them.
    identifiers: { planned: 5001, actual: 5001, quality: 'exact' },
    requests: { planned: 7, actual: 7 },
  })
})

test('a value that names a folder is counted as it is sent', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (const folder of ['vin=A', 'vin=B']) {
    mkdirSync(join(home.dir, 'in', folder))
    await home.sql(`copy (select 1 as n) to '{dir}/in/${folder}/x.parquet'`)
  }
  const { plan } = await home.run({ columns: VIN })
  expect(plan).toMatchObject({
    distinct: { planned: 2, actual: 2, quality: 'exact' },
    identifiers: { planned: 3, actual: 3 },
    columns: [
      { column: 'n', chunks: [{ action: 'copy', chunks: 2 }] },
      {
        column: 'vin',
        action: 'replaced',
        chunks: [{ action: 'constant', chunks: 2 }],
        cells: { planned: 2, actual: 2 },
      },
    ],
  })
})

test('a run that finds nothing to do planned nothing; one that is planned first says by what', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': DRAWN(1000, 50) })
  expect((await home.run({ columns: VIN }, { plan: shippedPrices() })).plan).toMatchObject({
    basis: 'dictionaries',
    distinct: { planned: 50, actual: 50, quality: 'exact' },
    bytes_out: { quality: 'estimated' },
  })
  expect((await home.run({ columns: VIN })).plan).toMatchObject({
    basis: 'footers',
    files: { planned: 0, actual: 0 },
    requests: { planned: 1, actual: 1 },
    columns: [],
  })
})

test('a step that the gate refuses was planned, and came to nothing', async () => {
  const home = await lake()
  // An identifier hides in a copied column of the second step.
  const hiding = `select vin, vin as note from (${DRAWN(100, 50)})`
  await inputs(home, { 'a.parquet': `select vin, 'x' || n as note from (${DRAWN(100, 50)})`, 'b.parquet': hiding })
  const report = await home.run({ columns: VIN, set: ['commit.max_files=1'] })
  expect(report).toMatchObject({ status: 'gate-failed', files: 1, rows: 100 })
  expect(report.plan).toMatchObject({ files: { planned: 2, actual: 1 }, rows: { planned: 200, actual: 100 } })
})

test('of footers nothing is kept: twenty thousand of them leave the heap as one does', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': DRAWN(100, 50) })
  const storage = localStorage()
  const object = await storage.stat(join(home.dir, 'in', 'a.parquet'))
  const [job, target] = [jobOf(home), { properties: {}, location: '/t', metadata: undefined } as unknown as Target]
  const outline = new Outline(job, target)
  const add = async () => {
    const file = await openParquet(storage, object)
    const input = { object, partitions: [] }
    await outline.add(file, input, shapeOf(file, input, job, undefined))
  }
  const heap = () => {
    gc()
    return process.memoryUsage().heapUsed
  }
  for (let i = 0; i < 2000; i++) await add()
  const before = heap()
  for (let i = 0; i < 18_000; i++) await add()
  expect(outline.plan(shippedPrices())).toMatchObject({ files: 20_000, rows: 2_000_000 })
  expect(heap() - before).toBeLessThan(4 << 20)
}, 120_000)

test('a pool is found again from what was drawn of it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 5_000_000 }), (size, cells) => {
      const distinct = size * -Math.expm1(-cells / size)
      fc.pre(distinct < cells * 0.999)
      expect(poolOf(cells, distinct) / size).toBeCloseTo(1, 1)
    }),
  )
  expect(poolOf(10, 10)).toBe(Number.POSITIVE_INFINITY)
  expect(poolOf(10, 0)).toBe(0)
})

test('no guess is more than the chunks have together, or less than the largest has', () => {
  const chunk = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.double({ min: 0, max: 1, noNaN: true }))
  fc.assert(
    fc.property(fc.array(chunk, { minLength: 1, maxLength: 20 }), (chunks) => {
      const pool = new Pool()
      const counts = chunks.map(([cells, share]) => [cells, Math.max(1, Math.round(cells * share))] as const)
      for (const [cells, distinct] of counts) pool.add(cells, distinct)
      const largest = counts.reduce((a, b) => (b[0] > a[0] ? b : a))
      expect(pool.distinct).toBeLessThanOrEqual(counts.reduce((sum, [, distinct]) => sum + distinct, 0))
      expect(pool.distinct).toBeGreaterThanOrEqual(largest[1])
    }),
  )
})
