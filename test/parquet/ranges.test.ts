import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rangeReader, WINDOW_BYTES } from '../../lib/parquet/ranges.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ReadOptions, Storage } from '../../lib/storage/storage.ts'

const SIZE = 5 * WINDOW_BYTES + 12_345
const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 24)

async function object(storage: Storage) {
  return storage.create('memory:/x', bytes)
}

/** A storage that answers a turn later, and into memory of its own where it is told to. */
function slow(own: boolean) {
  const storage = memoryStorage()
  const reads: { start: number; end: number }[] = []
  const read = async (location: string, { into, ...options }: ReadOptions = {}) => {
    reads.push({ start: options.start ?? 0, end: options.end ?? 0 })
    await new Promise((resolve) => setImmediate(resolve))
    return storage.read(location, own || !into ? options : { ...options, into })
  }
  return { storage: { ...storage, read }, reads }
}

test.each([
  ['memory that it is given', false],
  ['memory of its own', true],
])('whatever is asked for in whatever order is what is there: a storage with %s', async (_, own) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.boolean(), fc.nat({ max: SIZE - 1 }), fc.oneof(fc.nat({ max: 3000 }), fc.nat({ max: 3 << 20 }))),
        { minLength: 1, maxLength: 12 },
      ),
      async (asked) => {
        const { storage } = slow(own)
        const reader = rangeReader(storage, await object(storage), [[0, SIZE]])
        let at = 0
        for (const [jump, to, length] of asked) {
          if (jump) at = to
          const end = Math.min(SIZE, at + length + 1)
          const found = await reader.read(at, end)
          expect(found.length).toBe(end - at)
          expect(Buffer.compare(found, bytes.subarray(at, end))).toBe(0)
          at = end === SIZE ? 0 : end
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('who reads on and on causes one read for each window, and finds the next one under way', async () => {
  const { storage, reads } = slow(false)
  const reader = rangeReader(storage, await object(storage), [[0, SIZE]])
  for (let at = 0; at < SIZE; at += 100_003) await reader.read(at, Math.min(SIZE, at + 100_003))
  // The second window began where a piece was cut; nothing else is read twice.
  const all = reads.reduce((sum, { start, end }) => sum + end - start, 0)
  expect(all - SIZE).toBeLessThan(100_003)
  expect(reads.length).toBeLessThanOrEqual(7)
})

test('nothing behind what is needed is read', async () => {
  const { storage, reads } = slow(false)
  const reader = rangeReader(storage, await object(storage), [[1000, 2 * WINDOW_BYTES + 5]])
  for (let at = 1000; at < 2 * WINDOW_BYTES; at += 50_000)
    await reader.read(at, Math.min(2 * WINDOW_BYTES, at + 50_000))
  expect(Math.max(...reads.map(({ end }) => end))).toBe(2 * WINDOW_BYTES + 5)
})

test('a failure of what was read ahead is told to whoever comes for it, and to nobody else', async () => {
  const { storage } = slow(false)
  const stored = await object(storage)
  let fail = false
  const failing: Storage = {
    ...storage,
    read: async (location, options) => {
      if (fail) throw new Error('gone')
      return storage.read(location, options)
    },
  }
  const reader = rangeReader(failing, stored, [[0, SIZE]])
  await reader.read(0, 1000)
  await reader.read(WINDOW_BYTES - 10, WINDOW_BYTES)
  fail = true
  await reader.read(WINDOW_BYTES, WINDOW_BYTES + 10).catch(() => {})
  await new Promise((resolve) => setTimeout(resolve, 5))
  await expect(reader.read(3 * WINDOW_BYTES, 3 * WINDOW_BYTES + 10)).rejects.toThrow('gone')
  fail = false
  expect(Buffer.compare(await reader.read(5, 50), bytes.subarray(5, 50))).toBe(0)
})
