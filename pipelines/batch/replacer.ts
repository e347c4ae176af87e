import { bytesOf } from '../../lib/client/bytes.ts'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type TextBatch, unpackTexts } from '../../lib/core/texts.ts'
import { columnName } from '../../lib/parquet/place.ts'
import { type ReplacedTexts, spread } from '../../lib/parquet/replace.ts'
import { Replacements } from '../../lib/parquet/replacements.ts'
import { type LeafNode, pathKey } from '../../lib/parquet/schema.ts'
import type { Pinned } from './identities.ts'
import type { BatchJob, ColumnRule } from './job.ts'
import { sentTexts } from './sent.ts'
import type { Shape } from './shape.ts'

/** New values for a column's values: pseudonyms, null where the rule says so, empty where nothing is left of a value. */
export type Replacer = (texts: TextBatch, signal?: AbortSignal) => Promise<ReplacedTexts>

/**
 * A column's values as the service gets to see them (sent.ts).
 * @param key pinned key version, if any
 * @param once whoever asks keeps the answers
 */
export function replacer(rule: ColumnRule, key: string | undefined, client: Pseudonymizer, once = false): Replacer {
  const sentOf = sentTexts(rule)
  const ask = bytesOf(client)
  return async (texts, signal) => {
    const { values, places, isNull } = sentOf(texts)
    if (values.offsets.length === 1) return spread(values, [], texts.offsets.length - 1, isNull)
    const answer = await ask({
      direction: 'pseudonymize',
      values,
      domain: rule.domain,
      deterministic: rule.mode === 'deterministic',
      ...(key === undefined ? {} : { key }),
      ...(once ? { once } : {}),
      ...(signal === undefined ? {} : { signal }),
    })
    return places ? spread(answer.values, places, texts.offsets.length - 1, isNull) : answer.values
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
      replaceBytes: (column, texts) => this.#ofPath(column).replace(texts, signal),
      groupOf: (column) => this.#ofPath(column).group,
    })
  }

  /** Whether the tables have forgotten nothing that they alone remember. */
  get exact(): boolean {
    return !this.#once || this.tables.exact
  }

  /** One value, that stands for a whole column of a file. */
  async one(rule: ColumnRule, key: string | undefined, value: string, signal: AbortSignal): Promise<string | null> {
    const bytes = Buffer.from(value)
    const texts = { bytes, offsets: Uint32Array.of(0, bytes.length) }
    const replaced = await replacer(rule, key, this.#client)(texts, signal)
    return replaced.nulls?.[0] === 1 ? null : (unpackTexts(replaced)[0] as string)
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
