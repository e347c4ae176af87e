/** Which value has which pseudonym, over a whole run, by hashes. Pure. */
import type { Entries } from './entries.ts'
import { type Budget, HashTable } from './hash-table.ts'

export type Verdict =
  /** As it was seen before. */
  | 'known'
  | 'new'
  /** Not seen before, and there is no memory to remember it. */
  | 'forgotten'
  /** The value has another pseudonym elsewhere. */
  | 'two-pseudonyms'
  /** The pseudonym stands for another value elsewhere. */
  | 'two-values'

/** The pairs of one domain and key. */
export class Mapping {
  readonly #pseudonymOf: HashTable
  readonly #pseudonyms: HashTable

  constructor(budget: Budget) {
    this.#pseudonymOf = new HashTable('map', budget)
    this.#pseudonyms = new HashTable('set', budget)
  }

  get size(): number {
    return this.#pseudonyms.size
  }

  /** Whether the pseudonym was seen, and found well-formed, before. */
  knows(pseudonymA: number, pseudonymB: number): boolean {
    return this.#pseudonyms.has(pseudonymA, pseudonymB)
  }

  /** Mode deterministic: the first of the pairs from `from` on that was not seen before as it is, or how many there are. Most were. */
  unseen(values: Entries, pseudonyms: Entries, from: number): number {
    const { count } = values
    // In one go what would be made larger three times.
    if (from === 0) {
      this.#pseudonymOf.expect(count)
      this.#pseudonyms.expect(count)
    }
    return this.#pseudonymOf.unlike(values.a, values.b, pseudonyms.b, from, count)
  }

  /** Mode deterministic. */
  pair(a: number, b: number, pseudonymA: number, pseudonymB: number): Verdict {
    const known = this.#pseudonymOf.get(a, b)
    if (known !== undefined) return known === pseudonymB ? 'known' : 'two-pseudonyms'
    // A new value with a pseudonym that is there already: it is another value's.
    if (this.#pseudonyms.has(pseudonymA, pseudonymB)) return 'two-values'
    // In this order: a pseudonym without its value would be taken for another value's when both come again.
    if (!this.#pseudonymOf.add(a, b, pseudonymB)) return 'forgotten'
    return this.#pseudonyms.add(pseudonymA, pseudonymB) ? 'new' : 'forgotten'
  }

  /** Mode random: a pseudonym stands in one cell of the run. */
  once(pseudonymA: number, pseudonymB: number): Verdict {
    if (this.#pseudonyms.has(pseudonymA, pseudonymB)) return 'two-values'
    return this.#pseudonyms.add(pseudonymA, pseudonymB) ? 'new' : 'forgotten'
  }
}
