/** The only source of time and waiting for code that retries, paces or expires; tests hand in their own. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now(): number
  /** Milliseconds since 1970-01-01T00:00:00Z, for what is written down. */
  wall(): number
  /** Resolves after `ms`, or rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Milliseconds since an arbitrary start. `performance` would load ten of Node's modules at its first use, a millisecond of every start. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The machine's clock; made at composition roots only. */
export function systemClock(): Clock {
  return {
    now: monotonic,
    wall: () => Date.now(),
    // The timer of node:timers/promises makes an error with its stack for each that is ended early, and nearly all are: one a request.
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason)
          return
        }
        const leave = () => {
          clearTimeout(timer)
          reject(signal?.reason)
        }
        const timer = setTimeout(() => {
          signal?.removeEventListener('abort', leave)
          resolve()
        }, ms)
        signal?.addEventListener('abort', leave, { once: true })
      }),
  }
}
