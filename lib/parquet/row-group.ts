/** One row group of a plan, chunk after chunk. */
import type { SwapMemory } from './chunk-task.ts'
import type { WrittenChunk, WrittenRowGroup } from './footer.ts'
import type { Gathering } from './gather.ts'
import type { ParquetFile } from './open.ts'
import type { Sink } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import type { PlannedRowGroup, RewritePlan } from './plan.ts'
import { type RangeReader, Window } from './ranges.ts'
import type { Replacements } from './replacements.ts'
import { rewriteChunk } from './rewrite-chunk.ts'

/** What the row groups of a file have in common. */
export interface RowGroupWork {
  readonly plan: RewritePlan
  readonly file: ParquetFile
  readonly source: RangeReader
  readonly out: Sink
  readonly replacements: Replacements
  readonly memory: SwapMemory
  /** Looks values up before they are needed, by position of the column in the output. */
  readonly gathering?: ReadonlyMap<number, Gathering>
  readonly signal?: AbortSignal
}

export function swapMemory(): SwapMemory {
  return { values: new Window() }
}

/** Input bytes that a plan's row groups need. */
export function neededRanges(groups: readonly PlannedRowGroup[]): (readonly [number, number])[] {
  return groups.flatMap((group) => group.chunks.flatMap((chunk) => (chunk.from ? [chunk.from] : [])))
}

/** Offsets are those of `out`. @throws as `rewrite` */
export async function rewriteRowGroup(group: PlannedRowGroup, work: RowGroupWork): Promise<WrittenRowGroup> {
  const { plan, file, gathering, signal, source, out, replacements, memory } = work
  for (const column of gathering?.values() ?? []) await column.upTo(group.index)
  const chunks: WrittenChunk[] = []
  for (const [i, planned] of group.chunks.entries()) {
    signal?.throwIfAborted()
    const column = plan.columns[i] as OutputColumn
    const chunk = column.source && file.rowGroups[group.index]?.columns[column.source.column]
    const known = gathering?.get(i)?.known.get(group.index)
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
  }
  return { rows: group.rows, chunks }
}
