import { fileEncoder } from './encoder.ts'
import { type Distribution, emptyBatch, rowSource } from './rows.ts'

export interface Shape {
  readonly files: number
  readonly distinct: number
  readonly distribution: Distribution
  readonly format: 'parquet' | 'csv'
  readonly seed: number
}

/** How near the size of a file must come to be taken; what is left of the promised 5 % is for the parts that are extrapolated. */
const TOLERANCE = 0.01

/**
 * Rows whose files take `bytes` in all. Found by encoding samples and throwing them away: what a row takes depends on the
 * dictionaries, so on the number of rows themselves. Pure; some row groups of work.
 */
export function rowsForBytes(bytes: number, shape: Shape): number {
  const target = bytes / shape.files
  const sizeOf = fileSizes(shape)
  let rows = 1000
  let best = { rows, error: Number.POSITIVE_INFINITY }
  // What a file takes besides its rows, and its dictionaries, make the size grow slower than the rows: each step gets nearer.
  for (let step = 0; step < 24 && best.error > TOLERANCE; step++) {
    const size = sizeOf(rows)
    const error = Math.abs(size / target - 1)
    if (error < best.error) best = { rows, error }
    rows = Math.max(1, Math.round((rows * target) / size))
  }
  return best.rows * shape.files
}

/** A function from rows to the bytes of a file of them, its full row groups taken as equal. */
function fileSizes(shape: Shape): (rows: number) => number {
  const group = fileEncoder(shape.format).batchRows
  let full: number | undefined
  return (rows) => {
    if (rows <= group) return encodedBytes(rows, rows, shape)
    // `unique` has longer values where there are more rows.
    if (full === undefined || shape.distribution === 'unique') full = encodedBytes(group, rows, shape)
    const rest = rows % group
    return full * Math.floor(rows / group) + (rest === 0 ? 0 : encodedBytes(rest, rows, shape))
  }
}

function encodedBytes(sample: number, rowsPerFile: number, shape: Shape): number {
  const batch = emptyBatch(sample)
  rowSource({ ...shape, rows: rowsPerFile * shape.files })(batch, sample)
  const encoder = fileEncoder(shape.format)
  return encoder.begin().length + encoder.batch(batch).length + encoder.end().length
}
