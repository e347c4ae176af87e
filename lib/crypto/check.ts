import { isAscii, isUtf8 } from 'node:buffer'
import { countOf, lengthOf, type TextBatch, textAt } from '../core/texts.ts'
import { MAX_IDENTIFIER_BYTES } from './kernel.ts'
import { refusalFor } from './refusal.ts'

/**
 * What can be said of identifiers before any work, by every kernel.
 * @returns how many @throws PseudolakeError `identifier/invalid`, RangeError
 */
export function checkIdentifiers(batch: TextBatch, id: string): number {
  const count = countOf(batch)
  const refusal = refusalFor('identifier/invalid', id)
  const valid = allUtf8(batch, count)
  for (let i = 0; i < count; i++)
    if (lengthOf(batch, i) > MAX_IDENTIFIER_BYTES || (!valid && !isUtf8(textAt(batch, i)))) refusal.add(i)
  refusal.throwIfAny()
  return count
}

/** Whether all are, without looking at each by itself: together they are, and each starts where a character does. */
function allUtf8({ bytes, offsets }: TextBatch, count: number): boolean {
  const all = bytes.subarray(offsets[0], offsets[count])
  if (isAscii(all)) return true
  if (!isUtf8(all)) return false
  const end = offsets[count] as number
  for (let i = 1; i < count; i++) {
    const start = offsets[i] as number
    if (start < end && ((bytes[start] as number) & 0xc0) === 0x80) return false
  }
  return true
}
