/** From a LOCATION to the table behind its catalog: what commands that change a table start from. */
import type { Clock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { storageLocation, tableSpelling } from '../../lib/iceberg/locations.ts'
import type { Storage } from '../../lib/storage/storage.ts'

export interface OpenedTable {
  readonly catalog: Catalog
  readonly table: TableIdentifier
  readonly state: TableState
}

/**
 * A table in a folder, to be changed.
 * @throws PseudolakeError `table/not-found`, `table/invalid`; `table/unsupported` for a metastore's table, and for one whose metadata says
 *   that it is elsewhere: a copy of a folder names the original's files, and removing those would break the original
 */
export async function openFolder(location: string, storage: Storage, clock: Clock): Promise<OpenedTable> {
  if (/\.metadata\.json(?:\.gz)?$/.test(location))
    throw new PseudolakeError('options/invalid', `${location} is one version of a table, which does not change`, {
      hint: 'Give the table’s folder.',
    })
  const folder = tableSpelling(location)
  const [, warehouse, database, name] = /^(.*)\/([^/]+)\/([^/]+)$/.exec(folder) ?? []
  if (warehouse === undefined || database === undefined || name === undefined || warehouse.endsWith(':/'))
    throw new PseudolakeError('options/invalid', `${location}: expected <warehouse>/<database>/<table>`, { location })
  const catalog = filesystemCatalog({ storage, warehouse, clock })
  const table = { database, name }
  const state = await catalog.load(table)
  const own = storageLocation(state.metadata.location)
  if (own !== storageLocation(folder))
    throw new PseudolakeError('table/unsupported', `${folder}: its metadata says that the table is at ${own}`, {
      location: folder,
      hint: 'Give that location. Where the folder was moved or copied, the files that it names are still those of the other place.',
    })
  return { catalog, table, state }
}
