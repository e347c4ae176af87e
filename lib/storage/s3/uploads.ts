/** Uploads in parts that were begun and not ended: no reader sees them, and they cost what their parts take. */
import type { UnfinishedObject } from '../storage.ts'
import type { Caller } from './caller.ts'
import { decoded, notFurther } from './list.ts'
import { bucketAndKey } from './location.ts'
import { payerOf } from './options.ts'
import { abortUpload } from './writer.ts'

/** A page of at most 1,000 at a time. @throws PseudolakeError `storage/*` */
export async function* unfinished(caller: Caller, prefix: string): AsyncGenerator<UnfinishedObject> {
  const { bucket, key } = bucketAndKey(prefix)
  const root = prefix.slice(0, prefix.length - key.length)
  let marker: { readonly KeyMarker: string; readonly UploadIdMarker: string } | undefined
  for (;;) {
    const page = await caller.call({ action: 's3:ListBucketMultipartUploads', location: prefix }, ({ sdk, send }) =>
      send(
        new sdk.ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: key,
          EncodingType: 'url',
          ...marker,
          ...payerOf(caller.settings),
        }),
      ),
    )
    const keyOf = page.EncodingType === 'url' ? decoded : (found: string) => found
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined) continue
      const location = root + keyOf(Key)
      // Some stores pass over the prefix.
      if (!location.startsWith(prefix)) continue
      yield {
        location,
        begun: Initiated?.getTime() ?? 0,
        abort: () => abortUpload(caller, location, UploadId),
      }
    }
    const { IsTruncated, NextKeyMarker = '', NextUploadIdMarker = '' } = page
    if (!IsTruncated) return
    const next = { KeyMarker: keyOf(NextKeyMarker), UploadIdMarker: NextUploadIdMarker }
    if (
      next.KeyMarker === '' ||
      (next.KeyMarker === marker?.KeyMarker && next.UploadIdMarker === marker.UploadIdMarker)
    )
      throw notFurther(prefix)
    marker = next
  }
}
