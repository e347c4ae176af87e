/**
 * Pairs of a value and its pseudonym that were looked at, by their bytes: a dictionary comes again with each row group, and is compared with
 * what is known at the speed of reading it. What is not known goes the long way, and is remembered when nothing was wrong with it.
 */
import type { Codec } from '../../../lib/parquet/codec.ts'
import type { DictionaryHeader, Page } from '../../../lib/parquet/page.ts'
import { ValueTable } from '../../../lib/parquet/value-table.ts'

/** It is emptied when it has more; what it forgot goes the long way again. */
const MOST_BYTES = 8 << 20
/** For one page: what most dictionaries need. Memory counts as V8's own, and for more of it V8 looks through its heap once more. */
const ROOM = { in: 1 << 20, out: 1 << 20, count: 1 << 15 }
/** Pairs after which it is asked whether any comes again. */
const TRIED = 200_000

export class Pairs {
  #table: ValueTable | undefined
  /** Whether the table takes larger pages too. */
  #isLarge = false
  #looked = 0
  #unknown = 0

  /** Memory for a page as it is stored, if `hold` would take it; until then nothing else may be asked for. */
  room(bytes: number): Uint8Array | undefined {
    const table = this.#table
    if (!table || this.#isTiring) return undefined
    if (table.bytes > MOST_BYTES) table.clear()
    return table.pageRoom(bytes)
  }

  /** Where nearly every pair is new, remembering them is work for nothing. */
  get #isTiring(): boolean {
    return this.#looked > TRIED && this.#unknown * 2 > this.#looked
  }

  /**
   * Takes an output's dictionary, as its page is stored: it is uncompressed where it is compared.
   * @returns false where it has to go the long way
   */
  hold({ header, body }: Page<DictionaryHeader>, codec: Codec): boolean {
    if (this.#isTiring) return false
    const { values, uncompressedBytes } = header
    const isLarge = values > ROOM.count || uncompressedBytes > ROOM.out || body.length > ROOM.in
    if (!this.#table || (isLarge && !this.#isLarge)) {
      this.#table = new ValueTable(MOST_BYTES, isLarge ? undefined : ROOM)
      this.#isLarge = isLarge
    }
    if (this.#table.bytes > MOST_BYTES) this.#table.clear()
    return this.#table.hold(codec, body, header.uncompressedBytes)
  }

  /** The dictionary that is held, in PLAIN encoding; valid until something is remembered. */
  get held(): Uint8Array {
    return (this.#table as ValueTable).held
  }

  /**
   * @param keys values of the input in PLAIN encoding, `width` bytes each, in whose places those that are held stand
   * @param guess numbers of the values in the table that they were replaced by: this one, which has seen the same, may have the same
   * @returns positions of the pairs that are not known as they are; undefined where all must be looked at
   * @throws RangeError where one of the two ends before `count` values
   */
  unknown(keys: Uint8Array, count: number, width: number, guess?: Int32Array): Int32Array | undefined {
    const unknown = this.#table?.unlike(keys, count, width, guess)
    this.#looked += count
    this.#unknown += unknown?.length ?? count
    return unknown
  }

  /** The pairs that are held, once all of them were found right the long way. */
  remember(keys: Uint8Array, count: number, width: number): void {
    if (this.#table && this.#table.bytes <= MOST_BYTES) this.#table.keep(keys, count, width)
  }
}
