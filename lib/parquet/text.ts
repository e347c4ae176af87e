/** A leaf's values as canonical text (docs/types.md, "Values"). Pure; the rules are lib/core/canonical.ts, the bytes are here. */
import * as canonical from '../core/canonical.ts'
import { PseudolakeError } from '../core/errors.ts'
import { notUtf8, packTexts, type TextBatch } from '../core/texts.ts'
import type { RawValues } from './decode.ts'
import { columnName, failure, type Place } from './place.ts'
import type { LeafNode } from './schema.ts'
import { float16, int96Nanos, refusedAsText, unscaled } from './types.ts'

/** The most that an identifier may have, in bytes of UTF-8. */
export const MAX_TEXT_BYTES = 64 << 10

type ToText = (value: never) => string

/**
 * Texts of the values `[from, to)`.
 * @param positionOf where in the page a value stands, for errors
 * @throws PseudolakeError `input/value-invalid` naming place, index, type and length, never the value
 */
export function canonicalTexts(
  values: RawValues,
  leaf: LeafNode,
  place: Place,
  from = 0,
  to: number = values.length,
  positionOf: (i: number) => number = (i) => i,
): string[] {
  const text = converter(leaf, place) as (value: unknown) => string
  const texts = new Array<string>(to - from)
  for (let i = from; i < to; i++) {
    const value = values[i]
    try {
      texts[i - from] = text(value)
    } catch (error) {
      if (!(error instanceof canonical.NotCanonical) && !(error instanceof TooLong)) throw error
      const type = leaf.logical?.type ?? leaf.physical
      const length = value instanceof Uint8Array ? value.length : undefined
      throw failure(
        'input/value-invalid',
        place,
        `value ${positionOf(i)} of the page (${type}${length === undefined ? '' : `, ${length} bytes`}) has no canonical text: ${error.message}`,
        { index: positionOf(i), type, ...(length !== undefined && { length }) },
      )
    }
  }
  return texts
}

/** Whether a leaf's bytes are its texts. */
export function bytesAreTexts({ physical, logical }: LeafNode): boolean {
  return physical === 'BYTE_ARRAY' && (!logical || logical.type === 'string')
}

/** {@link canonicalTexts} as bytes; of a leaf whose bytes are its texts no string is made. */
export function canonicalBatch(...given: Parameters<typeof canonicalTexts>): TextBatch {
  const [values, leaf, , from = 0, to = values.length] = given
  const joined = bytesAreTexts(leaf) ? joinValues(values as Uint8Array[], from, to) : undefined
  // Which of them is none, and why, is said where each is looked at.
  if (joined && areTexts(joined)) return joined
  const texts = packTexts(canonicalTexts(...given))
  if (!texts) throw new PseudolakeError('internal/bug', 'a canonical text is no text')
  return texts
}

/** Whether each may be an identifier. */
export function areTexts(batch: TextBatch): boolean {
  const { offsets } = batch
  for (let i = 1; i < offsets.length; i++)
    if ((offsets[i] as number) - (offsets[i - 1] as number) > MAX_TEXT_BYTES) return false
  return notUtf8(batch) < 0
}

function joinValues(values: readonly Uint8Array[], from: number, to: number): TextBatch {
  const offsets = new Uint32Array(to - from + 1)
  for (let i = from; i < to; i++)
    offsets[i - from + 1] = (offsets[i - from] as number) + (values[i] as Uint8Array).length
  const bytes = new Uint8Array(offsets[to - from] as number)
  for (let i = from; i < to; i++) bytes.set(values[i] as Uint8Array, offsets[i - from])
  return { bytes, offsets }
}

class TooLong extends Error {}

function converter(leaf: LeafNode, place: Place): ToText {
  const refused = refusedAsText(leaf)
  if (refused)
    throw failure(
      'input/unsupported',
      { ...place, column: leaf.path },
      `${refused}; drop ${columnName(leaf.path)} (mode: drop)`,
    )
  const { physical, logical } = leaf
  switch (logical?.type) {
    case 'integer':
      if (logical.signed) return canonical.canonicalInteger
      return physical === 'INT32'
        ? (value: number) => canonical.canonicalInteger(value >>> 0)
        : (value: bigint) => canonical.canonicalInteger(BigInt.asUintN(64, value))
    case 'decimal': {
      const { scale } = logical
      return (value: number | bigint | Uint8Array) => canonical.canonicalDecimal(unscaled(value), scale)
    }
    case 'date':
      return canonical.canonicalDate
    case 'time':
      return (value: number | bigint) => canonical.canonicalTime(micros(BigInt(value), logical.unit))
    case 'timestamp':
      return (value: bigint) => canonical.canonicalTimestamp(micros(value, logical.unit), logical.utc)
    case 'uuid':
      return canonical.canonicalUuid
    case 'float16':
      return (value: Uint8Array) => canonical.canonicalFloat32(float16(value))
  }
  switch (physical) {
    case 'BOOLEAN':
      return canonical.canonicalBoolean
    case 'INT32':
    case 'INT64':
      return canonical.canonicalInteger
    case 'FLOAT':
      return canonical.canonicalFloat32
    case 'DOUBLE':
      return canonical.canonicalFloat64
    case 'INT96':
      return (value: Uint8Array) => canonical.canonicalTimestamp(micros(int96Nanos(value), 'nanos'), true)
    default:
      return (value: Uint8Array) => {
        if (value.length > MAX_TEXT_BYTES) throw new TooLong(`longer than ${MAX_TEXT_BYTES} bytes`)
        return canonical.canonicalUtf8(value)
      }
  }
}

function micros(value: bigint, unit: 'millis' | 'micros' | 'nanos'): bigint {
  if (unit === 'millis') return value * 1000n
  if (unit === 'micros') return value
  if (value % 1000n !== 0n) throw new canonical.NotCanonical('out-of-range')
  return value / 1000n
}
