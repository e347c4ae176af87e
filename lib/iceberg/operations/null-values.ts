import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import type { Nulled } from './compact-bin.ts'
import { type CompactPlan, planCompaction } from './compact-plan.ts'
import { type RewriteOptions, type Rewritten, rewriteBins } from './rewrite-bins.ts'
import type { OperationContext } from './snapshot.ts'
import { requireRunId, requireWritable } from './writable.ts'

export interface NullValuesOptions extends Omit<RewriteOptions, 'operation' | 'nulled'> {
  /** Data files that have such values, by path. */
  readonly files: ReadonlySet<string>
  /** Which values, by field id and their bytes: of optional text columns. */
  readonly nulled: Nulled
}

/**
 * Makes some values null, in one snapshot: the files that have them are written anew, each as one, without the rows that deletes are about.
 * @param state that the files were looked for in: what was rewritten or deleted since stops it
 * @returns undefined where no file could be written anew
 * @throws as `compactTable`; `input/unsupported` for a column whose values cannot become null
 */
export async function nullValues(
  catalog: Catalog,
  table: TableIdentifier,
  state: TableState,
  options: NullValuesOptions,
  context: OperationContext,
): Promise<{ readonly plan: CompactPlan; readonly done: Rewritten | undefined }> {
  requireRunId(options.runId)
  requireWritable(state.metadata)
  const policy = {
    targetBytes: 1,
    minFiles: 1,
    replaced: options.replaced?.(state.metadata) ?? new Set<number>(),
    leave: () => false,
    only: options.files,
    ...(options.keyBytes && { keyBytes: options.keyBytes }),
  }
  const plan = await planCompaction(catalog.storage, state.metadata, policy, context.signal)
  if (plan.bins.length === 0) return { plan, done: undefined }
  const done = await rewriteBins(catalog, table, state, plan, { ...options, operation: 'overwrite' }, context)
  return { plan, done }
}
