/**
 * Objects written by one request.
 *
 * A write that must not replace anything carries the condition that there is nothing, and a mark of its own: where its answer is lost, the
 * object that is there tells by the mark whether it is ours. So a lost answer is no conflict, and "failed" means that nothing was written.
 */
import { randomUUID } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { StoredObject } from '../storage.ts'
import { answered, type Call, type Caller } from './caller.ts'
import { objectAt } from './location.ts'
import { encryptionOf, payerOf } from './options.ts'
import { head } from './read.ts'
import { described } from './version.ts'

/** Metadata of an object (`x-amz-meta-…`): a random UUID, of the write that made it. */
const MARK = 'pseudolake-write'

export function newMark(): Readonly<Record<typeof MARK, string>> {
  return { [MARK]: randomUUID() }
}

type Mark = ReturnType<typeof newMark>

/** @throws PseudolakeError `storage/conflict`, `storage/unknown`, `storage/*` */
export async function create(caller: Caller, location: string, bytes: Uint8Array): Promise<StoredObject> {
  const mark = newMark()
  const call: Call = { action: 's3:PutObject', location, bytes: bytes.length }
  try {
    const { ETag } = await put(caller, call, bytes, { IfNoneMatch: '*', Metadata: mark })
    return described(location, { ETag, bytes: bytes.length, LastModified: now(caller) })
  } catch (error) {
    return ownOrThrow(caller, call, mark, error)
  }
}

/** @throws PseudolakeError `storage/*` */
export async function replace(caller: Caller, location: string, bytes: Uint8Array): Promise<StoredObject> {
  const call: Call = { action: 's3:PutObject', location, bytes: bytes.length }
  const { ETag } = await put(caller, call, bytes, {})
  return described(location, { ETag, bytes: bytes.length, LastModified: now(caller) })
}

/**
 * Whether the store keeps a condition: the object that was made is made again. One that is refused as it must be costs a request; one that
 * is not has the same bytes.
 * @throws PseudolakeError `storage/unsupported`
 */
export async function requireConditions(caller: Caller, location: string, bytes: Uint8Array): Promise<void> {
  const call: Call = { action: 's3:PutObject', location, bytes: bytes.length }
  try {
    await put(caller, call, bytes, { IfNoneMatch: '*' })
  } catch (error) {
    if (isPseudolakeError(error, 'storage/conflict')) return
    throw error
  }
  throw new PseudolakeError(
    'storage/unsupported',
    `the store passes over conditions: it wrote ${location} twice, though it was asked not to`,
    { location },
  )
}

function put(
  caller: Caller,
  call: Call,
  bytes: Uint8Array,
  more: { readonly IfNoneMatch?: '*'; readonly Metadata?: Mark },
) {
  const { bucket, key } = objectAt(call.location)
  const { settings } = caller
  const input = { Bucket: bucket, Key: key, ...encryptionOf(settings), ...payerOf(settings), ...more }
  return caller.call(call, ({ sdk, send }) => send(new sdk.PutObjectCommand({ ...input, Body: bytes })))
}

/**
 * After a write that failed: the object, where it is there and ours.
 * @throws PseudolakeError `storage/unknown` where that cannot be found out, or there is nothing and the request may still be under way;
 * else `error`
 */
export async function ownOrThrow(caller: Caller, call: Call, mark: Mark, error: unknown): Promise<StoredObject> {
  if (!call.doubtful) throw error
  const { location } = call
  try {
    const { metadata, ...object } = await head(caller, location)
    if (metadata[MARK] === mark[MARK]) return object
    // What is there is somebody else's, and stays: our condition will not be met any more.
    throw isPseudolakeError(error, 'storage/conflict') ? error : conflict(location, error)
  } catch (looked) {
    if (isPseudolakeError(looked, 'storage/conflict')) throw looked
    if (answered(error, 'PreconditionFailed') && !isPseudolakeError(looked, 'storage/not-found')) throw error
    throw new PseudolakeError(
      'storage/unknown',
      `whether ${location} was written is not known: the answer was lost`,
      { location },
      { cause: error },
    )
  }
}

function conflict(location: string, cause: unknown): PseudolakeError {
  return new PseudolakeError('storage/conflict', `${location} exists already`, { location }, { cause })
}

export function now({ settings }: Caller): Date {
  return new Date(settings.clock.wall())
}
