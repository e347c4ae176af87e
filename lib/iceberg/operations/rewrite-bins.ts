import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import { EqualityDeletes } from '../equality-deletes.ts'
import { storageLocation } from '../locations.ts'
import { currentSchema, type TableMetadata } from '../metadata.ts'
import { mergeBin, type Nulled } from './compact-bin.ts'
import type { Bin, CompactPlan } from './compact-plan.ts'
import { Positions } from './positions.ts'
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
  /** What the keys of equality deletes may take. @default 64 MiB */
  readonly keyBytes?: number
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
  plan: CompactPlan,
  options: RewriteOptions,
  context: OperationContext,
): Promise<Rewritten> {
  const { storage } = catalog
  const { signal } = context
  const { bins, equality, removeDeletes, seen } = plan
  const added: DataFile[] = []
  let committing = false
  try {
    const keys = { ...(options.keyBytes && { maxBytes: options.keyBytes }), ...(signal && { signal }) }
    const equal = new EqualityDeletes(storage, metadata, equality, keys)
    let struck: ReadonlyMap<string, Positions> = new Map()
    let deletedRows = 0
    let done = 0
    const totalBytes = bins.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [i, bin] of bins.entries()) {
      signal?.throwIfAborted()
      if (i % BINS_TOGETHER === 0) struck = await struckRows(equal, bins.slice(i, i + BINS_TOGETHER))
      const merged = await mergeBin(bin, {
        storage,
        metadata,
        replaced: options.replaced?.(metadata) ?? new Set(),
        createdBy: options.createdBy,
        path: `${metadata.location}/data/${options.runId}-${String(i).padStart(5, '0')}.parquet`,
        ...(signal && { signal }),
        struck,
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
    const oldest = files.reduce((low, { hasEqual, sequenceNumber: n }) => (hasEqual ? Math.min(low, n) : low), Infinity)
    const positions = files.flatMap((file) => file.deletes)
    const applied = [...positions, ...equality.filter(({ sequenceNumber }) => sequenceNumber > oldest)]
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
        applied: new Set(applied.map(({ path }) => path)),
        removeDeletes,
        ...(seen && { seen }),
        // The snapshot's own: what is on a branch may have later numbers, and come to this one while we work.
        readAt: seen?.sequenceNumber ?? metadata['last-sequence-number'],
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

/** Of the rows of so many, those that go are held: a bit for each. */
const BINS_TOGETHER = 8

/** Rows that are deleted by equal values. */
async function struckRows(equality: EqualityDeletes, bins: readonly Bin[]): Promise<ReadonlyMap<string, Positions>> {
  const files = bins.flatMap((bin) => bin.files.filter(({ hasEqual }) => hasEqual))
  const struck = new Map<string, Positions>()
  const unreadable = await equality.find(files, (i, row) => {
    const { path, rows } = files[i] as (typeof files)[number]
    const found = struck.get(path) ?? new Positions(rows)
    struck.set(path, found)
    found.add(row)
    return true
  })
  const changed = files.find((_, i) => unreadable.has(i))
  if (changed)
    throw new PseudolakeError('storage/changed', `${changed.path} is no longer the file that was planned with`, {
      location: changed.path,
    })
  return struck
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
