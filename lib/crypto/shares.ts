import type { PseudonymKernel } from './kernel.ts'
import type { KeysBack } from './keyring.ts'

/** What of a batch belongs to one key. */
export interface Share {
  readonly kernel: PseudonymKernel
  /** Ascending. */
  readonly places: readonly number[]
}

/**
 * Who works on which place, so that there is one call for each key.
 * @param kernelAt undefined: nobody
 * @returns in the order of their first places
 */
export function sharesOf(count: number, kernelAt: (place: number) => PseudonymKernel | undefined): Share[] {
  const byKernel = new Map<PseudonymKernel, number[]>()
  let last: PseudonymKernel | undefined
  let places: number[] = []
  for (let i = 0; i < count; i++) {
    const kernel = kernelAt(i)
    if (!kernel) continue
    // Mostly it is the one before.
    if (kernel !== last) {
      last = kernel
      places = byKernel.get(kernel) ?? []
      byKernel.set(kernel, places)
    }
    places.push(i)
  }
  return [...byKernel].map(([kernel, places]) => ({ kernel, places }))
}

/** The key that a pseudonym names: v2 by its id, the original format by being the only one. */
export function kernelFor(keys: KeysBack, pseudonym: string): PseudonymKernel | undefined {
  return pseudonym.startsWith('p2.') ? keys.byId(pseudonym.slice(3, 7)) : keys.original
}
