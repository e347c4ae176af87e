import type { Clock } from '../../core/clock.ts'
import { isPseudolakeError } from '../../core/errors.ts'
import { type BytesPseudonymizer, bytesOf, overBytes } from '../bytes.ts'
import { checkNumber } from '../options.ts'
import type { Pseudonymizer } from '../pseudonymizer.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

export interface AdaptiveOptions {
  /** Requests under way, at most. @default 64 */
  readonly maxConcurrency?: number
  /** Requests under way at first. @default 4, or maxConcurrency where that is less */
  readonly startConcurrency?: number
  /** Starts per second, at most; a tenth of a second's worth may start together. No limit where it is missing. */
  readonly requestsPerSecond?: number | undefined
  readonly clock: Clock
  readonly stats?: ClientStats
}

export interface Adaptive extends BytesPseudonymizer {
  /** Requests that may be under way now. */
  limit(): number
}

export const DEFAULT_MAX_CONCURRENCY = 64
const START_CONCURRENCY = 4
/** Whatever `Retry-After` says, the others are held back no longer: it was said to one request. */
const MAX_PAUSE_MS = 10_000

interface Waiting {
  start(): void
}

/**
 * As many requests at a time as the service bears, found out by asking (additive increase, multiplicative decrease, as TCP does).
 *
 * Grows by one after as many successes as the limit, and only when the limit was in use: successes of an idle client prove nothing.
 * Halves when the service throttles or does not answer in time, once per round trip: the requests that were under way when it was
 * halved were started under the old limit, and their failures say nothing about the new one. A refusal of a bad request says
 * nothing about load.
 *
 * `Retry-After` holds back all starts, not just the request it was said to.
 */
export function adaptive(next: Pseudonymizer, options: AdaptiveOptions): Adaptive {
  const { clock, requestsPerSecond, stats = emptyStats() } = options
  const max = checkNumber('maxConcurrency', options.maxConcurrency ?? DEFAULT_MAX_CONCURRENCY, { min: 1 })
  const start = checkNumber('startConcurrency', options.startConcurrency ?? Math.min(START_CONCURRENCY, max), {
    min: 1,
    max,
  })
  if (requestsPerSecond !== undefined) {
    checkNumber('requestsPerSecond', requestsPerSecond, { min: 0.001, integer: false })
  }
  const ask = bytesOf(next)
  const intervalMs = requestsPerSecond === undefined ? 0 : 1000 / requestsPerSecond
  const burstMs = Math.max(0, 100 - intervalMs)

  let limit = start
  let inFlight = 0
  let successes = 0
  /** Counts decreases; a request remembers the one it was started under. */
  let epoch = 0
  /** No start before this. */
  let pausedUntil = Number.NEGATIVE_INFINITY
  /** When the next start is due at an even pace (a token bucket as one number: "generic cell rate algorithm"). */
  let dueAt = Number.NEGATIVE_INFINITY
  const waiting: Set<Waiting> = new Set()
  let alarm: AbortController | undefined

  return {
    limit: () => limit,
    ...overBytes(async (request) => {
      await turn(request.signal)
      const startedIn = epoch
      try {
        const answer = await ask(request)
        if (startedIn === epoch && inFlight >= limit && ++successes >= limit) {
          successes = 0
          limit = Math.min(max, limit + 1)
        }
        return answer
      } catch (error) {
        learn(error, startedIn)
        throw error
      } finally {
        inFlight--
        pump()
      }
    }),
  }

  function learn(error: unknown, startedIn: number): void {
    const throttled = isPseudolakeError(error, 'service/throttled')
    const late = isPseudolakeError(error, 'service/timeout')
    if (throttled) stats.throttled++
    if (late) stats.timeouts++
    if (throttled && typeof error.context.retryAfterMs === 'number') {
      pausedUntil = Math.max(pausedUntil, clock.now() + Math.min(error.context.retryAfterMs, MAX_PAUSE_MS))
    }
    if (startedIn !== epoch) return
    // A service that answers 503 is as overloaded with `Retry-After` as without.
    if (throttled || late || (isPseudolakeError(error, 'service/unavailable') && error.context.status === 503)) {
      limit = Math.max(1, Math.floor(limit / 2))
      successes = 0
      epoch++
    }
  }

  /** Resolves when a request may start, and counts it as started; first come, first served. */
  async function turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        waiting.delete(entry)
        if (waiting.size === 0) alarm?.abort()
        reject(signal?.reason)
      }
      const entry: Waiting = {
        start() {
          waiting.delete(entry)
          signal?.removeEventListener('abort', leave)
          inFlight++
          resolve()
        },
      }
      waiting.add(entry)
      signal?.addEventListener('abort', leave, { once: true })
      pump()
    })
  }

  function pump(): void {
    for (const entry of waiting) {
      if (inFlight >= limit) return
      const now = clock.now()
      const wait = Math.max(pausedUntil, dueAt - burstMs) - now
      if (wait > 0) {
        wake(wait)
        return
      }
      dueAt = Math.max(dueAt, now) + intervalMs
      entry.start()
    }
  }

  /** One timer for all who wait, ended when the last of them leaves: nothing is left running behind an aborted run. */
  function wake(ms: number): void {
    if (alarm) return
    const own = new AbortController()
    alarm = own
    const ring = () => {
      if (alarm === own) alarm = undefined
      pump()
    }
    clock.sleep(ms, own.signal).then(ring, ring)
  }
}
