/**
 * Sealed for an X25519 recipient. An object's key is HKDF-SHA-256 of the secret between an ephemeral key and the recipient's, salted with both
 * public keys.
 */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { derivedKey, PUBLIC_KEY_BYTES, publicKeyOf, rawPublicKey, recipientName } from '../../../lib/crypto/x25519.ts'
import { type Opener, openWith, type Sealer, sealWith, splitSealed, unreadable } from './sealed.ts'

export const X25519_ALGORITHM = 'X25519-HKDF-SHA256-AES256GCM'
const INFO = 'pseudolake/quarantine/v1'

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
    async seal(about, plain) {
      const { publicKey: mine, privateKey } = generateKeyPairSync('x25519')
      const ephemeral = rawPublicKey(mine)
      const key = derivedKey(diffieHellman({ privateKey, publicKey: theirs }), ephemeral, raw, INFO)
      const how = { algorithm: X25519_ALGORITHM, recipient, ephemeral: ephemeral.toString('base64') }
      return sealWith(key, how, about, plain)
    },
  }
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
    async open(sealed, location) {
      const split = splitSealed(sealed, location)
      const { header } = split
      if (header.algorithm !== X25519_ALGORITHM)
        throw unreadable(location, 'it was sealed in another way than an X25519 key opens')
      if (header.recipient !== recipient)
        throw unreadable(location, `it is sealed for ${header.recipient}, and the key is ${recipient}`)
      return openWith(keyOf(String(header.ephemeral)), split, location)

      function keyOf(text: string): Uint8Array {
        const ephemeral = Buffer.from(text, 'base64')
        try {
          return derivedKey(diffieHellman({ privateKey, publicKey: publicKeyOf(ephemeral) }), ephemeral, raw, INFO)
        } catch (error) {
          throw unreadable(location, 'its bytes are not those that were sealed', error)
        }
      }
    },
  }
}
