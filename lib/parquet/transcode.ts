/** Every page decoded, its values replaced, and written anew. */

import { pickTexts, type TextBatch } from '../core/texts.ts'
import { rowsOf, slices, withNulls } from './cells.ts'
import { type InputTask, type Nulls, pagesOf, requireRows } from './chunk-task.ts'
import type { ChunkWriter } from './chunk-writer.ts'
import { decodeData, decodeDictionary, decodePlain, plainDictionary } from './decode.ts'
import { plainTextPages } from './encode.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import type { Place } from './place.ts'
import { checkReplaced, type ReplacedTexts, spread } from './replace.ts'
import type { Replacement } from './replacement.ts'
import { replacedCells } from './slot-cells.ts'
import { SlotEncoder } from './slot-encoder.ts'
import { canonicalBatch } from './text.ts'

/** Equal values have one replacement. */
export async function transcode(task: InputTask, target: ChunkWriter, nulls: Nulls): Promise<void> {
  const { column, planned, chunk, replacements } = task
  const replacement = replacements.of(column)
  const encoder = new SlotEncoder(target, column.leaf, planned.codec, replacement)
  let dictionary: Dictionary | undefined
  let rows = 0
  const makeRoom = async () => {
    if (!replacement.overfull) return
    await encoder.flush()
    replacement.makeRoom()
  }
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      dictionary = new Dictionary(page as Page<DictionaryHeader>, task, replacement)
      continue
    }
    const decoded = decodePlain(page as Page<DataHeader>, column.source, chunk.codec, dictionary?.count)
    rows += rowsOf(decoded)
    const entries = dictionary && (() => (dictionary as Dictionary).slots())
    for await (const cells of replacedCells(decoded, page.place, task, replacement, makeRoom, entries)) {
      nulls.add(cells.count - cells.slots.length)
      await encoder.add(cells)
    }
  }
  requireRows(task, rows)
  await encoder.flush()
}

/** A dictionary's entries by their numbers, which change when the table is emptied. */
class Dictionary {
  readonly count: number
  readonly #plain: Uint8Array
  readonly #place: Place
  readonly #replacement: Replacement
  #slots: Int32Array | undefined
  #generation = 0

  constructor(page: Page<DictionaryHeader>, { chunk }: InputTask, replacement: Replacement) {
    this.count = page.header.values
    // The page is valid until the next is read.
    this.#plain = new Uint8Array(plainDictionary(page, chunk.codec))
    this.#place = page.place
    this.#replacement = replacement
  }

  async slots(): Promise<Int32Array> {
    if (!this.#slots || this.#generation !== this.#replacement.generation) {
      this.#slots = this.#replacement.lookAll(this.#plain, this.count, this.#place).slots
      await this.#replacement.settle()
      this.#generation = this.#replacement.generation
    }
    return this.#slots
  }
}

/** Mode random: every cell has a replacement of its own, and no dictionary, which would show equal ones. */
export async function transcodeCells(task: InputTask, target: ChunkWriter, nulls: Nulls): Promise<void> {
  const { column, planned, chunk } = task
  const { source, leaf } = column
  let entries: TextBatch | undefined
  let rows = 0
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      const values = decodeDictionary(page as Page<DictionaryHeader>, source, chunk.codec)
      entries = canonicalBatch(values, source, page.place)
      continue
    }
    const decoded = decodeData(page as Page<DataHeader>, source, chunk.codec, entries && entries.offsets.length - 1)
    const { indices, values = [] } = decoded
    rows += rowsOf(decoded)
    for (const slice of slices(decoded, source.maxDefinitionLevel)) {
      const [from, to] = slice.present
      const here =
        indices && entries
          ? pickTexts(entries, indices.subarray(from, to))
          : canonicalBatch(values, source, page.place, from, to)
      const cells = withNulls(slice, await mapCells(task, here), source.maxDefinitionLevel, leaf.maxDefinitionLevel)
      nulls.add(cells.count - (cells.present.offsets.length - 1))
      for (const plain of plainTextPages(leaf, planned.codec, cells)) await target.page(plain)
    }
  }
  requireRows(task, rows)
}

/** Same order and length; the empty string is never sent: it stays, or is null where the treatment says so. */
async function mapCells({ column, replacements, rowGroup }: InputTask, texts: TextBatch): Promise<ReplacedTexts> {
  const { source, nullable = false, emptyIsNull = false } = column
  const count = texts.offsets.length - 1
  const places: number[] = []
  for (let i = 0; i < count; i++) if (texts.offsets[i] !== texts.offsets[i + 1]) places.push(i)
  const asked = places.length === count ? texts : pickTexts(texts, places)
  const answers = places.length === 0 ? asked : await replacements.replace(source, asked, { rowGroup })
  checkReplaced(answers, places.length, nullable)
  return places.length === count ? answers : spread(answers, places, count, emptyIsNull)
}
