import type { Storage } from '../../storage/storage.ts'
import type { TableState } from '../catalogs/catalog.ts'
import { versionOf } from '../catalogs/metadata-versions.ts'
import { LocationSet } from '../location-set.ts'
import { storageLocation } from '../locations.ts'
import { IN_FLIGHT_MS } from './lying-files.ts'
import type { Remover } from './remove-files.ts'

/**
 * Removes numbered metadata files that are older than the table and that its log, bounded by `write.metadata.previous-versions-max`, does
 * not name any more. Never one younger than three days: a writer that was paused at its number would find it free and believe that it won.
 *
 * Only where the number is all that says which metadata is the current one. A metastore may remember locations on its own (versions that
 * one can go back to), so there it is the log's bound and the search for orphans that end with them.
 */
export async function removeOldMetadata(
  storage: Storage,
  { metadata, metadataLocation }: TableState,
  now: number,
  remover: Remover,
  signal: AbortSignal | undefined,
): Promise<void> {
  const current = versionOf(metadataLocation)
  if (current === undefined) return
  const logged = new LocationSet()
  for (const { 'metadata-file': file } of metadata['metadata-log']) logged.add(storageLocation(file))
  const folder = storageLocation(metadataLocation).slice(0, storageLocation(metadataLocation).lastIndexOf('/') + 1)
  for await (const { location, bytes, modified } of storage.list(folder)) {
    signal?.throwIfAborted()
    const name = location.slice(folder.length)
    // Hadoop's checksum file goes with the file.
    const version = versionOf(name.replace(/^\.(.+)\.crc$/, '$1'))
    if (version === undefined || version >= current || now - modified < IN_FLIGHT_MS) continue
    if (logged.has(`${folder}${name.replace(/^\.(.+)\.crc$/, '$1')}`)) continue
    await remover.add({ kind: 'metadata', location, bytes })
  }
  await remover.settle()
}
