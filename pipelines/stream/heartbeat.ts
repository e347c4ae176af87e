/**
 * A sign of life beside the table, that the owner of a stream renews and a consumer in standby looks at. It is advice only: who takes over by
 * mistake is an owner all the same, as the table's mark decides.
 */
import type { Clock } from '../../lib/core/clock.ts'
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { Storage } from '../../lib/storage/storage.ts'

const VERSION = 1

export interface Beat {
  readonly version: typeof VERSION
  readonly run: string
  readonly epoch: number
  /** Counts up; what has not changed for long is no sign of life. */
  readonly beat: number
  /** Set by an owner that ends in good order. */
  readonly ended?: true
}

export interface HeartbeatOptions {
  readonly storage: Storage
  readonly location: string
  readonly run: string
  readonly clock: Clock
  readonly everyMs: number
  readonly takeoverAfterMs: number
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #beats = 0
  #lastSeen = ''
  #sinceMs = 0

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /**
   * Best effort: a sign that is missed costs a takeover too early at most.
   * @param sure the table says that this run is the owner: a sign of another is one of a table that was before
   * @returns the sign of another that seems to own the stream by now
   */
  async beat(epoch: number, { ended = false, sure = false } = {}): Promise<Beat | undefined> {
    const { storage, location, run } = this.#options
    try {
      const there = await this.#read()
      if (!sure && there && there.run !== run && there.epoch > epoch) return there
      const beat: Beat = { version: VERSION, run, epoch, beat: ++this.#beats, ...(ended && { ended }) }
      await storage.replace(location, Buffer.from(JSON.stringify(beat)))
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
    }
    return undefined
  }

  /** From now on the owner's signs are waited for. */
  watch(): void {
    this.#lastSeen = ''
    this.#sinceMs = this.#options.clock.now()
  }

  /** @returns whether the owner has ended, or has given no sign for too long by this machine's clock */
  async isStale(): Promise<boolean> {
    const { clock, run, takeoverAfterMs } = this.#options
    let there: Beat | undefined
    try {
      there = await this.#read()
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      // Whoever can't read the sign can't tell; nor could it commit.
      return false
    }
    if (there?.ended && there.run !== run) return true
    const seen = there ? `${there.run} ${there.beat}` : 'none'
    if (seen !== this.#lastSeen) {
      this.#lastSeen = seen
      this.#sinceMs = clock.now()
    }
    return clock.now() - this.#sinceMs >= takeoverAfterMs
  }

  async #read(): Promise<Beat | undefined> {
    const { storage, location } = this.#options
    try {
      const beat = JSON.parse(Buffer.from(await storage.read(location)).toString()) as Beat
      return beat.version === VERSION ? beat : undefined
    } catch (error) {
      if (isPseudolakeError(error, 'storage/not-found') || error instanceof SyntaxError) return undefined
      throw error
    }
  }
}
