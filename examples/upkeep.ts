/**
 * Upkeep of a table as a program: what `pseudolake table compact` and `table expire` do, of a table in a folder.
 *
 *   node --conditions=pseudolake-source examples/upkeep.ts TABLE      in a checkout; as a first table, what `pseudolake demo` makes
 */
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { compactTable, expireTable, localStorage, openFolder, systemClock } from 'pseudolake'

const clock = systemClock()
const storage = localStorage()
const table = await openFolder(resolve(process.argv[2] ?? ''), storage, clock)
const context = { clock, random: Math.random, uuid: randomUUID, signal: AbortSignal.timeout(3_600_000) }
const runId = `upkeep-${randomUUID().slice(0, 8)}`

const compacted = await compactTable(
  table,
  { runId, createdBy: 'example version 1.0.0', targetBytes: 128 * 2 ** 20, minFiles: 2, force: true },
  context,
)
console.log(`${compacted.files_removed} files became ${compacted.files_added}`)

const day = 24 * 3_600_000
const expired = await expireTable(
  table,
  { runId, olderThan: clock.wall(), keepLast: 1, orphansOlderThanMs: 7 * day },
  context,
)
console.log(`${expired.expired_snapshots.length} snapshots expired, ${expired.removed.data_files} data files removed`)
