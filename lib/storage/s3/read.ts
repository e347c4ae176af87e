/** Reads of objects, in whole or of a range. A connection that ends early is noticed and gone on with where it ended, in the same version. */
import type { Readable } from 'node:stream'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { PseudolakeError } from '../../core/errors.ts'
import { isReceivable, RECEIVE, type Receivable } from '../../core/receive.ts'
import type { ReadOptions, StoredObject, Version } from '../storage.ts'
import { answered, type Call, type Caller } from './caller.ts'
import { codeOf } from './failure.ts'
import { objectAt } from './location.ts'
import { payerOf } from './options.ts'
import { described, etagOf, versionOf } from './version.ts'

/** A line on which nothing comes for so long has ended. */
const IDLE_MS = 30_000

interface Head extends StoredObject {
  readonly metadata: Readonly<Record<string, string>>
}

/** What has come of a range; another attempt goes on behind it. */
interface Received {
  bytes?: Uint8Array
  filled: number
}

/** @throws PseudolakeError `storage/not-found`, `storage/changed` where it is another version, `storage/*` */
export async function head(caller: Caller, location: string, ifMatch?: Version): Promise<Head> {
  const { bucket, key } = objectAt(location)
  const input = { Bucket: bucket, Key: key, ...payerOf(caller.settings) }
  const call: Call = { action: 's3:GetObject', location }
  try {
    const found = await caller.call(call, ({ sdk, send }) => send(new sdk.HeadObjectCommand(input)))
    const object = described(location, { ...found, bytes: found.ContentLength ?? 0 })
    if (ifMatch !== undefined && object.version !== ifMatch) throw changed(location)
    return { ...object, metadata: found.Metadata ?? {} }
  } catch (error) {
    throw await explained(error)
  }

  /** An answer to HEAD has no body, so it cannot say what is wrong: a GET of a byte does. */
  async function explained(error: unknown): Promise<unknown> {
    const status = error instanceof PseudolakeError && Number(error.context.status)
    if (!status || status < 300 || status === 404 || status >= 500) return error
    try {
      const response = await caller.call(call, ({ sdk, send }) =>
        send(new sdk.GetObjectCommand({ ...input, Range: 'bytes=0-0' })),
      )
      discard(response)
      return error
    } catch (told) {
      return answered(told, 'InvalidRange') ? error : told
    }
  }
}

/** @throws PseudolakeError `storage/not-found`, `storage/changed`, `storage/failed` where the object does not come whole */
export async function read(
  caller: Caller,
  location: string,
  { start = 0, end, ifMatch, into }: ReadOptions = {},
): Promise<Uint8Array> {
  const { bucket, key } = objectAt(location)
  if (end !== undefined && end <= start) {
    await head(caller, location, ifMatch)
    return new Uint8Array(0)
  }
  const input = { Bucket: bucket, Key: key, ...payerOf(caller.settings) }
  const received: Received = { filled: 0 }
  let version = ifMatch
  try {
    await caller.call({ action: 's3:GetObject', location }, async ({ sdk, send }) => {
      const from = start + received.filled
      // Of a whole object too: only the answer to a range says how large the object is, beside how long the answer is.
      const range = { Range: `bytes=${from}-${end === undefined ? '' : end - 1}` }
      const condition = version === undefined ? {} : { IfMatch: etagOf(version) }
      const response = await send(new sdk.GetObjectCommand({ ...input, ...range, ...condition }))
      try {
        const found = versionOf(response.ETag)
        // Some stores pass over conditions.
        if (version !== undefined && found !== version) throw changed(location)
        version = found
        const length = lengthOf(response, from, end, location)
        received.bytes ??= roomFor(length, into)
        if (length !== received.bytes.length - received.filled) throw otherRange(location)
        await receive(response, received, location)
      } catch (error) {
        discard(response)
        throw error
      }
    })
    return received.bytes ?? new Uint8Array(0)
  } catch (error) {
    if (answered(error, 'InvalidRange') && received.bytes === undefined) return nothingBehind(error)
    throw answered(error, 'PreconditionFailed') || (error instanceof PseudolakeError && error.context.status === 412)
      ? changed(location, error)
      : error
  }

  /** A range that begins behind the end of the object. */
  async function nothingBehind(error: unknown): Promise<Uint8Array> {
    const object = await head(caller, location, version)
    if (start < object.bytes) throw error
    return new Uint8Array(0)
  }
}

/** The bytes that the answer must have, out of its own headers and what was asked for. */
function lengthOf(
  { ContentRange, ContentLength }: GetObjectCommandOutput,
  from: number,
  end: number | undefined,
  location: string,
): number {
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ContentRange ?? '')
  if (range) {
    const [first, last, size] = [Number(range[1]), Number(range[2]), Number(range[3])]
    const wanted = Math.min(end ?? size, size) - from
    const there = last + 1 - first
    if (first === from && there < wanted) throw tooShort()
    if (first !== from || there !== wanted) throw otherRange(location)
    return wanted
  }
  if (from !== 0 || ContentLength === undefined || (end !== undefined && ContentLength > end))
    throw otherRange(location)
  return ContentLength
}

function roomFor(length: number, into: Uint8Array | undefined): Uint8Array {
  if (into && into.length >= length) return into.subarray(0, length)
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
}

/** In place, where the connection can do that. */
async function receive({ Body }: GetObjectCommandOutput, received: Received, location: string): Promise<void> {
  if (!isReceivable(Body)) return drain(Body as Readable | undefined, received, location)
  const body = Body as unknown as Readable & Receivable
  const bytes = received.bytes as Uint8Array
  const idle = setTimeout(() => body.destroy(), IDLE_MS)
  try {
    await body[RECEIVE](bytes.subarray(received.filled), (count) => {
      idle.refresh()
      received.filled += count
    })
  } catch (error) {
    throw codeOf(error) === 'TooLong' ? otherRange(location) : error
  } finally {
    clearTimeout(idle)
  }
  if (received.filled < bytes.length) throw tooShort()
}

/** By events: an iterator costs a promise for each piece, and pieces are small. */
function drain(body: Readable | undefined, received: Received, location: string): Promise<void> {
  const bytes = received.bytes as Uint8Array
  return new Promise((resolve, reject) => {
    const idle = setTimeout(() => body?.destroy(Object.assign(new Error('nothing comes'), { code: 'Idle' })), IDLE_MS)
    const end = (error?: unknown) => {
      clearTimeout(idle)
      if (error === undefined && received.filled < bytes.length) reject(tooShort())
      else if (error === undefined) resolve()
      else reject(error)
    }
    if (!body) return end()
    body.on('data', (chunk: Uint8Array) => {
      idle.refresh()
      if (received.filled + chunk.length > bytes.length) return void body.destroy(otherRange(location))
      bytes.set(chunk, received.filled)
      received.filled += chunk.length
    })
    body.once('end', () => end())
    body.once('error', end)
    // A connection that is lost is an error in Node; of a body that is destroyed without one, nothing else is told.
    body.once('close', () => end(received.filled < bytes.length ? tooShort() : undefined))
  })
}

/** A body that nobody reads would keep its connection. */
function discard({ Body }: GetObjectCommandOutput): void {
  const body = Body as { destroy?(): void; on?(event: 'error', ignore: () => void): void } | undefined
  body?.on?.('error', () => {})
  body?.destroy?.()
}

/** Another attempt may bring the rest. */
function tooShort(): Error {
  return Object.assign(new Error('fewer bytes than were asked for'), { code: 'TooShort' })
}

function otherRange(location: string): PseudolakeError {
  return new PseudolakeError(
    'storage/unsupported',
    `the store answers with other bytes of ${location} than asked for`,
    {
      location,
    },
  )
}

function changed(location: string, cause?: unknown): PseudolakeError {
  return new PseudolakeError(
    'storage/changed',
    `${location} is no longer the version that was opened`,
    { location },
    { cause },
  )
}
