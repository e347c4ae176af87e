/**
 * Which inputs are done, in memory: 25 bytes an input, so that a million of them are no reason to plan a run's memory anew. Pure.
 * A table of open addressing over the inputs' hashes, which are as good as random; each slot has the fingerprint of size and version.
 */
import type { LedgerEntry } from './ledger-file.ts'

const WORDS = 6
const FIRST_SLOTS = 1 << 10

export type InputState = 'new' | 'same' | 'changed'

export class LedgerIndex {
  #slots = FIRST_SLOTS
  /** Four words of the hash, two of the fingerprint. */
  #words = new Uint32Array(FIRST_SLOTS * WORDS)
  #used = new Uint8Array(FIRST_SLOTS)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Keeps the first entry of an input. @returns whether it was the first */
  add({ input, bytes, version }: Pick<LedgerEntry, 'input' | 'bytes' | 'version'>): boolean {
    if (this.#size * 2 >= this.#slots) this.#grow()
    const key = words(input)
    const slot = this.#find(key)
    if (this.#used[slot] === 1) return false
    this.#used[slot] = 1
    this.#words.set(key, slot * WORDS)
    this.#words.set(fingerprint(bytes, version), slot * WORDS + 4)
    this.#size++
    return true
  }

  stateOf({ input, bytes, version }: Pick<LedgerEntry, 'input' | 'bytes' | 'version'>): InputState {
    const slot = this.#find(words(input))
    if (this.#used[slot] === 0) return 'new'
    const [a, b] = fingerprint(bytes, version)
    return this.#words[slot * WORDS + 4] === a && this.#words[slot * WORDS + 5] === b ? 'same' : 'changed'
  }

  /** The slot of a key, or the empty one where it would go. */
  #find(key: Uint32Array): number {
    const [a, b, c, d] = key
    for (let slot = (a as number) & (this.#slots - 1); ; slot = (slot + 1) & (this.#slots - 1)) {
      if (this.#used[slot] === 0) return slot
      const at = slot * WORDS
      if (this.#words[at] === a && this.#words[at + 1] === b && this.#words[at + 2] === c && this.#words[at + 3] === d)
        return slot
    }
  }

  #grow(): void {
    const [oldWords, oldUsed, oldSlots] = [this.#words, this.#used, this.#slots]
    this.#slots *= 2
    this.#words = new Uint32Array(this.#slots * WORDS)
    this.#used = new Uint8Array(this.#slots)
    for (let old = 0; old < oldSlots; old++) {
      if (oldUsed[old] === 0) continue
      const entry = oldWords.subarray(old * WORDS, (old + 1) * WORDS)
      const slot = this.#find(entry)
      this.#used[slot] = 1
      this.#words.set(entry, slot * WORDS)
    }
  }
}

function words(hex: string): Uint32Array {
  const key = new Uint32Array(4)
  for (let i = 0; i < hex.length && i < 32; i++) {
    const code = hex.charCodeAt(i)
    key[i >> 3] = ((key[i >> 3] as number) << 4) | (code < 58 ? code - 48 : (code & 0xdf) - 55)
  }
  return key
}

/** Two lanes of 32 bits, each of the whole text. Held in memory only, and against no adversary: who writes an input chooses its version anyway. */
function fingerprint(bytes: number, version: string): Uint32Array {
  let a = Math.imul(bytes ^ 0x9e3779b1, 0x85ebca6b) ^ (bytes / 2 ** 32)
  let b = Math.imul(bytes ^ 0x85ebca77, 0xc2b2ae35) + bytes / 2 ** 32
  for (let i = 0; i < version.length; i++) {
    const code = version.charCodeAt(i)
    a = Math.imul(a ^ code, 0x9e3779b1)
    a ^= a >>> 15
    b = Math.imul(b ^ code, 0x5f356495)
    b ^= b >>> 13
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b)
  b = Math.imul(b ^ (b >>> 16), 0xc2b2ae35)
  return Uint32Array.of(a ^ (a >>> 13), b ^ (b >>> 16))
}
