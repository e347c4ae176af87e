import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { memoryStorage } from '../../../lib/storage/memory.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { ReadAhead } from '../../../pipelines/batch/plan/read-ahead.ts'
import { type Lake, lake } from '../../helpers/lake.ts'

const VIN = { vin: { mode: 'deterministic' } }

async function inputs(home: Lake, count: number, rows: number): Promise<void> {
  mkdirSync(join(home.dir, 'in'))
  for (let i = 0; i < count; i++)
    await home.sql(
      `copy (select 'VIN' || ((i * 7 + ${i}) % 100) as vin, uuid()::varchar as note from range(${rows}) r(i))
       to '{dir}/in/${i}.parquet' (format parquet, row_group_size 2048)`,
    )
}

/** The disk, with what happens to reads of inputs. */
function reading(around: (location: string, read: () => Promise<Uint8Array>) => Promise<Uint8Array>): Storage {
  const disk = localStorage()
  const read: Storage['read'] = (location, options) =>
    location.includes('/in/') ? around(location, () => disk.read(location, options)) : disk.read(location, options)
  return { ...disk, read }
}

test('a plan reads a small file once, footer and dictionaries together', async () => {
  const home = await lake()
  await inputs(home, 40, 50)
  const reads = new Map<string, number>()
  const storage = reading((location, read) => {
    reads.set(location, (reads.get(location) ?? 0) + 1)
    return read()
  })
  expect(await home.plan({ columns: VIN }, {}, { storage })).toMatchObject({ files: 40, distinct: { values: 100 } })
  expect([...reads.values()]).toEqual(new Array(40).fill(1))
})

test('dictionaries of larger files are read side by side, and a plan is the same in whatever order they come', async () => {
  const home = await lake()
  await inputs(home, 6, 20_000)
  let [now, most] = [0, 0]
  const slow = reading(async (_, read) => {
    most = Math.max(most, ++now)
    await new Promise((done) => setTimeout(done, Math.random() * 20))
    return read().finally(() => now--)
  })
  const plan = await home.plan({ columns: VIN })
  expect(await home.plan({ columns: VIN }, {}, { storage: slow })).toEqual(plan)
  expect(most).toBeGreaterThan(6)
  most = 0
  await home.plan({ columns: VIN, set: ['limits.max_concurrency=3'] }, {}, { storage: slow })
  expect(most).toBe(3)
})

test('a read that fails ahead of its turn is the plan’s failure, with its own code', async () => {
  const home = await lake()
  await inputs(home, 3, 20_000)
  let left = 8
  const storage = reading(async (location, read) => {
    if (left-- > 0) return read()
    throw new PseudolakeError('storage/failed', `${location} cannot be read`, { location })
  })
  await expect(home.plan({ columns: VIN }, {}, { storage })).rejects.toMatchObject({
    code: 'storage/failed',
    context: { outcome: 'nothing-published' },
  })
})

test('what is held is bounded, answers parts of it, and is forgotten', async () => {
  const memory = memoryStorage()
  const object = await memory.create(
    '/a',
    Uint8Array.from({ length: 100 }, (_, i) => i),
  )
  let reads = 0
  const read: Storage['read'] = (...args) => {
    reads++
    return memory.read(...args)
  }
  const ahead = new ReadAhead({ ...memory, read }, 2, 50)
  ahead.start(object, [10, 50])
  ahead.start(object, [12, 20])
  // Too much to hold, and read when it is wanted.
  ahead.start(object, [60, 80])
  const part = (start: number, end: number) => ahead.storage.read('/a', { start, end, ifMatch: object.version })
  expect([...(await part(20, 23))]).toEqual([20, 21, 22])
  expect(reads).toBe(1)
  expect([...(await part(70, 72))]).toEqual([70, 71])
  expect([...(await part(48, 52))]).toEqual([48, 49, 50, 51])
  expect(reads).toBe(3)
  ahead.forget()
  await part(20, 23)
  expect(reads).toBe(4)
})
