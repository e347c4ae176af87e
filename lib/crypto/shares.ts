import { lengthOf, type TextBatch } from '../core/texts.ts'
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

/** The key that all pseudonyms of a batch name; undefined where they name several, or none that there is. No string is made of them. */
export function kernelForAll(keys: KeysBack, batch: TextBatch): PseudonymKernel | undefined {
  const { bytes, offsets } = batch
  const count = offsets.length - 1
  if (count === 0) return undefined
  const head = headOf(batch, 0)
  const isV2 = head.startsWith(V2)
  const first = offsets[0] as number
  for (let i = 1; i < count; i++) {
    const at = offsets[i] as number
    const size = Math.min(lengthOf(batch, i), HEAD)
    let same = 0
    while (same < size && bytes[at + same] === bytes[first + same]) same++
    if (isV2 ? same < HEAD : startsV2(bytes, at, size)) return undefined
  }
  return kernelFor(keys, head)
}

function startsV2(bytes: Uint8Array, at: number, size: number): boolean {
  return size >= V2.length && bytes[at] === 0x70 && bytes[at + 1] === 0x32 && bytes[at + 2] === 0x2e
}

/** As much of a text as {@link kernelFor} looks at. */
export function headOf({ bytes, offsets }: TextBatch, i: number): string {
  const start = offsets[i] as number
  let head = ''
  for (let at = start; at < Math.min(start + HEAD, offsets[i + 1] as number); at++)
    head += String.fromCharCode(bytes[at] as number)
  return head
}

const V2 = 'p2.'
const HEAD = 'p2.0000'.length
