/** What a gate has seen of the values of a run: which pseudonym stands for which, by hashes, and which are searched for in copied columns. */

import type { Tally } from './check.ts'
import type { Judge, Places } from './compare.ts'
import { type Entries, sameBytes, textOf } from './entries.ts'
import { type Budget, gather, type Hashes, HashTable } from './hash-table.ts'
import { Mapping, type Wrongness } from './mapping.ts'
import { type GateRule, type GroupPart, Numbers } from './part.ts'
import { longOnes, notPseudonyms } from './texts.ts'

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

/** Pseudonyms of each domain and key that are turned back. */
const ROUND_TRIPS = 100

export class Seen {
  readonly #options: SeenOptions
  readonly #budget: Budget
  readonly #originals: HashTable
  readonly #newOriginals = new Numbers()
  readonly #groups = new Map<string, Group>()
  /** For the hashes of pairs that are judged together. */
  #room = new Int32Array(0)

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

  /** Those of some entries that are long enough to be searched for. */
  remember(entries: Entries, chosen: Int32Array): void {
    const long = longOnes(entries, chosen)
    if (long.length === 0) return
    gather(chosen, long, long.length, long)
    const [a, b] = [new Int32Array(long.length), new Int32Array(long.length)]
    gather(entries.a, long, long.length, a)
    gather(entries.b, long, long.length, b)
    this.#remember({ a, b }, long.length)
  }

  #remember(hashes: Hashes, count: number): void {
    const news = new Int32Array(count)
    const { fresh, kept } = this.#originals.add(hashes, count, news, false)
    if (kept < fresh) this.#options.tallies.originals.missed('more originals than the memory limit lets be remembered')
    if (this.#options.part)
      for (const k of news.subarray(0, fresh)) this.#newOriginals.push(hashes.a[k] as number, hashes.b[k] as number)
  }

  /**
   * @param malformed called with what is no pseudonym
   * @param repeated one pseudonym stands for many cells, also in mode random
   */
  judge(group: Group, malformed: (entries: Entries, i: number) => void, repeated: boolean): Judge {
    const { mapping, rule } = group
    const { tallies } = this.#options
    return (input, output, places) => {
      const { count } = places
      const lanes = this.#lanesOf(input, output, places)
      const { values, pseudonyms, fresh: news } = lanes
      if (count === input.count) mapping.expect(count)
      const { fresh, kept, alike, wrong } =
        rule.mode === 'random'
          ? mapping.each(pseudonyms, count, news, repeated)
          : mapping.pairs(values, pseudonyms, count, news)
      if (kept < fresh) tallies.one_to_one.missed(FORGOTTEN)
      if (fresh > 0) {
        const from = entriesAt(news, fresh, places.input, places.inputFrom)
        const to = entriesAt(news, fresh, places.output, places.outputFrom)
        for (const j of notPseudonyms(output, to)) malformed(output, to[j] as number)
        for (let j = 0; alike && j < fresh; j++)
          if (sameBytes(input, from[j] as number, output, to[j] as number)) malformed(output, to[j] as number)
        this.remember(input, from)
        this.#hand(group, input, from.subarray(0, kept), output, to.subarray(0, kept))
      }
      return wrong && { at: entryAt(wrong.at, places.input, places.inputFrom), message: WRONG[wrong.verdict] }
    }
  }

  /** Hashes of pairs, one behind the other; valid until the next. */
  #lanesOf(input: Entries, output: Entries, places: Places): Lanes {
    const { count } = places
    if (this.#room.length < 5 * count) this.#room = new Int32Array(5 * count)
    const lane = (of: Int32Array, chosen: Int32Array | undefined, from: number, into: number) => {
      if (!chosen) return of.subarray(from, from + count)
      const room = this.#room.subarray(into * count, (into + 1) * count)
      gather(of, chosen, count, room)
      return room
    }
    return {
      values: {
        a: lane(input.a, places.input, places.inputFrom, 0),
        b: lane(input.b, places.input, places.inputFrom, 1),
      },
      pseudonyms: {
        a: lane(output.a, places.output, places.outputFrom, 2),
        b: lane(output.b, places.output, places.outputFrom, 3),
      },
      fresh: this.#room.subarray(4 * count, 5 * count),
    }
  }

  /** Of what is new, what others need of it. */
  #hand({ news, samples, rule }: Group, input: Entries, from: Int32Array, output: Entries, to: Int32Array): void {
    const { part, samples: keepSamples } = this.#options
    const random = rule.mode === 'random'
    for (let j = 0; part && j < to.length; j++) {
      const [i, o] = [from[j] as number, to[j] as number]
      const [a, b] = random ? NOTHING : [input.a[i] as number, input.b[i] as number]
      news.push(a, b, output.a[o] as number, output.b[o] as number)
    }
    for (let j = 0; keepSamples && j < to.length && samples.length < ROUND_TRIPS; j++)
      samples.push({ value: textOf(input, from[j] as number), pseudonym: textOf(output, to[j] as number) })
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
    this.#remember({ a: everyNth(originals, 2, 0), b: everyNth(originals, 2, 1) }, originals.length / 2)
    for (const { given, pairs, samples } of groups) {
      const { mapping, samples: kept, rule } = this.group(given)
      kept.push(...samples.slice(0, ROUND_TRIPS - kept.length))
      const [a, b, pa, pb] = [0, 1, 2, 3].map((lane) => everyNth(pairs, 4, lane)) as [
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
      ]
      const news = new Int32Array(a.length)
      const found =
        rule.mode === 'random'
          ? mapping.each({ a: pa, b: pb }, a.length, news, false)
          : mapping.pairs({ a, b }, { a: pa, b: pb }, a.length, news)
      if (found.kept < found.fresh) this.#options.tallies.one_to_one.missed(FORGOTTEN)
      if (found.wrong) wrong.push(WRONG[found.wrong.verdict])
    }
    return wrong
  }
}

/** In the place of a value's hash. */
const NOTHING = [0, 0] as const

const FORGOTTEN = 'more distinct values than the memory limit lets be remembered'

const WRONG: Readonly<Record<Wrongness, string>> = {
  'two-pseudonyms': 'a value has two pseudonyms',
  'two-values': 'a pseudonym stands for two values',
}

interface Lanes {
  readonly values: Hashes
  readonly pseudonyms: Hashes
  /** For positions of what is new. */
  readonly fresh: Int32Array
}

function entryAt(k: number, chosen: Int32Array | undefined, from: number): number {
  return chosen ? (chosen[k] as number) : from + k
}

/** The entries at the first `count` positions. */
function entriesAt(positions: Int32Array, count: number, chosen: Int32Array | undefined, from: number): Int32Array {
  const entries = positions.slice(0, count)
  if (chosen) gather(chosen, entries, count, entries)
  else if (from !== 0) for (let j = 0; j < count; j++) entries[j] = (entries[j] as number) + from
  return entries
}

function everyNth(of: Int32Array, n: number, first: number): Int32Array {
  const every = new Int32Array(of.length / n)
  for (let i = 0, at = first; i < every.length; i++, at += n) every[i] = of[at] as number
  return every
}
