import { PseudolakeError } from '../../lib/core/errors.ts'
import type { RandomBytes } from '../../lib/crypto/kernel.ts'
import { secretBytes } from '../../lib/crypto/secret-bytes.ts'
import { type DataKeyService, unsealedText } from './kms.ts'
import { openSealed, parseSealed, sealKeyring } from './sealed.ts'
import { asSharedOut, checkSharing, type Given, putTogether, type Sharing, shareOut } from './shares.ts'

export interface Backup {
  /** Of the backup's file: of no use without as many shares. */
  readonly backup: string
  /** One for each holder; none where they lie in the backup, sealed for their recipients. */
  readonly shares: readonly string[]
}

/**
 * Seals a keyring's text under a data key that is shared out, and then forgotten.
 * @throws PseudolakeError `options/invalid`
 */
export async function backUp(
  text: string,
  sharing: Sharing,
  { randomBytes, now }: { readonly randomBytes: RandomBytes; readonly now: number },
): Promise<Backup> {
  checkSharing(sharing)
  const dataKey = secretBytes(32)
  const random = randomBytes(32)
  dataKey.set(random)
  random.fill(0)
  try {
    const { wrapped, texts } = await shareOut(dataKey, sharing, Buffer.from(randomBytes(8)).toString('hex'))
    const backup = sealKeyring(text, { dataKey, wrapped: { ...wrapped }, randomBytes, now })
    return { backup, shares: texts }
  } finally {
    dataKey.fill(0)
  }
}

/**
 * The keyring's text out of a backup.
 * @param kms is asked where the backup was sealed with it
 * @throws PseudolakeError `keyring/invalid` for what is no backup, or was changed; `keyring/shares`; as KMS does
 */
export async function openBackup(backup: string, given: Given, kms: () => DataKeyService): Promise<string> {
  const sealed = parseSealed(backup)
  if (!sealed)
    throw new PseudolakeError('keyring/invalid', `it is no backup of a keyring (${backup.length} characters)`)
  const shared = asSharedOut(sealed.wrapped)
  if (!shared) return unsealedText(backup, kms)
  const dataKey = await putTogether(shared, given)
  try {
    return openSealed(sealed, dataKey)
  } finally {
    dataKey.fill(0)
  }
}
