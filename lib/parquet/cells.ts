/** Cells of a page between decoding and encoding. Pure. */
import type { Cells } from './encode.ts'
import type { ReplacedTexts } from './replace.ts'

/** Cells that are mapped in one call. */
const SLICE_CELLS = 1 << 16

/** Some cells of a page: its levels, and which of its present values they are. */
export interface Slice extends Omit<Cells, 'present'> {
  readonly present: readonly [from: number, to: number]
}

/** Cuts a page between rows, so that few cells are asked for at a time. */
export function* slices(page: Omit<Cells, 'present'>, maxDefinitionLevel: number): Generator<Slice> {
  const { count, repetition, definition } = page
  let present = 0
  let from = 0
  let presentFrom = 0
  for (let i = 0; i < count; i++) {
    if (i - from >= SLICE_CELLS && (!repetition || repetition[i] === 0)) {
      yield slice(i)
      from = i
      presentFrom = present
    }
    if (!definition || definition[i] === maxDefinitionLevel) present++
  }
  if (count > from) yield slice(count)

  function slice(to: number): Slice {
    return {
      count: to - from,
      ...(repetition && { repetition: repetition.subarray(from, to) }),
      ...(definition && { definition: definition.subarray(from, to) }),
      present: [presentFrom, present],
    }
  }
}

/** Rows that begin in a page. */
export function rowsOf({ count, repetition }: Omit<Cells, 'present'>): number {
  if (!repetition) return count
  let rows = 0
  for (const level of repetition) if (level === 0) rows++
  return rows
}

/** Lowers the definition level of cells that became null; raises that of the others where a required leaf became optional. */
export function withNulls(slice: Slice, cells: ReplacedTexts, from: number, to: number): Cells {
  const { count, repetition } = slice
  const { bytes, offsets, nulls } = cells
  const base = { count, ...(repetition && { repetition }) }
  if (to === from && !nulls?.includes(1))
    return { ...base, ...(slice.definition && { definition: slice.definition }), present: { bytes, offsets } }
  const definition = new Uint8Array(count)
  let cell = 0
  for (let i = 0; i < count; i++) {
    const level = slice.definition ? (slice.definition[i] as number) : 0
    if (level < from) definition[i] = level
    else definition[i] = nulls?.[cell++] === 1 ? to - 1 : to
  }
  // A null has no bytes: without its offset it is gone.
  const present = nulls ? offsets.filter((_, i) => i === 0 || nulls[i - 1] === 0) : offsets
  return { ...base, definition, present: { bytes, offsets: present } }
}
