import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
import type { Storage } from '../storage/storage.ts'
import type { Catalog, TableIdentifier, TableState } from './catalogs/catalog.ts'
import { filesystemCatalog } from './catalogs/filesystem.ts'
import type { GlueCatalogOptions } from './catalogs/glue.ts'
import type { MemoryCatalogOptions } from './catalogs/memory.ts'
import { findNewest } from './catalogs/metadata-versions.ts'
import type { RestCatalogOptions } from './catalogs/rest.ts'
import { storageLocation, tableSpelling } from './locations.ts'
import { parseMetadata } from './metadata.ts'

const METADATA_FILE = /\.metadata\.json(?:\.gz)?$/
/** Metadata files of metastore catalogs: five or more digits, then a UUID. */
const NUMBERED = /^(\d+)-.+\.metadata\.json(?:\.gz)?$/

export type CatalogKind = 'glue' | 'rest'

/** A catalog by its type, with what its adapter takes. */
export type CatalogOptions =
  | ({ readonly type: 'filesystem' } & Omit<MemoryCatalogOptions, 'uuid'>)
  | ({ readonly type: 'memory' } & MemoryCatalogOptions)
  | ({ readonly type: 'glue' } & GlueCatalogOptions)
  | ({ readonly type: 'rest' } & RestCatalogOptions)

/**
 * The one place that looks at a catalog's type. What a table on a disk has no use for is loaded when it is asked for.
 * @throws PseudolakeError `options/invalid`
 */
export async function openCatalog(options: CatalogOptions): Promise<Catalog> {
  switch (options.type) {
    case 'filesystem':
      return filesystemCatalog(options)
    case 'memory':
      return (await import('./catalogs/memory.ts')).memoryCatalog(options)
    case 'glue':
      return (await import('./catalogs/glue.ts')).glueCatalog(options)
    case 'rest':
      return (await import('./catalogs/rest.ts')).restCatalog(options)
  }
}

/**
 * A table that is named in a catalog, `glue:db.table` or `rest:db.table`; undefined for a location. The last dot separates: what is before
 * it may be a namespace of several levels.
 * @throws PseudolakeError `options/invalid` for one of these catalogs without a database and a table
 */
export function catalogLocation(
  location: string,
): { readonly kind: CatalogKind; readonly table: TableIdentifier } | undefined {
  const named = /^(glue|rest):(?!\/)(.*)$/s.exec(location)
  if (!named) return undefined
  const [, kind, rest = ''] = named
  const dot = rest.lastIndexOf('.')
  if (dot < 1 || dot === rest.length - 1)
    throw new PseudolakeError('options/invalid', `${kind}: expected ${kind}:DATABASE.TABLE`, {})
  return { kind: kind as CatalogKind, table: { database: rest.slice(0, dot), name: rest.slice(dot + 1) } }
}

/**
 * Opens a table for reading, without a catalog.
 * @param location the table's folder, or one of its metadata files. In a folder of a metastore's table the file of the highest number is
 *   taken: what the metastore says of it is not asked, so it may be one that lost its commit
 * @throws PseudolakeError `table/not-found`, `table/invalid`, `table/unsupported`
 */
export async function openTable(storage: Storage, location: string): Promise<TableState> {
  const named = catalogLocation(location)
  if (named)
    throw new PseudolakeError(
      'options/invalid',
      `${location}: a table in a catalog needs --config, which says how to reach it`,
      { location },
    )
  const metadataLocation = METADATA_FILE.test(location)
    ? tableSpelling(location)
    : await newestMetadata(storage, tableSpelling(location))
  try {
    const bytes = await storage.read(storageLocation(metadataLocation))
    return { metadata: parseMetadata(bytes, metadataLocation), metadataLocation }
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) throw notFound(location, error)
    throw error
  }
}

async function newestMetadata(storage: Storage, table: string): Promise<string> {
  try {
    const newest = await findNewest(storage, table)
    if (newest) return newest.location
  } catch (error) {
    // A metastore's table, which is fine to read.
    if (!isPseudolakeError(error, 'table/unsupported')) throw error
  }
  const prefix = `${table}/metadata/`
  let newest: { location: string; number: number; modified: number } | undefined
  for await (const { location, modified } of storage.list(prefix)) {
    const digits = NUMBERED.exec(location.slice(prefix.length))?.[1]
    if (digits === undefined) continue
    const number = Number(digits)
    if (!newest || number > newest.number || (number === newest.number && modified > newest.modified))
      newest = { location, number, modified }
  }
  if (!newest) throw notFound(table)
  return newest.location
}

function notFound(location: string, cause?: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/not-found',
    `there is no Iceberg table at ${location}`,
    { location },
    cause === undefined ? {} : { cause },
  )
}
