/**
 * One call under way that several callers wait for. A caller that is aborted leaves at once; the call itself is aborted when the
 * last of its callers has left, so that nobody's impatience costs the others their answer.
 */
export interface Flight<T> {
  /** Waits for the result, or rejects with the reason of `signal`. */
  join(signal?: AbortSignal): Promise<T>
  /** True once everybody has left: its result will be an abort, so it must not be joined any more. */
  abandoned(): boolean
  /** Settles with the call, for bookkeeping: it does not count as waiting for it. */
  readonly settled: Promise<unknown>
}

export function flight<T>(start: (signal: AbortSignal) => Promise<T>): Flight<T> {
  const controller = new AbortController()
  let riders = 0
  const result = start(controller.signal)
  // Riders may all have left before it fails; that failure is nobody's, and no unhandled rejection.
  result.catch(() => {})

  return {
    settled: result,
    abandoned: () => controller.signal.aborted,
    join(signal) {
      riders++
      if (signal === undefined) return result
      return new Promise<T>((resolve, reject) => {
        const leave = () => {
          riders--
          if (riders === 0) controller.abort(signal.reason)
          reject(signal.reason)
        }
        if (signal.aborted) {
          leave()
          return
        }
        signal.addEventListener('abort', leave, { once: true })
        const settle = <V>(then: (value: V) => void) => {
          return (value: V) => {
            signal.removeEventListener('abort', leave)
            then(value)
          }
        }
        result.then(settle(resolve), settle(reject))
      })
    },
  }
}
