/** Cells of an input column against those of the output: same place, same null, same empty, and a pair of value and pseudonym. Pure. */
import type { CellPage, Entries } from './entries.ts'
import { KIND } from './entries.ts'

/**
 * Entries that stand in each other's places: the k-th of `count` pairs is of the entries `input[k]` and `output[k]`, or, where a list is missing, of the
 * k-th behind `inputFrom` and `outputFrom`.
 */
export interface Places {
  readonly count: number
  readonly input?: Int32Array | undefined
  readonly inputFrom: number
  readonly output?: Int32Array | undefined
  readonly outputFrom: number
}

/** What is wrong, and with which entry of the input. */
export interface Wrong {
  readonly at: number
  readonly message: string
}

/** Says what is wrong with the first of some pairs of a value and what stands in its place that is wrong, or nothing. */
export type Judge = (input: Entries, output: Entries, places: Places) => Wrong | undefined

/** Dictionaries whose entries keep their positions: what pages that were copied need. */
export function compareDictionaries(input: Entries, output: Entries, judge: Judge): string | undefined {
  const { count } = input
  if (count !== output.count) return `a dictionary of ${output.count} values in the place of one of ${count}`
  const wrong = compareAll(input, output, { count, inputFrom: 0, outputFrom: 0 }, judge)
  return wrong && `entry ${wrong.at} of the dictionary: ${wrong.message}`
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
export function compareCells(input: Cursor, output: Cursor, levels: Levels, judge: Judge): string | undefined {
  const n = Math.min(input.page.count - input.cell, output.page.count - output.cell)
  const { entries, indices } = input.page
  const { entries: pseudonyms, indices: positions } = output.page
  if (isFull(input.page) && isFull(output.page)) {
    const places = {
      count: n,
      input: indices?.subarray(input.present, input.present + n),
      inputFrom: input.present,
      output: positions?.subarray(output.present, output.present + n),
      outputFrom: output.present,
    }
    for (const cursor of [input, output]) {
      cursor.cell += n
      cursor.present += n
    }
    return compareAll(entries, pseudonyms, places, judge)?.message
  }
  const pairs = new PairList(n)
  const wrong = pairs.addCells(input, output, levels, n)
  // The first that is wrong may be before the one that has no partner.
  return judge(entries, pseudonyms, pairs.places)?.message ?? wrong
}

function compareAll(input: Entries, output: Entries, places: Places, judge: Judge): Wrong | undefined {
  if (input.allValues && output.allValues) return judge(input, output, places)
  const pairs = new PairList(places.count)
  const wrong = pairs.addAll(input, output, places)
  const before = judge(input, output, pairs.places)
  return before ?? wrong
}

/** Neither nulls nor lists: the i-th cell is the i-th that is present. */
function isFull({ count, repetition, indices, entries }: CellPage): boolean {
  return repetition === undefined && (indices ? indices.length : entries.count) === count
}

/** Pairs of values, to be judged together. */
class PairList {
  readonly #input: Int32Array
  readonly #output: Int32Array
  #count = 0

  constructor(most: number) {
    this.#input = new Int32Array(most)
    this.#output = new Int32Array(most)
  }

  get places(): Places {
    return { count: this.#count, input: this.#input, inputFrom: 0, output: this.#output, outputFrom: 0 }
  }

  /** Those of values. @returns the first that has no partner of its kind */
  addAll({ kind: kinds }: Entries, { kind: others }: Entries, places: Places): Wrong | undefined {
    for (let k = 0; k < places.count; k++) {
      const i = places.input ? (places.input[k] as number) : places.inputFrom + k
      const o = places.output ? (places.output[k] as number) : places.outputFrom + k
      const kind = kinds[i] as 0
      if (kind !== others[o]) return { at: i, message: `${NAMES[kind]} has become ${NAMES[others[o] as 0]}` }
      if (kind === KIND.VALUE) this.#add(i, o)
    }
    return undefined
  }

  #add(i: number, o: number): void {
    this.#input[this.#count] = i
    this.#output[this.#count++] = o
  }

  /** As many cells of both, with their levels. @returns what is wrong with the first that is not the other's in kind and place */
  addCells(input: Cursor, output: Cursor, levels: Levels, n: number): string | undefined {
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
      if (seen?.[i] === o) continue
      if (seen) seen[i] = o
      if (kind !== pseudonyms.kind[o]) return `${NAMES[kind as 0]} has become ${NAMES[pseudonyms.kind[o] as 0]}`
      if (kind === KIND.VALUE) this.#add(i, o)
    }
    return undefined
  }
}

const NAMES = { [KIND.VALUE]: 'a value', [KIND.EMPTY]: 'the empty string', [KIND.NULL]: 'null' } as const
