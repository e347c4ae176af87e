import { setTimeout as delay } from 'node:timers/promises'

/** The only source of time and waiting for code that retries, paces or expires; tests hand in their own. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now(): number
  /** Milliseconds since 1970-01-01T00:00:00Z, for what is written down. */
  wall(): number
  /** Resolves after `ms`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The machine's clock; made at composition roots only. */
export function systemClock(): Clock {
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    sleep: async (ms, signal) => {
      signal?.throwIfAborted()
      await delay(ms, undefined, signal ? { signal } : {}).catch((error: unknown) => {
        throw signal?.reason ?? error
      })
    },
  }
}
