/** Executes a plan (plan.ts), one chunk after the other, in memory for a few pages: a file is never held whole. */
import { PseudolakeError } from '../core/errors.ts'
import type { ObjectWriter, Storage } from '../storage/storage.ts'
import { MAGIC, serializeFooter, type WrittenChunk, type WrittenRowGroup } from './footer.ts'
import type { Gathered } from './gather.ts'
import type { ParquetFile } from './open.ts'
import { Output } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import type { RewritePlan } from './plan.ts'
import type { Provenance } from './provenance.ts'
import { rangeReader, Window } from './ranges.ts'
import type { Replace } from './replacement.ts'
import { Replacements } from './replacements.ts'
import { rewriteChunk } from './rewrite-chunk.ts'
import { summarize } from './summary.ts'
import type { WrittenFile } from './written.ts'

export type { Replace } from './replacement.ts'

export interface RewriteOptions {
  readonly storage: Storage
  readonly file: ParquetFile
  /** A new one. It is closed at the end, and aborted on a failure. */
  readonly writer: ObjectWriter
  /** Asked for what takes the place of values; or the tables of a run, which know what other files asked for. */
  readonly replace: Replace | Replacements
  /** What was looked up before, by position of the column in the output. */
  readonly gathered?: ReadonlyMap<number, Gathered>
  /** As parquet-format wants it: `application version X (build Y)`. */
  readonly createdBy: string
  readonly signal?: AbortSignal
  /** Told where each byte of the output comes from. */
  readonly provenance?: Provenance
  /** After each row group. Bytes are those of the input's chunks that were read. */
  readonly onProgress?: (done: { readonly rows: number; readonly bytes: number }) => void
}

/**
 * @throws PseudolakeError `input/corrupt`, `input/value-invalid`, `input/unsupported` (a value that a wider type cannot hold),
 * `storage/*`, and whatever `replace` throws; the signal's reason when aborted
 */
export async function rewrite(plan: RewritePlan, options: RewriteOptions): Promise<WrittenFile> {
  const { file, writer, signal, onProgress } = options
  try {
    checkPlan(plan, file)
    const needed = plan.rowGroups.flatMap((group) => group.chunks.flatMap((chunk) => (chunk.from ? [chunk.from] : [])))
    const source = rangeReader(options.storage, file.object, needed, signal)
    const out = new Output(writer, options.provenance)
    await out.write(MAGIC)

    const deterministic = plan.columns.filter(({ replaced, perCell, source }) => replaced && !perCell && source).length
    const replacements =
      typeof options.replace === 'function'
        ? new Replacements({ replace: options.replace, columns: Math.max(1, deterministic) })
        : options.replace
    const memory = { values: new Window(), page: new Window() }
    const rowGroups: WrittenRowGroup[] = []
    let rows = 0
    let bytes = 0
    for (const group of plan.rowGroups) {
      const chunks: WrittenChunk[] = []
      for (const [i, planned] of group.chunks.entries()) {
        signal?.throwIfAborted()
        const column = plan.columns[i] as OutputColumn
        const chunk = column.source && file.rowGroups[group.index]?.columns[column.source.column]
        const known = options.gathered?.get(i)?.get(group.index)
        chunks.push(
          await rewriteChunk({
            location: file.object.location,
            source,
            out,
            column,
            planned,
            rowGroup: group.index,
            rows: group.rows,
            replacements,
            memory,
            ...(known && { known }),
            ...(chunk && { chunk }),
            ...(signal && { signal }),
          }),
        )
        bytes += chunk ? chunk.end - chunk.start : 0
      }
      rowGroups.push({ rows: group.rows, chunks })
      rows += group.rows
      onProgress?.({ rows, bytes })
    }
    await out.write(serializeFooter(plan.root, rowGroups, options.createdBy))
    await out.flush()
    const stored = await writer.close()
    return summarize(stored, plan, rowGroups)
  } catch (error) {
    await writer.abort()
    throw error
  }
}

function checkPlan(plan: RewritePlan, file: ParquetFile): void {
  const { location, version, bytes } = file.object
  if (plan.input.location !== location || plan.input.version !== version || plan.input.bytes !== bytes)
    throw new PseudolakeError('storage/changed', `${location} is not the version that the plan was made for`, {
      location,
    })
}
