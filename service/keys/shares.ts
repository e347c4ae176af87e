import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { secretBytes, secretCopy } from '../../lib/crypto/secret-bytes.ts'
import { derivedKey, PUBLIC_KEY_BYTES, publicKeyOf, rawPublicKey, recipientName } from '../../lib/crypto/x25519.ts'

/**
 * A data key cut into shares (Shamir, over GF(2^8)): any `threshold` of them give it back, fewer say nothing of it. A share is a text of its
 * own, for a person to keep, or lies in the backup, sealed for the holder of an X25519 key. Pure.
 */

/** How a data key is shared out. */
export interface Sharing {
  /** How many shares open it: 2 and more; 1 only of shares that are sealed for somebody. */
  readonly threshold: number
  readonly of: number
  /** X25519 public keys, 32 bytes in base64, one for each share. @default shares are handed out as texts */
  readonly recipients?: readonly string[]
}

/** What a backup says of its shares; none of them can be made out of it. */
export interface SharedOut {
  readonly by: 'shares'
  /** Names this backup. */
  readonly backup: string
  readonly threshold: number
  readonly of: number
  readonly shares: readonly ShareEntry[]
}

interface ShareEntry {
  readonly n: number
  /** Tells a share that was mistyped, or is of another backup, before it spoils the others. */
  readonly sha256: string
  readonly recipient?: string
  readonly ephemeral?: string
  /** Padded base64: ciphertext ‖ tag. */
  readonly sealed?: string
}

const KIND = 'pseudolake keyring share'
const VERSION = 1
const MOST_SHARES = 255
const TAG_BYTES = 16
const INFO = 'pseudolake/keyring-share/v1'
const NONCE = new Uint8Array(12)

/** @throws PseudolakeError `options/invalid` for numbers and recipients that can't be */
export function checkSharing({ threshold, of, recipients }: Sharing): void {
  const invalid = (option: string, what: string) =>
    new PseudolakeError('options/invalid', `${option}: ${what}`, { option })
  if (!Number.isInteger(threshold) || !Number.isInteger(of) || threshold < 1 || threshold > of || of > MOST_SHARES)
    throw invalid('shares', `expected M-of-N with M from 1 to N, and N up to ${MOST_SHARES}`)
  if (recipients === undefined && threshold < 2)
    throw invalid('shares', 'a share that opens a backup alone would be a key in a file: expected 2-of-N and more')
  if (recipients === undefined) return
  if (recipients.length !== of)
    throw invalid('recipient', `expected ${of}, one for each share, got ${recipients.length}`)
  if (new Set(recipients).size < of) throw invalid('recipient', 'one comes twice')
  for (const [i, key] of recipients.entries()) {
    const bytes = Buffer.from(key, 'base64')
    if (bytes.length !== PUBLIC_KEY_BYTES || bytes.toString('base64') !== key)
      throw invalid('recipient', `number ${i + 1} is no X25519 public key of 32 bytes in base64`)
  }
}

/**
 * @param backup its name
 * @returns what goes into the backup; and the shares' texts, none where they are sealed for recipients
 */
export async function shareOut(
  dataKey: Uint8Array,
  sharing: Sharing,
  backup: string,
): Promise<{ readonly wrapped: SharedOut; readonly texts: readonly string[] }> {
  checkSharing(sharing)
  const { threshold, of, recipients } = sharing
  const shares = await cut(dataKey, threshold, of)
  try {
    const entries = shares.map((share, i): ShareEntry => {
      const n = i + 1
      const recipient = recipients?.[i]
      const entry = { n, sha256: sumOf(share, backup, n) }
      return recipient === undefined ? entry : { ...entry, ...sealed(share, recipient, backup, n) }
    })
    const texts = recipients ? [] : shares.map((share, i) => textOf(share, { backup, n: i + 1, threshold, of }))
    return { wrapped: { by: 'shares', backup, threshold, of, shares: entries }, texts }
  } finally {
    for (const share of shares) share.fill(0)
  }
}

async function cut(dataKey: Uint8Array, threshold: number, of: number): Promise<Uint8Array[]> {
  if (threshold === 1) return Array.from({ length: of }, () => secretCopy(dataKey))
  const copy = secretCopy(dataKey)
  try {
    return await split(copy, of, threshold)
  } finally {
    copy.fill(0)
  }
}

/** What a person gives to open a backup. */
export interface Given {
  /** Texts of shares, each with the name that messages call it by. */
  readonly shares: readonly { readonly name: string; readonly text: string }[]
  /** Private keys of recipients, PKCS#8 in PEM. */
  readonly identities: readonly { readonly name: string; readonly text: string }[]
}

/**
 * The data key, for who has enough shares. The caller wipes it.
 * @throws PseudolakeError `keyring/shares`
 */
export async function putTogether(wrapped: SharedOut, { shares, identities }: Given): Promise<Uint8Array> {
  const found = new Map<number, Uint8Array>()
  try {
    for (const { name, text } of shares) {
      const { n, share } = readShare(text, wrapped, name)
      found.set(n, share)
    }
    for (const { name, text } of identities) for (const [n, share] of unsealed(text, wrapped, name)) found.set(n, share)
    const { threshold } = wrapped
    if (found.size < threshold)
      throw wrong(`${threshold} shares of ${wrapped.of} are needed, and there ${are(found.size)}`)
    const enough = [...found.values()].slice(0, threshold)
    if (threshold === 1) return secretCopy(enough[0] as Uint8Array)
    const whole = await combine(enough)
    try {
      return secretCopy(whole)
    } finally {
      whole.fill(0)
    }
  } finally {
    for (const share of found.values()) share.fill(0)
  }
}

/** @throws PseudolakeError `keyring/invalid` */
export function asSharedOut(wrapped: { readonly [field: string]: unknown }): SharedOut | undefined {
  if (wrapped.by !== 'shares') return undefined
  const { backup, threshold, of, shares } = wrapped
  const isNumber = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 1
  const whole =
    typeof backup === 'string' && isNumber(threshold) && isNumber(of) && Array.isArray(shares) && shares.length === of
  if (!whole) throw new PseudolakeError('keyring/invalid', 'sealed keyring: what it says of its shares is not whole')
  return wrapped as unknown as SharedOut
}

function textOf(share: Uint8Array, about: Omit<SharedOut, 'by' | 'shares'> & { readonly n: number }): string {
  const text = Buffer.from(share).toString('base64')
  return `${JSON.stringify({ kind: KIND, version: VERSION, ...about, share: text }, null, 2)}\n`
}

function readShare(text: string, { backup, shares }: SharedOut, name: string): { n: number; share: Uint8Array } {
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(text.replace(/^\uFEFF/, '')) ?? {}
  } catch {
    // Without the cause: the parser's message quotes the text.
    throw wrong(`${name} is no share (${text.length} characters)`)
  }
  if (fields.kind !== KIND) throw wrong(`${name} is no share`)
  if (fields.version !== VERSION) throw wrong(`${name} is a share of a newer version: a newer pseudolake is needed`)
  if (fields.backup !== backup) throw wrong(`${name} is a share of another backup`)
  const { n, share: encoded } = fields
  const entry = shares.find((each) => each.n === n)
  const share = typeof encoded === 'string' ? secretCopy(Buffer.from(encoded, 'base64')) : secretBytes(0)
  if (!entry || sumOf(share, backup, entry.n) !== entry.sha256) throw wrong(`${name} was changed, or mistyped`)
  return { n: entry.n, share }
}

function sealed(share: Uint8Array, recipient: string, backup: string, n: number): Partial<ShareEntry> {
  const raw = Buffer.from(recipient, 'base64')
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  const ephemeral = rawPublicKey(publicKey)
  const key = derivedKey(diffieHellman({ privateKey, publicKey: publicKeyOf(raw) }), ephemeral, raw, INFO)
  const cipher = createCipheriv('aes-256-gcm', key, NONCE).setAAD(aboutShare(backup, n))
  const bytes = Buffer.concat([cipher.update(share), cipher.final(), cipher.getAuthTag()])
  key.fill(0)
  return {
    recipient: recipientName(raw),
    ephemeral: ephemeral.toString('base64'),
    sealed: bytes.toString('base64'),
  }
}

function unsealed(pem: string, wrapped: SharedOut, name: string): (readonly [n: number, share: Uint8Array])[] {
  const privateKey = privateKeyIn(pem, name)
  const raw = rawPublicKey(createPublicKey(privateKey))
  const mine = wrapped.shares.filter(({ recipient }) => recipient === recipientName(raw))
  if (mine.length === 0) throw wrong(`no share is sealed for ${name}`)
  return mine.map(({ n, ephemeral = '', sealed = '' }) => {
    try {
      const theirs = Buffer.from(ephemeral, 'base64')
      const key = derivedKey(diffieHellman({ privateKey, publicKey: publicKeyOf(theirs) }), theirs, raw, INFO)
      const bytes = Buffer.from(sealed, 'base64')
      const decipher = createDecipheriv('aes-256-gcm', key, NONCE)
        .setAAD(aboutShare(wrapped.backup, n))
        .setAuthTag(bytes.subarray(-TAG_BYTES))
      const plain = Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()])
      const share = secretCopy(plain)
      plain.fill(0)
      key.fill(0)
      return [n, share] as const
    } catch {
      throw wrong(`the share that is sealed for ${name} was changed`)
    }
  })
}

function privateKeyIn(pem: string, name: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw wrong(`${name} is no private key in PEM`)
  }
  if (key.asymmetricKeyType !== 'x25519') throw wrong(`${name} is no key of X25519`)
  return key
}

function sumOf(share: Uint8Array, backup: string, n: number): string {
  return createHash('sha256').update(aboutShare(backup, n)).update(share).digest('hex')
}

function aboutShare(backup: string, n: number): Buffer {
  return Buffer.from(`${INFO}\0${backup}\0${n}\0`)
}

function are(count: number): string {
  return count === 1 ? 'is 1' : `are ${count}`
}

function wrong(what: string): PseudolakeError {
  return new PseudolakeError('keyring/shares', what)
}
