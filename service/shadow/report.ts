import type { Direction } from '../../lib/wire/contract.ts'
import type { Compared } from './compare.ts'

/** What a shadow has seen; names and numbers. */
export interface ShadowReport {
  /** All that came, whatever it was. */
  readonly requests: number
  /** That the old service did not answer; their callers got a 502 or 504. */
  readonly old_failed: number
  readonly directions: Readonly<Record<Direction, DirectionReport>>
  /** Differing statuses, `old/new`, and how often. */
  readonly statuses: Readonly<Record<string, number>>
}

export interface DirectionReport {
  /** Calls of the direction that were sampled. */
  readonly sampled: number
  readonly equal: number
  readonly different: {
    readonly status: number
    readonly form: number
    readonly length: number
    readonly values: number
  }
  /** That the new service did not answer. */
  readonly new_failed: number
  /** Not compared: too many at once, or random pseudonyms that the new service may not take back. */
  readonly skipped: number
  readonly values: number
  readonly different_values: number
}

export interface Tally {
  request(): void
  oldFailed(): void
  sampled(direction: Direction): void
  skipped(direction: Direction): void
  newFailed(direction: Direction): void
  compared(direction: Direction, compared: Compared, statuses: string): void
  report(): ShadowReport
}

export function tally(): Tally {
  let requests = 0
  let oldFailed = 0
  const directions = { pseudonymize: counts(), reidentify: counts() }
  const statuses = new Map<string, number>()
  return {
    request: () => void requests++,
    oldFailed: () => void oldFailed++,
    sampled: (direction) => void directions[direction].sampled++,
    skipped: (direction) => void directions[direction].skipped++,
    newFailed: (direction) => void directions[direction].new_failed++,
    compared(direction, { outcome, values, different }, pair) {
      const own = directions[direction]
      if (outcome === 'equal') own.equal++
      else own.different[outcome]++
      if (outcome === 'status') statuses.set(pair, (statuses.get(pair) ?? 0) + 1)
      own.values += values
      own.different_values += different
    },
    report: () =>
      structuredClone({ requests, old_failed: oldFailed, directions, statuses: Object.fromEntries(statuses) }),
  }
}

function counts() {
  const different = { status: 0, form: 0, length: 0, values: 0 }
  return { sampled: 0, equal: 0, different, new_failed: 0, skipped: 0, values: 0, different_values: 0 }
}

/** Calls that were answered otherwise, in both directions. */
export function differences({ directions }: ShadowReport): number {
  return Object.values(directions).reduce(
    (sum, { different: { status, form, length, values } }) => sum + status + form + length + values,
    0,
  )
}
