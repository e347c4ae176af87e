import type { Storage, StoredObject } from '../../storage/storage.ts'
import type { TableState } from '../catalogs/catalog.ts'
import { versionOf } from '../catalogs/metadata-versions.ts'
import type { LocationSet } from '../location-set.ts'
import { storageLocation } from '../locations.ts'

/** Files under a table's folder that nothing reaches: what `table verify` tells of and `table expire --orphans` removes. */

/** Younger files may belong to a run that has not committed yet, or that sleeps; nobody takes them away. */
export const IN_FLIGHT_MS = 3 * 24 * 3_600_000

export interface LyingFile extends StoredObject {
  /**
   * `earlier-metadata`: a numbered metadata file that the log does not name any more, or that lost its commit. It holds a number that no
   * paused writer may take, so it is history for some days and no orphan.
   */
  readonly kind: 'earlier-metadata' | 'orphan'
}

/**
 * Another table that lies in a folder below is left out, with all that is its own.
 * @param reached everything that the table reaches, by where Storage finds it
 */
export async function* lyingFiles(
  storage: Storage,
  { metadata: { location }, metadataLocation }: TableState,
  reached: LocationSet,
  signal?: AbortSignal,
): AsyncGenerator<LyingFile, void, undefined> {
  const table = storageLocation(location)
  const version = versionOf(metadataLocation)
  const metadata = `${table}/metadata/`
  // By the first folder below the table's: of ours there are two, and what is in others is asked for once.
  const others = new Map<string, Promise<readonly string[]>>()
  for await (const object of storage.list(`${table}/`)) {
    signal?.throwIfAborted()
    const checked = checkedBy(object.location)
    if (reached.has(checked)) continue
    const name = checked.startsWith(metadata) ? checked.slice(metadata.length) : ''
    if (name === 'version-hint.text') continue
    const [first = '', ...below] = object.location.slice(table.length + 1).split('/')
    if (below.length > 0 && first !== 'data' && first !== 'metadata') {
      const known = others.get(first) ?? tablesBelow(storage, `${table}/${first}/`)
      others.set(first, known)
      if ((await known).some((root) => object.location.startsWith(root))) continue
    }
    const own = name.includes('/') ? undefined : versionOf(name)
    yield {
      ...object,
      kind: own !== undefined && version !== undefined && own <= version ? 'earlier-metadata' : 'orphan',
    }
  }
}

/** Folders of tables, with a slash at the end. */
async function tablesBelow(storage: Storage, folder: string): Promise<readonly string[]> {
  const roots = new Set<string>()
  for await (const { location } of storage.list(folder)) {
    const root = /^(.*\/)metadata\/[^/]+\.metadata\.json(?:\.gz)?$/.exec(location)?.[1]
    if (root !== undefined) roots.add(root)
  }
  return [...roots]
}

/** Hadoop's file system on a disk keeps a checksum `.NAME.crc` beside each file: it goes with the file. */
function checkedBy(location: string): string {
  return location.replace(/\/\.([^/]+)\.crc$/, '/$1')
}
