/** KMS in this process, over HTTP: one symmetric key, whose data keys open with the context that they were made with and with no other. */
import { randomBytes } from 'node:crypto'
import { awsError, type FakeAws, fakeAws } from './aws.ts'

export const KMS_ARN = 'arn:aws:kms:eu-central-1:123456789012:key/0123'
export const KMS_ALIAS = 'alias/quarantine'

export interface FakeKms {
  readonly aws: FakeAws
  /** Answers the operations that are left, with the errors that are named. */
  readonly refuse: Map<string, string>
  /** Contexts of the data keys that were made, in order. */
  readonly contexts: Readonly<Record<string, string>>[]
  /** Data keys that were given out, in clear. */
  readonly given: Buffer[]
}

export async function fakeKms(): Promise<FakeKms> {
  const refuse: FakeKms['refuse'] = new Map()
  const contexts: Record<string, string>[] = []
  const given: Buffer[] = []
  const wrapped = new Map<string, { readonly plain: Buffer; readonly context: string }>()
  const told = (context: unknown) => JSON.stringify(Object.entries((context ?? {}) as object).sort())
  const aws = await fakeAws(({ service, operation, json }) => {
    if (service !== 'kms') return undefined
    const error = refuse.get(operation)
    if (error !== undefined) return awsError(error, error.startsWith('Throttling') ? 429 : 400)
    if (operation === 'GenerateDataKey') {
      if (json.KeyId !== KMS_ARN && json.KeyId !== KMS_ALIAS) return awsError('NotFoundException')
      const plain = randomBytes(32)
      const blob = randomBytes(48).toString('base64')
      const context = (json.EncryptionContext ?? {}) as Record<string, string>
      wrapped.set(blob, { plain, context: told(context) })
      contexts.push(context)
      given.push(plain)
      return { body: { Plaintext: plain.toString('base64'), CiphertextBlob: blob, KeyId: KMS_ARN } }
    }
    const found = wrapped.get(String(json.CiphertextBlob))
    if (!found || found.context !== told(json.EncryptionContext)) return awsError('InvalidCiphertextException')
    if (json.KeyId !== KMS_ARN) return awsError('IncorrectKeyException')
    return { body: { Plaintext: found.plain.toString('base64'), KeyId: KMS_ARN } }
  })
  return { aws, refuse, contexts, given }
}
