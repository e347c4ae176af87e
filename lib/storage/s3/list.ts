import { PseudolakeError } from '../../core/errors.ts'
import type { StoredObject } from '../storage.ts'
import type { Caller } from './caller.ts'
import { bucketAndKey } from './location.ts'
import { payerOf } from './options.ts'
import { described } from './version.ts'

/** A page of at most 1,000 at a time. @throws PseudolakeError `storage/*` */
export async function* list(caller: Caller, prefix: string): AsyncGenerator<StoredObject> {
  const { bucket, key } = bucketAndKey(prefix)
  // Found as it was asked for: `s3a://` stays so.
  const root = key === '' ? `${prefix.replace(/\/$/, '')}/` : prefix.slice(0, prefix.length - key.length)
  let token: string | undefined
  do {
    const page = await caller.call({ action: 's3:ListBucket', location: prefix }, ({ sdk, send }) =>
      send(
        new sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: key,
          // XML has no place for all characters that a key may have.
          EncodingType: 'url',
          ...(token !== undefined && { ContinuationToken: token }),
          ...payerOf(caller.settings),
        }),
      ),
    )
    const keyOf = page.EncodingType === 'url' ? decoded : (found: string) => found
    for (const { Key, Size, ETag, LastModified } of page.Contents ?? [])
      if (Key !== undefined) yield described(root + keyOf(Key), { ETag, LastModified, bytes: Size ?? 0 })
    token = nextToken(page, token, prefix)
  } while (token !== undefined)
}

/** A page that says there are more and does not say where, or says the same again, would end a listing early, or never. */
function nextToken(
  {
    IsTruncated,
    NextContinuationToken: next,
  }: { IsTruncated?: boolean | undefined; NextContinuationToken?: string | undefined },
  last: string | undefined,
  location: string,
): string | undefined {
  if (!IsTruncated) return undefined
  if (next !== undefined && next !== '' && next !== last) return next
  throw notFurther(location)
}

export function notFurther(location: string): PseudolakeError {
  return new PseudolakeError('storage/failed', `the store does not say how the listing of ${location} goes on`, {
    location,
  })
}

/** As forms are encoded: a plus is a blank. */
export function decoded(key: string): string {
  return decodeURIComponent(key.replaceAll('+', ' '))
}
