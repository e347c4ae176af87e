import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../../lib/core/clock.ts'
import { currentSchema } from '../../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../../lib/iceberg/operations/append.ts'
import { expireSnapshots } from '../../../lib/iceberg/operations/expire.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import { expireTable } from '../../../pipelines/tables/expire.ts'
import { openFolder } from '../../../pipelines/tables/open.ts'
import { lake } from '../../helpers/lake.ts'
import * as damage from '../verify/damage.ts'

const clock = systemClock()
const context = { clock, random: Math.random, uuid: randomUUID }
const COLUMNS = { vin: { mode: 'deterministic' } }

/** A job's commit, held by a tag, and foreign commits after it. */
async function tagged() {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  const put = (name: string) =>
    home.sql(`copy (select 'VIN' || i as vin from range(5) r(i)) to '{dir}/in/${name}.parquet'`)
  await put('a')
  await home.run({ columns: COLUMNS })
  await damage.editMetadata(home.table, (metadata) => {
    const id = metadata.snapshots[0]?.['snapshot-id']
    const { refs } = metadata as unknown as { refs: Record<string, object> }
    refs.audited = { 'snapshot-id': id as bigint, type: 'tag' }
  })
  const opened = () => openFolder(home.table, localStorage(), clock)
  const { catalog, table, state } = await opened()
  for (let i = 0; i < 3; i++)
    await appendFiles(catalog, table, { files: [], schema: currentSchema(state.metadata), runId: 'foreign' }, context)
  await put('b')
  return { ...home, opened }
}

test('an expiry leaves no hole between the table and a mark that a tag holds, so that the job goes on', async () => {
  const home = await tagged()
  const report = await expireTable(await home.opened(), { runId: 'expiry', olderThan: clock.wall() + 1000 }, context)
  expect(report).toMatchObject({ status: 'nothing-to-do', kept_snapshots: 4 })
  expect(await home.run({ columns: COLUMNS })).toMatchObject({ status: 'done', rows: 5, skipped_files: 1 })
  // Now the mark is the head's, and the tag holds just its own.
  const later = await expireTable(await home.opened(), { runId: 'expiry', olderThan: clock.wall() + 1000 }, context)
  expect(later).toMatchObject({ status: 'done', kept_snapshots: 2 })
  expect(await home.run({ columns: COLUMNS })).toMatchObject({ status: 'nothing-to-do' })
})

test('without that the job would take the table for one that was rolled back', async () => {
  const home = await tagged()
  const { catalog, table } = await home.opened()
  await expireSnapshots(catalog, table, { runId: 'careless', olderThan: clock.wall() + 1000 }, context)
  await expect(home.run({ columns: COLUMNS })).rejects.toMatchObject({ code: 'table/mark-unreadable' })
})
