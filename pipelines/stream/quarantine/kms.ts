/**
 * Sealed for a key of KMS. Each object has a data key of its own, which is wiped when the object is sealed or opened; beside the object lies what
 * KMS made of it. The consumer needs `kms:GenerateDataKey` and no more: what it has sealed it can't open again. What an object is of (table,
 * stream, shard, range) is the encryption context: KMS authenticates it, key policies can ask for it, and CloudTrail shows who opened what.
 */
import type { DataKeys } from '../../../lib/aws/kms.ts'
import { isPseudolakeError } from '../../../lib/core/errors.ts'
import { type Opener, openWith, type SealedAbout, type Sealer, sealWith, splitSealed, unreadable } from './sealed.ts'

export const KMS_ALGORITHM = 'KMS-AES256GCM'
const PURPOSE = 'pseudolake quarantine'

/** Where records were on their way from, and where to. */
export interface KmsPlace {
  readonly table: string
  readonly stream: string
}

function contextOf({ table, stream }: KmsPlace, { job, shard, first, last }: SealedAbout): Record<string, string> {
  return { purpose: PURPOSE, table, stream, job, shard, first, last }
}

/** @param keyId id, ARN or alias of a symmetric key @param keys those of KMS */
export function kmsSealer(keyId: string, place: KmsPlace, keys: Pick<DataKeys, 'generate'>): Sealer {
  const withKey = async <T>(
    context: Record<string, string>,
    work: (made: Awaited<ReturnType<DataKeys['generate']>>) => T,
  ) => {
    const made = await keys.generate(keyId, context)
    try {
      return work(made)
    } finally {
      made.plain.fill(0)
    }
  }
  return {
    ready: () => withKey({ purpose: PURPOSE, table: place.table, stream: place.stream }, () => undefined),
    seal: (about, plain) =>
      withKey(contextOf(place, about), (made) =>
        sealWith(
          made.plain,
          {
            ...{ algorithm: KMS_ALGORITHM, recipient: `kms:${made.keyArn}`, ...place },
            data_key: Buffer.from(made.wrapped).toString('base64'),
          },
          about,
          plain,
        ),
      ),
  }
}

/** @param keysIn those of KMS, where the key of an ARN is: called when an object is opened */
export function kmsOpener(keysIn: (arn: string) => Pick<DataKeys, 'unwrap'>): Opener {
  return {
    async open(sealed, location) {
      const split = splitSealed(sealed, location)
      const { algorithm, recipient, table, stream, data_key: wrapped, ...about } = split.header
      if (algorithm !== KMS_ALGORITHM || typeof wrapped !== 'string' || !recipient.startsWith('kms:'))
        throw unreadable(location, 'it was sealed in another way than KMS opens')
      const arn = recipient.slice('kms:'.length)
      const context = contextOf({ table: String(table), stream: String(stream) }, about)
      let plain: Uint8Array
      try {
        plain = await keysIn(arn).unwrap(Buffer.from(wrapped, 'base64'), arn, context)
      } catch (error) {
        if (!isPseudolakeError(error, 'secret/invalid')) throw error
        throw unreadable(location, 'its data key is not one that KMS made for it', error)
      }
      try {
        return openWith(plain, split, location)
      } finally {
        plain.fill(0)
      }
    },
  }
}
