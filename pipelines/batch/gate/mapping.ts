/** Which value has which pseudonym, over a whole run, by hashes. Pure. */
import { type Budget, gather, type Hashes, HashTable } from './hash-table.ts'

export type Wrongness =
  /** The value has another pseudonym elsewhere. */
  | 'two-pseudonyms'
  /** The pseudonym stands for another value elsewhere. */
  | 'two-values'

/** What came of some pairs. */
export interface Judged {
  /** How many were not seen before, and how many of these, the first of them, are remembered: for others there was no memory. */
  readonly fresh: number
  readonly kept: number
  /** Whether some that are new may be a value that stands for itself. */
  readonly alike: boolean
  readonly wrong: { readonly at: number; readonly verdict: Wrongness } | undefined
}

/** The pairs of one domain and key. */
export class Mapping {
  readonly #pseudonymOf: HashTable
  readonly #pseudonyms: HashTable
  readonly #scratch = { a: new Int32Array(0), b: new Int32Array(0), found: new Int32Array(0) }

  constructor(budget: Budget) {
    this.#pseudonymOf = new HashTable('map', budget)
    this.#pseudonyms = new HashTable('set', budget)
  }

  get size(): number {
    return this.#pseudonyms.size
  }

  /** Before the first pairs: so many different ones may come. In one go what would be made larger three times. */
  expect(count: number): void {
    this.#pseudonymOf.expect(count)
    this.#pseudonyms.expect(count)
  }

  /**
   * Mode deterministic.
   * @param fresh gets the positions of pairs that were not seen before
   */
  pairs(values: Hashes, pseudonyms: Hashes, count: number, fresh: Int32Array): Judged {
    const merged = this.#pseudonymOf.merge(values, pseudonyms.b, count, fresh)
    const alike = merged.alike > 0
    const wrong = merged.end < count ? ({ at: merged.end, verdict: 'two-pseudonyms' } as const) : undefined
    if (merged.fresh === 0) return { fresh: 0, kept: 0, alike, wrong }
    const { a, b, found } = this.#room(merged.fresh)
    gather(pseudonyms.a, fresh, merged.fresh, a)
    gather(pseudonyms.b, fresh, merged.fresh, b)
    // A new value with a pseudonym that is there already: it is another value's. One whose value is not remembered is not either: it would be taken
    // for another value's when both come again.
    const { end, kept } = this.#pseudonyms.add({ a, b }, merged.kept, found, true)
    if (end < merged.kept)
      return { fresh: end, kept, alike, wrong: { at: fresh[end] as number, verdict: 'two-values' } }
    const rest = { a: a.subarray(kept), b: b.subarray(kept) }
    if (merged.kept < merged.fresh && this.#pseudonyms.present(rest, merged.fresh - kept, found) > 0)
      return {
        fresh: 0,
        kept: 0,
        alike,
        wrong: { at: fresh[kept + (found[0] as number)] as number, verdict: 'two-values' },
      }
    return { fresh: merged.fresh, kept, alike, wrong }
  }

  /**
   * Mode random: a pseudonym stands in one cell of the run.
   * @param repeated it may stand in many
   * @param fresh gets the positions of those that are new
   */
  each(pseudonyms: Hashes, count: number, fresh: Int32Array, repeated: boolean): Judged {
    const { end, fresh: found, kept } = this.#pseudonyms.add(pseudonyms, count, fresh, !repeated)
    const wrong = end < count ? ({ at: end, verdict: 'two-values' } as const) : undefined
    return { fresh: found, kept, alike: true, wrong }
  }

  /** @param unseen gets the positions of pseudonyms that were not seen, and not found well-formed, before @returns how many they are */
  unseen(pseudonyms: Hashes, count: number, unseen: Int32Array): number {
    return this.#pseudonyms.absent(pseudonyms, count, unseen)
  }

  #room(count: number): { readonly a: Int32Array; readonly b: Int32Array; readonly found: Int32Array } {
    const scratch = this.#scratch
    if (scratch.a.length < count)
      Object.assign(scratch, { a: new Int32Array(count), b: new Int32Array(count), found: new Int32Array(count) })
    return scratch
  }
}
