import { createCipheriv, createDecipheriv } from 'node:crypto'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'

/**
 * A keyring under a data key, which something else holds: KMS, or the holders of shares. The text is AES-256-GCM under a data key of its own;
 * everything else in the document is authenticated with it. Pure; how the data key comes about is its callers' business.
 */
export interface SealedKeyring {
  readonly kind: typeof SEALED_KIND
  readonly version: number
  /** RFC 3339, UTC. */
  readonly sealed: string
  /** Who gives the data key: `by` says how, the rest is what that one needs for it. */
  readonly wrapped: Wrapped
  /** Padded base64: nonce ‖ ciphertext ‖ tag. */
  readonly text: string
}

export interface Wrapped {
  readonly by: string
  readonly [field: string]: unknown
}

export const SEALED_KIND = 'pseudolake sealed keyring'
const VERSION = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface SealOptions {
  /** 32 bytes, used for nothing else; the caller wipes them. */
  readonly dataKey: Uint8Array
  readonly wrapped: Wrapped
  readonly randomBytes: RandomBytes
  /** Milliseconds since 1970. */
  readonly now: number
}

/** @param text of a keyring */
export function sealKeyring(text: string, { dataKey, wrapped, randomBytes, now }: SealOptions): string {
  const head = { kind: SEALED_KIND, version: VERSION, sealed: new Date(now).toISOString(), wrapped } as const
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', dataKey, nonce).setAAD(headBytes(head))
  const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return `${JSON.stringify({ ...head, text: sealed.toString('base64') }, null, 2)}\n`
}

/** Undefined for a text that is something else. @throws PseudolakeError `keyring/invalid` for one of a newer version, or one that was cut */
export function parseSealed(text: string): SealedKeyring | undefined {
  let document: unknown
  try {
    document = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    return undefined
  }
  if (typeof document !== 'object' || document === null) return undefined
  const { kind, version, sealed, wrapped, text: body } = document as Record<string, unknown>
  if (kind !== SEALED_KIND) return undefined
  if (typeof version === 'number' && version > VERSION)
    throw invalid(`this pseudolake opens up to version ${VERSION}, it has ${version}: a newer pseudolake is needed`)
  if (version !== VERSION) throw invalid(`version: expected ${VERSION}`)
  if (typeof sealed !== 'string') throw invalid('sealed: expected a time')
  if (typeof wrapped !== 'object' || wrapped === null || typeof (wrapped as Wrapped).by !== 'string')
    throw invalid('wrapped: expected who has the data key')
  if (typeof body !== 'string') throw invalid('text: expected base64')
  return { kind: SEALED_KIND, version, sealed, wrapped: wrapped as Wrapped, text: body }
}

/**
 * The keyring's text.
 * @param dataKey the caller wipes it
 * @throws PseudolakeError `keyring/invalid` where the key is another one, or anything in the document was changed
 */
export function openSealed(document: SealedKeyring, dataKey: Uint8Array): string {
  const bytes = Buffer.from(document.text, 'base64')
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw invalid(`text: ${bytes.length} bytes are none`)
  if (dataKey.length !== 32) throw invalid(`its data key has ${dataKey.length} bytes, expected 32`)
  const decipher = createDecipheriv('aes-256-gcm', dataKey, bytes.subarray(0, NONCE_BYTES))
    .setAAD(headBytes(document))
    .setAuthTag(bytes.subarray(-TAG_BYTES))
  const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
  try {
    decipher.final()
    return plain.toString('utf8')
  } catch {
    throw invalid('the data key is not the one it was sealed with, or it was changed')
  } finally {
    plain.fill(0)
  }
}

/** All but the text, in one order whatever the order of the file. */
function headBytes({ kind, version, sealed, wrapped }: Omit<SealedKeyring, 'text'>): Buffer {
  return Buffer.from(JSON.stringify([kind, version, sealed, sorted(wrapped)]))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([name, each]) => [name, sorted(each)])
}

function invalid(what: string): PseudolakeError {
  return new PseudolakeError('keyring/invalid', `sealed keyring: ${what}`)
}
