import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { type Merged, mergeGroup, mergeGroups } from './merge.ts'
import { commitSnapshot, type OperationContext, type SnapshotOptions, type SnapshotResult } from './snapshot.ts'

/**
 * Adds data files to a table in one snapshot, together with properties; makes the table with the same commit where `create` is given, so a run
 * that fails before leaves no empty table behind.
 *
 * The manifests the table has are listed again as they are, row-level deletes included. Only when there are many (merge.ts) are small ones
 * read and put together.
 */
export function appendFiles(
  catalog: Catalog,
  table: TableIdentifier,
  options: SnapshotOptions,
  context: OperationContext,
): Promise<SnapshotResult> {
  // By the paths merged: a later try that finds the same manifests lists what an earlier one wrote.
  const merged = new Map<string, Promise<Merged>>()
  return commitSnapshot(
    catalog,
    table,
    options,
    'append',
    async (carrying) => {
      const manifests: ManifestFile[] = []
      for (const group of mergeGroups(carrying.metadata, carrying.manifests)) {
        if (group.length === 1) {
          manifests.push(...group)
          continue
        }
        const key = JSON.stringify(group.map(({ path }) => path))
        let merge = merged.get(key)
        if (!merge) {
          merge = mergeGroup(catalog.storage, group, carrying, `g${merged.size}`)
          merged.set(key, merge)
        }
        manifests.push((await merge).listed(carrying.sequenceNumber))
      }
      return { manifests, removed: [] }
    },
    context,
  )
}
