/** Rows of a CSV file as row groups in memory: as it was read, in batches, until one is as large as it may be. */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { CsvReader } from '../../../lib/csv/reader.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { MAX_TEXT_BYTES } from '../../../lib/parquet/text.ts'
import type { TextColumn } from '../../../lib/parquet/text-chunk.ts'
import { type HeldFile, TextGroup, type TextUse } from '../../../lib/parquet/text-group.ts'
import type { BatchJob } from '../job.ts'
import type { Shape } from '../shape.ts'

const MOST_ROWS = 1 << 20
/** Of the memory a run may use, what the pages of a row group may take: they are there up to four times for a moment. */
const PAGES_SHARE = 1 / 16
/** One for each MB of that. */
const DICTIONARIES_PER_MB = 1
/** A pseudonym beside the identifier it stands for. */
export const GROWTH = 4

export interface RowGroupLimits {
  readonly rows: number
  readonly bytes: number
  readonly dictionaries: number
  /** Whether what was read until now is as much as may come into one file. */
  readonly ends?: () => boolean
}

/** @param share of what all threads may take */
export function rowGroupLimits({ settings }: BatchJob, share: number): RowGroupLimits {
  const mb = settings.limits.memory_mb * share * PAGES_SHARE
  return { rows: MOST_ROWS, bytes: mb * 2 ** 20, dictionaries: Math.max(4, Math.floor(mb * DICTIONARIES_PER_MB)) }
}

export function usesOf({ decisions }: Pick<Shape, 'decisions'>): TextUse[] {
  return decisions.map(({ kind }) => kind)
}

/**
 * @param exactly rows of each row group, where they are to be those of a file that was made before
 * @throws PseudolakeError `input/value-invalid` for an identifier of more than 64 KiB, and as `CsvReader.batches`
 */
export async function* rowGroups(
  { file, reader }: { readonly file: ParquetFile; readonly reader: CsvReader },
  shape: Shape,
  limits: RowGroupLimits,
  exactly?: readonly number[],
): AsyncGenerator<HeldFile> {
  const uses = usesOf(shape)
  const { location } = file.object
  const group = new TextGroup({ leaves: file.leaves, uses, dictionaries: limits.dictionaries })
  const weight = uses.includes('replace') ? GROWTH : 1
  let made = 0
  for await (const batch of reader.batches()) {
    for (const [i, column] of batch.columns.entries())
      if (uses[i] === 'replace' && column.longest > MAX_TEXT_BYTES)
        throw tooLong(location, file.leaves[i]?.name ?? '', batch.firstRow, column)
    let rest: Batch = batch
    while (rest.rows > 0) {
      const most = exactly ? (exactly[made] ?? Number.POSITIVE_INFINITY) : limits.rows
      const [now, later] = cut(rest, Math.min(rest.rows, most - group.rows))
      group.add(now.rows, now.columns)
      rest = later
      const full = group.bytes * weight >= limits.bytes || (rest.rows === 0 && limits.ends?.())
      if (group.rows < most && (exactly || !full)) continue
      made++
      yield await group.take(location)
    }
  }
  if (group.rows > 0) yield await group.take(location)
}

function tooLong(
  location: string,
  column: string,
  firstRow: number,
  { plain, definition }: TextColumn,
): PseudolakeError {
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  let [row, at, bytes] = [0, 0, 0]
  for (; row < definition.length; row++) {
    if (definition[row] === 0) continue
    bytes = view.getUint32(at, true)
    if (bytes > MAX_TEXT_BYTES) break
    at += 4 + bytes
  }
  return new PseudolakeError(
    'input/value-invalid',
    `${location}: row ${firstRow + row + 1}, column ${column}: ${bytes} bytes, more than the ${MAX_TEXT_BYTES} that an identifier may have`,
    { location, row: firstRow + row + 1, column, bytes },
  )
}

type Batch = { readonly rows: number; readonly columns: readonly TextColumn[] }

/** The first rows of a batch, and the others. */
function cut(batch: Batch, rows: number): [Batch, Batch] {
  if (rows === batch.rows) return [batch, { rows: 0, columns: [] }]
  const halves = batch.columns.map(({ plain, present, definition, longest }) => {
    const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
    let [here, at] = [0, 0]
    for (let i = 0; i < rows; i++) {
      if (definition[i] === 0) continue
      at += 4 + view.getUint32(at, true)
      here++
    }
    return [
      { plain: plain.subarray(0, at), present: here, definition: definition.subarray(0, rows), longest },
      { plain: plain.subarray(at), present: present - here, definition: definition.subarray(rows), longest },
    ] as const
  })
  return [
    { rows, columns: halves.map(([first]) => first) },
    { rows: batch.rows - rows, columns: halves.map(([, second]) => second) },
  ]
}
