import { joinTexts, sliceOf, type TextBatch } from '../core/texts.ts'

/** Texts that are to be asked for, and the numbers of their values. */
export interface Asked {
  readonly texts: TextBatch
  readonly slots: Int32Array
}

/** Texts that have not been asked for, in their order. */
export class Waiting {
  readonly #batches: Asked[] = []
  #count = 0

  get count(): number {
    return this.#count
  }

  /** @param batch not to be changed any more */
  add(batch: Asked): void {
    if (batch.slots.length === 0) return
    this.#batches.push(batch)
    this.#count += batch.slots.length
  }

  /** The first of them, which wait no longer. */
  take(count: number): Asked {
    const taken: Asked[] = []
    for (let left = count; left > 0; ) {
      const first = this.#batches.shift()
      if (!first) break
      const n = Math.min(left, first.slots.length)
      taken.push(cut(first, 0, n))
      if (n < first.slots.length) this.#batches.unshift(cut(first, n, first.slots.length))
      left -= n
      this.#count -= n
    }
    const [only] = taken
    if (only && taken.length === 1) return only
    return { texts: joinTexts(taken.map(({ texts }) => texts)), slots: joinSlots(taken.map(({ slots }) => slots)) }
  }

  clear(): void {
    this.#batches.length = 0
    this.#count = 0
  }
}

function cut({ texts, slots }: Asked, from: number, to: number): Asked {
  return { texts: sliceOf(texts, from, to), slots: slots.subarray(from, to) }
}

function joinSlots(arrays: readonly Int32Array[]): Int32Array {
  const out = new Int32Array(arrays.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const array of arrays) {
    out.set(array, at)
    at += array.length
  }
  return out
}
