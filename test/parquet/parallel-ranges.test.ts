import fc from 'fast-check'
import { expect, test } from 'vitest'
import { requests } from '../../lib/parquet/parallel-ranges.ts'
import { aheadReader, rangeReader } from '../../lib/parquet/ranges.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ReadOptions, ReadShape, Storage, StoredObject } from '../../lib/storage/storage.ts'

const SIZE = 300_000
const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 24)
const SHAPE: ReadShape = { gapBytes: 500, requestBytes: 10_000, underWay: 4, aheadBytes: 40_000 }

const same = (found: Uint8Array, at: number) => Buffer.compare(found, bytes.subarray(at, at + found.length)) === 0

/** A storage of late answers, which counts what is under way. */
async function late(shape = SHAPE) {
  const memory = memoryStorage()
  const object = await memory.create('memory:/x', bytes)
  const seen = { reads: [] as [number, number][], now: 0, most: 0, bytes: 0, mostBytes: 0 }
  const storage: Storage = {
    ...memory,
    reads: () => shape,
    async read(location, options: ReadOptions = {}) {
      const { start = 0, end = 0 } = options
      expect(options.ifMatch).toBe(object.version)
      seen.reads.push([start, end])
      seen.most = Math.max(seen.most, ++seen.now)
      seen.bytes += end - start
      seen.mostBytes = Math.max(seen.mostBytes, seen.bytes)
      await new Promise((resolve) => setImmediate(resolve))
      seen.now--
      seen.bytes -= end - start
      return memory.read(location, options)
    },
  }
  return { storage, object: object as StoredObject, seen }
}

test('the first requests are small, so that there is something to do while the next are under way', () => {
  const MB = 2 ** 20
  const sizes = requests([[0, 40 * MB]], { gapBytes: 0, requestBytes: 8 * MB }).map(
    ({ start, end }) => (end - start) / MB,
  )
  expect(sizes).toEqual([1, 2, 4, 8, 8, 8, 8, 1])
})

test('what one request fetches: near ranges together, none larger than it may be, in the order of reading', () => {
  const plan = (ranges: [number, number][]) => requests(ranges, SHAPE).map(({ start, end }) => [start, end])
  expect(plan([])).toEqual([])
  expect(plan([[5, 5]])).toEqual([])
  expect(
    plan([
      [0, 100],
      [100, 300],
      [700, 900],
    ]),
  ).toEqual([[0, 900]])
  expect(
    plan([
      [0, 100],
      [700, 900],
    ]),
  ).toEqual([
    [0, 100],
    [700, 900],
  ])
  expect(plan([[0, 25_000]])).toEqual([
    [0, 10_000],
    [10_000, 20_000],
    [20_000, 25_000],
  ])
  // A later range that stands earlier in the file is read later.
  expect(
    plan([
      [5000, 6000],
      [0, 100],
    ]),
  ).toEqual([
    [5000, 6000],
    [0, 100],
  ])
})

test('whatever is asked for in whatever order is what is there', async () => {
  const range = fc.tuple(fc.nat({ max: SIZE - 1 }), fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 60_000 })))
  await fc.assert(
    fc.asyncProperty(
      fc.array(range, { maxLength: 20 }),
      fc.array(fc.tuple(fc.boolean(), range), { minLength: 1, maxLength: 20 }),
      fc.record({
        gapBytes: fc.nat({ max: 2000 }),
        requestBytes: fc.integer({ min: 1000, max: 20_000 }),
        underWay: fc.integer({ min: 1, max: 6 }),
        aheadBytes: fc.nat({ max: 50_000 }),
      }),
      async (needed, asked, shape) => {
        const { storage, object } = await late(shape)
        const ranges = needed.map(([start, length]) => [start, Math.min(SIZE, start + length)] as const)
        const reader = rangeReader(storage, object, ranges)
        let at = 0
        for (const [jump, [to, length]] of asked) {
          if (jump) at = to
          const end = Math.min(SIZE, at + length)
          expect(Buffer.compare(await reader.read(at, end), bytes.subarray(at, end))).toBe(0)
          at = end === SIZE ? 0 : end
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('who reads on finds the next requests under way, no more of them than there may be, and no byte twice', async () => {
  const { storage, object, seen } = await late()
  const reader = rangeReader(storage, object, [[0, SIZE]])
  for (let at = 0; at < SIZE; at += 999) await reader.read(at, Math.min(SIZE, at + 999))
  expect(seen.reads).toHaveLength(SIZE / SHAPE.requestBytes)
  expect(seen.most).toBeGreaterThan(1)
  expect(seen.most).toBeLessThanOrEqual(SHAPE.underWay)
  expect(seen.mostBytes).toBeLessThanOrEqual(SHAPE.aheadBytes)
})

test('who looks ahead of a reader finds what the reader will find: no byte is fetched twice, and no more is held', async () => {
  const { storage, object, seen } = await late()
  const reader = aheadReader(storage, object, [[0, SIZE]])
  if (!reader) throw new Error('there is none')
  for (let at = 0, looked = 0; at < SIZE; at += 1000) {
    for (; looked < SIZE && reader.reaches(Math.min(SIZE, looked + 1000)); looked += 1000)
      expect(same(await reader.look(looked, looked + 1000), looked)).toBe(true)
    expect(looked).toBeGreaterThan(at)
    expect(looked - at).toBeLessThanOrEqual(SHAPE.aheadBytes)
    expect(same(await reader.read(at, at + 1000), at)).toBe(true)
  }
  expect(seen.reads).toHaveLength(SIZE / SHAPE.requestBytes)
  expect(seen.mostBytes).toBeLessThanOrEqual(SHAPE.aheadBytes)
})

test('a look at what cannot be held yet, or is not needed, is a request of its own, and takes nothing from the reader', async () => {
  const { storage, object, seen } = await late()
  const needed = [0, 100_000] as const
  const reader = aheadReader(storage, object, [needed])
  if (!reader) throw new Error('there is none')
  for (const at of [90_000, 200_000]) {
    expect(reader.reaches(at + 10)).toBe(false)
    expect(same(await reader.look(at, at + 10), at)).toBe(true)
  }
  expect(seen.reads).toEqual([
    [90_000, 90_010],
    [200_000, 200_010],
  ])
  for (let at = 0; at < needed[1]; at += 5000) await reader.read(at, at + 5000)
  expect(seen.reads).toHaveLength(2 + 10)
})

test('small ranges that are far from each other are under way together', async () => {
  const { storage, object, seen } = await late()
  const ranges = Array.from({ length: 20 }, (_, i) => [i * 10_000, i * 10_000 + 50] as const)
  const reader = rangeReader(storage, object, ranges)
  for (const [start, end] of ranges) await reader.read(start, end)
  expect(seen.reads).toEqual(ranges)
  expect(seen.most).toBe(SHAPE.underWay)
})

test('nothing is fetched that is not needed, but for the gaps', async () => {
  const { storage, object, seen } = await late()
  const reader = rangeReader(storage, object, [
    [1000, 2000],
    [2400, 3000],
    [90_000, 90_100],
  ])
  await reader.read(1000, 1500)
  await reader.read(90_000, 90_100)
  expect(seen.reads).toEqual([
    [1000, 3000],
    [90_000, 90_100],
  ])
})

test('a failure of what was read ahead is told to whoever comes for it, and to nobody else', async () => {
  const { storage, object } = await late()
  const failing: Storage = {
    ...storage,
    read: async (location, options) => {
      if (options?.start === 20_000) throw new Error('gone')
      return storage.read(location, options)
    },
  }
  const reader = rangeReader(failing, object, [[0, SIZE]])
  await reader.read(0, 20_000)
  await expect(reader.read(20_000, 20_001)).rejects.toThrow('gone')
  expect(Buffer.compare(await reader.read(30_000, 30_010), bytes.subarray(30_000, 30_010))).toBe(0)
})

test('a run that is told to stop begins no more reads', async () => {
  const { storage, object, seen } = await late()
  const stop = new AbortController()
  const reader = rangeReader(storage, object, [[0, SIZE]], stop.signal)
  await reader.read(0, 10)
  const before = seen.reads.length
  stop.abort(new Error('stop'))
  await expect(reader.read(10, 20)).rejects.toThrow('stop')
  expect(seen.reads).toHaveLength(before)
})

test('who reads what is there already lets the connections have their turn', async () => {
  const { storage, object } = await late({ ...SHAPE, requestBytes: SIZE, aheadBytes: SIZE })
  const reader = rangeReader(storage, object, [[0, SIZE]])
  await reader.read(0, SIZE)
  const held = storage.read
  storage.read = () => expect.unreachable('all of it is held')
  let turns = 0
  const turned = () => {
    turns++
    waiting = setImmediate(turned)
  }
  let waiting = setImmediate(turned)
  for (let i = 0; i < 10; i++) await reader.read(0, SIZE)
  clearImmediate(waiting)
  storage.read = held
  expect(turns).toBeGreaterThanOrEqual(3)
})
