import type { Clock } from './clock.ts'

/**
 * How long is still tried what was under way when a run was told to stop, and how long an answer is waited for then: enough for a commit to
 * get its answer and for files to be removed, and less than what runs programs waits before it kills them (`docker stop`: 10 s).
 */
const STOP_MS = 5_000

/** How much longer code that tries again may go on: for as long as it likes, until the run is told to stop. */
export class Stop {
  readonly #clock: Clock
  readonly #signal: AbortSignal | undefined
  #since: number | undefined

  /** @param signal aborted when the run is told to stop. Without one it never is */
  constructor(clock: Clock, signal: AbortSignal | undefined) {
    this.#clock = clock
    this.#signal = signal
  }

  /** Milliseconds. What follows a stop, as the removal of files, gets one try. */
  get leftMs(): number {
    if (!this.#signal?.aborted) return Number.POSITIVE_INFINITY
    this.#since ??= this.#clock.now()
    return Math.max(0, this.#since + STOP_MS - this.#clock.now())
  }

  /**
   * Waits before another try. A stop ends the wait: the try comes at once then.
   * @returns whether there is to be another one
   */
  async pause(ms: number): Promise<boolean> {
    if (this.leftMs < ms) return false
    const signal = this.#signal?.aborted ? undefined : this.#signal
    await this.#clock.sleep(ms, signal).catch((error: unknown) => {
      if (!this.#signal?.aborted) throw error
    })
    return this.leftMs > 0
  }

  /**
   * Gives a request as long as it may take.
   * @param patienceMs without an answer. After a stop it is some seconds at most, for requests that are under way too
   */
  async within<T>(patienceMs: number, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController()
    const end = () => late.abort(new DOMException('no answer in time', 'TimeoutError'))
    const stopped = this.#signal?.aborted
    let timer = setTimeout(end, stopped ? Math.min(patienceMs, STOP_MS) : patienceMs)
    const hurry = () => {
      clearTimeout(timer)
      timer = setTimeout(end, STOP_MS)
    }
    if (!stopped) this.#signal?.addEventListener('abort', hurry, { once: true })
    try {
      return await request(late.signal)
    } finally {
      clearTimeout(timer)
      this.#signal?.removeEventListener('abort', hurry)
    }
  }
}
