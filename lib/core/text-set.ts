import { randomInt } from 'node:crypto'
import type { TextBatch } from './texts.ts'

/**
 * Which texts of a batch are equal, by their bytes and without making a string of any.
 * @returns for each text the place of the first that is equal to it: its own where none is before it
 */
export function firstPlaces({ bytes, offsets }: TextBatch): Int32Array {
  const count = offsets.length - 1
  const places = new Int32Array(count)
  // Open addressing: a place plus one; half full at most.
  const mask = 2 ** Math.ceil(Math.log2(Math.max(1, count) * 2)) - 1
  const slots = new Int32Array(mask + 1)
  const hashes = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const from = offsets[i] as number
    const to = offsets[i + 1] as number
    const h = hash(bytes, from, to)
    hashes[i] = h
    let slot = h & mask
    for (;;) {
      const other = (slots[slot] as number) - 1
      if (other < 0) {
        slots[slot] = i + 1
        places[i] = i
        break
      }
      if (hashes[other] === h && same(bytes, offsets[other] as number, offsets[other + 1] as number, from, to)) {
        places[i] = other
        break
      }
      slot = (slot + 1) & mask
    }
  }
  return places
}

/** Whether no two texts of a batch are equal. */
export function areDistinct(batch: TextBatch): boolean {
  const places = firstPlaces(batch)
  for (let i = 0; i < places.length; i++) if (places[i] !== i) return false
  return true
}

/** Other texts meet in each process, so that nobody who writes an input can choose ones that do. */
const SEED = randomInt(2 ** 32) | 0

function hash(bytes: Uint8Array, from: number, to: number): number {
  let h = SEED ^ (to - from)
  let at = from
  for (; at + 4 <= to; at += 4) {
    const word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    h = Math.imul(h ^ word, 0x9e3779b1)
    h ^= h >>> 15
  }
  for (; at < to; at++) h = Math.imul(h ^ (bytes[at] as number), 0x85ebca6b)
  h ^= h >>> 16
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 15)
}

function same(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean {
  if (aEnd - a !== bEnd - b) return false
  for (let i = 0; i < aEnd - a; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}
