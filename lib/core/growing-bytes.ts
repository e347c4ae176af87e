/** Old and new stand side by side for a moment, so it is little. */
const GROWTH = 1.125

/**
 * Bytes that are gathered in memory, one behind the other. The buffer grows and is used again after `clear`, so that what is made by the
 * dozen, one at a time, takes the memory of one: what waits for the garbage collector is memory too, and on a busy machine it waits long.
 */
export class GrowingBytes {
  #buffer = new Uint8Array(0)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** So many may come: the buffer does not grow in between. What is not used of it takes no memory. */
  expect(bytes: number): void {
    if (this.#buffer.length < this.#length + bytes) this.#grow(this.#length + bytes)
  }

  /** Copies them in. What `bytes` gave before is of no use any more. */
  append(bytes: Uint8Array): void {
    const length = this.#length + bytes.length
    if (length > this.#buffer.length) this.#grow(Math.max(length, Math.ceil(this.#buffer.length * GROWTH)))
    this.#buffer.set(bytes, this.#length)
    this.#length = length
  }

  /** The buffer before is given back at once. */
  #grow(bytes: number): void {
    this.#buffer = new Uint8Array(this.#buffer.buffer.transfer(bytes))
  }

  /** All of them: a view, until the next `append` or `clear`. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  clear(): void {
    this.#length = 0
  }

  /** Gives the memory back. */
  free(): void {
    this.#length = 0
    this.#grow(0)
  }
}
