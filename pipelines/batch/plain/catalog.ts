import type { Catalog } from '../../../lib/iceberg/catalogs/catalog.ts'
import { type FilesystemCatalogOptions, filesystemCatalog } from '../../../lib/iceberg/catalogs/filesystem.ts'

/** Below a folder of plain files; readers pass over it. */
export const HIDDEN = '_pseudolake'

const MARKS = { database: 'marks', name: 'files' } as const

/**
 * What a folder of plain files remembers: an Iceberg table in its hidden part, whose data files are the plain ones. Marks, pins and the approved
 * columns are its properties and change in one swap, as those of any other table; only what a plain reader sees does not wait for it.
 * @param warehouse the folder
 */
export function plainCatalog({ warehouse, ...rest }: FilesystemCatalogOptions): Catalog {
  const catalog = filesystemCatalog({ ...rest, warehouse: `${warehouse}/${HIDDEN}` })
  return {
    storage: catalog.storage,
    newTableLocation: () => catalog.newTableLocation(MARKS),
    load: () => catalog.load(MARKS),
    commit: (_table, base, updates) => catalog.commit(MARKS, base, updates),
    drop: () => catalog.drop(MARKS),
  }
}
