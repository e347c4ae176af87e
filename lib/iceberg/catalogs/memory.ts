import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { tableSpelling } from '../locations.ts'
import { serializeMetadata } from '../metadata.ts'
import { applyUpdates } from '../updates.ts'
import type { Catalog, TableIdentifier, TableState } from './catalog.ts'

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
      if (!state)
        throw new PseudolakeError('table/not-found', `there is no table ${table.database}.${table.name}`, { ...table })
      return state
    },

    async commit(table, base, updates) {
      const metadata = applyUpdates(base?.metadata, base?.metadataLocation, updates, clock.wall())
      const number = base === undefined ? 0 : Number(/(\d+)-[^/]*$/.exec(base.metadataLocation)?.[1] ?? -1) + 1
      const name = `${String(number).padStart(5, '0')}-${uuid()}.metadata.json`
      const metadataLocation = `${metadata.location}/metadata/${name}`
      await storage.create(metadataLocation, serializeMetadata(metadata))
      // From here to `set` nothing is awaited: that is the swap.
      if (tables.get(keyOf(table))?.metadataLocation !== base?.metadataLocation) {
        await storage.delete(metadataLocation)
        throw new PseudolakeError('table/conflict', `${table.database}.${table.name} was changed by somebody else`, {
          ...table,
        })
      }
      const state = { metadata, metadataLocation }
      tables.set(keyOf(table), state)
      return state
    },
  }
}
