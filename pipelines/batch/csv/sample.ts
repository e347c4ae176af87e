/**
 * What a plan knows of a CSV file: its first records are read, and the file is taken to go on like that. So rows, sizes and values are guesses,
 * but for a file that is read to its end.
 */

import type { CsvDialect } from '../../../lib/csv/dialect.ts'
import type { ColumnChunk, RowGroup } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { scanTexts } from '../../../lib/parquet/scan.ts'
import { TextGroup } from '../../../lib/parquet/text-group.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { InputFile } from '../inputs.ts'
import type { BatchJob } from '../job.ts'
import type { Look } from '../plan/look.ts'
import { poolOf } from '../plan/pool.ts'
import { NOTHING_FOUND, pseudonymBytes } from '../plan/sizes.ts'
import type { Shape } from '../shape.ts'
import { openCsv } from './open.ts'
import { rowGroupLimits, usesOf } from './row-groups.ts'

/** Values of a column in a sample: cells that have one, different ones, bytes of one. */
interface SampledValues {
  readonly cells: number
  readonly distinct: number
  readonly utf8: number
}

/** A file whose row groups nobody has seen but in a sample. */
export interface SampledFile extends ParquetFile {
  /** By column; for those that are replaced. */
  readonly sampled: ReadonlyMap<number, SampledValues>
}

export function isSampled(file: ParquetFile): file is SampledFile {
  return 'sampled' in file
}

export interface SampleOptions {
  readonly storage: Storage
  readonly signal: AbortSignal
  readonly job: BatchJob
  readonly dialect: CsvDialect
  /** Of the file, that are read at least. */
  readonly bytes: number
}

/** @throws PseudolakeError as `openCsv`, for what is in the sample */
export async function sampleCsv(input: InputFile, shape: Shape, options: SampleOptions): Promise<SampledFile> {
  const { storage, signal, dialect, bytes, job } = options
  const { file, reader, source } = await openCsv(storage, input, dialect, signal)
  const { object, leaves } = file
  const uses = usesOf(shape)
  const group = new TextGroup({ leaves, uses, dictionaries: rowGroupLimits(job, 1).dictionaries })
  let whole = true
  let read = 0
  for await (const batch of reader.batches()) {
    read = source.bytesRead
    group.add(batch.rows, batch.columns)
    if (read < bytes) continue
    whole = read >= object.bytes
    break
  }
  if (group.rows === 0) return { ...file, sampled: new Map() }
  const { rows } = group
  const held = await group.take(object.location)
  const sampled = new Map<number, SampledValues>()
  for (const [i, leaf] of leaves.entries())
    if (uses[i] === 'replace') sampled.set(i, await valuesOf(scanTexts(held.storage, held.file, leaf, { signal })))
  const factor = whole ? 1 : Math.max(1, object.bytes / Math.max(1, read))
  const groups = Math.max(1, Math.ceil((rows * factor) / rowGroupLimits(job, 1).rows))
  const [first] = held.file.rowGroups as [RowGroup]
  const one = scaled(first, Math.round((rows * factor) / groups))
  return { ...file, rows: one.rows * groups, rowGroups: new Array(groups).fill(one), sampled }
}

async function valuesOf(batches: ReturnType<typeof scanTexts>): Promise<SampledValues> {
  const different = new Set<string>()
  let [cells, bytes, counted] = [0, 0, 0]
  for await (const { texts, dictionary, cells: all = 0 } of batches) {
    // A dictionary has each value once, whatever refers to it.
    cells = dictionary ? all : cells + texts.length
    counted += texts.length
    for (const text of texts) {
      different.add(text)
      bytes += Buffer.byteLength(text)
    }
  }
  return { cells: Math.max(cells, different.size), distinct: different.size, utf8: counted === 0 ? 0 : bytes / counted }
}

/** A row group of so many rows like those of another. */
function scaled({ rows: sampled, columns }: RowGroup, rows: number): RowGroup {
  const factor = rows / sampled
  const chunks = columns.map((chunk): ColumnChunk => {
    const dictionary = chunk.dictionaryPageOffset === undefined ? 0 : chunk.dataPageOffset - chunk.start
    const pages = Math.round((chunk.end - chunk.start - dictionary) * factor)
    const nulls = chunk.statistics?.nulls ?? 0
    return {
      ...chunk,
      values: rows,
      end: chunk.start + dictionary + pages,
      uncompressedBytes: Math.round(chunk.uncompressedBytes * factor),
      statistics: { ...chunk.statistics, nulls: Math.round(nulls * factor) },
    }
  })
  return { rows, bytes: chunks.reduce((sum, { start, end }) => sum + end - start, 0), columns: chunks }
}

/** For sampled files: values are guessed from those that were seen, as draws from one pool. Others are looked at as `other` does. */
export function lookAtSample(other: Look): Look {
  return async (chunk) => {
    if (!isSampled(chunk.file)) return other(chunk)
    const { rule, sender, format, file, leaf, cells, lengths, rowGroup } = chunk
    const values = file.sampled.get(leaf.column)
    if (cells === 0 || !values || values.distinct === 0) return NOTHING_FOUND
    const { utf8 } = values
    const pool = poolOf(values.cells, values.distinct)
    const distinct = Number.isFinite(pool)
      ? Math.round(Math.min(cells, Math.max(1, pool * -Math.expm1(-cells / Math.max(1, pool)))))
      : cells
    const pseudonym = pseudonymBytes(Math.round(utf8), format)
    lengths.values += distinct
    lengths.valueBytes += distinct * utf8
    lengths.pseudonymBytes += distinct * pseudonym
    if (rule.mode === 'random') return NOTHING_FOUND
    sender.guessed(cells, distinct, utf8)
    if (file.rowGroups[rowGroup]?.columns[leaf.column]?.dictionaryPageOffset !== undefined)
      return { ...NOTHING_FOUND, entries: distinct, entryBytes: distinct * pseudonym }
    const plain = { plain: cells, plainBytes: cells * pseudonym, oldBytes: cells * (utf8 + 4) }
    return { ...NOTHING_FOUND, ...plain, plainDistinct: distinct }
  }
}
