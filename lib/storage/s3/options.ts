import type { S3Client } from '@aws-sdk/client-s3'
import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import type { ReadShape } from '../storage.ts'

/** The part of the SDK's client that is used. */
export type S3Sender = Pick<S3Client, 'send'>

/**
 * What a client for this adapter must be made with.
 *
 * One attempt, because the adapter tries again by itself: where the SDK does so in silence, the second of two conditional writes is
 * refused for the first one's object, and nobody can tell that the answer of the first was lost. Redirects to another region are not
 * followed: each request would go twice over the border, unseen.
 */
export const S3_CLIENT_SETTINGS = {
  maxAttempts: 1,
  followRegionRedirects: false,
  // Its wait for a 100 costs a round trip a part, on a connection of its own.
  expectContinueHeader: false,
} as const

/**
 * For a store at an endpoint of its own. By default the SDK puts a CRC32 on every upload and asks for one with every download; stores that
 * speak S3 know it since 2025 at best and refuse the request, or answer without. On AWS both stay on.
 */
export const S3_COMPATIBLE_CLIENT_SETTINGS = {
  ...S3_CLIENT_SETTINGS,
  forcePathStyle: true,
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
} as const

/** How objects that are written are encrypted. Missing: as the bucket says. */
export type S3Encryption =
  | { readonly type: 'AES256' }
  | {
      readonly type: 'aws:kms' | 'aws:kms:dsse'
      /** ID, ARN or alias. @default AWS's own key for S3 */
      readonly keyId?: string
      /** One data key for many objects: fewer requests to KMS. @default as the bucket says */
      readonly bucketKey?: boolean
    }

export interface S3StorageOptions {
  /** Made with `S3_CLIENT_SETTINGS`, or what makes it when it is first needed: a run that stays on the disk never loads the SDK. */
  readonly client: S3Sender | (() => Promise<S3Sender>)
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** The caller pays for requests to buckets of others. @default false */
  readonly requestPayer?: boolean
  readonly encryption?: S3Encryption
  /**
   * Whether the first write to each bucket asks the store to write the same again under the condition that it is not there, and goes on
   * only when it refuses. For stores other than AWS: one that passes over conditions loses commits. @default false
   */
  readonly proveConditions?: boolean
  /** Bytes of a part of an upload, from 5 MiB to 64 MiB; grows with the object. @default 8 MiB */
  readonly partBytes?: number
  /** Memory of one object that is written: of the part that is filled and those under way; two parts at least. @default 40 MiB */
  readonly uploadBytes?: number
  /** How reads are shaped. @default DEFAULT_READS */
  readonly reads?: Partial<ReadShape>
  readonly retry?: S3RetryOptions
  /** Aborted when the run is told to stop: what is under way is tried for some seconds more, and what comes then once. @default never */
  readonly signal?: AbortSignal | undefined
}

export interface S3RetryOptions {
  /** Of one request, the first included. @default 10 */
  readonly attempts?: number
  /** No attempt begins later than this after the first failure. @default 120_000 */
  readonly budgetMs?: number
}

/**
 * S3 answers after some 20 ms and sends some 80 MB a second on one connection: 1 MB takes as long as a request. Half of that, because requests
 * wait beside each other and bytes do not.
 */
export const DEFAULT_READS: ReadShape = {
  gapBytes: 512 << 10,
  requestBytes: 8 << 20,
  underWay: 8,
  aheadBytes: 32 << 20,
}

export const MIN_PART_BYTES = 5 << 20
export const MAX_PART_BYTES = 64 << 20
const DEFAULT_PART_BYTES = 8 << 20
const DEFAULT_UPLOAD_BYTES = 40 << 20
const DEFAULT_ATTEMPTS = 10
const DEFAULT_BUDGET_MS = 120_000

/** Options with their defaults. */
export interface S3Settings
  extends Required<Omit<S3StorageOptions, 'encryption' | 'retry' | 'client' | 'reads' | 'signal'>> {
  readonly signal: AbortSignal | undefined
  readonly client: () => Promise<S3Sender>
  readonly encryption: S3Encryption | undefined
  readonly reads: ReadShape
  readonly attempts: number
  readonly budgetMs: number
}

/** @throws PseudolakeError `options/invalid` */
export function checkedSettings(options: S3StorageOptions): S3Settings {
  const { client, clock, random, encryption, retry = {} } = options
  const partBytes = checked('partBytes', options.partBytes ?? DEFAULT_PART_BYTES, MIN_PART_BYTES, MAX_PART_BYTES)
  const least = 2 * partBytes
  return {
    client: typeof client === 'function' ? client : async () => client,
    clock,
    random,
    signal: options.signal,
    requestPayer: options.requestPayer ?? false,
    encryption: encryption && checkedEncryption(encryption),
    proveConditions: options.proveConditions ?? false,
    partBytes,
    uploadBytes: checked('uploadBytes', options.uploadBytes ?? Math.max(DEFAULT_UPLOAD_BYTES, least), least),
    reads: checkedReads({ ...DEFAULT_READS, ...options.reads }),
    attempts: checked('retry.attempts', retry.attempts ?? DEFAULT_ATTEMPTS, 1),
    budgetMs: checked('retry.budgetMs', retry.budgetMs ?? DEFAULT_BUDGET_MS, 0),
  }
}

function checkedReads(reads: ReadShape): ReadShape {
  checked('reads.gapBytes', reads.gapBytes, 0)
  checked('reads.requestBytes', reads.requestBytes, 1)
  checked('reads.underWay', reads.underWay, 1)
  checked('reads.aheadBytes', reads.aheadBytes, 0)
  return reads
}

function checkedEncryption(encryption: S3Encryption): S3Encryption {
  const { type, keyId, bucketKey } = encryption as { type: string; keyId?: string; bucketKey?: boolean }
  if (!['AES256', 'aws:kms', 'aws:kms:dsse'].includes(type))
    throw invalid('encryption.type', 'AES256, aws:kms or aws:kms:dsse', 'another word')
  if (type === 'AES256' && (keyId !== undefined || bucketKey !== undefined))
    throw invalid('encryption', 'no key with AES256, whose keys are S3’s own', 'one')
  if (type === 'aws:kms:dsse' && bucketKey) throw invalid('encryption', 'no bucket key with aws:kms:dsse', 'one')
  if (keyId?.trim() === '') throw invalid('encryption.keyId', 'an ID, ARN or alias', 'an empty text')
  return encryption
}

function checked(option: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `from ${min} to ${max}`
  throw invalid(option, `an integer ${range}`, String(value))
}

function invalid(option: string, expected: string, got: string): PseudolakeError {
  return new PseudolakeError('options/invalid', `${option}: expected ${expected}, got ${got}`, { option })
}

/** What requests that write carry. */
export function encryptionOf({ encryption }: S3Settings) {
  if (!encryption) return {}
  const { keyId, bucketKey } = encryption.type === 'AES256' ? {} : encryption
  return {
    ServerSideEncryption: encryption.type,
    ...(keyId !== undefined && { SSEKMSKeyId: keyId }),
    ...(bucketKey !== undefined && { BucketKeyEnabled: bucketKey }),
  } as const
}

/** What every request carries where the caller pays. */
export function payerOf({ requestPayer }: S3Settings) {
  return requestPayer ? ({ RequestPayer: 'requester' } as const) : {}
}
