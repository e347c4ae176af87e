import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Output } from '../../lib/parquet/output.ts'
import type { PlannedChunk } from '../../lib/parquet/plan.ts'
import { Provenance } from '../../lib/parquet/provenance.ts'
import { rangeReader } from '../../lib/parquet/ranges.ts'
import { neededRanges } from '../../lib/parquet/row-group.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ObjectWriter } from '../../lib/storage/storage.ts'
import { checkSample } from '../../pipelines/batch/gate/ranges.ts'

const SIZE = 200_000
const input = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 24)
const LEAST = 5000
const LEAD = 2000

/** Takes copies as S3 does: none without a lead, unless it is the first. */
function copier(takes: boolean) {
  const parts: Uint8Array[] = []
  let pending = 0
  let copied = 0
  const length = () => parts.reduce((sum, part) => sum + part.length, 0)
  const writer: ObjectWriter = {
    get bytes() {
      return length()
    },
    async write(part) {
      parts.push(new Uint8Array(part))
      pending += part.length
    },
    get copying() {
      return {
        leastBytes: LEAST,
        leadBytes: pending === 0 ? 0 : Math.max(0, LEAD - pending),
        async copy(_: unknown, start: number, end: number) {
          expect(pending === 0 || pending >= LEAD).toBe(true)
          expect(end - start).toBeGreaterThanOrEqual(LEAST - LEAD)
          if (!takes) return false
          parts.push(input.slice(start, end))
          pending = 0
          copied += end - start
          return true
        },
      }
    },
    close: () => Promise.reject(new Error('not here')),
    abort: async () => {},
  }
  return { writer, bytes: () => Buffer.concat(parts), copied: () => copied }
}

test.each([
  ['copies', true],
  ['was asked to copy and does not', false],
])('whatever is written and copied comes out in its order, with a storage that %s', async (_, takes) => {
  const storage = memoryStorage()
  const object = await storage.create('memory:/x', input)
  let moved = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.record({ write: fc.nat({ max: 4000 }) }),
          fc.record({
            copy: fc.nat({ max: SIZE - 1 }),
            bytes: fc.oneof(fc.nat({ max: 3000 }), fc.nat({ max: 40_000 })),
          }),
          fc.record({ on: fc.nat({ max: 20_000 }) }),
        ),
        { maxLength: 15 },
      ),
      async (steps) => {
        const { writer, bytes, copied } = copier(takes)
        const provenance = new Provenance(3)
        const source = rangeReader(storage, object, [])
        const out = new Output(writer, provenance, object)
        const wanted: Uint8Array[] = []
        let at = 0
        for (const step of steps) {
          const begin = out.position
          if ('write' in step) {
            const made = new Uint8Array(step.write).fill(7)
            await out.write(made)
            wanted.push(made)
          } else {
            const start = 'copy' in step ? step.copy : at
            at = Math.min(SIZE, start + ('copy' in step ? step.bytes : step.on))
            await out.copy(source, start, at)
            wanted.push(input.subarray(start, at))
          }
          expect(out.position - begin).toBe(wanted.at(-1)?.length)
        }
        await out.flush()
        const all = Buffer.concat(wanted)
        expect(Buffer.compare(bytes(), all)).toBe(0)
        // What is recorded is what happened, to the byte.
        let end = 0
        for (const range of provenance.ranges) {
          expect(range.start).toBe(end)
          end = range.end
          if (range.from === undefined) continue
          const from = input.subarray(range.from, range.from + range.end - range.start)
          expect(Buffer.compare(all.subarray(range.start, range.end), from)).toBe(0)
        }
        expect(end).toBe(all.length)
        for (const sample of provenance.samples)
          expect(checkSample(sample, all.subarray(sample.start, sample.end))).toEqual([])
        moved += copied()
      },
    ),
    { numRuns: 300 },
  )
  expect(moved > 0).toBe(takes)
})

test('of a long piece a stretch is sampled, here and there in it', () => {
  const long = new Uint8Array(1 << 20).map((_, i) => i % 251)
  const provenance = new Provenance(2)
  for (let piece = 0; piece < 20; piece++) provenance.add(piece << 20, long, 0)
  const within = provenance.samples.map(({ start, end, crc }) => {
    const from = start & ((1 << 20) - 1)
    expect(end - start).toBe(1 << 17)
    expect(crc).toBe(crc32(long.subarray(from, from + end - start)))
    return from
  })
  expect(within).toHaveLength(10)
  expect(new Set(within).size).toBe(10)
  expect(Math.max(...within)).toBeGreaterThan(Math.min(...within) + (1 << 18))

  const moved = new Provenance(2)
  const stretches = moved.moved(0, 40 << 20, 1000)
  expect(stretches).toHaveLength(5)
  for (const [i, [start, end]] of stretches.entries()) {
    expect(end - start).toBe(1 << 17)
    expect(start).toBeGreaterThanOrEqual(1000 + ((2 * i * 4) << 20))
    expect(end).toBeLessThanOrEqual(1000 + (((2 * i + 1) * 4) << 20))
  }
  // With all of them each is taken whole.
  expect(new Provenance(1).moved(0, 5 << 20, 0)).toEqual([
    [0, 4 << 20],
    [4 << 20, 5 << 20],
  ])
})

test('where every copied byte is to be looked at, all of them come through here', async () => {
  const storage = memoryStorage()
  const object = await storage.create('memory:/x', input)
  const { writer, copied } = copier(true)
  const out = new Output(writer, new Provenance(1), object)
  await out.copy(rangeReader(storage, object, []), 0, SIZE)
  await out.flush()
  expect(copied()).toBe(0)
})

test('of columns side by side that the storage copies, only the beginning is read', () => {
  const MB = 1 << 20
  const chunk = (action: PlannedChunk['action'], start: number, end: number) =>
    ({ action, why: '', codec: 'snappy', from: [start * MB, end * MB] }) as PlannedChunk
  const groups = [
    { index: 0, rows: 1, chunks: [chunk('swap-dictionary', 0, 1), chunk('copy', 1, 9), chunk('copy', 9, 10)] },
    { index: 1, rows: 1, chunks: [chunk('copy', 10, 40), chunk('transcode', 40, 41), chunk('copy', 41, 43)] },
  ]
  const inMB = (least?: number) => neededRanges(groups, least).map((range) => range.map((at) => at / MB))
  expect(inMB()).toEqual([
    [0, 1],
    [1, 40],
    [40, 41],
    [41, 43],
  ])
  expect(inMB(16 * MB)).toEqual([
    [0, 1],
    [1, 6],
    [40, 41],
    [41, 43],
  ])
})
