/** Which failures of requests a consumer bears, for how long, and when it asks again. */
import type { Clock } from '../core/clock.ts'
import { isPseudolakeError } from '../core/errors.ts'
import { backoff, DEFAULT_PACE, type Pace } from './pace.ts'

/** Requests for one thing that failed in a row, and when the first of them did, other than by throttling. */
export interface Failing {
  failures: number
  failingSinceMs: number | undefined
}

export interface PatienceOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly pace: Partial<Pace> | undefined
  readonly outageMs: number
  /** Once it is aborted, what fails fails for that. */
  readonly closing: AbortSignal
}

export class Patience {
  readonly pace: Pace
  /** Requests that were refused as too many. */
  throttled = 0
  /** Requests that failed otherwise. */
  failed = 0
  readonly #options: PatienceOptions

  constructor(options: PatienceOptions) {
    this.#options = options
    this.pace = { ...DEFAULT_PACE, ...options.pace }
  }

  recovered(what: Failing): void {
    what.failures = 0
    what.failingSinceMs = undefined
  }

  /** Counts a failure that may pass; throws one that may not, or has lasted too long. Throttling may last as long as it does. */
  excuse(what: Failing, error: unknown): void {
    const { clock, outageMs, closing } = this.#options
    if (closing.aborted) return
    if (!isPseudolakeError(error) || !error.retryable) throw error
    what.failures++
    if (isPseudolakeError(error, 'kinesis/throttled')) {
      this.throttled++
      return
    }
    this.failed++
    const now = clock.now()
    what.failingSinceMs ??= now
    if (now - what.failingSinceMs > outageMs) throw error
  }

  /** Milliseconds to wait after the last failure. */
  backoff({ failures }: Failing): number {
    return backoff(failures, this.pace, this.#options.random)
  }
}
