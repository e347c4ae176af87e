/** Cells of an input column against those of the output: same place, same null, same empty, and a pair of value and pseudonym. Pure. */
import type { CellPage, Entries } from './entries.ts'
import { KIND } from './entries.ts'

/** Says what is wrong with a pair of a value and what stands in its place, or nothing. */
export type Pair = (input: Entries, i: number, output: Entries, o: number) => string | undefined

/** An entry of a dictionary that takes the place of another. */
export function compareEntry(input: Entries, i: number, output: Entries, o: number, pair: Pair): string | undefined {
  const before = input.kind[i]
  const after = output.kind[o]
  if (before === KIND.VALUE && after === KIND.VALUE) return pair(input, i, output, o)
  return before === after ? undefined : `${NAMES[before as 0]} has become ${NAMES[after as 0]}`
}

/**
 * Dictionaries whose entries keep their positions: what pages that were copied need.
 * @param unseen the first of `[from, count)` that has to be looked at
 */
export function compareDictionaries(
  input: Entries,
  output: Entries,
  pair: Pair,
  unseen: (input: Entries, output: Entries, from: number) => number,
): string | undefined {
  if (input.count !== output.count)
    return `a dictionary of ${output.count} values in the place of one of ${input.count}`
  for (let i = unseen(input, output, 0); i < input.count; i = unseen(input, output, i + 1)) {
    const wrong = compareEntry(input, i, output, i, pair)
    if (wrong !== undefined) return `entry ${i} of the dictionary: ${wrong}`
  }
  return undefined
}

/** A place among the cells of a page. */
export interface Cursor {
  readonly page: CellPage
  /** Next cell, and next present one. */
  cell: number
  present: number
}

/** Most definition levels of the two columns; the output's is one more where a required column can have nulls now. */
export interface Levels {
  readonly input: number
  readonly output: number
}

/**
 * Compares as many cells as both pages have left, and moves both on.
 * @returns what is wrong with the first cell that is wrong; the cursors are of no use then
 */
export function compareCells(input: Cursor, output: Cursor, levels: Levels, pair: Pair): string | undefined {
  const n = Math.min(input.page.count - input.cell, output.page.count - output.cell)
  const { definition: before, repetition: repeated, indices: from, entries: values } = input.page
  const { definition: after, repetition: repeats, indices: to, entries: pseudonyms } = output.page
  // Pairs of dictionary entries come again and again.
  const seen = from && to ? new Int32Array(values.count).fill(-1) : undefined
  for (let k = 0; k < n; k++, input.cell++, output.cell++) {
    if ((repeated?.[input.cell] ?? 0) !== (repeats?.[output.cell] ?? 0)) return 'a list begins or ends elsewhere'
    const level = before ? (before[input.cell] as number) : levels.input
    const now = after ? (after[output.cell] as number) : levels.output
    const i = level < levels.input ? -1 : from ? (from[input.present] as number) : input.present
    if (i >= 0) input.present++
    const kind = i < 0 ? KIND.NULL : values.kind[i]
    const expected = i < 0 ? level : kind === KIND.NULL ? levels.output - 1 : levels.output
    if (now !== expected) {
      if (now === levels.output)
        return `null has become ${NAMES[pseudonyms.kind[to ? (to[output.present] ?? 0) : output.present] as 0]}`
      return kind === KIND.NULL ? 'a null is on another level' : `${NAMES[kind as 0]} has become null`
    }
    if (kind === KIND.NULL) continue
    const o = to ? (to[output.present] as number) : output.present
    output.present++
    if (seen) {
      if (seen[i] === o) continue
      seen[i] = o
    }
    const wrong = compareEntry(values, i, pseudonyms, o, pair)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const NAMES = { [KIND.VALUE]: 'a value', [KIND.EMPTY]: 'the empty string', [KIND.NULL]: 'null' } as const
