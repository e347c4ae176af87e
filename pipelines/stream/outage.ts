/** Something is away that a run needs: how long it may be, and how long to wait before the next try. */
import { PseudolakeError } from '../../lib/core/errors.ts'

/** Between two tries. */
const RETRY = { firstMs: 500, mostMs: 30_000 } as const
/** How long something may be away without a commit in between. */
const OUTAGE_MS = 30 * 60_000
/** Before a run was an owner for the first time: an endpoint at which nobody answers is told soon. */
const START_OUTAGE_MS = 60_000

export class Outage {
  /** A session failed with something that was to be committed: only a commit shows that what was away is back. */
  stuck = false
  #failures = 0
  #failingSince: number | undefined
  #patience = START_OUTAGE_MS

  /** The run is the owner. */
  owned(): void {
    this.#patience = OUTAGE_MS
    if (!this.stuck) this.#failingSince = undefined
  }

  committed(): void {
    this.#failures = 0
    this.#failingSince = undefined
    this.stuck = false
  }

  /** Whether a failure now is one that may be waited out. */
  bears(error: unknown, now: number): error is PseudolakeError {
    this.#failingSince ??= now
    return isPassing(error) && now - this.#failingSince <= this.#patience
  }

  /** Milliseconds until the next try. @param random uniform in [0, 1) */
  wait(random: number): number {
    return Math.min(RETRY.mostMs, RETRY.firstMs * 2 ** this.#failures++) * (0.5 + random / 2)
  }
}

/** What a run may wait for. The answer of a commit was lost: the table's mark tells, when it can be read. */
function isPassing(error: unknown): error is PseudolakeError {
  if (!(error instanceof PseudolakeError)) return false
  return error.retryable || error.code === 'table/commit-unknown' || error.code === 'table/changed'
}
