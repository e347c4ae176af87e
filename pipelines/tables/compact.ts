/** `table compact`: small files put together, columns with pseudonyms kept out of statistics, and inputs that may be replaced left alone. */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import {
  type CompactProgress,
  type CompactResult,
  compactTable as compactFiles,
  planCompactTable,
} from '../../lib/iceberg/operations/compact.ts'
import { LEFT_ALONE, type LeftAlone } from '../../lib/iceberg/operations/compact-file.ts'
import type { CompactPlan } from '../../lib/iceberg/operations/compact-plan.ts'
import type { OperationContext } from '../../lib/iceberg/operations/snapshot.ts'
import { Findings } from '../verify/findings.ts'
import { protectedColumns } from '../verify/protected.ts'
import { ledgerFiles, markedJobs } from './ledgers.ts'
import type { OpenedTable } from './open.ts'

export interface CompactTableOptions {
  /** Bytes. @default `write.target-file-size-bytes` of the table, 512 MiB without */
  readonly targetBytes?: number
  /** @default 5 */
  readonly minFiles?: number
  /**
   * Files that a batch job's ledger names are put together too: where such an input changes later, `input.changed: replace` finds its rows
   * nowhere, and stops. @default false
   */
  readonly force?: boolean
  /** Bytes that the keys of equality deletes may take; where there are more, files are read several times. @default 64 MiB */
  readonly keyBytes?: number
  /** Writes nothing. @default false */
  readonly plan?: boolean
  readonly runId: string
  readonly createdBy: string
  readonly onProgress?: (progress: CompactProgress) => void
}

/** Keys as `--json` prints them; 64-bit ids as strings. */
export interface CompactReport {
  readonly status: 'done' | 'nothing-to-do' | 'planned'
  readonly location: string
  readonly metadata_location: string
  readonly snapshot_id: string | null
  /** Files that become one. */
  readonly bins: number
  readonly files_removed: number
  /** Planned: at most one for each bin. */
  readonly files_added: number
  readonly bytes_removed: number
  /** Null where it is only planned. */
  readonly bytes_added: number | null
  /** Of the files that go, the deleted ones included. */
  readonly rows: number
  /** That deletes were about; null where it is only planned. */
  readonly deleted_rows: number | null
  readonly delete_files_removed: number
  /** Files that stay though they are small or rows of them are deleted, by the reason. */
  readonly left_alone: Readonly<Partial<Record<LeftAlone, number>>>
  /** Whether one run was not enough. */
  readonly more: boolean
  readonly attempts: number
  readonly upgraded: boolean
  readonly notes: readonly string[]
}

/** @throws PseudolakeError what lib/iceberg's `compactTable` throws; `table/mark-unreadable`; `run/interrupted` */
export async function compactTable(
  opened: OpenedTable,
  options: CompactTableOptions,
  context: OperationContext,
): Promise<CompactReport> {
  try {
    return await compact(opened, options, context)
  } catch (error) {
    if (!context.signal?.aborted || isPseudolakeError(error)) throw error
    throw new PseudolakeError('run/interrupted', 'the compaction was told to stop; nothing was published', {
      location: opened.state.metadata.location,
    })
  }
}

async function compact(
  { catalog, table, state }: OpenedTable,
  { force = false, plan: planOnly = false, ...options }: CompactTableOptions,
  context: OperationContext,
): Promise<CompactReport> {
  const named = force ? undefined : await ledgerFiles(catalog.storage, state.metadata)
  const all = { ...options, replaced: replacedFields, ...(named && { leave: (file: string) => named.has(file) }) }
  const done: Partial<CompactResult> & Pick<CompactResult, 'table' | 'plan'> = planOnly
    ? await planCompactTable(catalog, table, all, context)
    : await compactFiles(catalog, table, all, context)
  const { metadata, metadataLocation } = done.table
  const files = done.plan.bins.flatMap((bin) => bin.files)
  const acted = files.length > 0 || done.plan.removeDeletes.size > 0
  return {
    status: planOnly ? 'planned' : acted ? 'done' : 'nothing-to-do',
    location: metadata.location,
    metadata_location: metadataLocation,
    snapshot_id: metadata['current-snapshot-id']?.toString() ?? null,
    bins: done.plan.bins.length,
    files_removed: files.length,
    files_added: done.added?.length ?? done.plan.bins.length,
    bytes_removed: files.reduce((sum, { bytes }) => sum + bytes, 0),
    bytes_added: done.added ? done.added.reduce((sum, { bytes }) => sum + bytes, 0) : null,
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    deleted_rows: done.deletedRows ?? null,
    delete_files_removed: done.plan.removeDeletes.size,
    left_alone: done.plan.leftAlone,
    more: done.plan.more,
    attempts: done.attempts ?? 0,
    upgraded: done.upgraded ?? false,
    notes: notesOf(done.plan, metadata),
  }
}

/** Columns with pseudonyms, whatever the table's properties say of their metrics. */
export function replacedFields(metadata: TableMetadata): ReadonlySet<number> {
  return new Set(protectedColumns(metadata, new Findings()).ids.keys())
}

function notesOf({ leftAlone, more }: CompactPlan, metadata: TableMetadata): string[] {
  const notes = Object.entries(leftAlone).map(
    ([why, count]) => `${count} files were left as they are: ${LEFT_ALONE[why as LeftAlone]}`,
  )
  if (leftAlone.excluded)
    notes.push(
      `--force takes them too; then input.changed: replace of ${markedJobs(metadata).join(', ')} stops where one of their inputs changes`,
    )
  if (more) notes.push('there are more files than one run takes; run again')
  return notes
}
