/** Pairs of a value and what stands in its place, remembered by a hash of both: whether a page has what was there before. */
import { type Codec, decompress, literalOf } from './codec.ts'
import { PRINT_BYTES } from './value-table.ts'
import { type Engine, newEngine } from './wasm/engine.ts'

/** The values of a dictionary, as they were looked up in a table of values. */
export interface KnownValues {
  /** Numbers and prints mean something only in the generation that they are from. */
  readonly generation: number
  /** All numbers are below. */
  readonly size: number
  readonly slots: Int32Array
  readonly prints: Uint8Array
}

/** What goes in: a page and its values. */
interface Room {
  readonly bytes: number
  readonly count: number
}

const PAIR_BYTES = 8
const FIRST_PAIRS = 1 << 14

/** No page is held. */
const NOTHING = { at: 0, bytes: 0 }

export class PairTable {
  readonly #engine: Engine
  readonly #room: Room
  readonly #most: number
  #generation = 0
  /** Numbers below this one have a place. */
  #pairs = 0
  /** Where in the memory. */
  #held = NOTHING

  /** @param most values with higher numbers are never remembered */
  constructor(room: Room, most: number) {
    this.#engine = newEngine({ in: room.bytes, out: room.bytes, count: room.count })
    this.#room = room
    this.#most = most
    this.expect(FIRST_PAIRS)
  }

  /** Makes places for numbers below `size`. What is in the memory is lost for whoever has a view of it: before a page is read. */
  expect(size: number): void {
    if (size <= this.#pairs || this.#pairs === this.#most) return
    this.#pairs = Math.min(this.#most, 2 ** Math.ceil(Math.log2(size)))
    this.#engine.grow(PRINT_BYTES * this.#room.count + PAIR_BYTES * this.#pairs)
  }

  /** Memory for bytes with a page as it is stored, for `hold`; they stay there until the next. Undefined where they are too many. */
  pageRoom(bytes: number): Uint8Array | undefined {
    const { places, bytes: memory } = this.#engine
    return bytes > this.#room.bytes ? undefined : memory().subarray(places.in, places.in + bytes)
  }

  /**
   * Puts a page of what stands in the places of values where `unlike` looks for it; it stays there until the next.
   * @param size of the page, uncompressed
   * @param expected as for `expect`, where the page was not read into the memory
   * @returns false where it is too much, or not what it should be
   */
  hold(codec: Codec, body: Uint8Array, size: number, expected = 0): boolean {
    this.#held = NOTHING
    if (Math.max(size, body.length) > this.#room.bytes) return false
    const { places, bytes: memory, uncompress } = this.#engine
    const isHere = body.buffer === memory().buffer
    if (!isHere) this.expect(expected)
    const literal = codec === 'snappy' ? literalOf(body, size) : undefined
    if (literal && isHere) {
      // As it was read: there is nothing to uncompress.
      this.#held = { at: literal.byteOffset, bytes: size }
      return true
    }
    if (codec === 'snappy' && !literal) {
      if (!isHere) memory().set(body, places.in)
      if (!uncompress(isHere ? body.byteOffset : places.in, body.length, places.out, size)) return false
    } else {
      const page = literal ?? decompressed(codec, body, size)
      if (!page) return false
      memory().set(page, places.out)
    }
    this.#held = { at: places.out, bytes: size }
    return true
  }

  /** The page that is held; valid until something is remembered. */
  get held(): Uint8Array {
    const { at, bytes } = this.#held
    return this.#engine.bytes().subarray(at, at + bytes)
  }

  /**
   * How many of the pairs of a value and what stands in its place, in the page that is held, are not as they were remembered.
   * @returns undefined where there are too many
   * @throws RangeError where the page ends before the values do
   */
  unlike(values: KnownValues): number | undefined {
    return this.#look(values, false)
  }

  /**
   * Remembers what stands in the places of values, in the page that is held, where they have nothing yet, and their numbers were expected.
   * @throws RangeError where the page ends before the values do
   */
  keep(values: KnownValues): void {
    this.#look(values, true)
  }

  #look(values: KnownValues, keeps: boolean): number | undefined {
    const count = this.#give(values)
    if (count === undefined) return undefined
    const { places, unlike } = this.#engine
    const { at, bytes } = this.#held
    const found = unlike(this.#printsAt, places.slots, count, at, bytes, this.#pairsAt, this.#pairs, keeps)
    if (found < 0) throw new RangeError('values beyond the page')
    return found
  }

  get #printsAt(): number {
    return this.#engine.places.arena
  }

  get #pairsAt(): number {
    return this.#printsAt + PRINT_BYTES * this.#room.count
  }

  #give({ generation, slots, prints }: KnownValues): number | undefined {
    const { places, bytes, words } = this.#engine
    if (slots.length > this.#room.count) return undefined
    if (generation !== this.#generation) {
      bytes().fill(0, this.#pairsAt, this.#pairsAt + PAIR_BYTES * this.#pairs)
      this.#generation = generation
    }
    words().set(slots, places.slots >> 2)
    bytes().set(prints, this.#printsAt)
    return slots.length
  }
}

/** Nothing where the bytes are not what they should be. */
function decompressed(codec: Codec, body: Uint8Array, bytes: number): Uint8Array | undefined {
  try {
    return decompress(codec, body, bytes)
  } catch {
    return undefined
  }
}
