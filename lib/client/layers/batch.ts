import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import { jsonSizes } from '../../core/text-engine.ts'
import { copyTexts, discard, joinTexts, sliceOf, type TextBatch } from '../../core/texts.ts'
import { MAX_IDENTIFIER_BYTES } from '../../wire/contract.ts'
import { type BytesPseudonymizer, bytesOf, overBytes, requireTexts } from '../bytes.ts'
import { echoOf } from '../echo.ts'
import { isValueFault, relocated } from '../faults.ts'
import { checkNumber } from '../options.ts'
import { type BytesAnswer, type BytesRequest, groupOf, type Pseudonymizer } from '../pseudonymizer.ts'
import { ENVELOPE_BYTES, QUOTES_BYTES, responseBytes } from '../size.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

export interface BatchOptions {
  /** Values in a request, at most. @default 900, as the original's callers send */
  readonly maxIdentifiers?: number
  /** Bytes of a request's body, at most; a single value may exceed it. @default 4 MiB */
  readonly maxRequestBytes?: number
  /** Bytes of the answer's body as estimated, at most. @default maxRequestBytes */
  readonly maxResponseBytes?: number
  /** Requests under way at a time; the rest waits here, where it costs no memory. @default 64 */
  readonly maxInFlight?: number
  /** Puts values of several waiting calls into one request. @default true */
  readonly coalesce?: boolean
  readonly stats?: ClientStats
}

export const DEFAULT_MAX_IDENTIFIERS = 900
export const DEFAULT_MAX_REQUEST_BYTES = 4 * 1024 * 1024
export const DEFAULT_MAX_IN_FLIGHT = 64

/** A caller's call: its values go out in pieces, front to back, and its answers come back in any order. */
interface Job {
  readonly request: BytesRequest
  readonly count: number
  /** Bytes of each value as JSON has it. */
  readonly sizes: Uint32Array
  readonly answers: Part[]
  readonly pieces: Set<Piece>
  /** Index of the first value that is in no piece yet. */
  next: number
  left: number
  over: boolean
  succeed(): void
  fail(error: unknown): void
}

/** The answers to a job's values from one of them on. */
interface Part {
  readonly from: number
  readonly answer: BytesAnswer
}

interface Segment {
  readonly job: Job
  readonly from: number
  readonly to: number
}

/** What becomes one request: segments of one job or, coalesced, of several. */
interface Piece {
  readonly segments: readonly Segment[]
  readonly full: boolean
  readonly controller: AbortController
}

/** Jobs that may share a request. */
interface Queue {
  readonly jobs: Job[]
  /** Requests under way that were not full. */
  partial: number
}

/**
 * Cuts calls into requests that the service takes, by count and by bytes in both directions, and fills requests from all calls that
 * wait. A full request leaves at once. One that is not full leaves when no other such is under way in its group (as Nagle's
 * algorithm does with packets): a lone call never waits, and a crowd of small ones travels together.
 *
 * A request that is refused as too large all the same (413) is cut in two until it passes. The size at which it did is the limit
 * from then on: the next request need not be refused to learn it again. A value that is too large by itself fails its call and
 * teaches nothing.
 */
export function batch(next: Pseudonymizer, options: BatchOptions = {}): BytesPseudonymizer {
  const { coalesce = true, stats = emptyStats() } = options
  const maxIdentifiers = checkNumber('maxIdentifiers', options.maxIdentifiers ?? DEFAULT_MAX_IDENTIFIERS, { min: 1 })
  const maxRequest = checkNumber('maxRequestBytes', options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES, {
    min: 2 * ENVELOPE_BYTES,
  })
  const maxResponse = checkNumber('maxResponseBytes', options.maxResponseBytes ?? maxRequest, {
    min: 2 * ENVELOPE_BYTES,
  })
  const maxInFlight = checkNumber('maxInFlight', options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT, { min: 1 })
  const askNext = bytesOf(next)
  const queues = new Map<string, Queue>()
  let inFlight = 0
  let scheduled = false
  let lastJob = 0
  /** Larger requests were refused, ones of this size passed. */
  let learnedBytes = Number.POSITIVE_INFINITY

  return overBytes(async (request) => {
    const { signal, values, direction } = request
    signal?.throwIfAborted()
    const count = requireTexts(values, direction)
    if (count === 0) return { values }
    const group = groupOf(request) + (request.fresh ? '\0fresh' : '') + (coalesce ? '' : `\0${++lastJob}`)
    return new Promise<BytesAnswer>((resolve, reject) => {
      const leave = () => job.fail(signal?.reason)
      const end = () => {
        job.over = true
        signal?.removeEventListener('abort', leave)
      }
      const job: Job = {
        request,
        count,
        sizes: jsonSizes(values),
        answers: [],
        pieces: new Set(),
        next: 0,
        left: count,
        over: false,
        succeed() {
          end()
          resolve(joined(job.answers))
        },
        fail(error) {
          if (job.over) return
          end()
          reject(error)
          for (const { segments, controller } of job.pieces) {
            if (segments.every((segment) => segment.job.over)) controller.abort(error)
          }
          schedule()
        },
      }
      signal?.addEventListener('abort', leave, { once: true })
      const queue = queues.get(group) ?? { jobs: [], partial: 0 }
      queues.set(group, queue)
      queue.jobs.push(job)
      schedule()
    })
  })

  /** Calls made in the same turn are looked at together. */
  function schedule(): void {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      // In turn: a call of millions of values must not hold up the other groups.
      for (let moved = true; moved && inFlight < maxInFlight; ) {
        moved = false
        for (const group of [...queues.keys()]) moved = sendOne(group) || moved
      }
    })
  }

  /** Sends the group's next request, if there is one and it may leave. */
  function sendOne(group: string): boolean {
    const queue = queues.get(group)
    if (queue === undefined || inFlight >= maxInFlight) return false
    while (queue.jobs.length > 0) {
      const first = queue.jobs[0] as Job
      if (first.over || isSent(first)) {
        queue.jobs.shift()
        continue
      }
      const piece = cut(queue.jobs)
      if (piece === undefined) continue
      if (!piece.full && queue.partial > 0) return false
      for (const { job, to } of piece.segments) {
        job.next = to
        job.pieces.add(piece)
      }
      void send(piece, queue)
      // Last in line for the next turn.
      queues.delete(group)
      queues.set(group, queue)
      return true
    }
    // A queue is forgotten only when nothing of it is under way, or its `partial` would start again at 0.
    if (queue.partial === 0) queues.delete(group)
    return false
  }

  /** The next request of these jobs, not yet taken from them; undefined where a value failed its job. Weighs each value as it goes. */
  function cut(jobs: readonly Job[]): Piece | undefined {
    const segments: Segment[] = []
    let count = 0
    let requestBytesNow = ENVELOPE_BYTES
    let responseBytesNow = ENVELOPE_BYTES
    let full = false
    for (const job of jobs) {
      if (job.over || isSent(job)) continue
      const { direction, values } = job.request
      const { offsets } = values
      let to = job.next
      for (; to < job.count; to++) {
        const from = offsets[to] as number
        const length = (offsets[to + 1] as number) - from
        if (direction === 'pseudonymize' && length > MAX_IDENTIFIER_BYTES) {
          job.fail(tooLong(to, length))
          return undefined
        }
        const json = job.sizes[to] as number
        const request = json + QUOTES_BYTES
        const response = responseBytes(length, json, direction)
        full =
          count + 1 > maxIdentifiers ||
          requestBytesNow + request > Math.min(maxRequest, learnedBytes) ||
          responseBytesNow + response > maxResponse
        if (full && count > 0) break
        count++
        requestBytesNow += request
        responseBytesNow += response
      }
      if (to > job.next) segments.push({ job, from: job.next, to })
      if (full) break
    }
    full ||= count >= maxIdentifiers
    return { segments, full, controller: new AbortController() }
  }

  async function send(piece: Piece, queue: Queue): Promise<void> {
    inFlight++
    if (!piece.full) queue.partial++
    try {
      const answer = await ask(piece.segments, piece.controller.signal)
      let at = 0
      // What becomes one caller's alone can't be a part of what another one gets.
      const shared = piece.segments.length > 1
      for (const segment of piece.segments) {
        deliver(segment, answer, at, shared)
        at += segment.to - segment.from
      }
    } catch (error) {
      const [only] = piece.segments
      if (piece.segments.length > 1 && isValueFault(error)) await Promise.all(piece.segments.map(askAlone))
      else if (piece.segments.length === 1 && only) only.job.fail(relocated(error, (i) => only.from + i))
      // Several jobs, and the fault is nobody's value: no index is theirs.
      else for (const { job } of piece.segments) job.fail(relocated(error, () => undefined))
    } finally {
      for (const { job } of piece.segments) job.pieces.delete(piece)
      inFlight--
      if (!piece.full) queue.partial--
      schedule()
    }
  }

  async function askAlone(segment: Segment): Promise<void> {
    if (segment.job.over) return
    const controller = new AbortController()
    const piece: Piece = { segments: [segment], full: true, controller }
    segment.job.pieces.add(piece)
    try {
      deliver(segment, await ask(piece.segments, controller.signal), 0, false)
    } catch (error) {
      segment.job.fail(relocated(error, (i) => segment.from + i))
    } finally {
      segment.job.pieces.delete(piece)
    }
  }

  function deliver({ job, from, to }: Segment, answer: BytesAnswer, at: number, shared: boolean): void {
    if (job.over) return
    const values = sliceOf(answer.values, at, at + to - from)
    job.answers.push({ from, answer: { ...answer, values: shared ? copyTexts(values) : values } })
    job.left -= to - from
    if (job.left === 0) job.succeed()
  }

  async function ask(segments: readonly Segment[], signal: AbortSignal): Promise<BytesAnswer> {
    const values = joinTexts(segments.map(({ job, from, to }) => sliceOf(job.request.values, from, to)))
    const { request } = (segments[0] as Segment).job
    return askOrHalve({ ...request, values, signal })
  }

  async function askOrHalve(request: BytesRequest): Promise<BytesAnswer> {
    const { values } = request
    const count = values.offsets.length - 1
    try {
      return await askNext(request)
    } catch (error) {
      if (!isPseudolakeError(error, 'service/too-large')) throw error
      if (count === 1) {
        const bytes = textBytes(values)
        throw new PseudolakeError(error.code, `the service refused a single value of ${bytes} bytes as too large`, {
          ...error.context,
          index: 0,
          length: bytes,
        })
      }
    }
    stats.bisected++
    const middle = Math.ceil(count / 2)
    const [left, right] = [sliceOf(values, 0, middle), sliceOf(values, middle, count)]
    const first = await askOrHalve({ ...request, values: left })
    const second = await askOrHalve({ ...request, values: right }).catch((error: unknown) => {
      throw relocated(error, (i) => middle + i)
    })
    learnedBytes = Math.min(learnedBytes, Math.max(bytesAsked(left), bytesAsked(right)))
    return joined([
      { from: 0, answer: first },
      { from: middle, answer: second },
    ])
  }
}

function joined(parts: readonly Part[]): BytesAnswer {
  const [only] = parts
  if (only && parts.length === 1) return only.answer
  const inOrder = parts.toSorted((a, b) => a.from - b.from).map(({ answer }) => answer.values)
  const values = joinTexts(inOrder)
  for (const { bytes } of inOrder) discard(bytes)
  return { ...echoOf(parts.map(({ answer }) => answer)), values }
}

function isSent(job: Job): boolean {
  return job.next >= job.count
}

function textBytes({ offsets }: TextBatch): number {
  return (offsets[offsets.length - 1] as number) - (offsets[0] as number)
}

/** Of a request with these values. */
function bytesAsked(values: TextBatch): number {
  return jsonSizes(values).reduce((sum, json) => sum + json + QUOTES_BYTES, ENVELOPE_BYTES)
}

/** What no service may be asked: it would refuse the whole request. */
function tooLong(index: number, bytes: number): PseudolakeError {
  const message = `identifier: expected at most ${MAX_IDENTIFIER_BYTES} bytes of UTF-8, got ${bytes}`
  return new PseudolakeError('identifier/invalid', message, { index, length: bytes })
}
