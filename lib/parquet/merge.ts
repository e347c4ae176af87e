/**
 * Several files of one schema as one, row group after row group in order. Chunks are copied to the byte, dictionaries included; only row
 * groups that lose rows, and columns that lose values, are decoded. In memory for a few pages, whatever the files' size.
 */
import type { ObjectWriter, Storage } from '../storage/storage.ts'
import { chunkTask, type InputTask, isFromInput, type SwapMemory, swapMemory } from './chunk-task.ts'
import { ChunkWriter } from './chunk-writer.ts'
import { editChunk } from './edit-chunk.ts'
import { MAGIC, serializeFooter, type WrittenChunk, type WrittenRowGroup } from './footer.ts'
import type { ParquetFile } from './open.ts'
import { Output } from './output.ts'
import { corrupt } from './place.ts'
import type { PlannedRowGroup, RewritePlan } from './plan.ts'
import { rangeReader } from './ranges.ts'
import { Replacements } from './replacements.ts'
import { reencode, rewriteChunk } from './rewrite-chunk.ts'
import { neededRanges } from './row-group.ts'
import { summarize } from './summary.ts'
import type { WrittenFile } from './written.ts'

export interface MergePart {
  readonly file: ParquetFile
  /** Of it, all chunks copied or written anew without a change of type; columns and tree as those of the first part. */
  readonly plan: RewritePlan
  /** Whether a row stays, by its position in the file. @default all stay */
  readonly isKept?: (row: number) => boolean
  /** Values that become null, by the position of their column in the output and their bytes. @default none */
  readonly nulled?: ReadonlyMap<number, (value: Uint8Array) => boolean>
}

export interface MergeOptions {
  readonly storage: Storage
  /** A new one. It is closed at the end, and aborted on a failure and where no row is left. */
  readonly writer: ObjectWriter
  /** As parquet-format wants it: `application version X (build Y)`. */
  readonly createdBy: string
  readonly signal?: AbortSignal
  /** After each row group: rows and bytes of the inputs. */
  readonly onProgress?: (done: { readonly rows: number; readonly bytes: number }) => void
}

/**
 * Columns whose `replaced` is true in the plan come out without statistics of values, also where somebody else had written some.
 * @param parts asked for one after the other
 * @returns undefined where no row is left: then nothing was written
 * @throws PseudolakeError `input/corrupt`, `storage/*`; the signal's reason when aborted
 */
export async function mergeFiles(
  parts: AsyncIterable<MergePart> | Iterable<MergePart>,
  options: MergeOptions,
): Promise<WrittenFile | undefined> {
  const { writer, createdBy, onProgress } = options
  try {
    const out = new Output(writer)
    await out.write(MAGIC)
    const rowGroups: WrittenRowGroup[] = []
    const memory = swapMemory()
    let first: RewritePlan | undefined
    let rows = 0
    let bytes = 0
    for await (const part of parts) {
      first ??= part.plan
      for await (const { written, of } of mergePart(part, out, memory, options)) {
        if (written) rowGroups.push(written)
        rows += of.rows
        for (const { from } of of.chunks) bytes += from ? from[1] - from[0] : 0
        onProgress?.({ rows, bytes })
      }
    }
    if (!first || rowGroups.length === 0) {
      await writer.abort()
      return undefined
    }
    await out.write(serializeFooter(first.root, rowGroups, createdBy))
    await out.flush()
    return summarize(await writer.close(), first, rowGroups)
  } catch (error) {
    await writer.abort()
    throw error
  }
}

async function* mergePart(
  { file, plan, isKept, nulled }: MergePart,
  out: Output,
  memory: SwapMemory,
  { storage, signal }: MergeOptions,
): AsyncGenerator<{ readonly written: WrittenRowGroup | undefined; readonly of: PlannedRowGroup }> {
  const source = rangeReader(storage, file.object, neededRanges(plan.rowGroups), signal)
  // Nothing is replaced.
  const replacements = new Replacements({ replace: async (_, texts) => texts })
  const work = { plan, file, source, out, replacements, memory, ...(signal && { signal }) }
  const startOf = rowStarts(file)
  for (const group of plan.rowGroups) {
    const kept = isKept && keptRows(group, startOf[group.index] as number, isKept)
    const rows = kept ? count(kept) : group.rows
    if (rows === 0) {
      yield { written: undefined, of: group }
      continue
    }
    const chunks: WrittenChunk[] = []
    for (const i of group.chunks.keys()) {
      signal?.throwIfAborted()
      const task = chunkTask(work, group, i)
      if (!isFromInput(task)) throw corrupt({ location: file.object.location, rowGroup: group.index }, 'lacks a column')
      const isNulled = nulled?.get(i)
      if ((kept && rows < group.rows) || isNulled)
        chunks.push(await editChunk(task, { ...(kept && { kept }), ...(isNulled && { isNulled }) }))
      else chunks.push(task.column.replaced ? await withoutStatistics(task) : await rewriteChunk(task))
    }
    yield { written: { rows, chunks }, of: group }
  }
}

/** Pages as they are under headers of our own: another writer may have put values into its. */
async function withoutStatistics(task: InputTask): Promise<WrittenChunk> {
  const target = new ChunkWriter(task.out, task.column.leaf, task.planned.codec)
  await reencode(task, target, task.planned.action === 'reencode')
  const nulls = task.chunk.statistics?.nulls
  return target.finish(nulls === undefined ? undefined : { nulls })
}

/** Position in the file of each row group's first row. */
function rowStarts(file: ParquetFile): number[] {
  let start = 0
  return file.rowGroups.map(({ rows }) => {
    start += rows
    return start - rows
  })
}

function keptRows({ rows }: PlannedRowGroup, start: number, isKept: (row: number) => boolean): Uint8Array {
  const kept = new Uint8Array(rows)
  for (let row = 0; row < rows; row++) if (isKept(start + row)) kept[row] = 1
  return kept
}

function count(kept: Uint8Array): number {
  let rows = 0
  for (const row of kept) rows += row
  return rows
}
