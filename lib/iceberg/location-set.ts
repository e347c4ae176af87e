import { createHash } from 'node:crypto'

const FIRST_SLOTS = 1 << 10

/**
 * Locations that were seen, in 16 to 32 bytes each however long they are: a table has millions of files. Keeps 53 bits of a hash, so of
 * a million locations two are taken for one with a chance of about one in 18,000. Where that would do harm, of files that name others and
 * would be passed over with all that they name, a location is kept as it is: `addNaming`. Pure.
 */
export class LocationSet {
  /** Open addressing; 0 is an empty slot. */
  #slots = new Float64Array(FIRST_SLOTS)
  #size = 0
  readonly #naming = new Set<string>()

  get size(): number {
    return this.#size
  }

  has(location: string): boolean {
    return this.#slots[this.#find(keyOf(location))] !== 0
  }

  /** @returns whether it is new */
  add(location: string): boolean {
    if (this.#size * 2 >= this.#slots.length) this.#grow()
    const key = keyOf(location)
    const slot = this.#find(key)
    if (this.#slots[slot] !== 0) return false
    this.#slots[slot] = key
    this.#size++
    return true
  }

  /** Whether a file that names others was added as one. Exact. */
  hasNaming(location: string): boolean {
    return this.#naming.has(location)
  }

  /** As `add`, of a manifest or a list: no two of them are taken for one. @returns whether it is new */
  addNaming(location: string): boolean {
    this.add(location)
    if (this.#naming.has(location)) return false
    this.#naming.add(location)
    return true
  }

  #find(key: number): number {
    const { length } = this.#slots
    let slot = key % length
    while (this.#slots[slot] !== 0 && this.#slots[slot] !== key) slot = (slot + 1) % length
    return slot
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Float64Array(old.length * 2)
    for (const key of old) if (key !== 0) this.#slots[this.#find(key)] = key
  }
}

function keyOf(location: string): number {
  const digest = createHash('sha256').update(location).digest()
  return (digest.readUInt32LE(0) & 0x1fffff) * 2 ** 32 + digest.readUInt32LE(4) || 1
}
