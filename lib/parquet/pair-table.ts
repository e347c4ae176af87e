/**
 * Which value has what in its place, by a hash of both at the value's number: whether a page that was made has nothing but pairs that stood in pages
 * before. A dictionary comes again with each row group, and is looked through at the speed of reading it, where it was made.
 */
import type { Engine } from './wasm/engine.ts'

const PAIR_BYTES = 8
const FIRST_PAIRS = 1 << 14
/** Values with higher numbers are not remembered. */
const MOST_PAIRS = 1 << 20
/** Pairs after which it is asked whether any comes again. */
const TRIED = 200_000

/**
 * The making of one file. What it was given counts for other files only once somebody has found it right: pairs of one that was given up are as if they
 * had never been.
 */
export interface Attempt {
  passed: boolean
}

/** In the memory of a table of values, and in its generation. */
export class PairTable {
  readonly #engine: Engine
  readonly #most: number
  /** Where in the memory, and numbers below which one has a place. */
  #at = 0
  #places = 0
  /** That was taken of the arena. */
  #bytes = 0
  #attempt: Attempt | undefined
  #looked = 0
  #unlike = 0

  /** @param most values with higher numbers are not remembered */
  constructor(engine: Engine, most: number) {
    this.#engine = engine
    this.#most = Math.min(MOST_PAIRS, 2 ** Math.floor(Math.log2(most)))
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * Makes places for numbers below `size`, before anything is made of which a view is needed: the memory may have to grow.
   * @param attempt that the page is for
   * @param take gives memory of the arena, with anything in it
   * @returns false where more than half of the pairs were new so far: to remember them is work for nothing
   */
  expect(size: number, attempt: Attempt, take: (bytes: number) => number): boolean {
    if (this.#attempt !== attempt) {
      if (this.#attempt?.passed === false) this.#forget()
      this.#attempt = attempt
    }
    if (this.#looked > TRIED && this.#unlike * 2 > this.#looked) return false
    if (size <= this.#places || this.#places === this.#most) return true
    const places = Math.min(this.#most, Math.max(FIRST_PAIRS, 2 ** Math.ceil(Math.log2(size))))
    const at = take(PAIR_BYTES * places)
    this.#bytes += PAIR_BYTES * places
    const memory = this.#engine.bytes()
    const had = PAIR_BYTES * this.#places
    memory.copyWithin(at, this.#at, this.#at + had)
    memory.fill(0, at + had, at + PAIR_BYTES * places)
    this.#at = at
    this.#places = places
    return true
  }

  /**
   * Remembers what stands in the places of values that have nothing yet.
   * @param prints of the values, and their numbers where the engine has them
   * @param at where in the memory what stands in their places is, in PLAIN encoding
   * @returns how many of the pairs are not as they were remembered
   * @throws RangeError where that ends before the values do
   */
  look(prints: Uint8Array, count: number, at: number, bytes: number): number {
    const { places, bytes: memory, unlike } = this.#engine
    memory().set(prints, places.in)
    const found = unlike(places.in, places.slots, count, at, bytes, this.#at, this.#places)
    if (found < 0) throw new RangeError('values beyond the page')
    this.#looked += count
    this.#unlike += found
    return found
  }

  #forget(): void {
    this.#engine.bytes().fill(0, this.#at, this.#at + PAIR_BYTES * this.#places)
  }

  /** What is remembered is forgotten, and the memory is not this table's any more. */
  clear(): void {
    this.#places = 0
    this.#bytes = 0
  }
}
