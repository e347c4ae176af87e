import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import { MAX_SNAPSHOTS } from '../catalogs/metadata-files.ts'
import type { TableMetadata } from '../metadata.ts'
import { expireSnapshots } from './expire.ts'
import { type RetentionPolicy, youngLoose } from './retention.ts'
import type { OperationContext } from './snapshot.ts'

export interface BoundOptions {
  /** Snapshots that stay whatever their number. */
  readonly keep?: (metadata: TableMetadata, policy: Omit<RetentionPolicy, 'keep'>) => ReadonlySet<bigint>
  readonly runId: string
}

/**
 * Holds a table to the number of snapshots that it says it keeps: every commit writes all of them, and Glue's REST endpoint takes 20 MB. A tenth
 * goes at a time, so that one commit in that many pays for it. Tags and other branches keep what they name, and what no branch came through is
 * kept while it is young: nobody asked for it to go.
 *
 * Best effort, after a commit that stands: what fails here, or is told to stop, is tried again after the next one.
 * @param state of the table after the commit
 * @returns the table's state now
 */
export async function boundSnapshots(
  catalog: Catalog,
  table: TableIdentifier,
  state: TableState,
  { keep, runId }: BoundOptions,
  context: OperationContext,
): Promise<TableState> {
  const { properties, snapshots } = state.metadata
  const most = Number(properties[MAX_SNAPSHOTS])
  if (!Number.isSafeInteger(most) || most < 1 || snapshots.length <= most) return state
  const keepLast = Math.max(1, Math.floor(most * 0.9))
  // However young they are.
  const policy = { keepLast, olderThan: Number.MAX_SAFE_INTEGER }
  try {
    const { table: after } = await expireSnapshots(
      catalog,
      table,
      {
        runId,
        ...policy,
        keep(metadata) {
          const now = context.clock.wall()
          return new Set([...youngLoose(metadata, now), ...(keep?.(metadata, { now, ...policy }) ?? [])])
        },
      },
      context,
    )
    return after
  } catch (error) {
    if (context.signal?.aborted) return state
    if (error instanceof PseudolakeError && !isPseudolakeError(error, 'internal/bug')) return state
    throw error
  }
}
