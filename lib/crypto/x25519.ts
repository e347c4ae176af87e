/**
 * What is sealed for the holder of an X25519 key: a key of 32 bytes for each message, out of the secret between an ephemeral key and the
 * recipient's (HKDF-SHA-256, salted with both public keys). Used once, so that AES-256-GCM may begin with the nonce of zeros.
 */
import { createHash, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'

export const PUBLIC_KEY_BYTES = 32
/** What stands before the 32 bytes of an X25519 public key in its DER form (RFC 8410). */
const PUBLIC_DER = Buffer.from('302a300506032b656e032100', 'hex')

/** @param secret of X25519; `info` keeps uses apart */
export function derivedKey(secret: Uint8Array, ephemeral: Uint8Array, recipient: Uint8Array, info: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, Buffer.concat([ephemeral, recipient]), info, 32))
}

/** @param raw 32 bytes */
export function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([PUBLIC_DER, raw]), format: 'der', type: 'spki' })
}

export function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(PUBLIC_DER.length)
}

/** Tells keys apart, and is none. */
export function recipientName(raw: Uint8Array): string {
  return `x25519:${createHash('sha256').update(raw).digest('hex').slice(0, 16)}`
}
