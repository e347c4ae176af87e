/** Who opens what: a quarantine may have been sealed for one key and for another one later. */
import type { DataKeys } from '../../../lib/aws/kms.ts'
import { KMS_ALGORITHM, kmsOpener } from './kms.ts'
import { type Opener, splitSealed, unreadable } from './sealed.ts'
import { X25519_ALGORITHM, x25519Opener } from './x25519.ts'

export interface OpenerOptions {
  /** Of a private key; what is sealed for one is left closed without. */
  readonly pem: string | undefined
  /** KMS where the key of an ARN is, as who is to open. */
  readonly kms: (arn: string) => Pick<DataKeys, 'unwrap'>
}

/** @throws PseudolakeError `quarantine/unreadable` for a key that is none */
export function openerOf({ pem, kms }: OpenerOptions): Opener {
  const x25519 = pem === undefined ? undefined : x25519Opener(pem)
  const ofKms = kmsOpener(kms)
  return {
    async open(sealed, location) {
      const { algorithm, recipient } = splitSealed(sealed, location).header
      if (algorithm === KMS_ALGORITHM) return ofKms.open(sealed, location)
      if (algorithm !== X25519_ALGORITHM)
        throw unreadable(location, 'it was sealed in another way than this version opens')
      if (!x25519) throw unreadable(location, `it is sealed for ${recipient}: the private key is needed (--key)`)
      return x25519.open(sealed, location)
    },
  }
}
