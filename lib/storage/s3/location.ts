/** Locations of objects on S3: `s3://bucket/key`. The key is what stands there, byte for byte: nothing in it is an escape. Pure. */
import { PseudolakeError } from '../../core/errors.ts'

export interface S3Location {
  readonly bucket: string
  /** May be empty, for the prefix of a whole bucket. */
  readonly key: string
}

/** AWS's limit, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024
/** `s3a` and `s3n` are what Hadoop calls it. */
const LOCATION = /^s3[an]?:\/\/([^/]*)(?:\/(.*))?$/is
/** Underscores and capitals are in buckets of before 2018. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/

/** @throws PseudolakeError `options/invalid` */
export function bucketAndKey(location: string): S3Location {
  const [, bucket = '', key = ''] = LOCATION.exec(location) ?? []
  if (!BUCKET.test(bucket))
    throw new PseudolakeError(
      'options/invalid',
      bucket.startsWith('arn:')
        ? `${location}: expected the name of a bucket, or the alias of an access point in the place of its ARN`
        : `${location}: expected s3://bucket/key`,
      { location },
    )
  const bytes = Buffer.byteLength(key)
  if (bytes > MAX_KEY_BYTES)
    throw new PseudolakeError('options/invalid', `${location}: a key of ${bytes} bytes; S3 takes ${MAX_KEY_BYTES}`, {
      location,
      bytes,
    })
  return { bucket, key }
}

/** As `bucketAndKey`, of one object. @throws PseudolakeError `options/invalid` */
export function objectAt(location: string): S3Location {
  const place = bucketAndKey(location)
  if (place.key === '')
    throw new PseudolakeError('options/invalid', `${location}: expected s3://bucket/key, got a bucket alone`, {
      location,
    })
  return place
}
