import { PseudolakeError } from '../core/errors.ts'

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

export function refusalFor(code: 'identifier/invalid' | 'pseudonym/invalid', key: string): Refusal {
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

/** What a kernel says that is used after `dispose`. */
export function wiped(key: string): PseudolakeError {
  return new PseudolakeError('internal/bug', `key ${key} is used after it was wiped`)
}
