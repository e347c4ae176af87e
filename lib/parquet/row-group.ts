/** One row group of a plan, chunk after chunk. */
import { type ChunksWork, chunkTask } from './chunk-task.ts'
import type { WrittenChunk, WrittenRowGroup } from './footer.ts'
import type { Gathering } from './gather.ts'
import type { PlannedRowGroup } from './plan.ts'
import { rewriteChunk } from './rewrite-chunk.ts'

/** The most that must come through here in front of a copy by the storage. */
const LEAD_BYTES = 5 << 20

/** What the row groups of a file have in common. */
export interface RowGroupWork extends ChunksWork {
  /** Looks values up before they are needed, by position of the column in the output. */
  readonly gathering?: ReadonlyMap<number, Gathering>
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
  const { gathering, signal } = work
  for (const column of gathering?.values() ?? []) await column.upTo(group.index)
  const chunks: WrittenChunk[] = []
  for (const [i, { action }] of group.chunks.entries()) {
    signal?.throwIfAborted()
    if (action !== 'copy') await work.out.settle?.()
    chunks.push(await rewriteChunk(chunkTask(work, group, i, gathering?.get(i)?.known.get(group.index))))
  }
  return { rows: group.rows, chunks }
}
