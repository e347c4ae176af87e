/**
 * Upkeep of a table while its stream runs: small files put together, snapshots and metadata that are too old taken out. Beside the reading, by
 * commits like anybody's: the stream's own go through before or after them.
 */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { TableIdentifier } from '../../lib/iceberg/catalogs/catalog.ts'
import { compactTable } from '../tables/compact.ts'
import { expireTable } from '../tables/expire.ts'
import type { StreamJob } from './job.ts'
import type { StreamOutside } from './outside.ts'
import type { StreamEvent } from './report.ts'

/** Of the memory a stream may use, what the keys of equality deletes may take. */
const KEYS_SHARE = 1 / 16

/**
 * Keeps the table in order until it is told to stop. What fails is tried again the next time: the stream does not depend on it.
 * @param signal of the session
 */
export async function keepUp(
  job: StreamJob,
  outside: StreamOutside,
  signal: AbortSignal,
  tell: (event: StreamEvent) => void,
): Promise<void> {
  const { clock } = outside
  const { every } = job.settings.upkeep
  for (;;) {
    await clock.sleep(every, signal).catch(() => undefined)
    if (signal.aborted) return
    try {
      await upkeep(job, outside, signal, tell)
    } catch (error) {
      if (signal.aborted) return
      if (!isPseudolakeError(error) || error.code === 'internal/bug') throw error
      tell({ event: 'note', message: `upkeep: ${error.code}; it is tried again` })
    }
  }
}

/** Once. @throws PseudolakeError `table/*`, `storage/*` */
export async function upkeep(
  job: StreamJob,
  outside: StreamOutside,
  signal: AbortSignal,
  tell: (event: StreamEvent) => void,
): Promise<void> {
  const { catalog, clock, random, uuid, runId: run, createdBy } = outside
  const { compact, expire, min_files: minFiles } = job.settings.upkeep
  const table: TableIdentifier = { database: job.table.database, name: job.table.table }
  const context = { clock, random, uuid, signal }
  const runId = `${run.slice(0, 54)}-${uuid().slice(0, 8)}`
  // Beside what the stream holds.
  const keyBytes = job.settings.limits.memory_mb * 2 ** 20 * KEYS_SHARE
  if (compact) {
    const opened = { catalog, table, state: await catalog.load(table) }
    const done = await compactTable(opened, { minFiles, runId, createdBy, keyBytes }, context)
    if (done.status === 'done')
      tell({ event: 'upkeep', what: 'compact', done: `${done.files_removed} files became ${done.files_added}` })
  }
  if (!expire) return
  const opened = { catalog, table, state: await catalog.load(table) }
  const done = await expireTable(opened, { runId: `${runId}-e`, state: job.table.state }, context)
  const files = Object.values(done.removed).reduce((sum, count) => sum + count, 0)
  if (done.expired_snapshots.length > 0 || files > 0)
    tell({ event: 'upkeep', what: 'expire', done: `${done.expired_snapshots.length} snapshots, ${files} files` })
}
