/** Hashes of values, so that millions can be remembered in little memory and none is kept. Pure. */

/**
 * 64 bits in two lanes. Not for secrecy: it never leaves the process. Two of a million values meet by chance once in 40 million runs.
 */
export class Hasher {
  protected readonly seed: number
  /** Of the bytes that were hashed last; `b` is never 0. */
  a = 0
  b = 0

  /** @param seed other values meet in each run */
  constructor(seed: number) {
    this.seed = seed | 0
  }

  hash(view: DataView, from: number, to: number): void {
    let a = this.seed ^ (to - from)
    let b = ~this.seed
    let at = from
    for (; at + 4 <= to; at += 4) {
      const word = view.getInt32(at, true)
      a = Math.imul(a ^ word, 0x9e3779b1)
      a ^= a >>> 15
      b = (Math.imul(b ^ word, 0x85ebca6b) + a) | 0
      b = (b << 13) | (b >>> 19)
    }
    let rest = 0
    for (let shift = 0; at < to; at++, shift += 8) rest |= view.getUint8(at) << shift
    a = mixed(a ^ rest)
    this.a = a
    this.b = mixed(Math.imul(b ^ rest, 0xc2b2ae35) + a) || 1
  }
}

/** For pseudonyms, of which no two look alike: each word goes into one lane only, at half the price. */
export class RandomHasher extends Hasher {
  override hash(view: DataView, from: number, to: number): void {
    let a = this.seed ^ (to - from)
    let b = ~this.seed
    let at = from
    for (; at + 8 <= to; at += 8) {
      a = Math.imul(a ^ view.getInt32(at, true), 0x9e3779b1)
      b = Math.imul(b ^ view.getInt32(at + 4, true), 0x85ebca6b)
      a ^= a >>> 15
      b ^= b >>> 13
    }
    if (at + 4 <= to) {
      a = Math.imul(a ^ view.getInt32(at, true), 0x9e3779b1)
      at += 4
    }
    let rest = 0
    for (let shift = 0; at < to; at++, shift += 8) rest |= view.getUint8(at) << shift
    a = mixed(a ^ rest)
    this.a = a
    this.b = mixed(Math.imul(b ^ rest, 0xc2b2ae35) + a) || 1
  }
}

function mixed(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** What all tables of a run may take together. */
export interface Budget {
  bytes: number
}

const FIRST_SLOTS = 1 << 12

/** A set of hashes, or a map from hashes to 32 bits: open addressing in one typed array. */
export class HashTable {
  readonly #stride: 2 | 3
  readonly #budget: Budget
  #slots: Int32Array
  #mask: number
  #size = 0

  constructor(kind: 'set' | 'map', budget: Budget) {
    this.#stride = kind === 'map' ? 3 : 2
    this.#budget = budget
    this.#slots = new Int32Array(FIRST_SLOTS * this.#stride)
    this.#mask = FIRST_SLOTS - 1
    budget.bytes -= this.#slots.byteLength
  }

  get size(): number {
    return this.#size
  }

  has(a: number, b: number): boolean {
    return this.#slots[this.#find(a, b) + 1] !== 0
  }

  /** The value, or undefined where the hash is not there. */
  get(a: number, b: number): number | undefined {
    const slot = this.#find(a, b)
    return this.#slots[slot + 1] === 0 ? undefined : this.#slots[slot + 2]
  }

  /** @returns the first of `[from, count)` whose hash is not there, or with another value; `count` where there is none */
  unlike(a: Int32Array, b: Int32Array, values: Int32Array, from: number, count: number): number {
    const slots = this.#slots
    const mask = this.#mask
    for (let i = from; i < count; i++) {
      const [first, second] = [a[i] as number, b[i] as number]
      let at = first & mask
      for (;;) {
        const slot = at * 3
        const found = slots[slot + 1]
        if (found === 0) return i
        if (found === second && slots[slot] === first) {
          if (slots[slot + 2] !== values[i]) return i
          break
        }
        at = (at + 1) & mask
      }
    }
    return count
  }

  /** @returns false where there is no room; nothing has changed then */
  add(a: number, b: number, value = 0): boolean {
    if (this.#size * 4 > this.#mask * 3 && !this.#grow()) return false
    const slot = this.#find(a, b)
    if (this.#slots[slot + 1] === 0) this.#size++
    this.#slots[slot] = a
    this.#slots[slot + 1] = b
    if (this.#stride === 3) this.#slots[slot + 2] = value
    return true
  }

  #find(a: number, b: number): number {
    const slots = this.#slots
    for (let i = a & this.#mask; ; i = (i + 1) & this.#mask) {
      const slot = i * this.#stride
      const found = slots[slot + 1]
      if (found === 0 || (found === b && slots[slot] === a)) return slot
    }
  }

  #grow(): boolean {
    const before = this.#slots
    // Old and new stand side by side for a moment.
    if (before.byteLength * 2 > this.#budget.bytes) return false
    this.#budget.bytes -= before.byteLength
    this.#slots = new Int32Array(before.length * 2)
    this.#mask = this.#mask * 2 + 1
    const stride = this.#stride
    for (let slot = 0; slot < before.length; slot += stride) {
      const b = before[slot + 1] as number
      if (b === 0) continue
      const a = before[slot] as number
      const to = this.#find(a, b)
      this.#slots[to] = a
      this.#slots[to + 1] = b
      if (stride === 3) this.#slots[to + 2] = before[slot + 2] as number
    }
    return true
  }
}
