import { expect, test } from 'vitest'
import { LocationSet } from '../../lib/iceberg/location-set.ts'

test('locations are found again, however many there are', () => {
  const set = new LocationSet()
  const at = (i: number) => `s3://lake/db/t/data/${i}.parquet`
  for (let i = 0; i < 20_000; i++) expect(set.add(at(i))).toBe(true)
  for (let i = 0; i < 20_000; i += 7) expect([set.add(at(i)), set.has(at(i))]).toEqual([false, true])
  expect(set.has(at(20_001))).toBe(false)
  expect(set.size).toBe(20_000)
})

test('a file that names others is told apart from every other by its name, not by a hash', () => {
  const set = new LocationSet()
  // As another location of the same hash would leave it.
  set.add('manifest.avro')
  expect([set.has('manifest.avro'), set.hasNaming('manifest.avro')]).toEqual([true, false])
  expect([set.addNaming('manifest.avro'), set.addNaming('manifest.avro')]).toEqual([true, false])
  expect(set.hasNaming('manifest.avro')).toBe(true)
})
