/**
 * Pairs of a value and its pseudonym that were looked at, by a hash of both: a dictionary comes again with each row group, and is looked through
 * at the speed of reading it. What is not known goes the long way, and is remembered when nothing was wrong with it.
 */
import type { Codec } from '../../../lib/parquet/codec.ts'
import type { DictionaryHeader, Page } from '../../../lib/parquet/page.ts'
import { type KnownValues, PairTable } from '../../../lib/parquet/pair-table.ts'

/** Values with higher numbers go the long way each time. */
const MOST = 1 << 20
/** For one page: what most dictionaries need. Memory counts as V8's own, and for more of it V8 looks through its heap once more. */
const ROOM = { bytes: 1 << 20, count: 1 << 15 }
/** What nearly all pages have room in. */
const LARGE = { bytes: 4 << 20, count: 1 << 17 }
/** Pairs after which it is asked whether any comes again. */
const TRIED = 200_000

export class Pairs {
  #table: PairTable | undefined
  /** Whether the table takes larger pages too. */
  #isLarge = false
  #looked = 0
  #unknown = 0

  /** Memory for the page in the places of these values, as it is stored, if `hold` would take it; until then nothing else may be asked for. */
  room(bytes: number, known: KnownValues | undefined): Uint8Array | undefined {
    if (this.#isTiring) return undefined
    this.#table?.expect(known?.size ?? 0)
    return this.#table?.pageRoom(bytes)
  }

  /** Where nearly every pair is new, remembering them is work for nothing. */
  get #isTiring(): boolean {
    return this.#looked > TRIED && this.#unknown * 2 > this.#looked
  }

  /**
   * Takes an output's dictionary, as its page is stored: it is uncompressed where it is looked through.
   * @param known the values in whose places it stands, as for `room`
   * @returns false where it has to go the long way
   */
  hold({ header, body }: Page<DictionaryHeader>, codec: Codec, known: KnownValues | undefined): boolean {
    if (this.#isTiring) return false
    const { values, uncompressedBytes } = header
    const isLarge = values > ROOM.count || uncompressedBytes > ROOM.bytes || body.length > ROOM.bytes
    if (!this.#table || (isLarge && !this.#isLarge)) {
      this.#table = new PairTable(isLarge ? LARGE : ROOM, MOST)
      this.#isLarge = isLarge
    }
    return this.#table.hold(codec, body, header.uncompressedBytes, known?.size)
  }

  /** The dictionary that is held, in PLAIN encoding; valid until something is remembered. */
  get held(): Uint8Array {
    return (this.#table as PairTable).held
  }

  /**
   * @param values of the input, in whose places those that are held stand
   * @returns whether all pairs are as they were found right before
   * @throws RangeError where the page ends before the values do
   */
  areKnown(values: KnownValues): boolean {
    const unlike = this.#table?.unlike(values)
    this.#looked += values.slots.length
    this.#unknown += unlike ?? values.slots.length
    return unlike === 0
  }

  /** The pairs that are held, once all of them were found right the long way. */
  remember(values: KnownValues): void {
    this.#table?.keep(values)
  }
}
