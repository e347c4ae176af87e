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

/** The most that must come through here in front of a copy by the storage. */
const LEAD_BYTES = 5 << 20

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

/**
 * Input bytes that a plan's row groups need, in the order of their use.
 * @param least bytes of columns side by side that are copied, from which on the storage copies them by itself: only their beginning may be
 *   needed then
 */
export function neededRanges(groups: readonly PlannedRowGroup[], least = Number.POSITIVE_INFINITY): [number, number][] {
  const ranges: [number, number][] = []
  let run: [number, number] | undefined
  const end = () => {
    if (run) ranges.push(run[1] - run[0] < least ? run : [run[0], Math.min(run[1], run[0] + LEAD_BYTES)])
    run = undefined
  }
  for (const { chunks } of groups)
    for (const { from, action } of chunks) {
      if (action === 'copy' && from && run?.[1] === from[0]) {
        run[1] = from[1]
        continue
      }
      end()
      if (action === 'copy' && from) run = [from[0], from[1]]
      else if (from) ranges.push([from[0], from[1]])
    }
  end()
  return ranges
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
