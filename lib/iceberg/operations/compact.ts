import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import type { TableMetadata } from '../metadata.ts'
import { type CompactPlan, planCompaction } from './compact-plan.ts'
import { type RewriteProgress, rewriteBins } from './rewrite-bins.ts'
import type { OperationContext } from './snapshot.ts'
import { requireRunId, requireWritable } from './writable.ts'

/**
 * Puts small data files together, and leaves the rows out that deletes are about, in one snapshot. Bytes are copied as they are
 * wherever no row of a row group is deleted, so it costs little more than reading and writing them, and every value, encoding and
 * dictionary stays; the row groups do, too.
 */

export interface CompactOptions {
  /** @default `write.target-file-size-bytes` of the table, 512 MiB without */
  readonly targetBytes?: number
  /** Small files that are worth a rewrite. @default 5 */
  readonly minFiles?: number
  /** Field ids of columns that must get no statistics of values. @default none */
  readonly replaced?: (metadata: TableMetadata) => ReadonlySet<number>
  /** Whether a data file is to stay as it is, by where Storage finds it. @default none */
  readonly leave?: (location: string) => boolean
  /** What the keys of equality deletes may take; where there are more, files are read several times. @default 64 MiB */
  readonly keyBytes?: number
  /** In the name of every file written, `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  /** As parquet-format wants it: `application version X (build Y)`. */
  readonly createdBy: string
  readonly onProgress?: (progress: CompactProgress) => void
}

export type CompactProgress = RewriteProgress

export interface CompactResult {
  readonly table: TableState
  readonly plan: CompactPlan
  /** Undefined where there was nothing to do. */
  readonly snapshotId: bigint | undefined
  readonly attempts: number
  /** Whether this commit made a table of format version 1 one of version 2. */
  readonly upgraded: boolean
  readonly added: readonly DataFile[]
  /** Rows that deletes were about. */
  readonly deletedRows: number
}

const DEFAULT_TARGET_BYTES = 512 * 1024 * 1024
const DEFAULT_MIN_FILES = 5

/**
 * Memory does not grow with the files; what is held is a line for each file that goes, 100,000 at most, and the location of each data file
 * that has deletes.
 * @throws PseudolakeError `table/conflict` when a file that goes was rewritten, or rows of it deleted, meanwhile: nothing happened;
 *   `table/commit-unknown`; `gate/failed` when a new file is not what its inputs make it; `table/unsupported`, `input/*`, `storage/*`
 */
export async function compactTable(
  catalog: Catalog,
  table: TableIdentifier,
  options: CompactOptions,
  context: OperationContext,
): Promise<CompactResult> {
  requireRunId(options.runId)
  const state = await catalog.load(table)
  const plan = await planOf(catalog.storage, state, options, context.signal)
  const { bins, removeDeletes } = plan
  const nothing = { table: state, plan, snapshotId: undefined, attempts: 0, upgraded: false, added: [], deletedRows: 0 }
  if (bins.length === 0 && removeDeletes.size === 0) return nothing

  const done = await rewriteBins(catalog, table, state, plan, { ...options, operation: 'replace' }, context)
  return { ...done, plan }
}

/** What `compactTable` would do now; writes nothing. */
export async function planCompactTable(
  { storage, load }: Pick<Catalog, 'storage' | 'load'>,
  table: TableIdentifier,
  options: Omit<CompactOptions, 'runId' | 'createdBy' | 'onProgress'>,
  { signal }: Pick<OperationContext, 'clock' | 'signal'>,
): Promise<{ readonly table: TableState; readonly plan: CompactPlan }> {
  const state = await load(table)
  return { table: state, plan: await planOf(storage, state, options, signal) }
}

function planOf(
  storage: Storage,
  { metadata }: TableState,
  options: Omit<CompactOptions, 'runId' | 'createdBy' | 'onProgress'>,
  signal: AbortSignal | undefined,
): Promise<CompactPlan> {
  requireWritable(metadata)
  const asked = Number(metadata.properties['write.target-file-size-bytes'])
  const target = Number.isSafeInteger(asked) && asked > 0 ? asked : DEFAULT_TARGET_BYTES
  const policy = {
    targetBytes: atLeastOne('targetBytes', options.targetBytes ?? target),
    minFiles: atLeastOne('minFiles', options.minFiles ?? DEFAULT_MIN_FILES),
    replaced: options.replaced?.(metadata) ?? new Set<number>(),
    leave: options.leave ?? (() => false),
    ...(options.keyBytes && { keyBytes: options.keyBytes }),
  }
  return planCompaction(storage, metadata, policy, signal)
}

function atLeastOne(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new PseudolakeError('options/invalid', `${name}: expected an integer from 1, got ${value}`)
}
