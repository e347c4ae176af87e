import type { Clock } from '../../core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import { type BytesPseudonymizer, bytesOf, overBytes } from '../bytes.ts'
import { checkNumber } from '../options.ts'
import type { Pseudonymizer } from '../pseudonymizer.ts'
import { type ClientStats, emptyStats } from '../stats.ts'

export interface RetryOptions {
  /** Calls in all, the first one included; one that was throttled does not count, its limit is the budget. @default 8 */
  readonly maxAttempts?: number
  /** First upper bound of the wait; doubles each time. @default 200 */
  readonly baseDelayMs?: number
  /** @default 10_000 */
  readonly maxDelayMs?: number
  /** No attempt starts later than this after the first failure. @default 120_000 */
  readonly budgetMs?: number
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly stats?: ClientStats
}

/**
 * Tries again what may succeed later. Safe because the service is a function of its input: a request that was answered, and whose
 * answer was lost, gets the same pseudonyms again (in random mode other ones, of which nobody has seen the first).
 *
 * Waits with full jitter, so that a thousand tasks refused together do not come back together
 * (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A `Retry-After` of the service is a floor: the jitter
 * is added to it, or the thousand would all come back at that second.
 *
 * Throttling is no failure but a request to be slower, so only the time budget ends it. The budget starts with the first failure:
 * time spent waiting in line for the first attempt is not the service's fault.
 */
export function retry(next: Pseudonymizer, options: RetryOptions): BytesPseudonymizer {
  const ask = bytesOf(next)
  const { clock, random, stats = emptyStats() } = options
  const maxAttempts = checkNumber('maxAttempts', options.maxAttempts ?? 8, { min: 1 })
  const baseDelayMs = checkNumber('baseDelayMs', options.baseDelayMs ?? 200, { min: 1, integer: false })
  const maxDelayMs = checkNumber('maxDelayMs', options.maxDelayMs ?? 10_000, { min: 1, integer: false })
  const budgetMs = checkNumber('budgetMs', options.budgetMs ?? 120_000, { min: 0, integer: false })

  return overBytes(async (request) => {
    const { signal } = request
    let deadline: number | undefined
    let failures = 0
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted()
      try {
        return await ask(request)
      } catch (error) {
        signal?.throwIfAborted()
        if (!(error instanceof PseudolakeError) || !error.retryable) throw error
        if (!isPseudolakeError(error, 'service/throttled')) failures++
        const now = clock.now()
        deadline ??= now + budgetMs
        const wait = delay(attempt, error)
        if (failures >= maxAttempts || now + wait > deadline) throw withAttempts(error, attempt)
        stats.retries++
        await clock.sleep(wait, signal)
      }
    }
  })

  function delay(attempt: number, error: PseudolakeError): number {
    const jittered = random() * Math.min(maxDelayMs, baseDelayMs * 2 ** Math.min(attempt - 1, 30))
    return jittered + Number(error.context.retryAfterMs ?? 0)
  }
}

function withAttempts(error: PseudolakeError, attempts: number): PseudolakeError {
  if (attempts === 1) return error
  return new PseudolakeError(error.code, `${error.message} (${attempts} attempts)`, { ...error.context, attempts })
}
