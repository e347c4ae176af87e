/**
 * Tables in the AWS Glue Data Catalog. A commit writes the next metadata file, then swaps the pointer to it: UpdateTable with the version
 * that the GetTable just before it gave, which Glue compares and exchanges in one step (what Iceberg's library and Athena do too).
 */
import type { Table, TableInput } from '@aws-sdk/client-glue'
import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { tableSpelling } from '../locations.ts'
import { applyUpdates, type TableUpdate } from '../updates.ts'
import type { Waiting } from './backoff.ts'
import type { Catalog, TableIdentifier, TableState } from './catalog.ts'
import { GlueError, type GlueSender, type GlueTableName, glueCalls } from './glue-client.ts'
import { checkGlueLocation, checkGlueNames, glueTableInput, metadataLocationOf } from './glue-table.ts'
import {
  cameFrom,
  nextMetadataLocation,
  outOfLog,
  POINTED_TABLE_PROPERTIES,
  readMetadataFile,
  removeQuietly,
  writeMetadataFile,
} from './metadata-files.ts'

export interface GlueCatalogOptions extends Waiting {
  /**
   * A client of @aws-sdk/client-glue, or what makes it when it is first needed; made with `maxAttempts: 1`: which calls may be repeated is
   * decided here.
   */
  readonly client: GlueSender | (() => Promise<GlueSender>)
  readonly storage: Storage
  /** Tables are made at `<warehouse>/<database>/<name>`. */
  readonly warehouse: string
  /** A random UUID: in the name of every metadata file. */
  readonly uuid: () => string
  /** The account whose catalog it is. @default the client's own */
  readonly catalogId?: string
  /** What a commit may make that is not there. @default 'table' */
  readonly create?: 'never' | 'table' | 'database'
}

/** How often a lost answer is looked for, and the first wait, which doubles. */
const STATUS_CHECKS = 4
const STATUS_WAIT_MS = 200

export function glueCatalog(options: GlueCatalogOptions): Catalog {
  const { storage, clock, uuid, catalogId, create = 'table' } = options
  const root = tableSpelling(options.warehouse)
  const glue = glueCalls(options.client, options)
  /** Databases seen to be there. */
  const databases = new Set<string>()

  return {
    storage,

    async newTableLocation(table) {
      checkGlueNames(table)
      const location = `${root}/${table.database}/${table.name}`
      checkGlueLocation(location)
      await requireDatabase(table.database)
      return location
    },

    hasDatabase: async (database) => (await glue.getDatabase({ catalogId, database })) !== undefined,

    async load(table) {
      const { table: found } = (await find(named(table))) ?? {}
      if (!found) throw notFound(table)
      return readMetadataFile(storage, metadataLocationOf(found, textOf(table)))
    },

    async commit(table, base, updates) {
      const name = named(table)
      if (!base && create === 'never') throw notFound(table)
      const metadata = applyUpdates(base?.metadata, base?.metadataLocation, withDefaults(base, updates), clock.wall())
      checkGlueLocation(metadata.location)
      const next: TableState = { metadata, metadataLocation: nextMetadataLocation(metadata, base, uuid()) }
      await writeMetadataFile(storage, next.metadataLocation, metadata)
      if (base) await swap(name, base, next)
      else await make(name, next)
      await removeQuietly(storage, outOfLog(base?.metadata, metadata))
      return next
    },

    async drop(table) {
      const { name, table: found } = (await find(named(table))) ?? {}
      if (!found || !name) throw notFound(table)
      metadataLocationOf(found, textOf(table))
      await glue.deleteTable(name)
    },
  }

  function named(table: TableIdentifier): GlueTableName {
    checkGlueNames(table)
    return { catalogId, ...table }
  }

  /** The table, where a resource link to another catalog's table leads to it: the link itself has no metadata. */
  async function find(name: GlueTableName): Promise<{ name: GlueTableName; table: Table } | undefined> {
    const table = await glue.getTable(name)
    const target = table?.TargetTable
    if (!table || !target?.DatabaseName || !target.Name) return table && { name, table }
    const linked = { catalogId: target.CatalogId, database: target.DatabaseName, name: target.Name }
    const found = await glue.getTable(linked)
    return found && { name: linked, table: found }
  }

  /** Before anything is written below a table that could not be made. A role may lack this action: then CreateTable will tell. */
  async function requireDatabase(database: string): Promise<void> {
    if (create === 'database' || databases.has(database)) return
    try {
      if (!(await glue.getDatabase({ catalogId, database }))) throw noDatabase(database)
    } catch (error) {
      if (!(error instanceof GlueError && error.failure === 'denied')) throw error
    }
    databases.add(database)
  }

  async function swap(given: GlueTableName, base: TableState, next: TableState): Promise<void> {
    const found = await orTakeBack(next, () => find(given))
    const current = found && metadataLocationOf(found.table, textOf(given))
    if (!found || current !== base.metadataLocation) {
      await removeQuietly(storage, [next.metadataLocation])
      throw conflict(given)
    }
    const { name, table } = found
    const version = table.VersionId
    if (version === undefined) {
      await removeQuietly(storage, [next.metadataLocation])
      throw new PseudolakeError('catalog/refused', `${textOf(given)}: Glue gave no VersionId to compare with`)
    }
    const input = glueTableInput(name.name, table, next.metadata, next.metadataLocation)
    await settle(name, next, () => glue.updateTable(name, input, version), base)
  }

  async function make(name: GlueTableName, next: TableState): Promise<void> {
    const input = glueTableInput(name.name, undefined, next.metadata, next.metadataLocation)
    await settle(name, next, () => createTable(name, input))
  }

  async function createTable(name: GlueTableName, input: TableInput): Promise<void> {
    try {
      await glue.createTable(name, input)
    } catch (error) {
      if (!(error instanceof GlueError && error.failure === 'missing')) throw error
      if (create !== 'database') throw noDatabase(name.database)
      await glue.createDatabase(name)
      await glue.createTable(name, input)
    }
  }

  /** Runs the write that publishes `next`, and finds out what became of it. */
  async function settle(
    name: GlueTableName,
    next: TableState,
    write: () => Promise<void>,
    base?: TableState,
  ): Promise<void> {
    try {
      await write()
    } catch (error) {
      const failure = error instanceof GlueError ? error.failure : 'refused'
      if (failure === 'unknown') return await resolve(name, next, base, error)
      // "Somebody else" may be ourselves: a repeat below us found what our first request had done.
      if ((failure === 'conflict' || failure === 'exists') && (await isIn(name, next, error))) return
      await removeQuietly(storage, [next.metadataLocation])
      throw failure === 'conflict' || failure === 'exists' ? conflict(name, error) : error
    }
  }

  /** @throws PseudolakeError `table/commit-unknown` when it cannot be told: then nothing may be removed */
  async function isIn(name: GlueTableName, next: TableState, cause: unknown): Promise<boolean> {
    try {
      return (await look(name, next)) === 'in'
    } catch (error) {
      throw unknown(next, error instanceof PseudolakeError ? error : cause)
    }
  }

  async function look(name: GlueTableName, next: TableState): Promise<'in' | 'gone' | { readonly current: string }> {
    const found = await glue.getTable(name)
    if (!found) return 'gone'
    const current = metadataLocationOf(found, textOf(name))
    if (current === next.metadataLocation) return 'in'
    if (cameFrom(await readMetadataFile(storage, current), next.metadataLocation)) return 'in'
    return { current }
  }

  /**
   * A write without an answer: it happened, or it did not and may still. Once the table is another than the one the write was for, it cannot
   * any more: Glue compares versions, and makes no second table of a name. The file stays even then.
   */
  async function resolve(
    name: GlueTableName,
    next: TableState,
    base: TableState | undefined,
    cause: unknown,
  ): Promise<void> {
    for (let check = 0; check < STATUS_CHECKS; check++) {
      await clock.sleep(STATUS_WAIT_MS * 2 ** check)
      try {
        const seen = await look(name, next)
        if (seen === 'in') return
        if (seen !== 'gone' && seen.current !== base?.metadataLocation) throw conflict(name, cause)
      } catch (error) {
        if (!(error instanceof PseudolakeError) || error.code === 'table/conflict') throw error
      }
    }
    throw unknown(next, cause)
  }

  async function orTakeBack<T>(next: TableState, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      await removeQuietly(storage, [next.metadataLocation])
      throw error
    }
  }
}

function withDefaults(base: TableState | undefined, updates: readonly TableUpdate[]): readonly TableUpdate[] {
  return base ? updates : [{ action: 'set-properties', updates: POINTED_TABLE_PROPERTIES }, ...updates]
}

function textOf({ database, name }: TableIdentifier): string {
  return `${database}.${name}`
}

function notFound({ database, name }: TableIdentifier): PseudolakeError {
  return new PseudolakeError('table/not-found', `there is no table ${database}.${name} in Glue`, { database, name })
}

function noDatabase(database: string): PseudolakeError {
  return new PseudolakeError(
    'table/not-found',
    `there is no database ${database} in Glue: create it, or set output.create: database`,
    { database },
  )
}

function conflict(table: TableIdentifier, cause?: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/conflict',
    `${textOf(table)} was changed by somebody else`,
    { database: table.database, name: table.name },
    cause === undefined ? {} : { cause },
  )
}

function unknown({ metadataLocation: location }: TableState, cause: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/commit-unknown',
    `whether ${location} became the table's metadata is not known`,
    { location },
    { cause },
  )
}
