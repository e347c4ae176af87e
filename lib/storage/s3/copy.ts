/** Parts of an upload that S3 copies out of another object by itself (UploadPartCopy). */
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { StoredObject, Version } from '../storage.ts'
import type { Call, Caller } from './caller.ts'
import { bucketAndKey, objectAt } from './location.ts'
import { MIN_PART_BYTES, payerOf } from './options.ts'
import { etagOf } from './version.ts'

/** A part takes seconds. */
const COPY_MS = 10 * 60_000
/** An ETag that nothing has. */
const NO_VERSION = 'ffffffffffffffffffffffffffffffff-0' as Version

export interface PartCopy {
  /** Location of the object in the making. */
  readonly to: string
  readonly uploadId: string
  readonly number: number
  readonly source: StoredObject
  readonly start: number
  readonly end: number
}

/** Remembers between which buckets the store copies, and where it was seen to refuse: another account, another region, another store. */
export class Copier {
  readonly #caller: Caller
  readonly #does = new Set<string>()
  /** Buckets into which something could not be copied. */
  readonly #closed = new Set<string>()

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /** Whether it is worth asking for copies into an object. */
  serves(to: string): boolean {
    return !this.#closed.has(bucketAndKey(to).bucket)
  }

  takes(source: string): boolean {
    return /^s3[an]?:/i.test(source)
  }

  known(source: string, to: string): boolean {
    return this.#does.has(pair(source, to))
  }

  /**
   * Whether the store keeps the condition of a copy, where that is not known: a copy of a version that never was must be refused. One that passes
   * over it could put bytes of an input that changed, of whatever column, into the output.
   */
  async keepsConditions(copy: PartCopy): Promise<boolean> {
    if (!this.#caller.settings.proveConditions) return true
    const end = Math.min(copy.end, copy.start + MIN_PART_BYTES)
    try {
      await this.#ask({ ...copy, end, source: { ...copy.source, version: NO_VERSION } })
    } catch (error) {
      if (isPseudolakeError(error, 'storage/changed')) return true
      throw error
    }
    this.#closed.add(bucketAndKey(copy.to).bucket)
    return false
  }

  /** Notes that the store answered a first copy with a refusal. Whatever it is, the bytes may still come through here. */
  refused(error: unknown, to: string): boolean {
    if (!(error instanceof PseudolakeError) || error.code === 'storage/changed') return false
    const { status } = error.context
    if (typeof status !== 'number' || !(status < 500 || status === 501)) return false
    this.#closed.add(bucketAndKey(to).bucket)
    return true
  }

  /** @throws PseudolakeError `storage/changed`, `storage/*` */
  async copy(copy: PartCopy) {
    const made = await this.#ask(copy)
    this.#does.add(pair(copy.source.location, copy.to))
    return made
  }

  async #ask({ to, uploadId, number, source, start, end }: PartCopy) {
    const from = objectAt(source.location)
    const { bucket, key } = objectAt(to)
    const call: Call = { action: 's3:PutObject', location: to, patienceMs: COPY_MS }
    const input = {
      Bucket: bucket,
      Key: key,
      UploadId: uploadId,
      PartNumber: number,
      CopySource: `${from.bucket}/${from.key.split('/').map(encodeURIComponent).join('/')}`,
      CopySourceRange: `bytes=${start}-${end - 1}`,
      CopySourceIfMatch: etagOf(source.version),
      ...payerOf(this.#caller.settings),
    }
    try {
      const { CopyPartResult } = await this.#caller.call(call, ({ sdk, send }) =>
        send(new sdk.UploadPartCopyCommand(input)),
      )
      if (CopyPartResult?.ETag === undefined)
        throw new PseudolakeError(
          'storage/unsupported',
          `the store says nothing of the part that it copied into ${to}`,
          { location: to, status: 200 },
        )
      return CopyPartResult
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/conflict')) throw error
      throw new PseudolakeError(
        'storage/changed',
        `${source.location} is no longer the version that was opened`,
        { location: source.location },
        { cause: error },
      )
    }
  }
}

function pair(source: string, to: string): string {
  return `${bucketAndKey(source).bucket} ${bucketAndKey(to).bucket}`
}
