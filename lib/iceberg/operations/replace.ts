import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import type { DataFile } from '../data-file.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { currentSnapshot, snapshotById, type TableMetadata } from '../metadata.ts'
import { applies, liveEntries } from '../scan.ts'
import type { Seen } from './compact-plan.ts'
import { type RewrittenManifest, rewriteManifest } from './rewrite-manifest.ts'
import {
  type Carrying,
  commitSnapshot,
  type OperationContext,
  type SnapshotOptions,
  type SnapshotResult,
} from './snapshot.ts'

export interface ReplaceOptions extends SnapshotOptions {
  /** `replace`: the same rows in other files. `overwrite`: other rows. */
  readonly operation: 'replace' | 'overwrite'
  /** Data files that others take the place of: their data sequence number by the path that the table knows them under. */
  readonly remove: ReadonlyMap<string, number>
  /** Delete files that were applied to them: they must be in the table still. */
  readonly applied: ReadonlySet<string>
  /** Of those, the ones that are about no other file of the table, by path. */
  readonly removeDeletes: ReadonlySet<string>
  /** What the table was when the files were read: needed where delete files go. */
  readonly seen?: Seen
  /** Sequence number of the snapshot that the files were read from: deletes of later ones may be about them. */
  readonly readAt: number
}

/**
 * Puts files in the place of others that were read before: it goes through beside appends, and not where a file was rewritten or rows of
 * it were deleted since, as that would undo it. Where the rows are the same ones, they keep their age: what is deleted by equal values
 * meanwhile is about them in their new files too.
 * @throws PseudolakeError `table/conflict` where that is so, and what `appendFiles` throws
 */
export function replaceFiles(
  catalog: Catalog,
  table: TableIdentifier,
  options: ReplaceOptions,
  context: OperationContext,
): Promise<SnapshotResult> {
  const { remove, removeDeletes } = options
  const rewritten = new Map<string, Promise<RewrittenManifest | undefined>>()
  const keepsAge = options.operation === 'replace'
  return commitSnapshot(
    catalog,
    table,
    { ...options, ...(keepsAge && { dataSequence: options.readAt }) },
    options.operation,
    async (carrying) => {
      await requireUndisturbed(catalog.storage, carrying.manifests, options)
      if (removeDeletes.size > 0) await requireNothingOld(catalog.storage, carrying, options)
      const manifests: ManifestFile[] = []
      const removed: DataFile[] = []
      for (const manifest of carrying.manifests) {
        const gone = manifest.content === 'data' ? remove : removeDeletes
        let change = rewritten.get(manifest.path)
        if (!change) {
          const name = `r${rewritten.size}`
          change =
            gone.size > 0
              ? rewriteManifest(catalog.storage, manifest, gone, carrying, name)
              : Promise.resolve(undefined)
          rewritten.set(manifest.path, change)
        }
        const done = await change
        manifests.push(done ? done.listed(carrying.sequenceNumber) : manifest)
        for (const file of done?.removed ?? []) removed.push(file)
      }
      const found = new Set(removed.map(({ path }) => path))
      const missing = [...remove.keys()].find((path) => !found.has(path))
      if (missing !== undefined) throw disturbed(missing, 'is no longer in the table')
      return { manifests, removed }
    },
    context,
  )
}

async function requireUndisturbed(
  storage: Storage,
  manifests: readonly ManifestFile[],
  { operation, remove, applied, readAt }: ReplaceOptions,
): Promise<void> {
  const missing = new Set(applied)
  for (const manifest of manifests) {
    // Every entry of an older manifest was there when the files were read.
    if (manifest.content !== 'deletes' || (manifest.sequenceNumber <= readAt && missing.size === 0)) continue
    for await (const entry of liveEntries(storage, manifest)) {
      missing.delete(entry.file.path)
      const { file, sequenceNumber = 0 } = entry
      if (sequenceNumber <= readAt || (operation === 'replace' && file.content === 'equality-deletes')) continue
      // Of whatever partition: a file that goes belongs to none.
      const late = { ...file, sequenceNumber, scope: undefined }
      for (const [path, written] of remove)
        if (applies(late, { path }, written, true)) throw disturbed(path, 'had rows deleted meanwhile')
    }
  }
  const [gone] = missing
  if (gone !== undefined) throw disturbed(gone, 'is no longer in the table, as after a rollback')
}

/**
 * A delete file may go when no file needs it: of those that were there, the plan says so, and what was appended since is younger. What is
 * neither, files that somebody put together meanwhile or that a rollback brought back, could need it.
 */
async function requireNothingOld(
  storage: Storage,
  { metadata, manifests }: Carrying,
  { seen, readAt }: ReplaceOptions,
): Promise<void> {
  if (!seen || !descends(metadata, seen)) throw disturbed(metadata.location, 'went back to an older state meanwhile')
  for (const manifest of manifests) {
    if (manifest.content !== 'data' || seen.manifests.has(manifest.path) || manifest.minSequenceNumber > readAt)
      continue
    for await (const { file, sequenceNumber = 0, fileSequenceNumber = 0 } of liveEntries(storage, manifest))
      if (fileSequenceNumber > readAt && sequenceNumber <= readAt)
        throw disturbed(file.path, 'holds rows of before and came meanwhile')
  }
}

/** Whether the table's state came out of a snapshot; where expiry took that one, whether all that is left is younger. */
function descends(metadata: TableMetadata, { snapshotId, sequenceNumber }: Seen): boolean {
  let snapshot = currentSnapshot(metadata)
  while (snapshot) {
    if (snapshot['snapshot-id'] === snapshotId) return true
    if (snapshot['sequence-number'] <= sequenceNumber) return false
    const parent = snapshot['parent-snapshot-id']
    if (parent === undefined) return false
    snapshot = snapshotById(metadata, parent)
  }
  return snapshotById(metadata, snapshotId) === undefined
}

function disturbed(path: string, what: string): PseudolakeError {
  return new PseudolakeError('table/conflict', `${path} ${what}; nothing was changed`, {
    location: path,
    hint: 'Run again: it starts from the table as it is now.',
  })
}
