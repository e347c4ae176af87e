/** What a gate has seen of the values of a run: which pseudonym stands for which, by hashes, and which are searched for in copied columns. */

import { plainWidth } from '../../../lib/parquet/plain.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Tally } from './check.ts'
import type { Pair } from './compare.ts'
import { type Entries, isLong, isPseudonym, sameBytes, textOf } from './entries.ts'
import { type Budget, HashTable } from './hash-table.ts'
import { Mapping, type Verdict } from './mapping.ts'
import { Pairs } from './pairs.ts'
import { type GateRule, type GroupPart, Numbers } from './part.ts'

export interface SeenOptions {
  /** What the tables of hashes may take. */
  readonly memoryBytes: number
  /** Keeps some pseudonyms, to be turned back. */
  readonly samples: boolean
  /** Gathers what is new, for the gate of the run. */
  readonly part: boolean
  readonly tallies: { readonly one_to_one: Tally; readonly originals: Tally }
}

/** One domain and key. */
export interface Group extends GateRule {
  readonly mapping: Mapping
  /** New pairs, for the gate of the run. */
  readonly news: Numbers
  readonly samples: { readonly value: string; readonly pseudonym: string }[]
}

/** Rules with a table of pairs; where there are more, theirs are looked at one by one. */
const MOST_PAIRS = 8
/** Pseudonyms of each domain and key that are turned back. */
const ROUND_TRIPS = 100

export class Seen {
  readonly #options: SeenOptions
  readonly #budget: Budget
  readonly #originals: HashTable
  readonly #newOriginals = new Numbers()
  readonly #groups = new Map<string, Group>()
  readonly #pairs = new Map<string, Pairs>()

  constructor(options: SeenOptions) {
    this.#options = options
    this.#budget = { bytes: options.memoryBytes }
    this.#originals = new HashTable('set', this.#budget)
  }

  /** Values of replaced columns, 6 characters and longer. */
  get originals(): HashTable {
    return this.#originals
  }

  get groups(): Iterable<Group> {
    return this.#groups.values()
  }

  group(given: GateRule): Group {
    const name = `${given.rule.domain}\0${given.key ?? ''}`
    const group = this.#groups.get(name) ?? {
      ...given,
      mapping: new Mapping(this.#budget),
      news: new Numbers(),
      samples: [],
    }
    this.#groups.set(name, group)
    return { ...group, ...given }
  }

  /** The same bytes are another value in another type, and have another pseudonym by another rule. */
  pairsOf({ rule, key }: GateRule, source: LeafNode): { readonly table: Pairs; readonly width: number } | undefined {
    const { physical, typeLength, logical } = source
    const { domain, normalize, nullValues } = rule
    const name = JSON.stringify([domain, key, normalize, nullValues, physical, typeLength, logical])
    const known = this.#pairs.get(name)
    const table = known ?? new Pairs()
    // Each has a memory of its own.
    if (!known && this.#pairs.size >= MOST_PAIRS) return undefined
    this.#pairs.set(name, table)
    return { table, width: plainWidth(source) }
  }

  remember(a: number, b: number): void {
    if (this.#options.part && !this.#originals.has(a, b)) this.#newOriginals.push(a, b)
    if (!this.#originals.add(a, b))
      this.#options.tallies.originals.missed('more originals than the memory limit lets be remembered')
  }

  /**
   * @param malformed called with what is no pseudonym
   * @param repeated one pseudonym stands for many cells, also in mode random
   */
  pair(group: Group, malformed: (entries: Entries, i: number) => void, repeated: boolean): Pair {
    const { mapping, samples, rule, news } = group
    const { part, samples: keepSamples, tallies } = this.#options
    const random = rule.mode === 'random'
    return (input, i, output, o) => {
      const a = input.a[i] as number
      const b = input.b[i] as number
      const pa = output.a[o] as number
      const pb = output.b[o] as number
      if (random && repeated && mapping.knows(pa, pb)) return undefined
      const verdict = random ? mapping.once(pa, pb) : mapping.pair(a, b, pa, pb)
      if (verdict === 'known') return undefined
      if (verdict === 'forgotten') tallies.one_to_one.missed(FORGOTTEN)
      else if (part && verdict === 'new') news.push(random ? 0 : a, random ? 0 : b, pa, pb)
      if (!isPseudonym(output, o) || sameBytes(input, i, output, o)) malformed(output, o)
      if (isLong(input, i)) this.remember(a, b)
      if (keepSamples && samples.length < ROUND_TRIPS && verdict === 'new')
        samples.push({ value: textOf(input, i), pseudonym: textOf(output, o) })
      return WRONG[verdict]
    }
  }

  /** What is new since the last time. */
  take(): { readonly groups: readonly GroupPart[]; readonly originals: Int32Array } {
    return {
      groups: [...this.#groups.values()].map(({ rule, key, news, samples }) => ({
        given: { rule, key },
        pairs: news.take(),
        samples: samples.splice(0),
      })),
      originals: this.#newOriginals.take(),
    }
  }

  /** @returns what is wrong with what another gate has seen, beside what this one has */
  add({ groups, originals }: ReturnType<Seen['take']>): string[] {
    const wrong: string[] = []
    for (let i = 0; i < originals.length; i += 2) this.remember(originals[i] as number, originals[i + 1] as number)
    for (const { given, pairs, samples } of groups) {
      const { mapping, samples: kept, rule } = this.group(given)
      kept.push(...samples.slice(0, ROUND_TRIPS - kept.length))
      for (let i = 0; i < pairs.length; i += 4) {
        const [a, b, pa, pb] = pairs.subarray(i, i + 4) as unknown as [number, number, number, number]
        const verdict = rule.mode === 'random' ? mapping.once(pa, pb) : mapping.pair(a, b, pa, pb)
        if (verdict === 'forgotten') this.#options.tallies.one_to_one.missed(FORGOTTEN)
        const message = WRONG[verdict]
        if (message !== undefined) wrong.push(message)
      }
    }
    return wrong
  }
}

const FORGOTTEN = 'more distinct values than the memory limit lets be remembered'

const WRONG: Readonly<Record<Verdict, string | undefined>> = {
  known: undefined,
  new: undefined,
  forgotten: undefined,
  'two-pseudonyms': 'a value has two pseudonyms',
  'two-values': 'a pseudonym stands for two values',
}
