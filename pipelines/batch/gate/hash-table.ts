/** Hashes (lib/parquet/value-hashes.ts) that are remembered. Pure. */

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
      const first = a[i] as number
      const second = b[i] as number
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

  /** So many may come: an empty table is made for them at once, where there is room, and does not grow in between. */
  expect(count: number): void {
    if (this.#size > 0) return
    let factor = 1
    while (count * 4 > ((this.#mask + 1) * factor - 1) * 3) factor *= 2
    if (factor > 1) this.#grow(factor)
  }

  #grow(factor = 2): boolean {
    const before = this.#slots
    // Old and new stand side by side for a moment.
    if (before.byteLength * factor > this.#budget.bytes) return false
    this.#budget.bytes -= before.byteLength * (factor - 1)
    this.#slots = new Int32Array(before.length * factor)
    this.#mask = (this.#mask + 1) * factor - 1
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
