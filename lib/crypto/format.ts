import type { TextBatch } from '../core/texts.ts'
import type { KeyMaterial, OriginalMaterial, V2Material } from './kernel.ts'
import { MAX_IDENTIFIER_BYTES, NONCE_BYTES, TAG_BYTES } from './kernel.ts'
import { secretCopy } from './secret-bytes.ts'

/**
 * The two pseudonym formats, apart from the cipher: what is authenticated, how the deterministic nonce comes about, how the bytes
 * are spelt. In both, the bytes are nonce ‖ ciphertext ‖ tag of AES-256-GCM-SIV (RFC 8452).
 *
 * Exactly one spelling of the bytes is read back. A lax base64 decoder would accept several texts for one pseudonym, and then two
 * cells that differ would be the same person without anybody seeing it.
 */
export interface PseudonymFormat {
  /** Key of AES-256-GCM-SIV. */
  readonly cipherKey: Uint8Array
  readonly associatedData: Uint8Array
  /** Key of HMAC-SHA-256. */
  readonly macKey: Uint8Array
  /** What stands before the identifier in the HMAC's input, for an identifier of that many bytes. */
  macPrefix(bytes: number): Uint8Array
  /** The same as data: these bytes, then, where `macCounted`, the identifier's length as u32 big-endian. */
  readonly macHead: Uint8Array
  readonly macCounted: boolean
  /** The nonce is 12 digits of the HMAC's hexadecimal text from here; undefined: its first 12 bytes. */
  readonly nonceDigit: number | undefined
  /** A pseudonym is this, then the bytes in the alphabet: `base64` padded, `base64url` not. */
  readonly prefix: string
  readonly alphabet: 'base64' | 'base64url'
  /** The nonce out of the HMAC. */
  nonce(mac: Uint8Array): Uint8Array
  write(sealed: Buffer): string
  /** The bytes, or undefined where the text is not exactly what `write` would give. */
  read(text: string): Buffer | undefined
  /** Characters of a pseudonym over so many bytes of identifier. */
  length(bytes: number): number
  /** Bytes of the identifier of a pseudonym of so many characters, padding not counted; 0 where they are too few. */
  plainLength(digits: number): number
}

/** Copies the keys: wiping `cipherKey` and `macKey` wipes all there is. @throws RangeError where the material has another shape */
export function formatOf(material: KeyMaterial): PseudonymFormat {
  return material.format === 'original' ? original(material) : v2(material)
}

const OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
const NOTHING = new Uint8Array(0)

/** Longest text that can be a pseudonym; checked before anything is decoded. */
export const MAX_ENCODED = Math.ceil((MAX_IDENTIFIER_BYTES + OVERHEAD_BYTES) / 3) * 4

function original({ secretKey, nonceKey, nonceStrPos }: OriginalMaterial): PseudonymFormat {
  expectBytes('secretKey', secretKey, 32)
  expectBytes('nonceKey', nonceKey, 8)
  if (!Number.isInteger(nonceStrPos) || nonceStrPos < 0 || nonceStrPos > 20)
    throw new RangeError('nonceStrPos: expected an integer from 0 to 20')
  return {
    cipherKey: secretCopy(secretKey),
    associatedData: NOTHING,
    macKey: secretCopy(nonceKey),
    macPrefix: () => NOTHING,
    macHead: NOTHING,
    macCounted: false,
    nonceDigit: nonceStrPos,
    prefix: '',
    alphabet: 'base64',
    // Twelve characters of the HMAC's hex text, as ASCII: 48 bits. A weakness of the format, kept because joins with tables that
    // the original service made rest on it; v2 uses 96.
    nonce: (mac) => Buffer.from(hex(mac).slice(nonceStrPos, nonceStrPos + NONCE_BYTES), 'latin1'),
    write: (sealed) => sealed.toString('base64'),
    read: (text) => decode(text, 'base64'),
    length: (bytes) => Math.ceil((bytes + OVERHEAD_BYTES) / 3) * 4,
    plainLength,
  }
}

function v2({ id, domain, aead, mac }: V2Material): PseudonymFormat {
  expectBytes('aead', aead, 32)
  expectBytes('mac', mac, 32)
  const name = shortText(domain)
  const nonceHead = Buffer.concat([Buffer.from('pseudolake/v2/nonce\0'), name])
  const prefix = `p2.${id}.`
  return {
    cipherKey: secretCopy(aead),
    associatedData: Buffer.concat([Buffer.from('pseudolake/v2\0'), shortText(id), name]),
    macKey: secretCopy(mac),
    macPrefix(bytes) {
      const head = Buffer.allocUnsafe(nonceHead.length + 4)
      nonceHead.copy(head)
      head.writeUInt32BE(bytes, nonceHead.length)
      return head
    },
    macHead: nonceHead,
    macCounted: true,
    nonceDigit: undefined,
    prefix,
    alphabet: 'base64url',
    nonce: (digest) => digest.subarray(0, NONCE_BYTES),
    write: (sealed) => prefix + sealed.toString('base64url'),
    read: (text) => (text.startsWith(prefix) ? decode(text.slice(prefix.length), 'base64url') : undefined),
    length: (bytes) => prefix.length + Math.ceil(((bytes + OVERHEAD_BYTES) * 4) / 3),
    plainLength: (digits) => plainLength(digits - prefix.length),
  }
}

function plainLength(digits: number): number {
  return Math.max(0, Math.floor((digits * 3) / 4) - OVERHEAD_BYTES)
}

/** Characters of text `i` without its padding. */
export function digitsOf({ bytes, offsets }: TextBatch, i: number): number {
  const end = offsets[i + 1] as number
  const length = end - (offsets[i] as number)
  return length < 2 || bytes[end - 1] !== PAD ? length : length - (bytes[end - 2] === PAD ? 2 : 1)
}

const PAD = 61

function decode(text: string, encoding: 'base64' | 'base64url'): Buffer | undefined {
  if (text.length > MAX_ENCODED) return undefined
  const bytes = Buffer.from(text, encoding)
  // Node's decoder skips what it doesn't know, takes both alphabets and drops unused bits: only the way back tells.
  if (bytes.length < OVERHEAD_BYTES || bytes.toString(encoding) !== text) return undefined
  return bytes
}

/** u8 length ‖ bytes. */
function shortText(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length > 255) throw new RangeError('a domain or key id longer than 255 bytes')
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

function expectBytes(field: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${field}: expected ${length} bytes, got ${bytes.length}`)
}
