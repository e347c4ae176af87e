/**
 * The rows of a dataset, batch by batch, as numbers: what they look like as text is the writers' matter.
 * Shaped like the published one: `dept_id` 0 to 49, `vin` 0 to 9999 (both as strings), `example_ts` that advances. Pure.
 */
import { type Random, seeded } from '../lib/core/random.ts'

export type Distribution = 'uniform' | 'zipf' | 'unique'

export interface RowsOptions {
  readonly seed: number
  /** Rows of the whole dataset; `unique` takes each of 0 … rows − 1 once. */
  readonly rows: number
  /** Values that `vin` is drawn from, 0 … distinct − 1; `unique` ignores it. */
  readonly distinct: number
  readonly distribution: Distribution
}

export interface Batch {
  /** How many of the arrays' first elements count. */
  rows: number
  readonly dept: Float64Array
  readonly vin: Float64Array
  /** Microseconds since 1970-01-01T00:00:00, local time. */
  readonly ts: Float64Array
}

export const DEPARTMENTS = 50
/** 2024-01-01T00:00:00. */
const START_MICROS = 1_704_067_200_000_000
/** Half of the rows carry the time of the row before them, the others are up to 10 ms later: 200 rows/s on average. */
const MAX_STEP_MICROS = 10_000

export function emptyBatch(capacity: number): Batch {
  const column = () => new Float64Array(capacity)
  return { rows: 0, dept: column(), vin: column(), ts: column() }
}

/** A function that fills a batch with the next `count` rows. */
export function rowSource(options: RowsOptions): (batch: Batch, count: number) => void {
  const random = seeded(options.seed)
  const vin = vinSource(options, random)
  let micros = START_MICROS
  return (batch, count) => {
    for (let i = 0; i < count; i++) {
      batch.dept[i] = random.below(DEPARTMENTS)
      batch.vin[i] = vin()
      const bits = random.u32()
      if (bits & 1) micros += 1 + ((bits >>> 1) % MAX_STEP_MICROS)
      batch.ts[i] = micros
    }
    batch.rows = count
  }
}

function vinSource(options: RowsOptions, random: Random): () => number {
  const { distinct } = options
  switch (options.distribution) {
    case 'uniform':
      return () => random.below(distinct)
    case 'zipf':
      return zipf(distinct, random)
    case 'unique':
      return permutation(options.rows, random)
  }
}

/**
 * Ranks 0 … n − 1, rank k with a probability proportional to 1 / (k + 1).
 * W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996:
 * constant memory and about one draw a value, however large n is.
 */
function zipf(n: number, random: Random): () => number {
  const low = Math.log(1.5) - 1
  const high = Math.log(n + 0.5)
  const squeeze = 2 - Math.exp(Math.log(2.5) - 0.5)
  return () => {
    for (;;) {
      const u = high + random.unit() * (low - high)
      const x = Math.exp(u)
      const k = Math.min(n, Math.max(1, Math.floor(x + 0.5)))
      if (k - x <= squeeze || u >= Math.log(k + 0.5) - 1 / k) return k - 1
    }
  }
}

/** 0 … n − 1, each once, in an order that looks shuffled: a stride without a common divisor with n, near the golden ratio. */
function permutation(n: number, random: Random): () => number {
  let stride = Math.max(1, Math.floor(n * 0.6180339887498949))
  while (divisor(stride, n) !== 1) stride++
  let value = random.below(Math.min(n, 2 ** 32))
  return () => {
    const current = value
    value += stride
    if (value >= n) value -= n
    return current
  }
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}
