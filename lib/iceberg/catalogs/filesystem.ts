/**
 * Tables in a folder, without a server: the current metadata is the highest `v<N>.metadata.json`. The layout is that of Iceberg's Hadoop
 * catalog, so Spark (`type=hadoop`), PyIceberg and DuckDB read it.
 *
 * A commit is the exclusive create of the next number. That alone is not enough: where old versions were removed, a writer that slept
 * since could create a number long passed and believe it won. So the winner looks for higher versions afterwards, and unless the newest
 * descends from its own file, it takes that back and has lost.
 */

import type { Clock } from '../../core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageLocation, tableSpelling } from '../locations.ts'
import { parseMetadata, serializeMetadata, type TableMetadata } from '../metadata.ts'
import { applyUpdates } from '../updates.ts'
import type { Catalog, TableIdentifier, TableState } from './catalog.ts'
import {
  findNewest,
  listVersions,
  type MetadataVersion,
  readHint,
  removeHint,
  versionLocation,
  versionOf,
  writeHint,
} from './metadata-versions.ts'

export interface FilesystemCatalogOptions {
  readonly storage: Storage
  /** Tables are made at `<warehouse>/<database>/<name>`. */
  readonly warehouse: string
  readonly clock: Clock
}

export function filesystemCatalog({ storage, warehouse, clock }: FilesystemCatalogOptions): Catalog {
  const root = tableSpelling(warehouse)
  const folderOf = ({ database, name }: TableIdentifier) => `${root}/${checkedName(database)}/${checkedName(name)}`

  /** By folder, the version of a table that its hint does not say: its writer was killed in between, and others follow the hint. */
  const unsaid = new Map<string, number>()

  return {
    storage,

    newTableLocation: async (table) => folderOf(table),

    async load(table) {
      const folder = folderOf(table)
      const newest = await findNewest(storage, folder)
      if (!newest) throw notFound(folder)
      if (newest.hinted === newest.version) unsaid.delete(folder)
      else unsaid.set(folder, newest.version)
      return read(newest)
    },

    async settle(table) {
      const version = unsaid.get(folderOf(table))
      if (version !== undefined) await raiseHint(folderOf(table), version, () => readHint(storage, folderOf(table)))
    },

    async commit(table, base, updates) {
      const folder = folderOf(table)
      const metadata = applyUpdates(base?.metadata, base?.metadataLocation, updates, clock.wall())
      const version = base === undefined ? 1 : (versionOf(base.metadataLocation) as number) + 1
      // All writers of a table must compete for the same name.
      const compression = metadata.properties['write.metadata.compression-codec'] === 'gzip' ? 'gzip' : 'none'
      const own = { version, compression, location: versionLocation(folder, version, compression) } as const
      await createExclusively(own, metadata)
      const hinted = await requireHead(folder, own, metadata).catch((error: unknown) => {
        throw isPseudolakeError(error, 'table/conflict') ? error : unknown(own.location, error)
      })
      await raiseHint(folder, version, async () => hinted)
      return { metadata, metadataLocation: own.location }
    },

    async drop(table) {
      const folder = folderOf(table)
      const versions = await listVersions(storage, folder)
      if (versions.length === 0) throw notFound(folder)
      // The newest goes last: up to there readers have the whole table, and never an earlier state of it.
      await removeHint(storage, folder)
      for (const { location } of versions) await storage.delete(location)
      if (await findNewest(storage, folder))
        throw new PseudolakeError('table/conflict', `${folder}: somebody committed while the table was dropped`, {
          location: folder,
        })
    },
  }

  function notFound(folder: string): PseudolakeError {
    return new PseudolakeError('table/not-found', `there is no Iceberg table at ${folder}`, { location: folder })
  }

  async function read({ location }: MetadataVersion): Promise<TableState> {
    return { metadata: parseMetadata(await storage.read(location), location), metadataLocation: location }
  }

  async function createExclusively({ location, compression }: MetadataVersion, metadata: TableMetadata): Promise<void> {
    const bytes = serializeMetadata(metadata, compression)
    try {
      await storage.create(location, bytes)
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/conflict', 'storage/failed', 'storage/unknown')) throw error
      // Our own bytes there: the create happened and its answer was lost. (Nobody else writes these: they carry our snapshot id, and a
      // change of properties alone that is the same to the byte has the same effect.)
      const there = await readIfThere(location, error)
      if (there === undefined) throw unknown(location, error)
      if (Buffer.compare(there, bytes) !== 0)
        throw new PseudolakeError(
          'table/conflict',
          `${location} was written by somebody else`,
          { location },
          { cause: error },
        )
    }
  }

  /** Undefined where there is nothing. A create whose answer was lost may still land, then. */
  async function readIfThere(location: string, cause: unknown): Promise<Uint8Array | undefined> {
    try {
      return await storage.read(location)
    } catch (error) {
      if (isPseudolakeError(error, 'storage/not-found')) return undefined
      throw unknown(location, cause)
    }
  }

  /** @returns what the hint says */
  async function requireHead(
    folder: string,
    own: MetadataVersion,
    metadata: TableMetadata,
  ): Promise<number | undefined> {
    const newest = await findNewest(storage, folder, own)
    if (!newest || newest.version === own.version) return newest?.hinted
    if (await descends(newest, own, metadata)) return newest.hinted
    await storage.delete(own.location)
    throw new PseudolakeError(
      'table/conflict',
      `${own.location} is older than the table, which is at version ${newest.version}`,
      { location: own.location },
    )
  }

  /**
   * Whether the newest metadata came out of ours, by the metadata logs. A log entry names a file and the time of its content: the name
   * alone could be that of a removed version whose number we took. Logs are bounded, so their oldest entries are followed down.
   */
  async function descends(newest: MetadataVersion, own: MetadataVersion, metadata: TableMetadata): Promise<boolean> {
    let location = newest.location
    for (;;) {
      const log = parseMetadata(await storage.read(location), location)['metadata-log']
      for (const entry of log)
        if (
          versionOf(entry['metadata-file']) === own.version &&
          entry['timestamp-ms'] === metadata['last-updated-ms'] &&
          storageLocation(entry['metadata-file']) === own.location
        )
          return true
      const oldest = log[0]?.['metadata-file']
      const version = oldest === undefined ? undefined : versionOf(oldest)
      if (oldest === undefined || version === undefined || version <= own.version) return false
      location = storageLocation(oldest)
    }
  }

  /** Best effort: whoever reads next starts lower and probes upward. */
  async function raiseHint(folder: string, version: number, hinted: () => Promise<number | undefined>): Promise<void> {
    try {
      if (((await hinted()) ?? 0) < version) await writeHint(storage, folder, version)
    } catch (error) {
      if (!(error instanceof PseudolakeError)) throw error
    }
  }
}

function unknown(location: string, cause: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/commit-unknown',
    `whether ${location} became the table's metadata is not known`,
    { location },
    { cause },
  )
}

/** A name becomes a folder: one that could lead elsewhere, or that readers skip as hidden, is refused. */
function checkedName(name: string): string {
  if (/^[^/\\\p{Cc}]+$/u.test(name) && !/^[._]/.test(name)) return name
  throw new PseudolakeError(
    'options/invalid',
    `table name: expected no slash, no control character and no . or _ in front, got ${name.length} characters that are not so`,
  )
}
