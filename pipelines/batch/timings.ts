/** Where a run's time goes, and how its work went on: for its report. */
import type { Clock } from '../../lib/core/clock.ts'

export interface PhaseTime {
  readonly name: string
  readonly seconds: number
}

export interface Moment {
  /** Since the run began. */
  readonly seconds: number
  /** Done until then. */
  readonly rows: number
  readonly bytes: number
  readonly requests: number
}

/** Enough for a picture, whatever the run's length. */
const MOST_MOMENTS = 240

export class Timings {
  readonly #clock: Clock
  readonly #started: number
  readonly #phases = new Map<string, number>()
  readonly #open: string[] = []
  #since: number
  #moments: Moment[] = []
  /** Seconds between two moments that are kept. */
  #apart = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#started = clock.now()
    this.#since = this.#started
  }

  /** Counts the time of `work` for a phase. Within another phase, that one stands still. One piece of work at a time. */
  async time<T>(phase: string, work: () => Promise<T>): Promise<T> {
    this.#turn()
    this.#open.push(phase)
    try {
      return await work()
    } finally {
      this.#turn()
      this.#open.pop()
    }
  }

  #turn(): void {
    const now = this.#clock.now()
    const phase = this.#open.at(-1)
    if (phase !== undefined) this.#phases.set(phase, (this.#phases.get(phase) ?? 0) + (now - this.#since) / 1000)
    this.#since = now
  }

  moment(done: Omit<Moment, 'seconds'>): void {
    const seconds = (this.#clock.now() - this.#started) / 1000
    const last = this.#moments.at(-1)
    if (last && seconds - last.seconds < this.#apart) return
    this.#moments.push({ seconds, ...done })
    if (this.#moments.length < MOST_MOMENTS) return
    this.#moments = this.#moments.filter((_, i) => i % 2 === 1)
    this.#apart = Math.max(2 * this.#apart, seconds / (MOST_MOMENTS / 2))
  }

  /** In the order in which they were first entered; what is in none of them comes last. */
  phases(): PhaseTime[] {
    this.#turn()
    const named = [...this.#phases].map(([name, seconds]) => ({ name, seconds }))
    const all = (this.#clock.now() - this.#started) / 1000
    const rest = all - named.reduce((sum, { seconds }) => sum + seconds, 0)
    return [...named, { name: 'other', seconds: Math.max(0, rest) }]
  }

  moments(): readonly Moment[] {
    return this.#moments
  }
}
