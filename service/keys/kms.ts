import { PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import { openSealed, parseSealed, sealKeyring } from './sealed.ts'

/** What KMS does, as far as keyrings need it (lib/aws/kms.ts). */
export interface DataKeyService {
  generate(
    keyId: string,
  ): Promise<{ readonly plain: Uint8Array; readonly wrapped: Uint8Array; readonly keyArn: string }>
  unwrap(wrapped: Uint8Array, keyId: string): Promise<Uint8Array>
}

/**
 * Seals a keyring's text under a data key of KMS: who reads the document can't read the keys without the right to `kms:Decrypt`.
 * @param keyId id, ARN or alias
 * @throws PseudolakeError as the service does
 */
export async function sealWithKms(
  text: string,
  keyId: string,
  service: DataKeyService,
  options: { readonly randomBytes: RandomBytes; readonly now: number },
): Promise<string> {
  const { plain, wrapped, keyArn } = await service.generate(keyId)
  try {
    const data_key = Buffer.from(wrapped).toString('base64')
    return sealKeyring(text, { dataKey: plain, wrapped: { by: 'kms', key: keyArn, data_key }, ...options })
  } finally {
    plain.fill(0)
  }
}

/**
 * The text itself, or what is in it where KMS has its data key.
 * @param service asked only where it is needed
 * @throws PseudolakeError `keyring/invalid` where it is sealed for others than KMS; as the service does
 */
export async function unsealedText(text: string, service: () => DataKeyService): Promise<string> {
  const sealed = parseSealed(text)
  if (!sealed) return text
  const { by, key, data_key } = sealed.wrapped
  if (by !== 'kms' || typeof key !== 'string' || typeof data_key !== 'string')
    throw new PseudolakeError('keyring/invalid', `sealed keyring: KMS has no data key of it (it is sealed by ${by})`)
  const plain = await service().unwrap(Buffer.from(data_key, 'base64'), key)
  try {
    return openSealed(sealed, plain)
  } finally {
    plain.fill(0)
  }
}
