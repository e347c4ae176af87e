import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import { MAX_IDENTIFIER_BYTES } from '../../wire/contract.ts'
import { echoOf } from '../echo.ts'
import { isValueFault, relocated } from '../faults.ts'
import { checkNumber } from '../options.ts'
import { groupOf, type PseudonymAnswer, type Pseudonymizer, type PseudonymRequest } from '../pseudonymizer.ts'
import { ENVELOPE_BYTES, sizeOf } from '../size.ts'
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
  readonly request: PseudonymRequest
  readonly answers: string[]
  readonly echoes: PseudonymAnswer[]
  readonly pieces: Set<Piece>
  /** Index of the first value that is in no piece yet. */
  next: number
  left: number
  over: boolean
  succeed(): void
  fail(error: unknown): void
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
export function batch(next: Pseudonymizer, options: BatchOptions = {}): Pseudonymizer {
  const { coalesce = true, stats = emptyStats() } = options
  const maxIdentifiers = checkNumber('maxIdentifiers', options.maxIdentifiers ?? DEFAULT_MAX_IDENTIFIERS, { min: 1 })
  const maxRequest = checkNumber('maxRequestBytes', options.maxRequestBytes ?? DEFAULT_MAX_REQUEST_BYTES, {
    min: 2 * ENVELOPE_BYTES,
  })
  const maxResponse = checkNumber('maxResponseBytes', options.maxResponseBytes ?? maxRequest, {
    min: 2 * ENVELOPE_BYTES,
  })
  const maxInFlight = checkNumber('maxInFlight', options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT, { min: 1 })
  const queues = new Map<string, Queue>()
  let inFlight = 0
  let scheduled = false
  let lastJob = 0
  /** Larger requests were refused, ones of this size passed. */
  let learnedBytes = Number.POSITIVE_INFINITY

  return {
    async call(request) {
      const { signal, values } = request
      signal?.throwIfAborted()
      if (values.length === 0) return { values: [] }
      const group = groupOf(request) + (request.fresh ? '\0fresh' : '') + (coalesce ? '' : `\0${++lastJob}`)
      return new Promise<PseudonymAnswer>((resolve, reject) => {
        const leave = () => job.fail(signal?.reason)
        const end = () => {
          job.over = true
          signal?.removeEventListener('abort', leave)
        }
        const job: Job = {
          request,
          answers: new Array<string>(values.length),
          echoes: [],
          pieces: new Set(),
          next: 0,
          left: values.length,
          over: false,
          succeed() {
            end()
            resolve({ ...echoOf(job.echoes), values: job.answers })
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
    },
  }

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
    let requestBytes = ENVELOPE_BYTES
    let responseBytes = ENVELOPE_BYTES
    let full = false
    for (const job of jobs) {
      if (job.over || isSent(job)) continue
      const { direction, values } = job.request
      let to = job.next
      for (; to < values.length; to++) {
        const value = values[to] as string
        const size = sizeOf(value, direction)
        const fault = faultOf(value, to, size.utf8, direction)
        if (fault) {
          job.fail(fault)
          return undefined
        }
        full =
          count + 1 > maxIdentifiers ||
          requestBytes + size.request > Math.min(maxRequest, learnedBytes) ||
          responseBytes + size.response > maxResponse
        if (full && count > 0) break
        count++
        requestBytes += size.request
        responseBytes += size.response
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
      for (const segment of piece.segments) {
        deliver(segment, answer, at)
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
      deliver(segment, await ask(piece.segments, controller.signal), 0)
    } catch (error) {
      segment.job.fail(relocated(error, (i) => segment.from + i))
    } finally {
      segment.job.pieces.delete(piece)
    }
  }

  function deliver({ job, from, to }: Segment, answer: PseudonymAnswer, at: number): void {
    if (job.over) return
    for (let i = from; i < to; i++) job.answers[i] = answer.values[at + i - from] as string
    job.echoes.push(answer)
    job.left -= to - from
    if (job.left === 0) job.succeed()
  }

  async function ask(segments: readonly Segment[], signal: AbortSignal): Promise<PseudonymAnswer> {
    const values = segments.flatMap(({ job, from, to }) => job.request.values.slice(from, to))
    const { request } = (segments[0] as Segment).job
    return askOrHalve({ ...request, values, signal })
  }

  async function askOrHalve(request: PseudonymRequest): Promise<PseudonymAnswer> {
    const { direction, values } = request
    try {
      return await next.call(request)
    } catch (error) {
      if (!isPseudolakeError(error, 'service/too-large')) throw error
      if (values.length === 1) {
        const bytes = Buffer.byteLength(values[0] as string)
        throw new PseudolakeError(error.code, `the service refused a single value of ${bytes} bytes as too large`, {
          ...error.context,
          index: 0,
          length: bytes,
        })
      }
    }
    stats.bisected++
    const middle = Math.ceil(values.length / 2)
    const [left, right] = [values.slice(0, middle), values.slice(middle)]
    const first = await askOrHalve({ ...request, values: left })
    const second = await askOrHalve({ ...request, values: right }).catch((error: unknown) => {
      throw relocated(error, (i) => middle + i)
    })
    learnedBytes = Math.min(learnedBytes, Math.max(bytesOf(left, direction), bytesOf(right, direction)))
    return { ...echoOf([first, second]), values: [...first.values, ...second.values] }
  }
}

function isSent(job: Job): boolean {
  return job.next >= job.request.values.length
}

function bytesOf(values: readonly string[], direction: PseudonymRequest['direction']): number {
  return values.reduce((sum, value) => sum + sizeOf(value, direction).request, ENVELOPE_BYTES)
}

/** What no service may be asked: two different texts would share a pseudonym, or it would refuse the whole request. */
function faultOf(value: string, index: number, bytes: number, direction: PseudonymRequest['direction']) {
  if (direction === 'pseudonymize' && bytes > MAX_IDENTIFIER_BYTES) {
    const message = `identifier: expected at most ${MAX_IDENTIFIER_BYTES} bytes of UTF-8, got ${bytes}`
    return new PseudolakeError('identifier/invalid', message, { index, length: bytes })
  }
  if (!value.isWellFormed()) {
    const code = direction === 'pseudonymize' ? 'identifier/invalid' : 'pseudonym/invalid'
    return new PseudolakeError(code, 'value: expected well-formed Unicode, got a lone surrogate', {
      index,
      length: value.length,
    })
  }
  return undefined
}
