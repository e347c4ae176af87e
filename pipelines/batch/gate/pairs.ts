/**
 * Pairs of a value and its pseudonym that were looked at, by their bytes: a dictionary comes again with each row group, and is compared with
 * what is known at the speed of reading it. What is not known goes the long way, and is remembered when nothing was wrong with it.
 */
import { ValueTable } from '../../../lib/parquet/value-table.ts'
import type { Entries } from './entries.ts'

/** It is emptied when it has more; what it forgot goes the long way again. */
const MOST_BYTES = 8 << 20
/** Pairs after which it is asked whether any comes again. */
const TRIED = 200_000

export class Pairs {
  #table: ValueTable | undefined
  #looked = 0
  #unknown = 0

  /**
   * @param keys values of the input in PLAIN encoding, `width` bytes each
   * @param out the pseudonyms in their places, as byte arrays
   * @param guess numbers of the values in the table that they were replaced by: this one, which has seen the same, may have the same
   * @returns positions of the pairs that are not known as they are; undefined where all must be looked at
   * @throws RangeError where one of the two ends before `count` values
   */
  unknown(keys: Uint8Array, out: Uint8Array, count: number, width: number, guess?: Int32Array): Int32Array | undefined {
    // Where nearly every pair is new, remembering them is work for nothing.
    if (this.#looked > TRIED && this.#unknown * 2 > this.#looked) return undefined
    this.#table ??= new ValueTable(MOST_BYTES)
    if (this.#table.bytes > MOST_BYTES) this.#table.clear()
    const unknown = this.#table.unlike(keys, out, count, width, guess)
    this.#looked += count
    this.#unknown += unknown?.length ?? count
    return unknown
  }

  /** Pairs that were found right the long way. @param at their positions, and no others of values that the table does not know */
  remember(keys: Uint8Array, count: number, width: number, out: Entries, at: Int32Array): void {
    if (!this.#table || this.#table.bytes > MOST_BYTES) return
    // What is set may move the memory that they lie in.
    const slots = this.#table.find(keys, count, width).slots.slice()
    for (const i of at) {
      const slot = slots[i]
      if (slot !== undefined && !this.#table.isSet(slot))
        this.#table.setBytes(slot, out.bytes.subarray(out.from[i], out.to[i]))
    }
  }
}
