import type { OutputColumn } from './output-tree.ts'
import { type Replace, Replacement } from './replacement.ts'
import { type LeafNode, pathKey } from './schema.ts'
import { Tables, type TablesOptions } from './tables.ts'

export interface ReplacementsOptions extends TablesOptions {
  readonly replace: Replace
  /** How many texts fill a request. @default 900 */
  readonly fullRequest?: number
  /** Columns of which equal values have one replacement share a table; by their paths where it is missing. */
  readonly groupOf?: (column: LeafNode) => string
}

/** The replacements of a run's columns: what one file has asked for, the next one knows. One for each thread. */
export class Replacements {
  readonly #options: ReplacementsOptions
  readonly #tables: Tables
  readonly #known = new Map<string, Replacement>()

  constructor(options: ReplacementsOptions) {
    this.#options = options
    this.#tables = new Tables(options)
  }

  /** Mode random asks by itself. */
  get replace(): Replace {
    return this.#options.replace
  }

  /** Whether no value was forgotten: each was asked for once. */
  get exact(): boolean {
    return this.#tables.emptied === 0
  }

  /** Whether there are more columns than tables, so that they take turns. */
  get crowded(): boolean {
    return this.#known.size > this.#tables.most
  }

  of({ source, nullable = false, emptyIsNull = false }: OutputColumn & { source: LeafNode }): Replacement {
    const { groupOf, replace, fullRequest } = this.#options
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
