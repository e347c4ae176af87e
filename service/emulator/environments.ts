/** A place for one request at a time. */
export interface Environment {
  readonly cold: boolean
  /** @param nowMs when the function was done with it */
  release(nowMs: number): void
}

export interface Environments {
  /** Undefined where all that there may be are at work. */
  acquire(nowMs: number): Environment | undefined
  /** That are there, at work or not. */
  count(nowMs: number): number
}

/**
 * Execution environments as Lambda has them: a request takes the one that was at work last, or a new one, cold; those without work for
 * `idleMs` are gone. Pure but for its own memory; time is handed in.
 */
export function environments(concurrency: number, idleMs: number): Environments {
  /** When each idle one was done; the last one last. */
  const idle: number[] = []
  let busy = 0

  function retire(nowMs: number): void {
    const kept = idle.findIndex((since) => nowMs - since < idleMs)
    idle.splice(0, kept < 0 ? idle.length : kept)
  }

  return {
    acquire(nowMs) {
      retire(nowMs)
      const warm = idle.pop() !== undefined
      if (!warm && busy + idle.length >= concurrency) return undefined
      busy++
      let released = false
      return {
        cold: !warm,
        release(doneMs) {
          if (released) return
          released = true
          busy--
          idle.push(doneMs)
        },
      }
    },
    count(nowMs) {
      retire(nowMs)
      return busy + idle.length
    },
  }
}
