import { PseudolakeError } from '../../core/errors.ts'
import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { type RewrittenManifest, rewriteManifest } from './rewrite-manifest.ts'
import {
  type Carried,
  commitSnapshot,
  type OperationContext,
  type SnapshotOptions,
  type SnapshotResult,
} from './snapshot.ts'

export interface OverwriteOptions extends SnapshotOptions {
  /** Data files to take out, by the path the table knows them under. */
  readonly remove: readonly string[]
}

/**
 * Takes data files out of a table and adds others, in one snapshot: no reader sees neither or both.
 *
 * Only manifests that name one of the files are written anew, once for all tries. A file that is no longer in the table stops the commit:
 * whoever took it out (a compaction, say) put its rows somewhere else, where they would stay.
 * @throws PseudolakeError `table/files-gone`, and what `appendFiles` throws
 */
export function overwriteFiles(
  catalog: Catalog,
  table: TableIdentifier,
  options: OverwriteOptions,
  context: OperationContext,
): Promise<SnapshotResult> {
  const remove = new Set(options.remove)
  const rewritten = new Map<string, Promise<RewrittenManifest | undefined>>()
  return commitSnapshot(
    catalog,
    table,
    options,
    options.files.length > 0 ? 'overwrite' : 'delete',
    async (carrying) => {
      const carried: { manifests: ManifestFile[]; removed: DataFile[] } = { manifests: [], removed: [] }
      for (const manifest of carrying.manifests) {
        let change = rewritten.get(manifest.path)
        if (!change) {
          const name = `r${rewritten.size}`
          change =
            manifest.content === 'data'
              ? rewriteManifest(catalog.storage, manifest, remove, carrying, name)
              : Promise.resolve(undefined)
          rewritten.set(manifest.path, change)
        }
        const { listed, removed } = (await change) ?? { listed: () => manifest, removed: [] }
        carried.manifests.push(listed(carrying.sequenceNumber))
        carried.removed.push(...removed)
      }
      requireAll(remove, carried)
      return carried
    },
    context,
  )
}

function requireAll(remove: ReadonlySet<string>, { removed }: Carried): void {
  const found = new Set(removed.map(({ path }) => path))
  const gone = [...remove].filter((path) => !found.has(path))
  if (gone.length > 0)
    throw new PseudolakeError(
      'table/files-gone',
      `${gone.length} of the ${remove.size} files to replace are no longer in the table; the first is ${gone[0]}`,
      { files: gone.slice(0, 10) },
    )
}
