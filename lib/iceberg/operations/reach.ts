import type { Storage } from '../../storage/storage.ts'
import type { TableState } from '../catalogs/catalog.ts'
import type { LocationSet } from '../location-set.ts'
import { storageLocation } from '../locations.ts'
import { readManifestList } from '../manifest-list.ts'
import { statisticsFiles } from '../metadata.ts'
import { liveEntries } from '../scan.ts'

/**
 * Adds everything that a table reaches: its metadata and the log's, statistics, and what its snapshots are made of. What the set has
 * already is not read again, so a later state of the table costs what is new in it.
 * @throws PseudolakeError `storage/not-found`, `table/invalid` when something cannot be read: what it names would look unreached
 */
export async function reachAll(
  storage: Storage,
  { metadata, metadataLocation }: TableState,
  reached: LocationSet,
  signal?: AbortSignal,
): Promise<void> {
  reached.add(storageLocation(metadataLocation))
  for (const { 'metadata-file': file } of metadata['metadata-log']) reached.add(storageLocation(file))
  for (const { path } of statisticsFiles(metadata)) reached.add(storageLocation(path))
  for (const { 'manifest-list': list } of metadata.snapshots) {
    if (list === undefined || reached.hasNaming(storageLocation(list))) continue
    for (const manifest of readManifestList(await storage.read(storageLocation(list)), list)) {
      signal?.throwIfAborted()
      const location = storageLocation(manifest.path)
      if (reached.hasNaming(location)) continue
      for await (const { file } of liveEntries(storage, manifest)) reached.add(storageLocation(file.path))
      reached.addNaming(location)
    }
    reached.addNaming(storageLocation(list))
  }
}
