/** Executes a plan (plan.ts), one chunk after the other, in memory for a few pages: a file is never held whole. */

import { PseudolakeError } from '../core/errors.ts'
import type { ObjectWriter, Storage } from '../storage/storage.ts'
import { swapMemory } from './chunk-task.ts'
import { MAGIC, serializeFooter, type WrittenRowGroup } from './footer.ts'
import type { Gathering } from './gather.ts'
import type { ParquetFile } from './open.ts'
import { Output } from './output.ts'
import type { AheadReader } from './parallel-ranges.ts'
import { type RemoteRowGroup, writePieces } from './pieces.ts'
import type { RewritePlan } from './plan.ts'
import type { Provenance } from './provenance.ts'
import { aheadReader, type RangeReader, rangeReader } from './ranges.ts'
import type { Replace } from './replace.ts'
import { Replacements } from './replacements.ts'
import { neededRanges, rewriteRowGroup } from './row-group.ts'
import { summarize } from './summary.ts'
import type { WrittenFile } from './written.ts'

export type { Replace } from './replace.ts'

export interface RewriteOptions {
  readonly storage: Storage
  readonly file: ParquetFile
  /** A new one. It is closed at the end, and aborted on a failure. */
  readonly writer: ObjectWriter
  /** Asked for what takes the place of values; or the tables of a run, which know what other files asked for. */
  readonly replace: Replace | Replacements
  /** Looks values up before they are needed, by position of the column in the output. */
  readonly gathering?: ReadonlyMap<number, Gathering>
  /** Reads the input, where somebody looked at what it holds before: of `rewriteSource`. @default one of its own */
  readonly source?: RangeReader | undefined
  /** Gives row groups that are made elsewhere, by their position in the plan; asked in order. @default they are made here */
  readonly rowGroup?: (position: number) => RemoteRowGroup
  /** As parquet-format wants it: `application version X (build Y)`. */
  readonly createdBy: string
  readonly signal?: AbortSignal
  /** Told where each byte of the output comes from. */
  readonly provenance?: Provenance
  /** Awaited after each row group, with what its footer will say of it; not all of it need have been handed to the writer. */
  readonly onRowGroup?: (written: WrittenRowGroup, position: number) => Promise<void>
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
    const source =
      options.source ?? rangeReader(options.storage, file.object, neededOf(plan, writer, options.provenance), signal)
    const out = new Output(writer, options.provenance, file.object)
    await out.write(MAGIC)

    const work = {
      plan,
      file,
      source,
      out,
      replacements: replacementsOf(plan, options.replace),
      memory: swapMemory(),
      ...(options.gathering && { gathering: options.gathering }),
      ...(signal && { signal }),
    }
    const rowGroups: WrittenRowGroup[] = []
    let rows = 0
    let bytes = 0
    for (const [i, group] of plan.rowGroups.entries()) {
      const remote = options.rowGroup?.(i)
      const written = remote ? await writePieces(remote, out, source) : await rewriteRowGroup(group, work)
      rowGroups.push(written)
      await options.onRowGroup?.(written, i)
      rows += group.rows
      for (const { from } of group.chunks) bytes += from ? from[1] - from[0] : 0
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

/** The source of a rewriting that is to come, to be looked at before; undefined where answers are not late. */
export function rewriteSource(
  plan: RewritePlan,
  { storage, file, writer, provenance, signal }: Omit<RewriteOptions, 'replace' | 'createdBy'>,
): AheadReader | undefined {
  return aheadReader(storage, file.object, neededOf(plan, writer, provenance), signal)
}

function neededOf(plan: RewritePlan, writer: ObjectWriter, provenance: Provenance | undefined): [number, number][] {
  return neededRanges(plan.rowGroups, provenance?.sampled ? writer.copying?.leastBytes : undefined)
}

function replacementsOf(plan: RewritePlan, replace: Replace | Replacements): Replacements {
  if (typeof replace !== 'function') return replace
  const columns = plan.columns.filter(({ replaced, perCell, source }) => replaced && !perCell && source).length
  return new Replacements({ replace, columns: Math.max(1, columns) })
}

function checkPlan(plan: RewritePlan, file: ParquetFile): void {
  const { location, version, bytes } = file.object
  if (plan.input.location !== location || plan.input.version !== version || plan.input.bytes !== bytes)
    throw new PseudolakeError('storage/changed', `${location} is not the version that the plan was made for`, {
      location,
    })
}
