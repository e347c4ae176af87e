import { readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { lake } from '../../helpers/lake.ts'
import { inputs, VEHICLES, VIN } from './vehicles.ts'

const JOB = { columns: VIN }

function before(look: (location: string) => void): Storage {
  const disk = localStorage()
  return {
    ...disk,
    async create(location, bytes) {
      look(location)
      return disk.create(location, bytes)
    },
    async write(location) {
      look(location)
      return disk.write(location)
    },
  }
}

test('a file that was taken over and that another run removed since is not published', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': VEHICLES })
  const uncommitted = before((location) => {
    if (location.endsWith('.metadata.json')) throw new PseudolakeError('storage/denied', 'not now')
  })
  await expect(home.run(JOB, {}, { storage: uncommitted })).rejects.toMatchObject({ code: 'storage/denied' })
  const data = join(home.table, 'data')
  const finished = readdirSync(data).filter((name) => name.endsWith('.parquet'))
  expect(finished).toHaveLength(2)
  // As a run does that commits, for inputs of its own, between this one's look at the list and its commit.
  const late = before((location) => {
    if (location.endsWith('.jsonl')) unlinkSync(join(data, finished[0] as string))
  })
  await expect(home.run(JOB, {}, { storage: late })).rejects.toMatchObject({
    code: 'storage/not-found',
    context: { outcome: 'nothing-published' },
  })
  expect(await home.run(JOB)).toMatchObject({ status: 'done', rows: 2000, files: 2 })
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})
