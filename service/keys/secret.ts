import { PseudolakeError } from '../../lib/core/errors.ts'
import type { KeyringData } from '../../lib/crypto/keyring.ts'
import { DEFAULT_DOMAIN } from '../../lib/wire/contract.ts'
import { parseKeyring, parseOriginalSecret } from './format.ts'

/**
 * The text of a keyring, or a secret in the original format as it is, which becomes the only key of the domain `default`.
 * @throws PseudolakeError `keyring/invalid`
 */
export function parseEitherKeyring(text: string): KeyringData {
  if (!isOriginal(text)) return parseKeyring(text)
  const material = parseOriginalSecret(text)
  const key = { material, created: new Date(0).toISOString(), state: 'active' as const }
  return { domains: [{ domain: DEFAULT_DOMAIN, primary: material.id, keys: [key] }] }
}

/**
 * The same out of a secret store.
 * @param name of the secret, for messages
 * @throws PseudolakeError `keyring/invalid`: what is wrong, and nothing of the secret
 */
export function parseSecretKeyring(text: string, name: string): KeyringData {
  try {
    return parseEitherKeyring(text)
  } catch (error) {
    if (error instanceof PseudolakeError)
      throw new PseudolakeError(error.code, `secret ${name}: ${error.message}`, { secret: name })
    throw error
  }
}

function isOriginal(text: string): boolean {
  try {
    const root: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    return typeof root === 'object' && root !== null && 'encodedSecretKey' in root && !('version' in root)
  } catch {
    return false
  }
}
