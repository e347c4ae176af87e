import type { Storage } from '../../storage/storage.ts'
import type { TableMetadata } from '../metadata.ts'
import type { TableUpdate } from '../updates.ts'

export interface TableIdentifier {
  readonly database: string
  readonly name: string
}

/** A table as it was at one moment. */
export interface TableState {
  readonly metadata: TableMetadata
  /** The file that `metadata` was read from, or is in. */
  readonly metadataLocation: string
}

/**
 * Who says which metadata of a table is the current one.
 *
 * The one promise that everything rests on: of any number of racing commits upon one base, exactly one succeeds, and what was
 * acknowledged is in every later state of the table.
 */
export interface Catalog {
  /** Holds the tables' files. */
  readonly storage: Storage

  /**
   * Where a table would be made that does not exist yet; its files are written below, before it is.
   * @throws PseudolakeError `options/invalid` for a name that the catalog does not take, `table/unsupported` for a place that it does not
   *   take, `table/not-found` for a database that is not there and may not be made
   */
  newTableLocation(table: TableIdentifier): Promise<string>

  /** Whether the database is there; missing where a database is a folder and no more. */
  hasDatabase?(database: string): Promise<boolean>

  /** @throws PseudolakeError `table/not-found`, `table/invalid`, `table/unsupported` */
  load(table: TableIdentifier): Promise<TableState>

  /**
   * Applies `updates` to exactly `base`, in one step; makes the table where `base` is undefined. One try: the caller retries.
   * @throws PseudolakeError `table/conflict` when somebody else was first: definitely nothing happened; `table/commit-unknown` when it
   *   may have happened or may still happen; anything else means that nothing happened
   */
  commit(table: TableIdentifier, base: TableState | undefined, updates: readonly TableUpdate[]): Promise<TableState>

  /**
   * Sets right what a writer that was killed left behind its commit, as far as the last `load` showed it; missing where a commit is one step.
   * Best effort, and nothing that our own readers need.
   */
  settle?(table: TableIdentifier): Promise<void>

  /**
   * Takes the table out of the catalog. Its data files and manifests stay: they are the caller's to keep or remove.
   * @throws PseudolakeError `table/not-found`; `table/conflict` when somebody committed meanwhile and the table is still there
   */
  drop(table: TableIdentifier): Promise<void>
}
