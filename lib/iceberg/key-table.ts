/**
 * Keys with the highest sequence number that each came with. The keys themselves are kept and compared, hashes only find them: a row must
 * not go because another's hash is the same. Pure.
 */
export class KeyTable {
  readonly #maxBytes: number
  #entries = 0
  #capacity = FIRST_ENTRIES
  #bytes = Buffer.allocUnsafe(FIRST_ENTRIES * 32)
  #used = 0
  #ends = new Float64Array(FIRST_ENTRIES)
  #sequences = new Float64Array(FIRST_ENTRIES)
  /** Number of the entry and one; 0 where there is none. Twice as many as entries. */
  #slots = new Int32Array(2 * FIRST_ENTRIES)

  /** @param maxBytes what it may take */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @returns false where it is full: then the key is not in it */
  put(key: Uint8Array, length: number, hash: number, sequence: number): boolean {
    const slot = this.#slotOf(key, length, hash)
    const known = (this.#slots[slot] as number) - 1
    if (known >= 0) {
      if (sequence > (this.#sequences[known] as number)) this.#sequences[known] = sequence
      return true
    }
    if (!this.#hasRoom(length)) return false
    this.#bytes.set(key.subarray(0, length), this.#used)
    this.#used += length
    this.#ends[this.#entries] = this.#used
    this.#sequences[this.#entries] = sequence
    this.#slots[slot] = ++this.#entries
    if (this.#entries === this.#capacity) this.#grow()
    return true
  }

  /** @returns -1 for a key that is not in it */
  sequenceOf(key: Uint8Array, length: number, hash: number): number {
    const entry = (this.#slots[this.#slotOf(key, length, hash)] as number) - 1
    return entry < 0 ? -1 : (this.#sequences[entry] as number)
  }

  /** Where the key is, or would be. */
  #slotOf(key: Uint8Array, length: number, hash: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] as number) - 1
      if (entry < 0) return slot
      const start = this.#startOf(entry)
      const end = this.#ends[entry] as number
      if (end - start === length && this.#bytes.compare(key, 0, length, start, end) === 0) return slot
    }
  }

  #startOf(entry: number): number {
    return entry === 0 ? 0 : (this.#ends[entry - 1] as number)
  }

  #hasRoom(length: number): boolean {
    // Beside the key's bytes: its end, its number, two slots; and as much again while the lists are copied.
    const lists = 2 * this.#capacity * (8 + 8 + 8)
    if (this.#used + length > this.#bytes.length) {
      const size = Math.max(2 * this.#bytes.length, this.#used + length)
      if (size + lists > this.#maxBytes && this.#entries > 0) return false
      const bytes = Buffer.allocUnsafe(size)
      bytes.set(this.#bytes.subarray(0, this.#used))
      this.#bytes = bytes
    }
    const full = this.#entries + 1 === this.#capacity
    return !full || this.#bytes.length + 2 * lists <= this.#maxBytes
  }

  #grow(): void {
    this.#capacity *= 2
    const [ends, sequences] = [this.#ends, this.#sequences]
    this.#ends = new Float64Array(this.#capacity)
    this.#ends.set(ends)
    this.#sequences = new Float64Array(this.#capacity)
    this.#sequences.set(sequences)
    this.#slots = new Int32Array(2 * this.#capacity)
    const mask = this.#slots.length - 1
    for (let entry = 0; entry < this.#entries; entry++) {
      const start = this.#startOf(entry)
      const hash = hashOf(
        this.#bytes.subarray(start, this.#ends[entry] as number),
        (this.#ends[entry] as number) - start,
      )
      let slot = hash & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = entry + 1
    }
  }
}

const FIRST_ENTRIES = 1024

/** 32 bits (MurmurHash3). */
export function hashOf(key: Uint8Array, length: number): number {
  let h = length
  let i = 0
  for (; i + 4 <= length; i += 4) {
    const word =
      (key[i] as number) |
      ((key[i + 1] as number) << 8) |
      ((key[i + 2] as number) << 16) |
      ((key[i + 3] as number) << 24)
    h = stirred(h, word)
  }
  let rest = 0
  for (let shift = 0; i < length; i++, shift += 8) rest |= (key[i] as number) << shift
  h = stirred(h, rest)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function stirred(h: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51)
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  const mixed = h ^ k
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0
}
