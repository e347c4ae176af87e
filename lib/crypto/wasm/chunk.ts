import { NONCE_BYTES, TAG_BYTES } from '../kernel.ts'
import { OUT_BYTES } from './engine.ts'

/** Bytes of text in a chunk, so that its pseudonyms fit the kernel's memory too. */
export const FORWARD_TEXT = 294_912
/** Of pseudonyms. */
export const BACK_TEXT = 131_072

/** Bytes that the pseudonyms of a chunk decode to, at most; a text that is none counts as an empty identifier's. */
export function sealedShare(textBytes: number, n: number): number {
  return Math.min(OUT_BYTES, textBytes + n * (NONCE_BYTES + TAG_BYTES))
}
