/** Hashes (lib/parquet/value-hashes.ts) that are remembered. Pure. */
import { LANE, newEngine, START, sharedEngine } from './wasm/engine.ts'

/** What all tables of a run may take together. */
export interface Budget {
  bytes: number
}

/** Of values, by their numbers. */
export interface Hashes {
  readonly a: Int32Array
  readonly b: Int32Array
}

/** What came of many hashes. */
export interface Merged {
  /** The first that was refused, or how many there are. */
  readonly end: number
  /** How many were not there before, and how many of these, the first of them, there was room for. */
  readonly fresh: number
  readonly kept: number
  /** How many of those that were not there before have the second half of their hash for a value. */
  readonly alike: number
}

/** For fewer it does not pay to put them where the call finds them, and for more to have the memory. */
const GATHERED = { LEAST: 64, MOST: 1 << 20 }

/** Puts what is at the first `count` of some positions one behind the other. @param into may be `chosen` */
export function gather(of: Int32Array, chosen: Int32Array, count: number, into: Int32Array): void {
  if (count < GATHERED.LEAST || of.length + count > GATHERED.MOST) {
    for (let k = 0; k < count; k++) into[k] = of[chosen[k] as number] as number
    return
  }
  const engine = sharedEngine()
  const chosenAt = START + WORD_BYTES * of.length
  engine.reserve(chosenAt + WORD_BYTES * count)
  const { words, functions } = engine
  words.set(of, START / WORD_BYTES)
  words.set(chosen.subarray(0, count), chosenAt / WORD_BYTES)
  functions.gather(START, chosenAt, count)
  into.set(words.subarray(chosenAt / WORD_BYTES, chosenAt / WORD_BYTES + count))
}

const FIRST_PLACES = 1 << 12
const MODE = { MAP: 0, ONCE: 1, MANY: 2, PRESENT: 3, ABSENT: 4 } as const
const WHY = { MUST_GROW: 1, REFUSED: 2 } as const
const WORD_BYTES = 4

/** A set of hashes, or a map from hashes to 32 bits. Its memory grows where it is, and is given back with the table. */
export class HashTable {
  readonly #engine = newEngine()
  readonly #placeBytes: number
  readonly #budget: Budget
  readonly #isMap: boolean
  /** Where hashes, their values, and the positions that come out of a call are, in words. */
  readonly #lanes: { readonly a: number; readonly b: number; readonly values: number; readonly listed: number }

  constructor(kind: 'set' | 'map', budget: Budget) {
    this.#isMap = kind === 'map'
    this.#budget = budget
    const { functions } = this.#engine
    const words = this.#isMap ? 3 : 2
    functions.setup(words, FIRST_PLACES)
    this.#placeBytes = words * WORD_BYTES
    budget.bytes -= FIRST_PLACES * this.#placeBytes
    const [a, b, values, listed] = [0, 1, 2, 3].map((lane) => functions.laneAt(lane) / WORD_BYTES) as [
      number,
      number,
      number,
      number,
    ]
    this.#lanes = { a, b, values, listed }
  }

  get size(): number {
    return this.#engine.functions.entries()
  }

  /**
   * Of a map: adds what is not there, with its value. One that is there with another value is refused.
   * @param fresh gets the positions of those that were not there
   */
  merge(hashes: Hashes, values: Int32Array, count: number, fresh: Int32Array): Merged {
    return this.#run(hashes, values, count, fresh, MODE.MAP)
  }

  /** Of a set: adds what is not there. @param once refuses one that is there */
  add(hashes: Hashes, count: number, fresh: Int32Array, once: boolean): Merged {
    return this.#run(hashes, undefined, count, fresh, once ? MODE.ONCE : MODE.MANY)
  }

  /** @param found gets the positions of those that are there @returns how many they are */
  present(hashes: Hashes, count: number, found: Int32Array): number {
    return this.#run(hashes, undefined, count, found, MODE.PRESENT).fresh
  }

  /** @param found gets the positions of those that are not there @returns how many they are */
  absent(hashes: Hashes, count: number, found: Int32Array): number {
    return this.#run(hashes, undefined, count, found, MODE.ABSENT).fresh
  }

  #run(
    { a, b }: Hashes,
    values: Int32Array | undefined,
    count: number,
    out: Int32Array,
    mode: (typeof MODE)[keyof typeof MODE],
  ): Merged {
    const { functions } = this.#engine
    const lanes = this.#lanes
    this.#engine.reserve(functions.tableBytes(functions.capacity()))
    let fresh = 0
    let kept = 0
    let alike = 0
    for (let base = 0; base < count; base += LANE) {
      const to = Math.min(count, base + LANE)
      const { words } = this.#engine
      words.set(a.subarray(base, to), lanes.a)
      words.set(b.subarray(base, to), lanes.b)
      if (values) words.set(values.subarray(base, to), lanes.values)
      let end = functions.merge(to - base, 0, mode, base)
      while (functions.why() === WHY.MUST_GROW) {
        // Once there is no room there never will be.
        if (!this.#grow(2)) functions.setFull()
        end = functions.merge(to - base, end, mode, base)
      }
      const listed = functions.listed()
      out.set(this.#engine.words.subarray(lanes.listed, lanes.listed + listed), fresh)
      fresh += listed
      kept += functions.kept()
      alike += functions.alike()
      if (functions.why() === WHY.REFUSED) return { end: base + end, fresh, kept, alike }
    }
    return { end: count, fresh, kept, alike }
  }

  /** So many may come: an empty table is made for them at once, where there is room, and does not grow in between. */
  expect(count: number): void {
    if (this.size > 0) return
    const places = this.#engine.functions.capacity()
    let factor = 1
    while (count * 4 > (places * factor - 1) * 3) factor *= 2
    while (factor > 1 && !this.#grow(factor)) factor /= 2
  }

  #grow(factor: number): boolean {
    const { functions, reserve } = this.#engine
    const places = functions.capacity()
    const more = places * (factor - 1) * this.#placeBytes
    if (more > this.#budget.bytes) return false
    // In one go: each time that it grows the memory has another name in JavaScript, and the old one must be forgotten.
    reserve(functions.tableBytes(factor * places))
    this.#budget.bytes -= more
    for (let grown = 1; grown < factor; grown *= 2) functions.grow()
    return true
  }
}
