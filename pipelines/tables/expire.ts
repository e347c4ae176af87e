/** `table expire`: snapshots, old metadata and orphans of a table, its jobs' ledgers included. */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import {
  type ExpirePlan,
  type ExpireResult,
  expireSnapshots,
  planExpireSnapshots,
} from '../../lib/iceberg/operations/expire.ts'
import { removeOrphans, requireOrphanAge } from '../../lib/iceberg/operations/orphans.ts'
import { FILE_KINDS, type FileKind, type Removed, Remover } from '../../lib/iceberg/operations/remove-files.ts'
import type { OperationContext } from '../../lib/iceberg/operations/snapshot.ts'
import { keptForMarks } from './keep.ts'
import { type LedgerFolders, ledgerFolders, ledgerRoots, lyingLedgers, Waiting } from './ledgers.ts'
import type { OpenedTable } from './open.ts'

export interface ExpireTableOptions {
  /** Milliseconds since 1970. @default by the table's properties */
  readonly olderThan?: number
  readonly keepLast?: number
  /** Removes orphans too: those at least so old, in milliseconds. */
  readonly orphansOlderThanMs?: number
  /** `output.state` of a configuration, where the jobs' ledgers are not in the warehouse. */
  readonly state?: string
  /** Writes and removes nothing. @default false */
  readonly plan?: boolean
  readonly runId: string
  readonly onRemoved?: (removed: number) => void
}

/** Keys as `--json` prints them; 64-bit ids as strings. */
export interface ExpireReport {
  readonly status: 'done' | 'nothing-to-do' | 'planned' | 'needs-a-look'
  readonly location: string
  readonly metadata_location: string
  readonly snapshot_id: string | null
  readonly expired_snapshots: readonly string[]
  /** Branches and tags. */
  readonly expired_refs: readonly string[]
  readonly kept_snapshots: number
  /** Files by what they are. */
  readonly removed: Readonly<Record<FileKind, number>>
  readonly bytes_removed: number
  readonly orphans: {
    readonly searched: boolean
    /** Younger than asked for. */
    readonly young: number
    /** Of runs that have not ended, or left for their job's next one. */
    readonly needed: number
  }
  /** Files outside the table's folders, which are left. */
  readonly outside: number
  readonly failed: number
  readonly failures: readonly string[]
  /** Whether the table became one of format version 2. */
  readonly upgraded: boolean
  readonly notes: readonly string[]
}

/**
 * @throws PseudolakeError what `expireSnapshots` and `removeOrphans` throw; `run/interrupted`: what was removed by then no snapshot needs,
 *   and the next run goes on
 */
export async function expireTable(
  opened: OpenedTable,
  options: ExpireTableOptions,
  context: OperationContext,
): Promise<ExpireReport> {
  try {
    return await expire(opened, options, context)
  } catch (error) {
    if (!context.signal?.aborted || isPseudolakeError(error)) throw error
    throw new PseudolakeError('run/interrupted', 'the expiry was told to stop; the next one goes on', {
      location: opened.state.metadata.location,
    })
  }
}

async function expire(
  { catalog, table }: OpenedTable,
  options: ExpireTableOptions,
  context: OperationContext,
): Promise<ExpireReport> {
  const { olderThan, keepLast, orphansOlderThanMs, plan = false, onRemoved, runId } = options
  const { clock } = context
  if (orphansOlderThanMs !== undefined) requireOrphanAge(orphansOlderThanMs)
  const retention = { ...(olderThan !== undefined && { olderThan }), ...(keepLast !== undefined && { keepLast }) }
  const keep = (metadata: TableMetadata) => keptForMarks(metadata, { now: clock.wall(), ...retention })
  const done: ExpirePlan & Partial<ExpireResult> = plan
    ? await planExpireSnapshots(catalog, table, { ...retention, keep }, context)
    : await expireSnapshots(catalog, table, { ...retention, keep, runId, ...(onRemoved && { onRemoved }) }, context)
  const notes: string[] = []
  if (done.resumed > 0)
    notes.push(`${done.resumed} earlier expiries that were cut short ${plan ? 'would be' : 'were'} finished`)
  const orphans =
    orphansOlderThanMs === undefined
      ? undefined
      : await removeAllOrphans({ catalog, table, state: done.table }, orphansOlderThanMs, options, context, notes)
  const removed = sum([done.removed, ...(orphans ? orphans.removed : [])])
  const { metadata, metadataLocation } = done.table
  if (removed.outside > 0)
    notes.push(`${removed.outside} files outside the table’s folders were left: other tables may have them too`)
  const changed = done.snapshots.length + done.refs.length + Object.values(removed.counts).reduce((a, b) => a + b, 0)
  return {
    status: plan ? 'planned' : removed.failed > 0 ? 'needs-a-look' : changed > 0 ? 'done' : 'nothing-to-do',
    location: metadata.location,
    metadata_location: metadataLocation,
    snapshot_id: metadata['current-snapshot-id']?.toString() ?? null,
    expired_snapshots: done.snapshots.map(String),
    expired_refs: done.refs,
    kept_snapshots: metadata.snapshots.length - (plan ? done.snapshots.length : 0),
    removed: removed.counts,
    bytes_removed: removed.bytes,
    orphans: { searched: orphans !== undefined, young: orphans?.young ?? 0, needed: orphans?.needed ?? 0 },
    outside: removed.outside,
    failed: removed.failed,
    failures: removed.failures,
    upgraded: done.upgraded ?? false,
    notes,
  }
}

async function removeAllOrphans(
  { catalog, table, state }: OpenedTable,
  olderThanMs: number,
  { plan = false, onRemoved, state: ledgers }: ExpireTableOptions,
  context: OperationContext,
  notes: string[],
): Promise<{ removed: Removed[]; young: number; needed: number }> {
  const { signal } = context
  const known = await knownLedgers({ catalog, table, state }, notes)
  const roots = ledgerRoots(state.metadata, known?.folders.keys() ?? [], ledgers, table)
  const waiting = await Waiting.read(catalog.storage, roots.unpublished, signal)
  const isNeeded = (location: string) => waiting.has(location)
  const options = { olderThanMs, isNeeded, dry: plan, ...(onRemoved && { onRemoved }) }
  const inTable = await removeOrphans(catalog, table, options, context)
  let { young, needed } = inTable
  const removed = [inTable.removed]
  if (known) {
    const remover = new Remover({
      storage: catalog.storage,
      roots: [...roots.ledgers, ...roots.unpublished],
      dry: plan,
      ...(signal && { signal }),
      ...(onRemoved && { onRemoved }),
    })
    const now = context.clock.wall()
    for await (const { location, bytes, modified, kind } of lyingLedgers(catalog.storage, roots, known, signal)) {
      if (kind !== 'orphan') continue
      if (now - modified < olderThanMs) young++
      else if (isNeeded(location)) needed++
      else await remover.add({ kind: 'orphans', location, bytes })
    }
    await remover.settle()
    removed.push(remover.removed)
  }
  return { removed, young, needed }
}

/** What a run writes meanwhile is young, and so is left. */
async function knownLedgers({ catalog, table }: OpenedTable, notes: string[]): Promise<LedgerFolders | undefined> {
  try {
    return await ledgerFolders(catalog.storage, (await catalog.load(table)).metadata)
  } catch (error) {
    if (!isPseudolakeError(error, 'table/mark-unreadable')) throw error
    notes.push('a job’s mark or ledger cannot be read (table verify says which): no ledger was removed')
    return undefined
  }
}

function sum(all: readonly Removed[]): Removed {
  const total = (name: 'bytes' | 'outside' | 'failed') => all.reduce((n, each) => n + each[name], 0)
  return {
    counts: Object.fromEntries(
      FILE_KINDS.map((kind) => [kind, all.reduce((n, { counts }) => n + counts[kind], 0)]),
    ) as Record<FileKind, number>,
    bytes: total('bytes'),
    outside: total('outside'),
    failed: total('failed'),
    failures: all.flatMap(({ failures }) => failures).slice(0, 10),
  }
}
