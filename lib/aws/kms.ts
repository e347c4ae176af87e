/** Data keys that KMS wraps. The plain ones are in memory only; who gets one wipes it. */
import type { KMSClient } from '@aws-sdk/client-kms'
import { type ErrorCode, PseudolakeError } from '../core/errors.ts'

export interface DataKeys {
  /**
   * A new data key of 32 bytes, and what only KMS makes it out of again.
   * @param keyId id, ARN or alias of a symmetric key
   * @param context what it is for: authenticated and logged by KMS, in clear. @default a keyring
   * @throws PseudolakeError `secret/denied` naming the action, `secret/not-found`, `secret/invalid`, `secret/unavailable`; `aws/*`
   */
  generate(
    keyId: string,
    context?: Readonly<Record<string, string>>,
  ): Promise<{ readonly plain: Uint8Array; readonly wrapped: Uint8Array; readonly keyArn: string }>
  /** @param keyId the one that wrapped it, and `context` what for: another one is refused @throws as {@link generate} */
  unwrap(wrapped: Uint8Array, keyId: string, context?: Readonly<Record<string, string>>): Promise<Uint8Array>
}

/** Is part of what KMS authenticates and logs: a data key for something else can't pass for one of a keyring. */
const CONTEXT = { purpose: 'pseudolake keyring' }

export function kmsDataKeys(client: () => Promise<Pick<KMSClient, 'send'>>): DataKeys {
  return {
    async generate(keyId, context = CONTEXT) {
      const { GenerateDataKeyCommand } = await import('@aws-sdk/client-kms')
      const command = new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: context })
      const answer = await asked('kms:GenerateDataKey', keyId, async () => (await client()).send(command))
      const { Plaintext: plain, CiphertextBlob: wrapped, KeyId: keyArn } = answer
      if (!plain || !wrapped || !keyArn) throw failure('secret/invalid', keyId, 'KMS answered without a data key')
      return { plain, wrapped, keyArn }
    },

    async unwrap(wrapped, keyId, context = CONTEXT) {
      const { DecryptCommand } = await import('@aws-sdk/client-kms')
      const command = new DecryptCommand({ KeyId: keyId, CiphertextBlob: wrapped, EncryptionContext: context })
      const { Plaintext: plain } = await asked('kms:Decrypt', keyId, async () => (await client()).send(command))
      if (!plain) throw failure('secret/invalid', keyId, 'KMS answered without a data key')
      return plain
    },
  }
}

async function asked<T>(action: string, keyId: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof PseudolakeError) throw error
    const { name: kind, code } = (error ?? {}) as { name?: unknown; code?: unknown }
    const reason = [code, kind].find(
      (each) => typeof each === 'string' && each !== 'Error' && /^[A-Za-z0-9_.]{1,80}$/.test(each),
    )
    const told = String(reason ?? 'unknown')
    switch (kind) {
      case 'AccessDeniedException':
        throw failure('secret/denied', keyId, `${action} is not allowed`, told)
      case 'NotFoundException':
        throw failure('secret/not-found', keyId, 'there is none of that name in this account and region', told)
      case 'InvalidCiphertextException':
      case 'IncorrectKeyException':
      case 'InvalidKeyUsageException':
      case 'InvalidArnException':
      case 'ValidationException':
        throw failure(
          'secret/invalid',
          keyId,
          action === 'kms:Decrypt'
            ? `the data key is not one that it wrapped (${told})`
            : `it is no symmetric key that makes data keys (${told})`,
          told,
        )
      case 'DisabledException':
      case 'KMSInvalidStateException':
        throw failure('secret/denied', keyId, `it is disabled, or on its way to be deleted (${told})`, told)
      case 'UnrecognizedClientException':
      case 'InvalidSignatureException':
      case 'ExpiredTokenException':
        throw failure('aws/no-credentials', keyId, `the AWS credentials are not valid (${told})`, told)
    }
    throw failure('secret/unavailable', keyId, `KMS could not be asked (${told})`, told)
  }
}

function failure(code: ErrorCode, keyId: string, what: string, reason = 'unknown'): PseudolakeError {
  return new PseudolakeError(code, `KMS key ${keyId}: ${what}`, { key: keyId, reason })
}
