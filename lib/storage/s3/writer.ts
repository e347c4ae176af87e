/**
 * An object whose size is not known when it begins: what fits in one part is put by one request, what does not goes up in parts while the
 * next is filled. It appears by one request at the end, under the condition that there is nothing.
 *
 * S3 takes 10,000 parts of 5 MiB at least, but for the last. So parts grow with the object: twice as large after each thousand, up to
 * half of the memory that there is. With the default of 40 MiB that makes room for 180 GB.
 */
import type { CompletedPart } from '@aws-sdk/client-s3'
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { ObjectCopying, ObjectWriter, StoredObject } from '../storage.ts'
import { answered, type Call, type Caller } from './caller.ts'
import type { Copier } from './copy.ts'
import { objectAt } from './location.ts'
import { encryptionOf, MAX_PART_BYTES, MIN_PART_BYTES, payerOf } from './options.ts'
import { create, newMark, now, ownOrThrow } from './put.ts'
import { described } from './version.ts'

export const MAX_PARTS = 10_000
const PARTS_OF_A_SIZE = 1000
/** Below, the bytes that must lead a copy, and its two requests, are no less than the way through here. */
const LEAST_COPY_BYTES = 16 << 20
/** Parts that are copied take their time beside each other; S3 takes up to 5 GB. */
const COPY_PART_BYTES = 256 << 20
const COPIES_UNDER_WAY = 8
/** AWS puts the parts of a large object together for minutes. */
const COMPLETION_MS = 10 * 60_000

/** Bytes of the part with a number, from 1. Pure. */
export function partBytesAt(number: number, first: number, memory: number): number {
  const most = Math.max(first, Math.min(MAX_PART_BYTES, Math.floor(memory / 2)))
  return Math.min(most, first * 2 ** Math.floor((number - 1) / PARTS_OF_A_SIZE))
}

type State = 'open' | 'closing' | 'done' | 'unknown' | 'aborted'

export class S3Writer implements ObjectWriter {
  readonly #caller: Caller
  readonly #location: string
  readonly #mark = newMark()
  #state: State = 'open'
  #bytes = 0
  #buffer: Uint8Array | undefined
  #used = 0
  /** Of parts that were sent without a failure; they may be filled again. */
  #spare: Uint8Array[] = []
  #upload: Promise<string> | undefined
  #sent = 0
  readonly #parts: CompletedPart[] = []
  /** Parts under way, with their bytes. */
  readonly #underWay = new Map<Promise<void>, number>()
  #failure: { readonly error: unknown } | undefined
  readonly #copier: Copier

  constructor(caller: Caller, location: string, copier: Copier) {
    objectAt(location)
    this.#caller = caller
    this.#location = location
    this.#copier = copier
  }

  get bytes(): number {
    return this.#bytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#requireOpen()
    for (let done = 0; done < bytes.length; ) {
      if (this.#buffer && this.#used === this.#buffer.length) await this.#send()
      this.#buffer ??= this.#room()
      const taken = bytes.subarray(done, done + this.#buffer.length - this.#used)
      this.#buffer.set(taken, this.#used)
      this.#used += taken.length
      done += taken.length
    }
    this.#bytes += bytes.length
  }

  get copying(): ObjectCopying | undefined {
    if (!this.#copier.serves(this.#location)) return undefined
    // Each part but the last has a least size, and what is filled becomes one.
    const leadBytes = this.#used === 0 ? 0 : Math.max(0, MIN_PART_BYTES - this.#used)
    return { leastBytes: LEAST_COPY_BYTES, leadBytes, copy: (source, start, end) => this.#copy(source, start, end) }
  }

  async close(): Promise<StoredObject> {
    this.#requireOpen()
    this.#state = 'closing'
    try {
      const stored = this.#upload ? await this.#complete(this.#upload) : await this.#putWhole()
      this.#state = 'done'
      return stored
    } catch (error) {
      // What may still appear is not touched any more.
      if (isPseudolakeError(error, 'storage/unknown')) this.#state = 'unknown'
      throw error
    } finally {
      this.#buffer = undefined
      this.#spare = []
    }
  }

  /** A failure to clean up is no failure of the run: what is left is invisible, and a later run takes it away (`unfinished`). */
  async abort(): Promise<void> {
    if (this.#state === 'done' || this.#state === 'unknown' || this.#state === 'aborted') return
    this.#state = 'aborted'
    // A part that lands behind the abort would stay.
    await this.#settled()
    this.#buffer = undefined
    this.#spare = []
    const uploadId = await this.#upload?.catch(() => undefined)
    if (uploadId !== undefined) await abortUpload(this.#caller, this.#location, uploadId).catch(() => {})
  }

  async #copy(source: StoredObject, start: number, end: number): Promise<boolean> {
    this.#requireOpen()
    if (end - start < MIN_PART_BYTES || (this.#used > 0 && this.#used < MIN_PART_BYTES))
      throw new PseudolakeError('internal/bug', 'a copy of bytes that make no part')
    if (!this.#copier.takes(source.location)) return false
    if (this.#used > 0) await this.#send()
    this.#upload ??= this.#begin()
    const uploadId = await this.#upload
    const count = Math.ceil((end - start) / COPY_PART_BYTES)
    const size = Math.ceil((end - start) / count)
    for (let at = start; at < end; at += size) {
      const to = Math.min(end, at + size)
      while (this.#underWay.size >= COPIES_UNDER_WAY) await Promise.race(this.#underWay.keys())
      this.#requireOpen()
      const part = { to: this.#location, uploadId, number: this.#next(), source, start: at, end: to }
      const copy = () =>
        this.#copier.copy(part).then((made) => void this.#parts.push({ PartNumber: part.number, ...checked(made) }))
      // Of the first it must be known whether the store does it at all.
      if (!this.#copier.known(source.location, this.#location)) {
        const done = await this.#copier
          .keepsConditions(part)
          .then(async (kept) => {
            if (kept) await copy()
            return kept
          })
          .catch((error: unknown) => {
            if (this.#copier.refused(error, this.#location)) return false
            throw error
          })
        if (!done) {
          this.#sent--
          return false
        }
      } else this.#follow(copy(), 0)
    }
    this.#bytes += end - start
    return true
  }

  async #putWhole(): Promise<StoredObject> {
    return create(this.#caller, this.#location, this.#buffer?.subarray(0, this.#used) ?? new Uint8Array(0))
  }

  #requireOpen(): void {
    if (this.#failure) throw this.#failure.error
    if (this.#state !== 'open') throw new PseudolakeError('internal/bug', 'a writer was used behind its end')
  }

  #room(): Uint8Array {
    const { partBytes, uploadBytes } = this.#caller.settings
    const wanted = partBytesAt(this.#sent + 1, partBytes, uploadBytes)
    const spare = this.#spare.pop()
    if (spare?.length === wanted) return spare
    this.#spare = []
    return Buffer.allocUnsafeSlow(wanted)
  }

  /** Hands what is filled to an upload of its own, as soon as memory allows for it. */
  async #send(): Promise<void> {
    const { settings } = this.#caller
    const body = (this.#buffer as Uint8Array).subarray(0, this.#used)
    const room = this.#buffer as Uint8Array
    const number = this.#next()
    this.#buffer = undefined
    this.#used = 0
    const next = partBytesAt(number + 1, settings.partBytes, settings.uploadBytes)
    while (this.#memory() > 0 && this.#memory() + body.length + next > settings.uploadBytes)
      await Promise.race(this.#underWay.keys())
    if (this.#failure) throw this.#failure.error
    this.#upload ??= this.#begin()
    const sending = this.#part(number, body, await this.#upload).then((clean) => {
      // An attempt that was given up may still be reading it.
      if (clean) this.#spare.push(room)
    })
    this.#follow(sending, body.length)
  }

  #next(): number {
    if (this.#sent < MAX_PARTS) return ++this.#sent
    throw new PseudolakeError('storage/full', `${this.#location} has more than ${MAX_PARTS} parts`, {
      location: this.#location,
    })
  }

  /** Whoever calls next is told of a failure. */
  #follow(work: Promise<void>, bytes: number): void {
    const ended = work
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .then(() => {
        this.#underWay.delete(ended)
      })
    this.#underWay.set(ended, bytes)
  }

  #memory(): number {
    let bytes = 0
    for (const one of this.#underWay.values()) bytes += one
    return bytes
  }

  async #settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.keys())
  }

  async #begin(): Promise<string> {
    const { bucket, key } = objectAt(this.#location)
    const { settings } = this.#caller
    const input = { Bucket: bucket, Key: key, Metadata: this.#mark, ...encryptionOf(settings), ...payerOf(settings) }
    const call: Call = { action: 's3:PutObject', location: this.#location }
    const { UploadId } = await this.#caller.call(call, ({ sdk, send }) =>
      send(new sdk.CreateMultipartUploadCommand(input)),
    )
    if (UploadId === undefined)
      throw new PseudolakeError('storage/failed', `the store gave an upload of ${this.#location} no name`)
    return UploadId
  }

  /** @returns whether the first attempt was the last */
  async #part(number: number, body: Uint8Array, uploadId: string): Promise<boolean> {
    const { bucket, key } = objectAt(this.#location)
    const input = {
      Bucket: bucket,
      Key: key,
      UploadId: uploadId,
      PartNumber: number,
      ...payerOf(this.#caller.settings),
    }
    const call: Call = { action: 's3:PutObject', location: this.#location, bytes: body.length }
    let attempts = 0
    const part = await this.#caller
      .call(call, ({ sdk, send }) => {
        attempts++
        return send(new sdk.UploadPartCommand({ ...input, Body: body }))
      })
      .catch((error: unknown) => {
        throw answered(error, 'NoSuchUpload') ? gone(this.#location, error) : error
      })
    this.#parts.push({ PartNumber: number, ...checked(part) })
    return attempts === 1
  }

  async #complete(upload: Promise<string>): Promise<StoredObject> {
    if (this.#used > 0) await this.#send()
    await this.#settled()
    if (this.#failure) throw this.#failure.error
    const uploadId = await upload
    const { bucket, key } = objectAt(this.#location)
    const Parts = this.#parts.toSorted((a, b) => (a.PartNumber as number) - (b.PartNumber as number))
    const input = { Bucket: bucket, Key: key, UploadId: uploadId, IfNoneMatch: '*', ...payerOf(this.#caller.settings) }
    const call: Call = { action: 's3:PutObject', location: this.#location, patienceMs: COMPLETION_MS }
    try {
      const { ETag } = await this.#caller.call(call, ({ sdk, send }) =>
        send(new sdk.CompleteMultipartUploadCommand({ ...input, MultipartUpload: { Parts } })),
      )
      return described(this.#location, { ETag, bytes: this.#bytes, LastModified: now(this.#caller) })
    } catch (error) {
      // An upload that is not there any more was completed by an attempt whose answer was lost, if the object is ours.
      if (answered(error, 'NoSuchUpload') && !call.doubtful) throw gone(this.#location, error)
      return await ownOrThrow(this.#caller, call, this.#mark, error)
    }
  }
}

/** What the completion must repeat of a part. */
export function checked({ ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME }: Omit<CompletedPart, 'PartNumber'>) {
  return {
    ETag,
    ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }),
    ...(ChecksumCRC32C !== undefined && { ChecksumCRC32C }),
    ...(ChecksumCRC64NVME !== undefined && { ChecksumCRC64NVME }),
  }
}

/** @throws PseudolakeError `storage/*` */
export async function abortUpload(caller: Caller, location: string, uploadId: string): Promise<void> {
  const { bucket, key } = objectAt(location)
  const input = { Bucket: bucket, Key: key, UploadId: uploadId, ...payerOf(caller.settings) }
  try {
    await caller.call({ action: 's3:AbortMultipartUpload', location }, ({ sdk, send }) =>
      send(new sdk.AbortMultipartUploadCommand(input)),
    )
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/not-found')) throw error
  }
}

function gone(location: string, cause: unknown): PseudolakeError {
  return new PseudolakeError(
    'storage/failed',
    `the upload of ${location} was ended by somebody else`,
    { location },
    { cause },
  )
}
