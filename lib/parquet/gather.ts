/** Looks the values of a file up before it is rewritten, so that requests are full: a row group alone would end each time with a request of a few. */
import type { Storage } from '../storage/storage.ts'
import { decodePlain, plainDictionary } from './decode.ts'
import type { ColumnChunk } from './footer.ts'
import type { ParquetFile } from './open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from './page.ts'
import type { AheadReader } from './parallel-ranges.ts'
import type { Place } from './place.ts'
import { rangeReader, Window } from './ranges.ts'
import { readingAhead } from './reading-ahead.ts'
import type { Replacement } from './replacement.ts'
import { allInDictionary, isDictionaryEncoded } from './scan.ts'
import type { LeafNode } from './schema.ts'
import { PRINT_BYTES } from './value-table.ts'

/** The values of a dictionary, as they were looked up in a table of values. */
export interface Known {
  /** In this thread there is no other with it. */
  readonly id: number
  /** Numbers and prints mean something only in the generation that they are from. */
  readonly generation: number
  readonly slots: Int32Array
  readonly prints: Uint8Array
  /** The page as it would be stored without compression, where some of its values were new; missing where there are too many. */
  readonly page?: Page<DictionaryHeader>
}

let ids = 0

/** By row group. */
export type Gathered = ReadonlyMap<number, Known>

/** Requests under way while looking on. */
const MOST_ASKING = 4
/** Numbers and prints that are kept for the rewriting; what is beyond is looked up again. */
const KEPT_BYTES = 16 << 20
/** Dictionaries that are kept beside their numbers. */
const KEPT_PAGES_BYTES = 16 << 20
/** Of both, of row groups that were rewritten already: the last of it may still be looked at. */
const KEPT_BEHIND_BYTES = 1 << 20
/** That may be under way of a column, where answers are late. Each column has its own. */
const AHEAD_BYTES = 8 << 20

export interface GatherOptions {
  readonly storage: Storage
  readonly file: ParquetFile
  readonly leaf: LeafNode
  readonly replacement: Replacement
  /** Texts that are asked for together. */
  readonly flush: number
  /**
   * Of the rewriting that follows, where the storage answers late: what it holds ahead is looked at there, and no further. So each byte is
   * fetched once.
   */
  readonly ahead?: AheadReader | undefined
  readonly signal?: AbortSignal
}

/** A column's values, as far as its table holds them: up to some row group, and when the rewriting comes there, up to the next. */
export class Gathering {
  readonly #options: GatherOptions
  readonly #known = new Map<number, Known>()
  readonly #memory: Memory = { window: new Window(), page: new Uint8Array(0) }
  #to = 0
  #keptPages = 0

  constructor(options: GatherOptions) {
    const { storage, file, leaf, ahead, signal } = options
    if (ahead) {
      this.#options = options
      return
    }
    const ranges = file.rowGroups.flatMap(({ columns }) => wanted(columns[leaf.column]))
    this.#options = {
      ...options,
      storage: readingAhead(storage, [{ object: file.object, ranges }], { bytes: AHEAD_BYTES, signal }),
    }
  }

  /** What was looked up, by row group. */
  get known(): Gathered {
    return this.#known
  }

  /**
   * Before a row group is rewritten: its values, and those of the ones behind it while the table has room. What is asked for now must
   * still be known when the rewriting needs it.
   * @throws PseudolakeError `input/*`, and what the replacement throws
   */
  async upTo(rowGroup: number): Promise<void> {
    const { file, replacement } = this.#options
    if (rowGroup < this.#to) return
    this.#forget(rowGroup)
    replacement.makeRoom(true)
    this.#to = rowGroup
    while (this.#to < file.rowGroups.length) {
      if (this.#to > rowGroup && !this.#isNear(this.#to)) break
      await this.#gather(this.#to++)
      if (replacement.full) break
    }
    await replacement.settle()
    replacement.gathered()
  }

  #isNear(rowGroup: number): boolean {
    const { ahead, file, leaf } = this.#options
    return !ahead || wanted(file.rowGroups[rowGroup]?.columns[leaf.column]).every(([, end]) => ahead.reaches(end))
  }

  /** What was rewritten. The last of it may still be on its way to the storage, and is looked at there. */
  #forget(rowGroup: number): void {
    let behind = 0
    let pages = 0
    for (const [index, { slots, page }] of [...this.#known].reverse()) {
      if (index >= rowGroup || behind >= KEPT_BEHIND_BYTES) {
        this.#known.delete(index)
        continue
      }
      pages += page?.body.length ?? 0
      behind += slots.length * KNOWN_BYTES + (page?.body.length ?? 0)
    }
    this.#keptPages = pages
  }

  async #gather(rowGroup: number): Promise<void> {
    const { replacement, flush } = this.#options
    for await (const { plain, count, place, dictionary } of plainValues(this.#options, rowGroup, this.#memory)) {
      const room = (this.#known.size + 1) * count * KNOWN_BYTES <= KEPT_BYTES
      const values = dictionary && room ? newValues(count) : undefined
      const before = replacement.size
      let done = 0
      for (const piece of replacement.look(plain, count, place, values !== undefined)) {
        values?.slots.set(piece.slots, done)
        if (piece.prints) values?.prints.set(piece.prints, done * PRINT_BYTES)
        done += piece.slots.length
        while (replacement.ask(flush, flush)) while (replacement.asking >= MOST_ASKING) await replacement.one()
        if (replacement.full) break
      }
      if (values && done === count) {
        const { generation, size } = replacement
        const page = dictionary && size > before ? this.#kept(dictionary, plain) : undefined
        this.#known.set(rowGroup, { ...values, id: ++ids, generation, ...(page && { page }) })
      }
      if (replacement.full) return
    }
  }

  #kept(page: Page<DictionaryHeader>, plain: Uint8Array): Page<DictionaryHeader> | undefined {
    if (this.#keptPages + plain.length > KEPT_PAGES_BYTES) return undefined
    this.#keptPages += plain.length
    const { crc: _, ...header } = page.header
    return { ...page, header: { ...header, compressedBytes: plain.length }, body: new Uint8Array(plain) }
  }
}

function newValues(count: number) {
  return { slots: new Int32Array(count), prints: new Uint8Array(PRINT_BYTES * count) }
}
/** Of a value. */
const KNOWN_BYTES = 4 + PRINT_BYTES

/** Used for one page after the other. */
interface Memory {
  readonly window: Window
  page: Uint8Array
}
const SCRATCH_BYTES = 4 << 20

interface PlainValues {
  readonly plain: Uint8Array
  readonly count: number
  readonly place: Place
  /** Missing where they are those of a data page. */
  readonly dictionary?: Page<DictionaryHeader>
}

/** What of a chunk is looked at. */
function wanted(chunk: ColumnChunk | undefined): [start: number, end: number][] {
  if (!chunk || chunk.values === 0) return []
  return [[chunk.start, allInDictionary(chunk) ? chunk.dataPageOffset : chunk.end]]
}

/** A dictionary's entries, and the values of pages that do without. What need not be read is not. */
async function* plainValues(
  { storage, file, leaf, ahead, signal }: GatherOptions,
  rowGroup: number,
  memory: Memory,
): AsyncGenerator<PlainValues> {
  const chunk = file.rowGroups[rowGroup]?.columns[leaf.column]
  if (!chunk || chunk.values === 0) return
  const place: Place = { location: file.object.location, column: leaf.path, rowGroup }
  const dictionaryOnly = allInDictionary(chunk)
  const source = ahead ? { read: ahead.look } : rangeReader(storage, file.object, wanted(chunk), signal, memory.window)
  let entries: number | undefined
  for await (const page of readPages(source, chunk, place, { signal, dictionaryOnly })) {
    if (page.header.type === PAGE.DICTIONARY) {
      entries = page.header.values
      const { uncompressedBytes: size } = page.header
      if (memory.page.length < size && size <= SCRATCH_BYTES) memory.page = new Uint8Array(2 * size)
      const dictionary = page as Page<DictionaryHeader>
      const plain = plainDictionary(dictionary, chunk.codec, memory.page)
      yield { plain, count: entries, place: page.place, dictionary }
    } else if (!isDictionaryEncoded(page.header.encoding)) {
      const { plain, present } = decodePlain(page as Page<DataHeader>, leaf, chunk.codec, entries)
      if (plain && present > 0) yield { plain, count: present, place: page.place }
    }
  }
}
