import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { tableSpelling } from '../locations.ts'
import { applyUpdates } from '../updates.ts'
import type { Catalog, TableIdentifier, TableState } from './catalog.ts'
import { nextMetadataLocation, outOfLog, removeQuietly, writeMetadataFile } from './metadata-files.ts'

export interface MemoryCatalogOptions {
  readonly storage: Storage
  readonly warehouse: string
  readonly clock: Clock
  readonly uuid: () => string
}

/**
 * The pointer to a table's metadata in this process, as a metastore holds it: for tests, dry runs, and as the plainest statement of what
 * a catalog with a pointer does. Metadata files are written all the same, so other readers can open them.
 */
export function memoryCatalog({ storage, warehouse, clock, uuid }: MemoryCatalogOptions): Catalog {
  const root = tableSpelling(warehouse)
  const tables = new Map<string, TableState>()
  const keyOf = ({ database, name }: TableIdentifier) => JSON.stringify([database, name])

  return {
    storage,

    newTableLocation: async ({ database, name }) => `${root}/${database}/${name}`,

    async load(table) {
      const state = tables.get(keyOf(table))
      if (!state) throw notFound(table)
      return state
    },

    async commit(table, base, updates) {
      const metadata = applyUpdates(base?.metadata, base?.metadataLocation, updates, clock.wall())
      const metadataLocation = nextMetadataLocation(metadata, base, uuid())
      await writeMetadataFile(storage, metadataLocation, metadata)
      // From here to `set` nothing is awaited: that is the swap.
      if (tables.get(keyOf(table))?.metadataLocation !== base?.metadataLocation) {
        await removeQuietly(storage, [metadataLocation])
        throw new PseudolakeError('table/conflict', `${table.database}.${table.name} was changed by somebody else`, {
          ...table,
        })
      }
      const state = { metadata, metadataLocation }
      tables.set(keyOf(table), state)
      await removeQuietly(storage, outOfLog(base?.metadata, metadata))
      return state
    },

    async drop(table) {
      if (!tables.delete(keyOf(table))) throw notFound(table)
    },
  }
}

function notFound(table: TableIdentifier): PseudolakeError {
  return new PseudolakeError('table/not-found', `there is no table ${table.database}.${table.name}`, { ...table })
}
