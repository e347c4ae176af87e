import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { type ManifestEntry, manifestFileOf, writeManifest } from '../manifest.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { currentSchema, type PartitionSpec } from '../metadata.ts'
import { liveEntries } from '../scan.ts'
import {
  type Carried,
  type Carrying,
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
  const rewritten = new Map<string, Promise<Rewritten | undefined>>()
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
          change = rewrite(catalog.storage, manifest, remove, carrying, `r${rewritten.size}`)
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

interface Rewritten {
  listed(sequenceNumber: number): ManifestFile
  readonly removed: readonly DataFile[]
}

/** The manifest without the files to remove, written anew; undefined when it names none of them. */
async function rewrite(
  storage: Storage,
  manifest: ManifestFile,
  remove: ReadonlySet<string>,
  { metadata, snapshotId, nameOf, written }: Carrying,
  name: string,
): Promise<Rewritten | undefined> {
  if (manifest.content !== 'data') return undefined
  const entries: ManifestEntry[] = []
  const removed: DataFile[] = []
  for await (const entry of liveEntries(storage, manifest)) {
    const gone = remove.has(entry.file.path)
    if (gone) removed.push(entry.file)
    entries.push(gone ? { ...entry, status: 'deleted', snapshotId } : { ...entry, status: 'existing' })
  }
  if (removed.length === 0) return undefined

  const spec = metadata['partition-specs'].find((each) => each['spec-id'] === manifest.specId) as PartitionSpec
  if (spec.fields.length > 0)
    throw new PseudolakeError('table/unsupported', `${manifest.path}: files of a partitioned spec are not replaced`, {
      location: manifest.path,
    })
  const path = nameOf(name)
  const of = { schema: currentSchema(metadata), spec, content: 'data', entries } as const
  const bytes = writeManifest(of)
  written.push(path)
  await storage.create(storageLocation(path), bytes)
  return {
    listed: (sequenceNumber) => manifestFileOf(of, { path, bytes: bytes.length }, snapshotId, sequenceNumber),
    removed,
  }
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
