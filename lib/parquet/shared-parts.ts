/** Memory that the chunks of a footer share: there may be hundreds of thousands. Pure. */

const POOL_BYTES = 16 << 10

/** What chunks have in common is held once, and their bounds in pools rather than in a buffer each. */
export class SharedParts {
  readonly #lists = new Map<string, unknown>()
  #pool = new Uint8Array(0)
  #used = 0

  list<V>(key: string, make: () => V): V {
    const known = this.#lists.get(key) as V | undefined
    if (known !== undefined) return known
    const made = make()
    this.#lists.set(key, made)
    return made
  }

  /** A copy, so that a bound does not hold the footer in memory. */
  bound(bytes: Uint8Array): Uint8Array {
    if (bytes.length > POOL_BYTES / 4) return bytes.slice()
    if (this.#used + bytes.length > this.#pool.length) {
      // The first ones are small: most footers are.
      this.#pool = new Uint8Array(Math.max(bytes.length, Math.min(POOL_BYTES, this.#pool.length * 2 || 256)))
      this.#used = 0
    }
    this.#pool.set(bytes, this.#used)
    this.#used += bytes.length
    return this.#pool.subarray(this.#used - bytes.length, this.#used)
  }
}
