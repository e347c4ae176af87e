import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import { commitSnapshot, type OperationContext, type SnapshotOptions, type SnapshotResult } from './snapshot.ts'

/**
 * Adds data files to a table in one snapshot, together with properties; makes the table with the same commit where `create` is given, so a run
 * that fails before leaves no empty table behind.
 *
 * A fast append: the manifests the table has are listed again as they are, row-level deletes included, and nothing in them is read.
 */
export function appendFiles(
  catalog: Catalog,
  table: TableIdentifier,
  options: SnapshotOptions,
  context: OperationContext,
): Promise<SnapshotResult> {
  return commitSnapshot(
    catalog,
    table,
    options,
    'append',
    async ({ manifests }) => ({ manifests, removed: [] }),
    context,
  )
}
