import { PseudolakeError } from '../core/errors.ts'
import { ValueTable } from './value-table.ts'

export interface TablesOptions {
  /** What all tables may take together. @default 64 MiB */
  readonly maxBytes?: number
  /** Columns that will want one. @default 1 */
  readonly columns?: number
}

/** Each table has a memory of its own, of which the process reserves far more addresses than are ever used. */
const MOST_TABLES = 8
const DEFAULT_TABLES_BYTES = 64 << 20

/** The tables of a thread. Where there are more columns than tables, the one that was used longest ago is emptied for the next. */
export class Tables {
  /** What each may take; it is emptied between two pages when it has more. */
  readonly maxBytes: number
  readonly #most: number
  /** How often one had more than it may, or was wanted by another column. */
  emptied = 0
  /** The one that was used last is the last. */
  readonly #tables: ValueTable[] = []

  constructor({ maxBytes = DEFAULT_TABLES_BYTES, columns = 1 }: TablesOptions = {}) {
    if (!(maxBytes > 0) || !(columns >= 1))
      throw new PseudolakeError('internal/bug', 'tables: expected bytes and columns above 0')
    this.#most = Math.min(columns, MOST_TABLES)
    this.maxBytes = Math.floor(maxBytes / this.#most)
  }

  /** How many there can be. */
  get most(): number {
    return this.#most
  }

  take(): ValueTable {
    let table = this.#tables.length < this.#most ? new ValueTable(this.maxBytes) : this.#tables.shift()
    table ??= new ValueTable(this.maxBytes)
    if (table.size > 0) this.emptied++
    // An empty one too: whoever had it must see by its generation that it is another's now.
    table.clear()
    this.#tables.push(table)
    return table
  }

  touch(table: ValueTable): void {
    if (this.#tables.at(-1) === table) return
    this.#tables.splice(this.#tables.indexOf(table), 1)
    this.#tables.push(table)
  }
}
