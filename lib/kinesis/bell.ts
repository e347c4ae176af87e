/** Lets a loop wait until something happens or some time has passed, whichever comes first. */
import type { Clock } from '../core/clock.ts'

export class Bell {
  readonly #clock: Clock
  #ring = () => {}

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ends the wait that goes on, if any; one that begins later is not ended by it. */
  ring(): void {
    this.#ring()
  }

  /** Until it rings, or some time has passed. */
  async wait(ms: number): Promise<void> {
    if (ms <= 0) return
    const woken = new AbortController()
    const called = new Promise<void>((resolve) => {
      this.#ring = () => {
        woken.abort()
        resolve()
      }
    })
    if (ms === Number.POSITIVE_INFINITY) return called
    await Promise.race([called, this.#clock.sleep(ms, woken.signal).catch(() => undefined)])
  }
}
