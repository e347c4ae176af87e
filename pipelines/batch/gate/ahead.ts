/** What the gate will read of a file and its input, in the order of its reading: under way before it comes there, where answers are late. Pure. */
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import type { Known } from '../../../lib/parquet/gather.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import type { OutputColumn } from '../../../lib/parquet/output-tree.ts'
import { FIRST_HEADER_BYTES } from '../../../lib/parquet/page.ts'
import type { PlannedRowGroup } from '../../../lib/parquet/plan.ts'
import type { Provenance } from '../../../lib/parquet/provenance.ts'
import type { Ahead } from '../../../lib/parquet/reading-ahead.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'

/** Of the output and of the input each. */
export const AHEAD_BYTES = 16 << 20

type Ranges = [start: number, end: number][]

/**
 * Of replaced chunks: what was made here of the output, and the dictionaries of the input.
 * @param isLooked those of which nothing is read any more
 */
export function readBackAhead(
  input: ParquetFile,
  output: ParquetFile,
  plan: { readonly columns: readonly OutputColumn[]; readonly rowGroups: readonly PlannedRowGroup[] },
  provenance: Provenance | undefined,
  known?: (source: LeafNode, rowGroup: number) => Known | undefined,
  isLooked: (chunk: ColumnChunk) => boolean = () => false,
): Ahead[] {
  const here: Ranges = []
  const before: Ranges = []
  const made = new Made(provenance)
  for (const [rowGroup, { index, chunks }] of plan.rowGroups.entries())
    for (const [i, { replaced, source }] of plan.columns.entries()) {
      const chunk = output.rowGroups[rowGroup]?.columns[i]
      if (!replaced || !chunk || chunk.values === 0 || isLooked(chunk)) continue
      here.push(...made.of(chunk))
      const from = source && input.rowGroups[index]?.columns[source.column]
      if (!from || from.values === 0) continue
      // Cells are compared with the input's where the output has no copies of them.
      if (chunks[i]?.action !== 'swap-dictionary') before.push([from.start, from.end])
      // Of values that were looked up it is wanted where a pair is new, and mostly kept then.
      else if (!known?.(source, index)) before.push(dictionaryOf(from))
    }
  return [
    { object: output.object, ranges: here },
    { object: input.object, ranges: before },
  ]
}

/** Where it is not said to end before the data, it may be anywhere. */
function dictionaryOf({ start, end, dictionaryPageOffset, dataPageOffset }: ColumnChunk): [number, number] {
  return [start, dictionaryPageOffset === start && dataPageOffset > start ? dataPageOffset : end]
}

/** Bytes of the output that are no copies. Chunks are asked for in the order of the file. */
class Made {
  readonly #ranges: Provenance['ranges'] | undefined
  #next = 0

  constructor(provenance: Provenance | undefined) {
    this.#ranges = provenance?.ranges
  }

  of({ start, end }: ColumnChunk): Ranges {
    // What an earlier run wrote is read as a whole.
    if (!this.#ranges) return [[start, end]]
    const made: Ranges = []
    while (this.#next < this.#ranges.length) {
      const range = this.#ranges[this.#next]
      if (!range || range.start >= end) break
      // The header of a page is asked for with some bytes behind it.
      if (range.from === undefined && !range.pairs?.repeated && range.end > start)
        made.push([Math.max(start, range.start), Math.min(end, range.end + FIRST_HEADER_BYTES)])
      if (range.end > end) break
      this.#next++
    }
    return made
  }
}
