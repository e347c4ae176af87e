/**
 * A sealed object: a header, one line of JSON, and behind it the ciphertext with its tag of 16 bytes (AES-256-GCM). The header is authenticated.
 * Each object has a key of its own, so the nonce may be zeros. Whose key that is, the header says; docs/stream.md has the format in full.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'

export const SEALED_VERSION = 1
const FORMAT = 'pseudolake/quarantine'
const NONCE = new Uint8Array(12)
const TAG_BYTES = 16

/** Of an object, in clear: where its records come from, and nothing of them. */
export interface SealedAbout {
  readonly job: string
  readonly shard: string
  /** Sequence numbers. */
  readonly first: string
  readonly last: string
  readonly records: number
}

export interface Sealer {
  /** Finds out before a record needs it whether it can seal. @default it can */
  ready?(): Promise<void>
  /** @throws PseudolakeError where the key has to be asked for: `secret/*`, `aws/*` */
  seal(about: SealedAbout, plain: Uint8Array): Promise<Uint8Array>
}

/** What the owner of the key has: not the consumer. */
export interface Opener {
  /** @throws PseudolakeError `quarantine/unreadable`; where the key has to be asked for: `secret/*`, `aws/*` */
  open(sealed: Uint8Array, location: string): Promise<OpenedObject>
}

export interface OpenedObject {
  readonly about: SealedAbout
  readonly plain: Uint8Array
}

export interface SealedHeader extends SealedAbout {
  readonly format: typeof FORMAT
  readonly version: number
  readonly algorithm: string
  /** Whom it is sealed for, as a name that tells keys apart: no key. */
  readonly recipient: string
}

/** @param how what the algorithm's own part of the header is @param key 32 bytes, of this object alone */
export function sealWith(
  key: Uint8Array,
  how: { readonly algorithm: string; readonly recipient: string } & Readonly<Record<string, unknown>>,
  about: SealedAbout,
  plain: Uint8Array,
): Uint8Array {
  const header = { format: FORMAT, version: SEALED_VERSION, ...how, ...about }
  const line = Buffer.from(`${JSON.stringify(header)}\n`)
  const cipher = createCipheriv('aes-256-gcm', key, NONCE).setAAD(line)
  return Buffer.concat([line, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

export interface SplitObject {
  readonly header: SealedHeader & Readonly<Record<string, unknown>>
  readonly line: Uint8Array
  /** Ciphertext and tag. */
  readonly rest: Uint8Array
}

/** @throws PseudolakeError `quarantine/unreadable` for what is no sealed object, or of a version that is not read */
export function splitSealed(sealed: Uint8Array, location: string): SplitObject {
  const end = sealed.indexOf(0x0a) + 1
  const line = sealed.subarray(0, end)
  let header: SplitObject['header'] | undefined
  try {
    header = JSON.parse(Buffer.from(line).toString())
  } catch {
    // Said below.
  }
  if (header?.format !== FORMAT) throw unreadable(location, 'it is no sealed object')
  if (header.version !== SEALED_VERSION)
    throw unreadable(location, 'it was sealed by another version than this one opens')
  const { algorithm, recipient, job, shard, first, last } = header
  if ([algorithm, recipient, job, shard, first, last].some((text) => typeof text !== 'string'))
    throw unreadable(location, 'its header is not whole')
  return { header, line, rest: sealed.subarray(end) }
}

/** @throws PseudolakeError `quarantine/unreadable` */
export function openWith(key: Uint8Array, { header, line, rest }: SplitObject, location: string): OpenedObject {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, NONCE).setAAD(line)
    decipher.setAuthTag(rest.subarray(rest.length - TAG_BYTES))
    const plain = Buffer.concat([decipher.update(rest.subarray(0, rest.length - TAG_BYTES)), decipher.final()])
    const { job, shard, first, last, records } = header
    return { about: { job, shard, first, last, records }, plain }
  } catch (error) {
    throw isPseudolakeError(error) ? error : unreadable(location, 'its bytes are not those that were sealed', error)
  }
}

export function unreadable(location: string, what: string, cause?: unknown): PseudolakeError {
  return new PseudolakeError('quarantine/unreadable', `${location}: ${what}`, { location }, { cause })
}
