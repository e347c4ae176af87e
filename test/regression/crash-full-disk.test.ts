import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { lake } from '../helpers/lake.ts'

test('a disk that is full in the middle of a run leaves its committed steps, and the next run does the rest', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (let i = 0; i < 6; i++)
    await home.sql(`copy (select 'VIN' || i as vin, i + ${i * 10} as n from range(10) r(i)) to '{dir}/in/${i}.parquet'`)
  const job = { columns: { vin: { mode: 'deterministic' } }, set: ['commit.max_files=2'] }
  const disk = localStorage()
  let written = 0
  const storage = {
    ...disk,
    async write(location: string) {
      const writer = await disk.write(location)
      if (!location.includes('/data/') || ++written < 4) return writer
      // As an ENOSPC of the disk arrives; `abort` still works then.
      return {
        bytes: 0,
        write: async () => {
          throw new PseudolakeError('storage/full', `no room to write ${location}`, { location })
        },
        close: () => writer.close(),
        abort: () => writer.abort(),
      }
    },
  }
  await expect(home.run(job, {}, { storage })).rejects.toMatchObject({
    code: 'storage/full',
    context: { outcome: 'partly-published' },
  })
  expect(await home.query('select count(*) from t')).toEqual([['20']])
  expect(await home.run(job)).toMatchObject({ files: 4, skipped_files: 2 })
  expect(await home.query('select count(*), sum(n), count(distinct n) from t')).toEqual([['60', '1770', '60']])
})
