/**
 * Sealing: what goes in can be opened with a key that is not here. The port, and its adapter for an X25519 recipient.
 *
 * A sealed object is a header, one line of JSON, and behind it the ciphertext with its tag of 16 bytes. The header is authenticated. Each object
 * has a key of its own: HKDF-SHA-256 of the X25519 secret between an ephemeral key and the recipient's, salted with both public keys; so
 * AES-256-GCM may begin with the nonce of zeros. docs/stream.md has the format in full.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import { derivedKey, PUBLIC_KEY_BYTES, publicKeyOf, rawPublicKey, recipientName } from '../../../lib/crypto/x25519.ts'

export const SEALED_VERSION = 1
const FORMAT = 'pseudolake/quarantine'
const ALGORITHM = 'X25519-HKDF-SHA256-AES256GCM'
const INFO = 'pseudolake/quarantine/v1'
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
  /** Whom it is sealed for, as a name that tells keys apart: no key. */
  readonly recipient: string
  seal(about: SealedAbout, plain: Uint8Array): Promise<Uint8Array>
}

interface Header extends SealedAbout {
  readonly format: typeof FORMAT
  readonly version: number
  readonly algorithm: string
  readonly recipient: string
  readonly ephemeral: string
}

/** @param publicKey 32 bytes in base64 @throws PseudolakeError `config/invalid` */
export function x25519Sealer(publicKey: string): Sealer {
  const raw = Buffer.from(publicKey, 'base64')
  if (raw.length !== PUBLIC_KEY_BYTES)
    throw new PseudolakeError(
      'config/invalid',
      `quarantine.recipient: expected an X25519 public key of 32 bytes in base64, got ${raw.length}`,
      { key: 'quarantine.recipient' },
    )
  const theirs = publicKeyOf(raw)
  const recipient = recipientName(raw)
  return {
    recipient,
    async seal(about, plain) {
      const { publicKey: mine, privateKey } = generateKeyPairSync('x25519')
      const ephemeral = rawPublicKey(mine)
      const header: Header = {
        ...{ format: FORMAT, version: SEALED_VERSION, algorithm: ALGORITHM, recipient },
        ephemeral: ephemeral.toString('base64'),
        ...about,
      }
      const line = Buffer.from(`${JSON.stringify(header)}\n`)
      const key = derivedKey(diffieHellman({ privateKey, publicKey: theirs }), ephemeral, raw, INFO)
      const cipher = createCipheriv('aes-256-gcm', key, NONCE).setAAD(line)
      return Buffer.concat([line, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
  }
}

/** What the owner of the key has: not the consumer. */
export interface Opener {
  readonly recipient: string
  /** @throws PseudolakeError `quarantine/unreadable` */
  open(sealed: Uint8Array, location: string): { readonly about: SealedAbout; readonly plain: Uint8Array }
}

/** @param pem a private key in PKCS#8, as `openssl genpkey -algorithm X25519` makes it @throws PseudolakeError `quarantine/unreadable` */
export function x25519Opener(pem: string): Opener {
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(pem)
  } catch (error) {
    throw new PseudolakeError('quarantine/unreadable', 'the key is no private key in PEM', {}, { cause: error })
  }
  if (privateKey.asymmetricKeyType !== 'x25519')
    throw new PseudolakeError('quarantine/unreadable', 'the key is none of X25519', {})
  const raw = rawPublicKey(createPublicKey(privateKey))
  const recipient = recipientName(raw)
  return {
    recipient,
    open(sealed, location) {
      const bad = (what: string, cause?: unknown) =>
        new PseudolakeError('quarantine/unreadable', `${location}: ${what}`, { location }, { cause })
      const { header, line, rest } = splitSealed(sealed, location)
      if (header.version !== SEALED_VERSION || header.algorithm !== ALGORITHM)
        throw bad('it was sealed in another way than this version opens')
      if (header.recipient !== recipient) throw bad(`it is sealed for ${header.recipient}, and the key is ${recipient}`)
      try {
        const ephemeral = Buffer.from(header.ephemeral, 'base64')
        const key = derivedKey(diffieHellman({ privateKey, publicKey: publicKeyOf(ephemeral) }), ephemeral, raw, INFO)
        const decipher = createDecipheriv('aes-256-gcm', key, NONCE).setAAD(line)
        decipher.setAuthTag(rest.subarray(rest.length - TAG_BYTES))
        const plain = Buffer.concat([decipher.update(rest.subarray(0, rest.length - TAG_BYTES)), decipher.final()])
        const { job, shard, first, last, records } = header
        return { about: { job, shard, first, last, records }, plain }
      } catch (error) {
        throw isPseudolakeError(error) ? error : bad('its bytes are not those that were sealed', error)
      }
    },
  }
}

function splitSealed(sealed: Uint8Array, location: string): { header: Header; line: Uint8Array; rest: Uint8Array } {
  const end = sealed.indexOf(0x0a) + 1
  const line = sealed.subarray(0, end)
  try {
    const header = JSON.parse(Buffer.from(line).toString()) as Header
    if (header.format === FORMAT) return { header, line, rest: sealed.subarray(end) }
  } catch {
    // Said below.
  }
  throw new PseudolakeError('quarantine/unreadable', `${location}: it is no sealed object`, { location })
}
