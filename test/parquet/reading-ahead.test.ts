import { expect, test } from 'vitest'
import { readingAhead } from '../../lib/parquet/reading-ahead.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ReadOptions, Storage } from '../../lib/storage/storage.ts'

const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2654435761) >>> 24)
const BYTES = { bytes: 40_000 }

async function late() {
  const memory = memoryStorage()
  const object = await memory.create('memory:/x', bytes)
  const seen = { reads: [] as [number, number][], now: 0, most: 0 }
  const storage: Storage = {
    ...memory,
    reads: () => ({ gapBytes: 0, requestBytes: 10_000, underWay: 4, aheadBytes: 1 << 20 }),
    async read(location, options: ReadOptions = {}) {
      seen.reads.push([options.start ?? 0, options.end ?? 0])
      seen.most = Math.max(seen.most, ++seen.now)
      await new Promise((resolve) => setImmediate(resolve))
      seen.now--
      return memory.read(location, options)
    },
  }
  return { storage, object, seen }
}

test('readers that take turns find what they ask for under way, each byte fetched once', async () => {
  const { storage, object, seen } = await late()
  const ranges = Array.from({ length: 20 }, (_, i) => [i * 5000, i * 5000 + 100] as const)
  const ahead = readingAhead(storage, [{ object, ranges }], BYTES)
  expect(ahead.reads?.(object.location)).toBeUndefined()
  for (const [start, end] of ranges)
    expect(await ahead.read(object.location, { start, end, ifMatch: object.version })).toEqual(
      bytes.subarray(start, end),
    )
  expect(seen.reads).toEqual(ranges)
  expect(seen.most).toBe(4)
})

test('reads beside each other do not get each other’s bytes, in memory of their own or not', async () => {
  const { storage, object } = await late()
  const ahead = readingAhead(storage, [{ object, ranges: [[0, 100_000]] }], BYTES)
  const asked = Array.from({ length: 50 }, (_, i) => ({ start: i * 1900, end: i * 1900 + 3000 }))
  const found = await Promise.all(
    asked.map((range, i) =>
      ahead.read(object.location, {
        ...range,
        ifMatch: object.version,
        ...(i % 2 === 0 && { into: new Uint8Array(3000) }),
      }),
    ),
  )
  for (const [i, { start, end }] of asked.entries())
    expect(Buffer.compare(found[i] as Uint8Array, bytes.subarray(start, end))).toBe(0)
})

test('another version, another object and a whole one are asked for as they are', async () => {
  const { storage, object } = await late()
  await storage.create('memory:/y', bytes.subarray(0, 10))
  const ahead = readingAhead(storage, [{ object, ranges: [[0, 100]] }], BYTES)
  expect(await ahead.read('memory:/y')).toHaveLength(10)
  expect(await ahead.read(object.location)).toHaveLength(bytes.length)
  const other = { start: 0, end: 10, ifMatch: 'other' as typeof object.version }
  await expect(ahead.read(object.location, other)).rejects.toMatchObject({ code: 'storage/changed' })
  expect(await ahead.read(object.location, { start: 99_990, end: 200_000, ifMatch: object.version })).toHaveLength(10)
})

test('on a disk it is the storage itself', async () => {
  const storage = memoryStorage()
  const object = await storage.create('memory:/x', bytes)
  expect(readingAhead(storage, [{ object, ranges: [[0, 100]] }], BYTES)).toBe(storage)
})
