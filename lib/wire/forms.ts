/**
 * What a pseudonym looks like, for those who hold no key: the client refuses an answer that has none of these forms, and a gate
 * looks for them in written files. Only canonical spellings count; whether a key made it, only the service can tell.
 */

import { FORM, formsOfTexts } from '../core/text-engine.ts'
import type { TextBatch } from '../core/texts.ts'

export type PseudonymForm = 'original' | 'v2'

/** Nonce and tag, over the empty identifier. */
const MIN_BYTES = 28

/** Digits of base64 for so many bytes; most identifiers are shorter. */
export const SHORTEST_PSEUDONYM = Math.ceil((MIN_BYTES * 8) / 6)

/** The form of `text`, or undefined where it is no pseudonym. */
export function pseudonymForm(text: string): PseudonymForm | undefined {
  const bytes = Buffer.from(text)
  return pseudonymFormAt(bytes, 0, bytes.length)
}

export function isPseudonymForm(text: string): boolean {
  return pseudonymForm(text) !== undefined
}

/** The same of the bytes `[from, to)`. */
export function pseudonymFormAt(bytes: Uint8Array, from: number, to: number): PseudonymForm | undefined {
  if (to - from < SHORTEST_PSEUDONYM) return undefined
  if (startsV2(bytes, from)) return isCanonical(bytes, from + V2_PREFIX.length, to, URL) ? 'v2' : undefined
  if ((to - from) % 4 !== 0) return undefined
  const padding = bytes[to - 1] !== EQUALS ? 0 : bytes[to - 2] !== EQUALS ? 1 : 2
  return isCanonical(bytes, from, to - padding, STANDARD) ? 'original' : undefined
}

/** Of each text of a batch its form, as {@link FORM} has them. */
export function pseudonymForms(texts: TextBatch): Uint8Array {
  return formsOfTexts(texts)
}

export { FORM }

/** Where a v2 pseudonym names its key. */
export const V2_KEY_AT = 'p2.'.length
export const V2_KEY_LENGTH = 4

/** By its letters: `k` is any of a-z and 0-9. */
const V2_PREFIX = 'p2.kkkk.'
const EQUALS = 0x3d

const STANDARD = 0x40
const URL = 0x80
/** By byte: which alphabets of base64 have it, and its six bits. */
const DIGITS = new Uint8Array(256)
for (const [alphabet, last] of [
  [STANDARD, '+/'],
  [URL, '-_'],
] as const) {
  const digits = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${last}`
  for (let value = 0; value < 64; value++) {
    const byte = digits.charCodeAt(value)
    DIGITS[byte] = (DIGITS[byte] as number) | alphabet | value
  }
}

function startsV2(bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < V2_PREFIX.length; i++) {
    const byte = bytes[from + i] as number
    const expected = V2_PREFIX.charCodeAt(i)
    if (i < V2_KEY_AT || i === V2_PREFIX.length - 1 ? byte !== expected : !isKeyCharacter(byte)) return false
  }
  return true
}

function isKeyCharacter(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39)
}

/** Whether digits of an alphabet, without padding, are the one spelling of at least {@link MIN_BYTES} bytes: unused bits are zero. */
function isCanonical(bytes: Uint8Array, from: number, to: number, alphabet: number): boolean {
  const digits = to - from
  const spare = digits % 4
  if (spare === 1 || Math.floor((digits * 3) / 4) < MIN_BYTES) return false
  let all = alphabet
  for (let i = from; i < to; i++) all &= DIGITS[bytes[i] as number] as number
  if (all === 0) return false
  const unused = spare === 2 ? 0x0f : spare === 3 ? 0x03 : 0
  return ((DIGITS[bytes[to - 1] as number] as number) & unused) === 0
}
