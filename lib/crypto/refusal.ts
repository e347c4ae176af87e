import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'

export type RefusalCode = 'identifier/invalid' | 'pseudonym/invalid'

/** Collects which texts of a batch are refused: by index, never by value. */
export interface Refusal {
  /** Indices come in ascending order. */
  add(index: number): void
  readonly any: boolean
  /** @throws PseudolakeError with `index` (the first), `indices` (the first 100) and `count` */
  throwIfAny(): void
}

/** An error that lists every value of a batch helps nobody. */
const MAX_INDICES = 100

export function refusalFor(code: RefusalCode, key: string): Refusal {
  const indices: number[] = []
  let count = 0
  const message =
    code === 'identifier/invalid' ? 'not well-formed Unicode, or over 64 KiB' : `no pseudonym of key ${key}`
  return {
    add(index) {
      if (++count <= MAX_INDICES) indices.push(index)
    },
    get any() {
      return count > 0
    },
    throwIfAny() {
      const [index] = indices
      if (index !== undefined) throw new PseudolakeError(code, `${message} (index ${index})`, { index, indices, count })
    },
  }
}

/** Puts the refusals of several calls to kernels together, as if the batch had been one call. */
export interface Refusals {
  /** In any order. @param code where it is another than the batch's */
  add(index: number, code?: string): void
  /** Takes what a kernel threw over a part of the batch; what is no refusal goes on. @param indexOf of the part's place i */
  absorb(error: unknown, indexOf: (i: number) => number): void
  /** @throws PseudolakeError with `index`, `indices`, `codes` (one each) and `count` */
  throwIfAny(of: number): void
}

export function refusals(code: RefusalCode): Refusals {
  const found: { readonly index: number; readonly code: string }[] = []
  let unlisted = 0
  return {
    add(index, its = code) {
      found.push({ index, code: its })
    },

    absorb(error, indexOf) {
      if (!isPseudolakeError(error, code)) throw error
      const { indices, count } = error.context as { indices: readonly number[]; count: number }
      for (const i of indices) found.push({ index: indexOf(i), code })
      // They come after those that were listed.
      unlisted += count - indices.length
    },

    throwIfAny(of) {
      const [first] = found.sort((a, b) => a.index - b.index)
      if (!first) return
      const count = found.length + unlisted
      const named = found.slice(0, MAX_INDICES)
      throw new PseudolakeError(code, `${count} of ${of} values are refused, the first at index ${first.index}`, {
        index: first.index,
        indices: named.map((item) => item.index),
        codes: named.map((item) => item.code),
        count,
      })
    },
  }
}

/** What a kernel says that is used after `dispose`. */
export function wiped(key: string): PseudolakeError {
  return new PseudolakeError('internal/bug', `key ${key} is used after it was wiped`)
}
