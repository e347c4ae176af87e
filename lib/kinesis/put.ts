/** Puts records until each is acknowledged: requests within their limits, and of a request only what failed again. */
import type { Clock } from '../core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
import { type Kinesis, MAX_PUT_BYTES, MAX_PUT_RECORDS, type NewRecord } from './kinesis.ts'
import { backoff, DEFAULT_PACE, type Pace } from './pace.ts'

export interface PutAllOptions {
  readonly kinesis: Kinesis
  readonly stream: string
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** How long records may fail, none of them being taken meanwhile, before that is an error. @default 120_000 */
  readonly budgetMs?: number
  /** After each request that was answered. */
  readonly onAnswer?: (answer: PutAnswer) => void
}

export interface PutAnswer {
  /** Records that were taken, and their bytes, keys included. */
  readonly records: number
  readonly bytes: number
  /** Records that were not, and will be sent again; all of them where the request failed. */
  readonly again: number
  /** Of `again`, those that may have been taken all the same, as the answer was lost: they may be in the stream twice. */
  readonly perhapsTaken: number
}

const BUDGET_MS = 120_000
const PACE: Pace = { ...DEFAULT_PACE, backoffMs: 50, maxBackoffMs: 5_000 }

/**
 * Puts all of `records`, request after request; no order is promised.
 * @throws PseudolakeError `kinesis/throttled` or `kinesis/unavailable` when the budget is used up, `kinesis/*`; what was acknowledged stays
 */
export async function putAll(records: readonly NewRecord[], options: PutAllOptions): Promise<void> {
  for (const request of requestsOf(records)) await putOne(request, options)
}

async function putOne(records: readonly NewRecord[], options: PutAllOptions): Promise<void> {
  const { kinesis, stream, clock, random, budgetMs = BUDGET_MS, onAnswer } = options
  let left = records
  let failures = 0
  let since: number | undefined
  while (left.length > 0) {
    const { failed, error } = await attempt(kinesis, stream, left)
    const taken = left.length - failed.length
    onAnswer?.({
      records: taken,
      bytes: sizeOf(left) - sizeOf(failed),
      again: failed.length,
      perhapsTaken: isPseudolakeError(error, 'kinesis/unavailable') && taken === 0 ? failed.length : 0,
    })
    left = failed
    if (left.length === 0) return
    const now = clock.now()
    if (taken > 0) {
      failures = 0
      since = undefined
    }
    since ??= now
    failures++
    if (now - since >= budgetMs) throw error ?? refused(stream, left.length)
    await clock.sleep(backoff(failures, PACE, random))
  }
}

/** @returns what was not taken, and what failed as a whole, where something did that may pass */
async function attempt(kinesis: Kinesis, stream: string, records: readonly NewRecord[]) {
  try {
    const results = await kinesis.put(stream, records)
    return { failed: records.filter((_, i) => 'error' in (results[i] as object)), error: undefined }
  } catch (error) {
    if (!isPseudolakeError(error) || !error.retryable) throw error
    return { failed: records, error }
  }
}

function refused(stream: string, count: number): PseudolakeError {
  return new PseudolakeError('kinesis/throttled', `stream ${stream}: ${count} records of a request were never taken`, {
    stream,
    records: count,
  })
}

/** Cuts records into requests of at most 500 and 5 MiB. @throws PseudolakeError `options/invalid` for a record that no request can hold */
export function requestsOf(records: readonly NewRecord[]): NewRecord[][] {
  const requests: NewRecord[][] = []
  let current: NewRecord[] = []
  let bytes = 0
  for (const [i, record] of records.entries()) {
    const size = sizeOf([record])
    if (size > MAX_PUT_BYTES)
      throw new PseudolakeError('options/invalid', `record ${i}: of ${size} bytes, a request holds ${MAX_PUT_BYTES}`)
    if (current.length === MAX_PUT_RECORDS || bytes + size > MAX_PUT_BYTES) {
      requests.push(current)
      current = []
      bytes = 0
    }
    current.push(record)
    bytes += size
  }
  if (current.length > 0) requests.push(current)
  return requests
}

function sizeOf(records: readonly NewRecord[]): number {
  let bytes = 0
  for (const { data, partitionKey } of records) bytes += data.length + Buffer.byteLength(partitionKey)
  return bytes
}
