/** The load producer: puts records of the reference's form at a rate, and ends with all that it put acknowledged. */
import type { Clock } from '../lib/core/clock.ts'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { Kinesis } from '../lib/kinesis/kinesis.ts'
import { putAll } from '../lib/kinesis/put.ts'
import { recordSource } from './records.ts'

export interface ProduceOptions {
  readonly stream: string
  /** Records that are put together; more than 500 take several requests. */
  readonly batch: number
  /** Batches that are under way at a time. */
  readonly threads: number
  /** How many in all; without it until the signal. */
  readonly records?: number
  /** Records a second in all; as many as go without it. */
  readonly rate?: number
  /** `vin` is drawn from 0 … distinct − 1, up to 2^32. @default 40_000_000 */
  readonly distinct?: number
  /** Makes the same records again, times and keys included, whatever the batches. Without it they are random, and of the time they are made. */
  readonly seed?: number
}

export interface ProduceContext {
  readonly kinesis: Kinesis
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Ends the run when what is under way is acknowledged. */
  readonly signal?: AbortSignal
  /** After each request. */
  readonly onProgress?: (done: Produced) => void
}

export interface Produced {
  /** Records that were acknowledged, and their bytes, keys included. */
  records: number
  bytes: number
  requests: number
  /** Records that were sent again: refused for the moment, or their answer was lost. */
  resent: number
  /** Of these, those whose answer was lost: they may be in the stream twice. */
  perhaps_twice: number
}

export interface ProduceResult extends Produced {
  readonly status: 'done'
  readonly stream: string
  readonly seconds: number
  readonly records_per_second: number
  readonly records_per_minute: number
  readonly seed: number
}

const DISTINCT = 40_000_000
/** 2024-01-01T00:00:00, where times of a given seed begin; a record a millisecond. */
const SEEDED_MICROS = 1_704_067_200_000_000
const SEEDED_STEP_MICROS = 1000

/**
 * Puts records until there are enough, or until it is told to stop.
 * @returns when all records that were put are acknowledged
 * @throws PseudolakeError `options/invalid`; `kinesis/*`; `run/interrupted` where it was told to stop before `records` were put. All of them
 *   once what is under way has ended; `context.outcome` says whether records are in the stream
 */
export async function produce(options: ProduceOptions, context: ProduceContext): Promise<ProduceResult> {
  const { stream, batch, threads, records: total = Number.POSITIVE_INFINITY, rate } = options
  const { distinct = DISTINCT } = options
  const { kinesis, clock, random, signal, onProgress } = context
  checkOptions(options, distinct)
  const seed = options.seed ?? Math.floor(random() * 2 ** 32)
  const micros = options.seed === undefined ? localMicros(clock) : steady()
  const next = recordSource({ seed, distinct, micros })
  const done: Produced = { records: 0, bytes: 0, requests: 0, resent: 0, perhaps_twice: 0 }
  const stop = new AbortController()
  const started = clock.now()
  let taken = 0
  // Where batches are large and the rate is small, still a request a second.
  const most = rate === undefined ? batch : Math.min(batch, Math.max(1, Math.ceil(rate)))

  async function thread(): Promise<void> {
    while (taken < total && !signal?.aborted && !stop.signal.aborted) {
      const count = Math.min(most, total - taken)
      const due = rate === undefined ? 0 : started + (taken / rate) * 1000
      taken += count
      if (!(await waited(due))) return
      await putAll(next(count), {
        kinesis,
        stream,
        clock,
        random,
        onAnswer({ records, bytes, again, perhapsTaken }) {
          done.records += records
          done.bytes += bytes
          done.requests++
          done.resent += again
          done.perhaps_twice += perhapsTaken
          onProgress?.(done)
        },
      })
    }
  }

  /** @returns false where it is told to stop before that time */
  async function waited(until: number): Promise<boolean> {
    const ms = until - clock.now()
    if (ms <= 0) return true
    const leave = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
    return clock.sleep(ms, leave).then(
      () => true,
      () => false,
    )
  }

  const ended = await Promise.allSettled(
    Array.from({ length: threads }, () =>
      thread().catch((error: unknown) => {
        stop.abort()
        throw error
      }),
    ),
  )
  const failed = ended.find((one) => one.status === 'rejected')
  if (failed) throw withOutcome(failed.reason, done.records)
  if (done.records < total && options.records !== undefined)
    throw new PseudolakeError(
      'run/interrupted',
      `stopped after ${done.records} of ${total} records; all that were put are acknowledged`,
      { records: done.records, outcome: done.records > 0 ? 'partly-published' : 'nothing-published' },
    )
  const seconds = (clock.now() - started) / 1000
  const perSecond = seconds > 0 ? done.records / seconds : 0
  return {
    status: 'done',
    stream,
    ...done,
    seconds,
    records_per_second: Math.round(perSecond),
    records_per_minute: Math.round(perSecond * 60),
    seed,
  }
}

/** Now, in the machine's own zone, as Python's `datetime.now()` has it; two records of one microsecond are possible there too. */
function localMicros(clock: Clock): () => number {
  const offsetMicros = new Date(clock.wall()).getTimezoneOffset() * 60_000_000
  const began = clock.wall() * 1000 - clock.now() * 1000
  return () => Math.floor(began + clock.now() * 1000) - offsetMicros
}

function steady(): () => number {
  let micros = SEEDED_MICROS
  return () => {
    micros += SEEDED_STEP_MICROS
    return micros
  }
}

function withOutcome(error: unknown, records: number): unknown {
  if (!(error instanceof PseudolakeError) || records === 0) return error
  return new PseudolakeError(
    error.code,
    `${error.message}; ${records} records are in the stream`,
    { ...error.context, records, outcome: 'partly-published' },
    { cause: error },
  )
}

function checkOptions(options: ProduceOptions, distinct: number): void {
  const { stream, batch, threads, records, rate, seed } = options
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(stream))
    throw invalid('STREAM', 'expected the name of a stream: letters, digits, _ . -, at most 128')
  whole('BATCH', batch, 1, 100_000)
  whole('THREADS', threads, 1, 1000)
  whole('distinct', distinct, 1, 2 ** 32)
  if (records !== undefined) whole('records', records, 1, Number.MAX_SAFE_INTEGER)
  if (seed !== undefined) whole('seed', seed, 0, Number.MAX_SAFE_INTEGER)
  if (rate !== undefined && !(rate > 0 && rate <= 1e9)) throw invalid('rate', 'expected records a second, more than 0')
}

function whole(option: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw invalid(option, `expected an integer from ${min} to ${max}, got ${value}`)
}

function invalid(option: string, problem: string): PseudolakeError {
  return new PseudolakeError('options/invalid', `${option}: ${problem}`, { option })
}
