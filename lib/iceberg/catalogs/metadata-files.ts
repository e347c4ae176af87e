/**
 * Metadata files of catalogs that hold a pointer to the current one: `metadata/<NNNNN>-<uuid>.metadata.json`, as Iceberg's own metastore
 * catalogs name them. A file exists before its commit does, so every one that lost must be taken back, and none whose outcome is open.
 */
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'
import { parseMetadata, serializeMetadata, type TableMetadata } from '../metadata.ts'
import type { TableState } from './catalog.ts'

/** The next name: one more than the number that `base` begins with; 0 for a new table. */
export function nextMetadataLocation(metadata: TableMetadata, base: TableState | undefined, uuid: string): string {
  const name = base?.metadataLocation.slice(base.metadataLocation.lastIndexOf('/') + 1) ?? ''
  const number = Number(/^(?:v(?=\d))?(\d+)/.exec(name)?.[1] ?? -1) + 1
  const gzip = compressionOf(metadata) === 'gzip' ? '.gz' : ''
  const folder = metadata.properties['write.metadata.path']?.replace(/\/+$/, '') ?? `${metadata.location}/metadata`
  return `${folder}/${String(number).padStart(5, '0')}-${uuid}${gzip}.metadata.json`
}

export function compressionOf({ properties }: TableMetadata): 'none' | 'gzip' {
  return properties['write.metadata.compression-codec'] === 'gzip' ? 'gzip' : 'none'
}

/** Writes a file that nobody else writes: one that is there already is ours, from an answer that was lost. */
export async function writeMetadataFile(storage: Storage, location: string, metadata: TableMetadata): Promise<void> {
  const bytes = serializeMetadata(metadata, compressionOf(metadata))
  try {
    await storage.create(storageLocation(location), bytes)
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/conflict')) throw error
    const there = await storage.read(storageLocation(location))
    if (Buffer.compare(there, bytes) !== 0) throw error
  }
}

/** @throws PseudolakeError `table/invalid` when the file that the catalog names is not there */
export async function readMetadataFile(storage: Storage, location: string): Promise<TableState> {
  try {
    return {
      metadata: parseMetadata(await storage.read(storageLocation(location)), location),
      metadataLocation: location,
    }
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/not-found')) throw error
    throw new PseudolakeError(
      'table/invalid',
      `the catalog names ${location} as the table's metadata, and it is not there`,
      { location },
      { cause: error },
    )
  }
}

/** Whether a table's metadata came out of the file at `location`: it is that file, or its log names it. */
export function cameFrom({ metadata, metadataLocation }: TableState, location: string): boolean {
  return metadataLocation === location || metadata['metadata-log'].some((entry) => entry['metadata-file'] === location)
}

/** Best effort: what stays costs room and nothing else, and `table verify` names it. */
export async function removeQuietly(storage: Storage, locations: readonly string[]): Promise<void> {
  for (const location of locations)
    await storage.delete(storageLocation(location)).catch((error: unknown) => {
      if (!(error instanceof PseudolakeError)) throw error
    })
}

/**
 * What fell out of the metadata log with a commit, where the table wants such files removed
 * (`write.metadata.delete-after-commit.enabled`); a stream would leave one for every minute of a year.
 */
export function outOfLog(base: TableMetadata | undefined, metadata: TableMetadata): string[] {
  if (!base || metadata.properties['write.metadata.delete-after-commit.enabled'] !== 'true') return []
  const kept = new Set(metadata['metadata-log'].map((entry) => entry['metadata-file']))
  return base['metadata-log'].map((entry) => entry['metadata-file']).filter((file) => !kept.has(file))
}

/** Property: how many snapshots our commits let a table have. Without it, as many as there are. */
export const MAX_SNAPSHOTS = 'pseudolake.max-snapshots'

/** What tables made in a catalog with a pointer have, beside what their maker asks for. */
export const POINTED_TABLE_PROPERTIES: Readonly<Record<string, string>> = {
  [MAX_SNAPSHOTS]: '200',
  'write.metadata.delete-after-commit.enabled': 'true',
}
