import type { TextBatch, TextRoom } from '../core/texts.ts'

/**
 * Turns identifiers into pseudonyms and back under one key. The port behind which the cryptography can be replaced: everything
 * above it hands over whole batches, because a fast kernel earns its speed by doing many messages at once.
 *
 * What every kernel promises:
 * - The answer has the length and the order of the batch, or nothing is answered at all.
 * - No plaintext leaves before its tag was checked, and tags are compared in constant time.
 * - An error names indices, never a value.
 */
export interface PseudonymKernel {
  readonly key: KeyName

  /**
   * @param identifiers well-formed Unicode, at most {@link MAX_IDENTIFIER_BYTES} of UTF-8 each; the empty one has a pseudonym too
   * @throws PseudolakeError `identifier/invalid`, with `index` (the first), `indices` (the first 100) and `count`
   */
  pseudonymize(identifiers: readonly string[], options: { readonly deterministic: boolean } & StringsOptions): string[]

  /** @throws PseudolakeError `pseudonym/invalid`, with the same: not canonical, cut, altered, or of another key */
  reidentify(pseudonyms: readonly string[], options?: StringsOptions): string[]

  /**
   * The same from bytes to bytes. Invalid UTF-8 is refused like a lone surrogate; nothing is ever replaced.
   * @throws RangeError where the batch's offsets are not what they must be, or `into` is too small
   */
  pseudonymizeBytes(identifiers: TextBatch, options: { readonly deterministic: boolean } & BytesOptions): TextBatch

  /** The way back of {@link pseudonymizeBytes}. */
  reidentifyBytes(pseudonyms: TextBatch, options?: BytesOptions): TextBatch

  /** How many characters (all ASCII) the pseudonym of an identifier of `bytes` of UTF-8 has. */
  pseudonymLength(bytes: number): number

  /**
   * How many bytes of UTF-8 the identifier of a pseudonym of so many characters has, `=` at its end not counted; 0 where they are
   * too few. Whether it is one is not looked at.
   */
  identifierLength(characters: number): number

  /** Wipes the key. Every later call throws. Harmless twice. */
  dispose(): void
}

export interface StringsOptions {
  /** Where the answer goes, from `at` on; this list is answered then. What it held there is lost, also where the batch is refused. @default a list of its own */
  readonly into?: { readonly texts: string[]; readonly at: number } | undefined
}

export interface BytesOptions {
  /** Where the answer goes, which then is a view of it. What it held there is lost, also where the batch is refused. @default buffers of its own */
  readonly into?: TextRoom | undefined
}

/** Opens a kernel. It keeps copies of the key's bytes; the caller wipes its own. */
export type OpenKernel = (material: KeyMaterial, options: KernelOptions) => PseudonymKernel

export interface KernelOptions {
  /** Unpredictable bytes, for the nonces of mode random. */
  readonly randomBytes: RandomBytes
}

export type RandomBytes = (count: number) => Uint8Array

export interface KeyName {
  readonly id: string
  readonly domain: string
  readonly format: KeyFormat
}

export type KeyFormat = 'v2' | 'original'

export type KeyMaterial = V2Material | OriginalMaterial

/** Two independent keys of 32 bytes: `aead` encrypts, `mac` makes the deterministic nonces. */
export interface V2Material extends KeyName {
  readonly format: 'v2'
  readonly aead: Uint8Array
  readonly mac: Uint8Array
}

/** The original service's secret: 32 bytes, 8 bytes, and which 12 hex digits of the HMAC are the nonce. */
export interface OriginalMaterial extends KeyName {
  readonly format: 'original'
  readonly secretKey: Uint8Array
  readonly nonceKey: Uint8Array
  /** 0–20; the nonce ends 12 digits later. */
  readonly nonceStrPos: number
}

/** A longer identifier is no identifier, and would let one value fill a request. */
export const MAX_IDENTIFIER_BYTES = 65_536

export const NONCE_BYTES = 12
export const TAG_BYTES = 16
