/**
 * What happens to each column chunk of a file, as plain data: printed by `--plan`, asserted by tests, then executed by rewrite.ts.
 * Pure; no I/O.
 *
 * A plan is per chunk and not per column, because a file is never uniform: writers leave the dictionary for the last, small row group.
 */
import { type Codec, isOutputCodec, type OutputCodec } from './codec.ts'
import { refusedEncodings } from './encodings.ts'
import { type ColumnChunk, ENCODING } from './footer.ts'
import type { ParquetFile } from './open.ts'
import { type ConstantColumn, type OutputColumn, outputTree, type Treatments } from './output-tree.ts'
import { failure } from './place.ts'
import type { SchemaNode } from './schema.ts'

export type ChunkAction =
  /** Bytes untouched. */
  | 'copy'
  /** Pages decompressed and compressed again, values not looked at. */
  | 'recompress'
  /** Pages in an encoding that not every engine reads are decoded and written anew as PLAIN, others as with `recompress`. */
  | 'reencode'
  /** A new dictionary; the bodies of pages that refer to it as they are, others decoded and written anew. */
  | 'swap-dictionary'
  /** Every page decoded and written anew. */
  | 'transcode'
  /** One value for all rows. */
  | 'constant'

export interface PlannedChunk {
  readonly action: ChunkAction
  readonly why: string
  readonly codec: OutputCodec
  /** The chunk's bytes in the input: `[start, end)`. Missing for a constant. */
  readonly from?: readonly [start: number, end: number]
}

export interface PlannedRowGroup {
  /** Position in the input. Row groups without rows are left out. */
  readonly index: number
  readonly rows: number
  /** By position of the column in the output. */
  readonly chunks: readonly PlannedChunk[]
}

export interface RewritePlan {
  readonly input: { readonly location: string; readonly bytes: number; readonly version: string }
  readonly rows: number
  readonly root: readonly SchemaNode[]
  readonly columns: readonly OutputColumn[]
  /** Paths of the leaves that are left out. */
  readonly dropped: readonly (readonly string[])[]
  readonly rowGroups: readonly PlannedRowGroup[]
}

export interface PlanOptions {
  /** Id of a leaf, struct, list, element, map, key or value by its path in the output. */
  readonly fieldIds: (path: readonly string[]) => number
  /** For chunks that are not copied. @default the input's codec, snappy where not every engine reads that */
  readonly codec?: OutputCodec
  readonly constants?: readonly ConstantColumn[]
  /** New names of groups, by `pathKey` of their path in the input. */
  readonly renames?: ReadonlyMap<string, string>
}

/**
 * @throws PseudolakeError `input/unsupported` for a type or a codec that cannot be kept, `config/invalid` and
 * `input/column-missing` for treatments that do not go with the file
 */
export function planRewrite(file: ParquetFile, treatments: Treatments, options: PlanOptions): RewritePlan {
  const { root, columns, dropped } = outputTree(
    file.root,
    treatments,
    options.constants,
    options.fieldIds,
    options.renames,
  )
  const { location, bytes, version } = file.object
  const rowGroups = file.rowGroups.flatMap((group, index): PlannedRowGroup[] => {
    if (group.rows === 0) return []
    const chunks = columns.map((column): PlannedChunk => {
      if (!column.source) return { action: 'constant', why: 'one value for all rows', codec: options.codec ?? 'snappy' }
      const chunk = group.columns[column.source.column] as ColumnChunk
      if (chunk.codec === 'lzo')
        throw failure('input/unsupported', { location, column: column.source.path, rowGroup: index }, 'codec LZO')
      return planChunk(column, chunk, options.codec)
    })
    return [{ index, rows: group.rows, chunks }]
  })
  return {
    input: { location, bytes, version },
    rows: file.rows,
    root,
    columns,
    dropped: dropped.map((leaf) => leaf.path),
    rowGroups,
  }
}

function planChunk(column: OutputColumn, chunk: ColumnChunk, asked: OutputCodec | undefined): PlannedChunk {
  const from = [chunk.start, chunk.end] as const
  const codec = asked ?? kept(chunk.codec)
  const dictionary = column.source?.physical !== 'BOOLEAN' && hasDictionary(chunk)

  if (column.treatment === 'copy' && !column.widening) {
    const encodings = refusedEncodings(chunk, column.leaf.physical)
    const refused = isOutputCodec(chunk.codec) ? encodings : [...encodings, chunk.codec]
    const why = `not every engine reads ${refused.join(', ')}`
    if (encodings.length > 0) return { action: 'reencode', why, codec, from }
    if (isOutputCodec(chunk.codec)) return { action: 'copy', why: 'not protected', codec: chunk.codec, from }
    return { action: 'recompress', why, codec, from }
  }
  if (column.treatment === 'copy') {
    const why = `type widened (${column.widening})`
    return { action: dictionary ? 'swap-dictionary' : 'transcode', why, codec, from }
  }
  if (column.perCell) return { action: 'transcode', why: 'every cell gets its own pseudonym', codec, from }
  if (column.nullable) return { action: 'transcode', why: 'some values become null', codec, from }
  if (dictionary) return { action: 'swap-dictionary', why: 'its values are in a dictionary', codec, from }
  return { action: 'transcode', why: 'it has no dictionary', codec, from }
}

function kept(codec: Codec): OutputCodec {
  return isOutputCodec(codec) ? codec : 'snappy'
}

/** Whether there is a dictionary; whether all pages use it, many footers don't say, so the executor looks at each. */
function hasDictionary({ dictionaryPageOffset, encodings }: ColumnChunk): boolean {
  return (
    dictionaryPageOffset !== undefined ||
    encodings.includes(ENCODING.RLE_DICTIONARY) ||
    encodings.includes(ENCODING.PLAIN_DICTIONARY)
  )
}
