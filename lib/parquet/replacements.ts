import type { OutputColumn } from './output-tree.ts'
import { bytesOfStrings, type Replace, type ReplaceBytes } from './replace.ts'
import { Replacement } from './replacement.ts'
import { type LeafNode, pathKey } from './schema.ts'
import { Tables, type TablesOptions } from './tables.ts'

export type ReplacementsOptions = CommonOptions &
  (
    | { readonly replace: Replace; readonly replaceBytes?: never }
    | { readonly replaceBytes: ReplaceBytes; readonly replace?: never }
  )

interface CommonOptions extends TablesOptions {
  /** How many texts fill a request. @default 900 */
  readonly fullRequest?: number
  /** Columns of which equal values have one replacement share a table; by their paths where it is missing. */
  readonly groupOf?: (column: LeafNode) => string
}

/** The replacements of a run's columns: what one file has asked for, the next one knows. One for each thread. */
export class Replacements {
  /** Mode random asks by itself. */
  readonly replace: ReplaceBytes
  readonly #options: CommonOptions
  readonly #tables: Tables
  readonly #known = new Map<string, Replacement>()
  /** Of columns that were asked for before. */
  readonly #ofColumn = new WeakMap<OutputColumn, Replacement>()

  constructor(options: ReplacementsOptions) {
    this.#options = options
    this.replace = options.replaceBytes ?? bytesOfStrings(options.replace)
    this.#tables = new Tables(options)
  }

  /** Whether no value was forgotten: each was asked for once. */
  get exact(): boolean {
    return this.#tables.emptied === 0
  }

  /** Whether there are more columns than tables, so that they take turns. */
  get crowded(): boolean {
    return this.#known.size > this.#tables.most
  }

  of(column: OutputColumn & { source: LeafNode }): Replacement {
    const found = this.#ofColumn.get(column) ?? this.#find(column)
    this.#ofColumn.set(column, found)
    return found
  }

  #find({ source, nullable = false, emptyIsNull = false }: OutputColumn & { source: LeafNode }): Replacement {
    const { groupOf, fullRequest } = this.#options
    const { replace } = this
    const { physical, typeLength, logical, path } = source
    // The same bytes are another text in another type.
    const key = JSON.stringify([
      groupOf?.(source) ?? pathKey(path),
      physical,
      typeLength,
      logical,
      nullable,
      emptyIsNull,
    ])
    const known = this.#known.get(key)
    if (known) return known
    const options = { leaf: source, replace, nullable, emptyIsNull, ...(fullRequest && { fullRequest }) }
    const made = new Replacement(options, this.#tables)
    this.#known.set(key, made)
    return made
  }
}
