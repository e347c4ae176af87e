/** Cells of a page as numbers of a table's values (replacement.ts): between decoding and encoding, without a string for any. */
import { slices } from './cells.ts'
import type { InputTask } from './chunk-task.ts'
import type { PlainPage } from './decode.ts'
import type { Place } from './place.ts'
import type { Replacement } from './replacement.ts'

/** Levels of consecutive values, and the replacements that are present among them. */
export interface SlotCells {
  readonly count: number
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  readonly slots: Int32Array
}

/**
 * Slices of a page whose every value has its replacement; each is used before the next is asked for.
 * @param makeRoom called between two slices, when the numbers of the last one are not needed any more
 * @param dictionary numbers of the entries, for pages that refer to it; asked for anew for each slice
 */
export async function* replacedCells(
  page: PlainPage,
  place: Place,
  { column }: InputTask,
  replacement: Replacement,
  makeRoom: () => Promise<void>,
  dictionary?: () => Promise<Int32Array>,
): AsyncGenerator<SlotCells> {
  const { source, leaf } = column
  const { indices, plain = new Uint8Array(0) } = page
  let at = 0
  for (const slice of slices(page, source.maxDefinitionLevel)) {
    const [from, to] = slice.present
    await makeRoom()
    let slots: Int32Array
    if (indices && dictionary) slots = picked(await dictionary(), indices, from, to)
    else {
      const found = replacement.lookAll(plain.subarray(at), to - from, place)
      at += found.bytes
      slots = found.slots
      await replacement.settle()
    }
    const { present: _present, ...levels } = slice
    yield withNulls({ ...levels, slots }, source.maxDefinitionLevel, leaf.maxDefinitionLevel, replacement)
  }
}

function picked(entries: Int32Array, indices: Int32Array, from: number, to: number): Int32Array {
  const out = new Int32Array(to - from)
  for (let i = from; i < to; i++) out[i - from] = entries[indices[i] as number] as number
  return out
}

/** Lowers the definition level of cells that became null; raises that of the others where a required leaf became optional. */
function withNulls(cells: SlotCells, from: number, to: number, replacement: Replacement): SlotCells {
  const { count, repetition, slots } = cells
  const nulls = to > 0 && slots.some((slot) => replacement.isNull(slot))
  if (to === from && !nulls) return cells
  const definition = new Uint8Array(count)
  let cell = 0
  for (let i = 0; i < count; i++) {
    const level = cells.definition ? (cells.definition[i] as number) : 0
    if (level < from) definition[i] = level
    else definition[i] = replacement.isNull(slots[cell++] as number) ? to - 1 : to
  }
  const kept = nulls ? slots.filter((slot) => !replacement.isNull(slot)) : slots
  return { count, ...(repetition && { repetition }), definition, slots: kept }
}
