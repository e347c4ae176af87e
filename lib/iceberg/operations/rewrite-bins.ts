import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { currentSchema, type TableMetadata } from '../metadata.ts'
import { mergeBin, type Nulled } from './compact-bin.ts'
import type { CompactPlan } from './compact-plan.ts'
import { type ReplaceOptions, replaceFiles } from './replace.ts'
import type { OperationContext, SnapshotResult } from './snapshot.ts'

/** What a plan says, done: each bin's file written, then one snapshot with all of them. */

export interface RewriteOptions {
  readonly operation: ReplaceOptions['operation']
  /** Field ids of columns that must get no statistics of values. @default none */
  readonly replaced?: (metadata: TableMetadata) => ReadonlySet<number>
  /** Values that become null. @default none */
  readonly nulled?: Nulled
  /** Looks at each new file before anybody lists it: throws where it must not be. */
  readonly inspect?: (location: string) => Promise<void>
  /** In the name of every file written, `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  readonly createdBy: string
  readonly onProgress?: (progress: RewriteProgress) => void
}

export interface RewriteProgress {
  readonly bins: number
  readonly totalBins: number
  /** Of the files that go. */
  readonly bytes: number
  readonly totalBytes: number
}

export interface Rewritten extends SnapshotResult {
  readonly added: readonly DataFile[]
  /** Rows that deletes were about. */
  readonly deletedRows: number
}

/** @param state that the plan was made from @throws as `replaceFiles` and `mergeBin`; what was written is removed again, unless a commit may have it */
export async function rewriteBins(
  catalog: Catalog,
  table: TableIdentifier,
  { metadata }: TableState,
  { bins, removeDeletes }: CompactPlan,
  options: RewriteOptions,
  context: OperationContext,
): Promise<Rewritten> {
  const { storage } = catalog
  const { signal } = context
  const added: DataFile[] = []
  let committing = false
  try {
    let deletedRows = 0
    let done = 0
    const totalBytes = bins.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [i, bin] of bins.entries()) {
      signal?.throwIfAborted()
      const merged = await mergeBin(bin, {
        storage,
        metadata,
        replaced: options.replaced?.(metadata) ?? new Set(),
        createdBy: options.createdBy,
        path: `${metadata.location}/data/${options.runId}-${String(i).padStart(5, '0')}.parquet`,
        ...(signal && { signal }),
        ...(options.nulled && { nulled: options.nulled }),
        ...(options.inspect && { inspect: options.inspect }),
        onProgress: (bytes) =>
          options.onProgress?.({ bins: i, totalBins: bins.length, bytes: done + bytes, totalBytes }),
      })
      if (merged.file) added.push(merged.file)
      deletedRows += merged.deletedRows
      done += bin.bytes
    }
    const files = bins.flatMap((bin) => bin.files)
    committing = true
    const result = await replaceFiles(
      catalog,
      table,
      {
        operation: options.operation,
        files: added,
        schema: currentSchema(metadata),
        runId: options.runId,
        remove: new Map(files.map(({ path, sequenceNumber }) => [path, sequenceNumber])),
        applied: new Set(files.flatMap((file) => file.deletes.map(({ path }) => path))),
        removeDeletes,
        readAt: metadata['last-sequence-number'],
        check: (now) => requireThere(storage, added, now, metadata),
      },
      context,
    )
    return { ...result, added, deletedRows }
  } catch (error) {
    // What a commit throws that is no word of its own says nothing about whether it happened.
    const nobodyHasThem = isPseudolakeError(error) ? error.code !== 'table/commit-unknown' : !committing
    if (nobodyHasThem) await remove(storage, added)
    throw error
  }
}

/** Who slept for days may find that its files were taken for orphans. */
async function requireThere(
  storage: Storage,
  added: readonly DataFile[],
  now: TableMetadata | undefined,
  planned: TableMetadata,
): Promise<void> {
  if (now && planned['table-uuid'] !== '' && now['table-uuid'] !== planned['table-uuid'])
    throw new PseudolakeError('table/changed', `${planned.location}: the table was dropped and made again meanwhile`, {
      location: planned.location,
    })
  for (const { path } of added) await storage.stat(storageLocation(path))
}

async function remove(storage: Storage, files: readonly DataFile[]): Promise<void> {
  for (const { path } of files)
    await storage.delete(storageLocation(path)).catch((error: unknown) => {
      if (!(error instanceof PseudolakeError)) throw error
    })
}
