/**
 * Storage on S3, or a store that speaks its protocol: a version is an ETag.
 *
 * An object appears by a PUT, or the completion of an upload in parts, under `If-None-Match: *`: the exclusive create that commits rest on.
 * What it costs and which permissions it takes: docs/s3.md.
 */
import { isPseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../storage.ts'
import { Caller } from './caller.ts'
import { Copier } from './copy.ts'
import { list } from './list.ts'
import { bucketAndKey, objectAt } from './location.ts'
import { checkedSettings, payerOf, type S3StorageOptions } from './options.ts'
import { create, replace, requireConditions } from './put.ts'
import { head, read } from './read.ts'
import { unfinished } from './uploads.ts'
import { S3Writer } from './writer.ts'

/** @throws PseudolakeError `options/invalid` */
export function s3Storage(options: S3StorageOptions): Storage {
  const settings = checkedSettings(options)
  const caller = new Caller(settings)
  const copier = new Copier(caller)
  /** Buckets whose store was seen to keep conditions. */
  const proven = new Set<string>()

  return {
    async stat(location) {
      const { metadata: _, ...object } = await head(caller, location)
      return object
    },

    read: (location, range) => read(caller, location, range),

    async create(location, bytes) {
      // The caller's buffer is its own again when this returns, and not before.
      const stored = await create(caller, location, bytes)
      const { bucket } = bucketAndKey(location)
      if (settings.proveConditions && !proven.has(bucket)) {
        await requireConditions(caller, location, bytes)
        proven.add(bucket)
      }
      return stored
    },

    replace: (location, bytes) => replace(caller, location, bytes),

    write: async (location) => new S3Writer(caller, location, copier),

    list: (prefix) => list(caller, prefix),

    unfinished: (prefix) => unfinished(caller, prefix),

    reads: () => settings.reads,

    async delete(location) {
      const { bucket, key } = objectAt(location)
      const input = { Bucket: bucket, Key: key, ...payerOf(settings) }
      try {
        await caller.call({ action: 's3:DeleteObject', location }, ({ sdk, send }) =>
          send(new sdk.DeleteObjectCommand(input)),
        )
      } catch (error) {
        if (!isPseudolakeError(error, 'storage/not-found') || error.context.code === 'NoSuchBucket') throw error
      }
    },
  }
}
