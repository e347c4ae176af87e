import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Version } from '../../lib/storage/storage.ts'
import { InputList } from '../../pipelines/batch/input-list.ts'
import type { InputFile } from '../../pipelines/batch/inputs.ts'

const input = (location: string, bytes = 1): InputFile => ({
  object: { location, bytes, version: `v-${bytes}` as Version, modified: bytes * 2 },
  partitions: location.length % 2 === 0 ? [] : [['key', bytes % 2 === 0 ? null : location]],
})

test('what goes in comes out, in the order of locations, any number of times', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 300 }), (locations) => {
      const list = new InputList()
      for (const [i, location] of locations.entries()) list.add(input(location, i + 1))
      list.sort()
      const out = [...list]
      expect(list.length).toBe(locations.length)
      expect(list.bytes).toBe(out.reduce((sum, { object }) => sum + object.bytes, 0))
      const byLocation = (a: InputFile, b: InputFile) => (a.object.location < b.object.location ? -1 : 1)
      const expected = locations.map((location, i) => input(location, i + 1))
      expect(out.toSorted(byLocation)).toEqual(expected.sort(byLocation))
      expect([...list.take(3)]).toEqual(out.slice(0, 3))
    }),
    { numRuns: 50 },
  )
})

test('plain names are sorted as names are, a folder before what is longer', () => {
  const list = new InputList()
  for (const name of ['/in/b', '/in/a/2', '/in/a', '/in/a/10', '/in/a-1', '/in/ü']) list.add(input(name))
  expect([...list.sort()].map(({ object }) => object.location)).toEqual([
    '/in/a',
    '/in/a-1',
    '/in/a/10',
    '/in/a/2',
    '/in/b',
    '/in/ü',
  ])
})

test('a name longer than a chunk, and many chunks, are no matter', () => {
  const list = new InputList()
  const names = ['x'.repeat(3 << 20), ...Array.from({ length: 20_000 }, (_, i) => `/in/${i}`)]
  for (const name of names) list.add(input(name))
  expect(new Set([...list.sort()].map(({ object }) => object.location))).toEqual(new Set(names))
})

test('half a million inputs take less than 150 MB', { timeout: 60_000 }, () => {
  const list = new InputList()
  const before = process.memoryUsage()
  for (let i = 0; i < 500_000; i++)
    list.add(input(`/lake/raw/vehicles/year=2026/month=01/part-${String(i).padStart(9, '0')}.parquet`, i))
  list.sort()
  const after = process.memoryUsage()
  expect((after.arrayBuffers - before.arrayBuffers) / 2 ** 20).toBeLessThan(150)
})
