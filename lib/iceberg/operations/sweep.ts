import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { LocationSet } from '../location-set.ts'
import { storageLocation } from '../locations.ts'
import { readManifest } from '../manifest.ts'
import { type ManifestFile, readManifestList } from '../manifest-list.ts'
import { type Snapshot, statisticsFiles, type TableMetadata } from '../metadata.ts'
import { liveEntries } from '../scan.ts'
import type { Remover } from './remove-files.ts'

/**
 * Files that only snapshots of the past need, from the leaves up: data before the manifests that name it, manifests before their lists.
 * Wherever it is cut short, what is left can be found again the same way.
 *
 * What the table has is held as hashes, 16 to 32 bytes a file, and two files whose hashes are equal count as one: then one stays that
 * could go. Its manifests and lists are told apart by their names, since one that was passed over would take the files that it names with it.
 */

/** A snapshot that the table has no longer. */
export interface GoneSnapshot {
  readonly id: bigint
  readonly list: string | undefined
  readonly statistics: readonly string[]
}

export interface SweepOptions {
  readonly storage: Storage
  /** Of the table as it is now, without the snapshots that are gone. */
  readonly metadata: TableMetadata
  readonly gone: readonly GoneSnapshot[]
  readonly remover: Remover
  readonly signal?: AbortSignal
}

/** @throws PseudolakeError `storage/not-found`, `table/invalid` when what the table has cannot be read: then nothing is known to be unneeded */
export async function sweep({ storage, metadata, gone, remover, signal }: SweepOptions): Promise<void> {
  const live = new LocationSet()
  for (const { path } of statisticsFiles(metadata)) live.add(storageLocation(path))
  const liveManifests = await manifestsOfAll(storage, metadata.snapshots, live, signal)
  const doomed: ManifestFile[] = []
  const seen = new LocationSet()
  const lists: { readonly location: string; readonly bytes: number }[] = []
  for (const { list } of gone) {
    if (list === undefined || live.has(storageLocation(list)) || !seen.add(storageLocation(list))) continue
    const bytes = await readIfThere(storage, storageLocation(list))
    if (!bytes) continue
    lists.push({ location: storageLocation(list), bytes: bytes.length })
    for (const manifest of readManifestList(bytes, list)) {
      const location = storageLocation(manifest.path)
      if (!live.has(location) && seen.add(location)) doomed.push(manifest)
    }
  }

  if (doomed.some(({ addedFiles, existingFiles }) => addedFiles + existingFiles > 0)) {
    for (const manifest of liveManifests) {
      signal?.throwIfAborted()
      for await (const { file } of liveEntries(storage, manifest)) live.add(storageLocation(file.path))
    }
    for (const manifest of doomed) {
      signal?.throwIfAborted()
      // Gone when an earlier sweep was cut short behind it: so is what it named.
      const bytes = await readIfThere(storage, storageLocation(manifest.path))
      if (!bytes) continue
      for (const { status, file } of readManifest(bytes, manifest)) {
        const location = storageLocation(file.path)
        if (status === 'deleted' || live.has(location) || !seen.add(location)) continue
        await remover.add({
          kind: file.content === 'data' ? 'data_files' : 'delete_files',
          location,
          bytes: file.bytes,
        })
      }
    }
    await remover.settle()
    // What names a file that is still there is kept to find it by.
    if (remover.removed.failed > 0) return
  }
  for (const { path, bytes } of doomed) await remover.add({ kind: 'manifests', location: storageLocation(path), bytes })
  for (const { statistics } of gone)
    for (const location of statistics.map(storageLocation))
      if (!live.has(location) && seen.add(location)) await remover.add({ kind: 'statistics', location })
  await remover.settle()
  if (remover.removed.failed > 0) return
  for (const list of lists) await remover.add({ kind: 'manifest_lists', ...list })
  await remover.settle()
}

/** Every manifest of the snapshots once; it and the lists are added to `seen`. */
async function manifestsOfAll(
  storage: Storage,
  snapshots: readonly Snapshot[],
  seen: LocationSet,
  signal: AbortSignal | undefined,
): Promise<ManifestFile[]> {
  const manifests: ManifestFile[] = []
  for (const snapshot of snapshots) {
    signal?.throwIfAborted()
    const list = snapshot['manifest-list']
    if (list === undefined)
      throw new PseudolakeError(
        'table/unsupported',
        `snapshot ${snapshot['snapshot-id']} names its manifests without a list, as only very old writers do`,
      )
    if (!seen.addNaming(storageLocation(list))) continue
    for (const manifest of readManifestList(await storage.read(storageLocation(list)), list))
      if (seen.addNaming(storageLocation(manifest.path))) manifests.push(manifest)
  }
  return manifests
}

export async function readIfThere(storage: Storage, location: string): Promise<Uint8Array | undefined> {
  try {
    return await storage.read(location)
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return undefined
    throw error
  }
}
