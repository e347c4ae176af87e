/** Telling pseudonyms from values, whole and cut. Pure. */
import type { RawValues } from '../../lib/parquet/decode.ts'
import { isPseudonymForm } from '../../lib/wire/forms.ts'

/**
 * Where bounds are cut, the last character may have been raised. A v2 pseudonym shows by its prefix; an original one is base64 like many
 * an identifier, so only what is as long as the shortest pseudonym counts.
 */
const CUT_V2 = /^p2\.[a-z0-9]{4}\.[A-Za-z0-9_-]*.?$/s
const CUT_ORIGINAL = /^[A-Za-z0-9+/]{39,}.?$/s
/** Parquet's writers cut bounds at 16 to 64 bytes; what is longer is whole. */
const MAX_CUT_BYTES = 64

/** Whether bytes of a statistic say nothing but a pseudonym, or the beginning of one. */
export function isHarmlessBound(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes).toString('latin1')
  if (text === '' || isPseudonymForm(text)) return true
  return text.length <= MAX_CUT_BYTES && (CUT_V2.test(text) || CUT_ORIGINAL.test(text))
}

export interface NotPseudonyms {
  readonly count: number
  /** Of the first one, among those looked at. */
  readonly index: number
  readonly bytes: number
}

/** Values of a replaced column that are neither empty nor well-formed pseudonyms; undefined where there is none. */
export function notPseudonyms(values: RawValues): NotPseudonyms | undefined {
  let first: { index: number; bytes: number } | undefined
  let count = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value instanceof Uint8Array) {
      if (value.length === 0) continue
      // Latin-1 keeps bytes that are no ASCII from decoding to anything that has the form.
      if (isPseudonymForm(Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1'))) continue
    }
    count++
    first ??= { index: i, bytes: value instanceof Uint8Array ? value.length : 0 }
  }
  return first && { count, ...first }
}
