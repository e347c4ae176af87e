import { PseudolakeError } from '../lib/core/errors.ts'
import type { ObjectWriter, Storage } from '../lib/storage/storage.ts'
import { type FileEncoder, fileEncoder } from './encoder.ts'
import { type Batch, type Distribution, emptyBatch, rowSource } from './rows.ts'
import { rowsForBytes } from './size.ts'

export interface DatagenOptions {
  /** A file, or for more than one file a folder: a URI or an absolute path. Nothing may be there yet. */
  readonly location: string
  /** Bytes written in all, ± 5 %. Either this or `rows`; `rows` wins. */
  readonly bytes?: number
  readonly rows?: number
  /** Files of equal size, `part-00000.parquet` … where more than one. @default 1 */
  readonly files?: number
  /** Values that `vin` is drawn from, 0 … distinct − 1, up to 2^30; not with `unique`. @default 10_000 */
  readonly distinct?: number
  /** How `vin` is drawn; zipf: value k with a weight of 1 / (k + 1); unique: every row another one. @default 'uniform' */
  readonly distribution?: Distribution
  /** @default 'parquet' */
  readonly format?: 'parquet' | 'csv'
  /** From 0 to 2^53 − 1. The same options and seed give the same bytes, on every machine. @default 1 */
  readonly seed?: number
}

export interface DatagenContext {
  readonly storage: Storage
  readonly signal?: AbortSignal
  /** Called once a row group. */
  readonly onProgress?: (done: { readonly rows: number; readonly bytes: number; readonly totalRows: number }) => void
}

export interface DatagenResult {
  readonly rows: number
  readonly files: number
  readonly bytes: number
  /** Values of `vin` that were really drawn. */
  readonly distinct: number
  readonly seed: number
}

/**
 * Writes a synthetic dataset shaped like the published one (`dept_id`, `vin`, `example_ts`: optional strings), in the memory of a row
 * group however large it is. A run that fails or is aborted removes what it wrote.
 * @throws PseudolakeError `options/invalid`, `output/exists`, `run/interrupted`, `storage/*`
 */
export async function generate(options: DatagenOptions, context: DatagenContext): Promise<DatagenResult> {
  const plan = resolve(options)
  const { storage, signal } = context
  await refuseExisting(storage, plan)

  const fill = rowSource(plan)
  const seen = distinctCounter(plan)
  const batch = emptyBatch(fileEncoder(plan.format).batchRows)
  const written: string[] = []
  let rows = 0
  let bytes = 0
  try {
    for (let file = 0; file < plan.files; file++) {
      const location = plan.files === 1 ? plan.location : `${plan.location}/${partName(file, plan.format)}`
      const writer = await storage.write(location)
      try {
        const count = Math.floor(plan.rows / plan.files) + (file < plan.rows % plan.files ? 1 : 0)
        await writeFile(writer, fileEncoder(plan.format), count)
        await writer.close()
      } finally {
        await writer.abort()
      }
      written.push(location)
      bytes += writer.bytes
    }
  } catch (error) {
    for (const location of written) await storage.delete(location)
    throw error
  }
  return { rows, files: plan.files, bytes, distinct: seen.count(), seed: plan.seed }

  async function writeFile(writer: ObjectWriter, encoder: FileEncoder, count: number): Promise<void> {
    await writer.write(encoder.begin())
    for (let left = count; left > 0; left -= batch.rows) {
      if (signal?.aborted) throw new PseudolakeError('run/interrupted', 'stopped; the files written so far are removed')
      fill(batch, Math.min(left, encoder.batchRows))
      seen.add(batch)
      await writer.write(encoder.batch(batch))
      rows += batch.rows
      context.onProgress?.({ rows, bytes: bytes + writer.bytes, totalRows: plan.rows })
    }
    await writer.write(encoder.end())
  }
}

type Plan = Required<Omit<DatagenOptions, 'bytes'>>

function resolve(options: DatagenOptions): Plan {
  const { files = 1, distribution = 'uniform', format = 'parquet', seed = 1 } = options
  if (distribution === 'unique' && options.distinct !== undefined)
    throw invalid('distinct', 'no such option where every row is another value')
  const distinct = options.distinct ?? 10_000
  check('files', files, 1, 1_000_000)
  check('distinct', distinct, 1, 2 ** 30)
  check('seed', seed, 0, Number.MAX_SAFE_INTEGER)
  if (options.rows !== undefined) check('rows', options.rows, 1, 1e12)
  else if (options.bytes === undefined) throw invalid('rows', 'a size or a number of rows is required')
  else if (!(options.bytes > 0 && options.bytes <= 1e15)) throw invalid('size', 'expected more than 0, at most 1 PB')

  const shape = { files, distribution, format, seed, distinct }
  const rows = options.rows ?? rowsForBytes(options.bytes as number, shape)
  if (rows < files) throw invalid('files', `expected at most one file a row, got ${files} files for ${rows} rows`)
  return { ...shape, rows, location: options.location.replace(/(?<=[^/])\/+$/, '') }
}

function check(option: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw invalid(option, `expected an integer from ${min} to ${max}, got ${value}`)
}

function invalid(option: string, problem: string): PseudolakeError {
  return new PseudolakeError('options/invalid', `${option}: ${problem}`, { option })
}

function partName(file: number, format: string): string {
  return `part-${String(file).padStart(5, '0')}.${format}`
}

async function refuseExisting(storage: Storage, { location }: Plan): Promise<void> {
  const refuse = () => new PseudolakeError('output/exists', `${location}: there is something already`, { location })
  for await (const _ of storage.list(`${location}/`)) throw refuse()
  const there = await storage.stat(location).then(
    () => true,
    (error: unknown) => {
      if (error instanceof PseudolakeError && error.code === 'storage/not-found') return false
      throw error
    },
  )
  if (there) throw refuse()
}

/** Counts the values drawn, exactly: one bit for each that could be. */
function distinctCounter({ distribution, distinct, rows }: Plan) {
  if (distribution === 'unique') return { add: () => undefined, count: () => rows }
  const bits = new Uint32Array(Math.ceil(distinct / 32))
  let count = 0
  return {
    add(batch: Batch) {
      for (let i = 0; i < batch.rows; i++) {
        const value = batch.vin[i] as number
        const word = bits[value >>> 5] as number
        const bit = 1 << (value & 31)
        if ((word & bit) !== 0) continue
        bits[value >>> 5] = word | bit
        count++
      }
    },
    count: () => count,
  }
}
