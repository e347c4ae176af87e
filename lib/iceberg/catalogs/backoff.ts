import type { Clock } from '../../core/clock.ts'
import { Stop } from '../../core/stop.ts'

/** What a catalog needs to try again: time and chance, handed in. */
export interface Waiting {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Aborted when the run is told to stop: what is under way is tried for some seconds more, and what comes then once. @default never */
  readonly signal?: AbortSignal | undefined
}

const ATTEMPTS = 8
const FIRST_WAIT_MS = 100
const MAX_WAIT_MS = 5_000

/**
 * Calls until it succeeds, or fails in a way that `again` does not know: eight times at the most, with full jitter (half a minute in all).
 * @param again milliseconds that the server asked to wait, 0 where it did not ask; undefined for a failure that stands
 */
export async function withRetries<T>(
  { clock, random, signal }: Waiting,
  call: () => Promise<T>,
  again: (error: unknown) => number | undefined,
): Promise<T> {
  const stop = new Stop(clock, signal)
  for (let attempt = 1; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      const asked = again(error)
      if (asked === undefined || attempt === ATTEMPTS) throw error
      const most = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1))
      if (!(await stop.pause(Math.max(random() * most, Math.min(asked, 30_000))))) throw error
    }
  }
}
