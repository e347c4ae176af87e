import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { columnName } from '../../lib/parquet/place.ts'
import { Replacements } from '../../lib/parquet/replacements.ts'
import { type LeafNode, pathKey } from '../../lib/parquet/schema.ts'
import type { Pinned } from './identities.ts'
import type { BatchJob, ColumnRule } from './job.ts'
import type { Shape } from './shape.ts'

/** New values for a column's values: pseudonyms, null where the rule says so, empty where nothing is left of a value. */
export type Replacer = (texts: readonly string[], signal?: AbortSignal) => Promise<(string | null)[]>

/**
 * A column's values as the service gets to see them: normalized, without those that mean null. The empty string is never sent.
 * @param key pinned key version, if any
 * @param once whoever asks keeps the answers
 */
export function replacer(rule: ColumnRule, key: string | undefined, client: Pseudonymizer, once = false): Replacer {
  const normalized = normalizer(rule.normalize)
  const nulls = new Set(rule.nullValues)
  return async (texts, signal) => {
    const replaced: (string | null)[] = new Array(texts.length)
    const values: string[] = []
    const slots: number[] = []
    for (const [i, text] of texts.entries()) {
      const value = normalized(text)
      if (nulls.has(text) || nulls.has(value)) replaced[i] = null
      else if (value === '') replaced[i] = ''
      else {
        values.push(value)
        slots.push(i)
      }
    }
    if (values.length > 0) {
      const answer = await client.call({
        direction: 'pseudonymize',
        values,
        domain: rule.domain,
        deterministic: rule.mode === 'deterministic',
        ...(key === undefined ? {} : { key }),
        ...(once ? { once } : {}),
        ...(signal === undefined ? {} : { signal }),
      })
      for (const [i, slot] of slots.entries()) replaced[slot] = answer.values[i] as string
    }
    return replaced
  }
}

export interface ReplacersOptions {
  readonly client: Pseudonymizer
  /** What tables of values may take. */
  readonly maxBytes: number
  /** `limits.max_identifiers`. */
  readonly fullRequest: number
  /** Rules whose columns may want a table. */
  readonly rules: number
  /** Nobody else asks for values: these tables remember them for the run. */
  readonly alone: boolean
  readonly signal: AbortSignal
}

/** The replacers of a run's columns, and the tables of what they said. One for each thread. */
export class Replacers {
  readonly tables: Replacements
  readonly #client: Pseudonymizer
  readonly #once: boolean
  readonly #byPath = new Map<string, { readonly replace: Replacer; readonly group: string }>()

  constructor({ client, signal, rules, alone, ...options }: ReplacersOptions) {
    this.#client = client
    // Equal values that two rules change otherwise may be equal again when they are sent.
    this.#once = alone && rules === 1
    this.tables = new Replacements({
      ...options,
      columns: Math.max(1, rules),
      replace: (column, texts) => this.#ofPath(column).replace(texts, signal),
      groupOf: (column) => this.#ofPath(column).group,
    })
  }

  /** Whether the tables have forgotten nothing that they alone remember. */
  get exact(): boolean {
    return !this.#once || this.tables.exact
  }

  of(rule: ColumnRule, key: string | undefined): Replacer {
    return replacer(rule, key, this.#client)
  }

  /** Learns which rules a file's columns have. */
  know({ decisions }: Pick<Shape, 'decisions'>, pinned: readonly Pinned[]): void {
    for (const decision of decisions) {
      if (decision.kind !== 'replace') continue
      const { rule, leaf } = decision
      const path = pathKey(leaf.path)
      if (this.#byPath.has(path)) continue
      const key = pinned.find((candidate) => candidate.rule === rule)?.identity.key
      // Equal values of columns with equal rules have one pseudonym.
      const group = JSON.stringify([rule.domain, key, rule.normalize, rule.nullValues])
      // What is normalized may be equal to another value then.
      const once = this.#once && rule.mode === 'deterministic' && rule.normalize.length === 0
      this.#byPath.set(path, { replace: replacer(rule, key, this.#client, once), group })
    }
  }

  #ofPath(column: LeafNode) {
    const found = this.#byPath.get(pathKey(column.path))
    if (!found) throw new PseudolakeError('internal/bug', `no rule for column ${columnName(column.path)}`, {})
    return found
  }
}

/** Of the memory a run may use, what tables of values may take. */
const TABLES_SHARE = 1 / 16
/** Where the client's cache keeps nothing. */
const TABLES_SHARE_ALONE = 1 / 8

/**
 * @param share of what all threads may take; 1 for a run without
 * @param alone no other thread asks
 */
export function replacersFor(
  { settings, columns }: BatchJob,
  client: Pseudonymizer,
  { share, alone }: { readonly share: number; readonly alone: boolean },
  signal: AbortSignal,
): Replacers {
  const rules = columns.filter(({ mode }) => mode === 'deterministic').length
  const memory = settings.limits.memory_mb * 2 ** 20
  return new Replacers({
    client,
    maxBytes: memory * share * (alone && rules === 1 ? TABLES_SHARE_ALONE : TABLES_SHARE),
    fullRequest: settings.limits.max_identifiers,
    rules,
    alone,
    signal,
  })
}

/** The configured steps, in their order. */
export function normalizer(steps: ColumnRule['normalize']): (text: string) => string {
  const one = {
    trim: (text: string) => text.trim(),
    upper: (text: string) => text.toUpperCase(),
    lower: (text: string) => text.toLowerCase(),
    nfc: (text: string) => text.normalize('NFC'),
  }
  return (text) => steps.reduce((value, step) => one[step](value), text)
}
