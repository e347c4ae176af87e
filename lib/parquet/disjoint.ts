/** No two chunks of a file may have bytes in common. Pure. */
import { corrupt, type Place } from './place.ts'
import type { LeafNode } from './schema.ts'

/** Of a row group: its chunks in the order of the leaves. */
interface Ranges {
  readonly columns: readonly { readonly start: number; readonly end: number; readonly values: number }[]
}

/** A chunk that is copied must not reach into one that is protected, so ranges that overlap are refused. */
export function checkDisjoint(rowGroups: readonly Ranges[], leaves: readonly LeafNode[], place: Place): void {
  if (inOrder(rowGroups)) return
  const ranges = rowGroups.flatMap((group, rowGroup) =>
    group.columns.flatMap(({ start, end, values }, i) => (values > 0 ? [{ start, end, rowGroup, i }] : [])),
  )
  ranges.sort((a, b) => a.start - b.start)
  let previous = 0
  for (const { start, end, rowGroup, i } of ranges) {
    if (start < previous)
      throw corrupt(
        { ...place, rowGroup, column: leaves[i]?.path ?? [] },
        'its bytes overlap those of another column or row group',
      )
    previous = end
  }
}

/** Whether each chunk begins where or behind where the one before ends: nearly every file is so, and nothing has to be sorted. */
function inOrder(rowGroups: readonly Ranges[]): boolean {
  let previous = 0
  for (const { columns } of rowGroups)
    for (const { start, end, values } of columns) {
      if (values === 0) continue
      if (start < previous) return false
      previous = end
    }
  return true
}
