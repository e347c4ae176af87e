import type { DuckDBInstance } from '@duckdb/node-api'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { type PlannedFile, planFiles } from '../../lib/iceberg/scan.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { LocalCopies } from './copies.ts'
import { viewSql } from './views.ts'

/** A table that was opened already, through its catalog say. */
export interface OpenedTable {
  readonly state: TableState
  readonly storage: Storage
}

export interface QueryOptions {
  readonly storage: Storage
  /** Name in the query → location of a table, or the table itself. */
  readonly tables: ReadonlyMap<string, string | OpenedTable>
  /** Rows fetched at most. @default 1000 */
  readonly maxRows?: number
  /** @default 2 */
  readonly threads?: number
  /** @default 512 */
  readonly memoryMb?: number
  /** Of files in a store, which are copied to this machine for the time of the query. @default 10 GiB */
  readonly maxFetchBytes?: number
  readonly signal?: AbortSignal
}

export const DEFAULT_MAX_FETCH_BYTES = 10 * 1024 ** 3

export interface QueryResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** JSON values; integers of 64 bits and decimals as text. */
  readonly rows: readonly (readonly unknown[])[]
  /** There are more rows than were fetched. */
  readonly truncated: boolean
}

/**
 * Runs SQL over Iceberg tables with DuckDB in this process. Tables are planned by lib/iceberg, row-level deletes of other engines included, and
 * DuckDB reads files of this machine only: those in a store are copied before and removed after.
 * @throws PseudolakeError `query/failed` with DuckDB's words (they can quote the query, never a cell), `query/too-large`,
 *   `run/interrupted`, `environment/missing`, `table/*`, `storage/*`
 */
export async function runQuery(sql: string, options: QueryOptions): Promise<QueryResult> {
  const { maxRows = 1000, threads = 2, memoryMb = 512, signal } = options
  if (sql.trim() === '') throw new PseudolakeError('options/invalid', 'SQL: expected a query, got nothing', {})
  const { DuckDBInstance } = await loadDuckdb()
  const copies = new LocalCopies(options.maxFetchBytes ?? DEFAULT_MAX_FETCH_BYTES)
  try {
    const views: string[] = []
    for (const [name, table] of options.tables) views.push(await viewOf(name, table, options, copies))
    const instance = await DuckDBInstance.create(':memory:', {
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      threads: String(threads),
      memory_limit: `${memoryMb}MB`,
    })
    return await withinDuckdb(instance, views, sql, maxRows, signal)
  } catch (error) {
    if (!signal?.aborted) throw error
    throw new PseudolakeError('run/interrupted', 'the query was told to stop', {}, { cause: error })
  } finally {
    await copies.remove()
  }
}

async function viewOf(
  name: string,
  table: string | OpenedTable,
  { storage: given, signal }: QueryOptions,
  copies: LocalCopies,
): Promise<string> {
  const { state, storage } =
    typeof table === 'string' ? { state: await openTable(given, table), storage: given } : table
  const files: PlannedFile[] = []
  for await (const file of planFiles(storage, state.metadata)) files.push(file)
  await copies.fetch(
    storage,
    files.flatMap(({ file, deletes }) => [file, ...deletes]),
    signal,
  )
  return viewSql(name, state.metadata, files, (path) => copies.pathOf(path))
}

async function withinDuckdb(
  instance: DuckDBInstance,
  views: readonly string[],
  sql: string,
  maxRows: number,
  signal: AbortSignal | undefined,
): Promise<QueryResult> {
  const connection = await instance.connect()
  const interrupt = () => connection.interrupt()
  signal?.addEventListener('abort', interrupt)
  try {
    signal?.throwIfAborted()
    await connection.run("set timezone = 'UTC'").catch(() => {
      // Only DuckDB builds with ICU know time zones; without it timestamps are printed in UTC anyway.
    })
    for (const view of views) await connection.run(view)
    const reader = await connection.streamAndReadUntil(sql, maxRows + 1)
    const names = reader.deduplicatedColumnNames()
    const types = reader.columnTypes()
    const rows = reader.getRowsJson() as unknown[][]
    return {
      columns: names.map((name, i) => ({ name, type: String(types[i]) })),
      rows: rows.slice(0, maxRows),
      truncated: rows.length > maxRows,
    }
  } catch (error) {
    throw new PseudolakeError(
      'query/failed',
      `DuckDB: ${error instanceof Error ? withoutCells(error.message) : 'failed'}`,
      {},
      { cause: error },
    )
  } finally {
    signal?.removeEventListener('abort', interrupt)
    connection.closeSync()
    instance.closeSync()
  }
}

/** Errors that DuckDB finds in the query's text, before it looks at data. */
const OF_THE_QUERY = /^(?:Parser|Syntax|Binder|Catalog|Not implemented) Error\b/

/** Errors of other kinds quote the cell that they choked on: of those the kind is told, and the place in the query. */
function withoutCells(message: string): string {
  if (OF_THE_QUERY.test(message)) return message
  const kind = /^[A-Z][A-Za-z ]{1,40} Error(?=:)/.exec(message)?.[0] ?? 'an error'
  const place = message.lastIndexOf('\n\nLINE ')
  return `${kind} while the data was read (its words, which may quote a cell, are left out)${place < 0 ? '' : message.slice(place)}`
}

async function loadDuckdb(): Promise<typeof import('@duckdb/node-api')> {
  try {
    return await import('@duckdb/node-api')
  } catch (error) {
    throw new PseudolakeError(
      'environment/missing',
      '@duckdb/node-api is not installed for this platform',
      {},
      { cause: error },
    )
  }
}
