/** A replaced chunk, read back page by page and held against the chunk that it was made from. */
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import type { Known } from '../../../lib/parquet/gather.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import {
  type DataHeader,
  type DictionaryHeader,
  FIRST_HEADER_BYTES,
  PAGE,
  type Page,
  type PageHeader,
  readPages,
} from '../../../lib/parquet/page.ts'
import type { Place } from '../../../lib/parquet/place.ts'
import type { ByteRange } from '../../../lib/parquet/provenance.ts'
import { type RangeReader, rangeReader, type Window } from '../../../lib/parquet/ranges.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { type Cursor, compareCells, compareDictionaries, type Judge, type Levels } from './compare.ts'
import {
  byteDictionary,
  type Dictionary,
  type Entries,
  inputCells,
  inputDictionary,
  outputCells,
  type Reading,
  refersToDictionary,
  type Scratch,
  unpacked,
} from './entries.ts'
import { checkPageHeader } from './headers.ts'

export interface ChunkSide {
  readonly file: Pick<ParquetFile, 'object'>
  readonly leaf: LeafNode
  readonly rowGroup: number
  readonly chunk: ColumnChunk
}

export interface ReplacedChunk {
  readonly storage: Storage
  /** Missing for a constant. */
  readonly input: ChunkSide | undefined
  /** For a constant: its one value, or nothing where it is null. */
  readonly constant?: Entries
  readonly output: ChunkSide
  readonly reading: Reading
  /** Every cell has a pseudonym of its own: a dictionary would give one to many. */
  readonly perCell: boolean
  readonly judge: Judge
  /** The input's dictionary as it was looked up a moment ago. */
  readonly known: Known | undefined
  /** Called with an output's dictionary of which not each entry was paired. */
  readonly checkEntries: (dictionary: Entries) => void
  /** Of the output, as it was recorded: the first range that begins there or behind. */
  readonly rangeFrom: (start: number) => ByteRange | undefined
  /** Of all hashes of the run. */
  readonly seed: number
  /** For dictionaries and for data pages, one side each. */
  readonly scratch: Record<'input' | 'output' | 'inputCells' | 'outputCells', Scratch>
  readonly signal: AbortSignal
}

export interface ReadBack {
  /** Bodies of pages that refer to the dictionary. */
  readonly positions: Map<number, number>
  readonly headers: string[]
  /** What is wrong with the cells: the first of it. */
  readonly cells: string | undefined
  readonly pages: number
  readonly entries: number
  /** Whether no more than headers were looked at: the dictionary repeats pairs of others, and the pages are copies. */
  readonly spared: boolean
}

/** @throws PseudolakeError `input/*` where the output, or the input, cannot be read */
export async function readBack(work: ReplacedChunk): Promise<ReadBack> {
  const { output, seed, input } = work
  const { chunk, leaf } = output
  const positions = new Map<number, number>()
  const headers: string[] = []
  const source = work.input ? new InputCells(work, work.input) : undefined
  const levels: Levels = { input: input?.leaf.maxDefinitionLevel ?? 1, output: leaf.maxDefinitionLevel }
  let dictionary: Dictionary | undefined
  let repeats = false
  let paired = false
  let mayBeRepeated = false
  let looked = false
  let at = chunk.start
  let pages = 0
  let entries = 0
  let wrong: string | undefined
  const copiedFrom = (start: number) => rangeAt(work, start)?.from
  // Of a page that was copied, and of a dictionary that repeats pairs, only the header is looked at.
  const wanted = (header: PageHeader, from: number) =>
    header.type === PAGE.DICTIONARY ? !isRepeated(header, from, work) : !source || copiedFrom(from) === undefined
  for await (const page of readPages(outputReader(work), chunk, placeOf(output), { signal: work.signal, wanted })) {
    pages++
    const problem = checkPageHeader(page.fields)
    if (problem !== undefined) headers.push(problem)
    if (page.from - page.headBytes !== at) headers.push(`bytes ${at} to ${page.from - page.headBytes} are of no page`)
    at = page.from + page.header.compressedBytes
    if (page.header.type === PAGE.DICTIONARY) {
      const stored = page as Page<DictionaryHeader>
      if (work.perCell) wrong = 'a dictionary, though each cell has a pseudonym of its own'
      entries += stored.header.values
      repeats = isRepeated(stored.header, page.from, work)
      paired = repeats
      mayBeRepeated = rangeAt(work, page.from)?.pairs !== undefined
      if (!repeats)
        dictionary = byteDictionary(
          stored,
          unpacked(stored, chunk.codec, work.scratch.output),
          seed,
          work.scratch.output,
        )
      continue
    }
    const header = page.header as DataHeader
    if (refersToDictionary(header)) positions.set(page.from, at)
    // Cells that are out of step would be wrong a million times.
    if (wrong !== undefined) continue
    const from = copiedFrom(page.from)
    if (from !== undefined && source && (dictionary || repeats)) {
      if (!paired && dictionary) wrong = await comparePairs(work, source, dictionary)
      paired = true
      wrong ??= source.copied(from)
      continue
    }
    // Its cells are compared one by one, for which the dictionary's entries are needed.
    if (repeats && refersToDictionary(header)) return readBack({ ...work, known: undefined })
    looked = true
    const cells = outputCells(
      page as Page<DataHeader>,
      leaf,
      chunk.codec,
      dictionary?.entries(),
      seed,
      work.scratch.outputCells,
    )
    if (!cells.indices) entries += cells.entries.count
    const cursor: Cursor = { page: cells, cell: 0, present: 0 }
    while (wrong === undefined && cursor.cell < cells.count) {
      const before = source ? await source.cells() : constantCells(work.constant, cells.count)
      wrong = before
        ? compareCells(before, cursor, levels, work.judge)
        : 'more cells than the input has, or in another order'
    }
  }
  // Entries that no cell refers to are in the file all the same; and other dictionaries may be said to repeat their pairs.
  if (dictionary && !paired && mayBeRepeated && source) wrong ??= await comparePairs(work, source, dictionary)
  else if (dictionary && !paired) work.checkEntries(dictionary.entries())
  if (at !== chunk.end) headers.push(`bytes ${at} to ${chunk.end} are of no page`)
  if (wrong === undefined && source?.behind) wrong = 'fewer cells than the input has'
  return { positions, headers, cells: wrong, pages, entries, spared: repeats && !looked }
}

/** By what was recorded of the page's bytes: it was made of the input's dictionary, and all its pairs stand in others. */
function isRepeated({ values, uncompressedBytes, compressedBytes }: PageHeader, from: number, work: ReplacedChunk) {
  const { known, perCell, output } = work
  const { end, pairs } = rangeAt(work, from) ?? {}
  return (
    !perCell &&
    pairs?.repeated === true &&
    pairs.known === known?.id &&
    pairs.codec === output.chunk.codec &&
    pairs.values === values &&
    pairs.uncompressedBytes === uncompressedBytes &&
    end === from + compressedBytes
  )
}

function rangeAt({ rangeFrom }: ReplacedChunk, start: number): ByteRange | undefined {
  const range = rangeFrom(start)
  return range?.start === start ? range : undefined
}

function constantCells(constant: Entries | undefined, count: number): Cursor {
  const none = { ...NO_HASHES, kind: NO_BYTES, bytes: NO_BYTES, allValues: true, count: 0 }
  return {
    page: constant
      ? { count, indices: new Int32Array(count), entries: constant }
      : { count, definition: new Uint8Array(count), entries: none },
    cell: 0,
    present: 0,
  }
}
const NO_INTS = new Int32Array(0)
const NO_HASHES = { a: NO_INTS, b: NO_INTS, from: NO_INTS, to: NO_INTS }
const NO_BYTES = new Uint8Array(0)

/** @returns what is wrong */
async function comparePairs(
  { judge }: ReplacedChunk,
  source: InputCells,
  output: Dictionary,
): Promise<string | undefined> {
  const input = await source.dictionary()
  return input ? compareDictionaries(input.entries(), output.entries(), judge) : 'a dictionary where the input has none'
}

/** Bodies that are not wanted are not fetched: headers are, one by one. */
function outputReader(work: ReplacedChunk): RangeReader {
  const { storage, output, signal, scratch, rangeFrom } = work
  const { file, chunk } = output
  // A dictionary comes first, behind its header.
  const dictionary = rangeFrom(chunk.start + 1)
  const isSpared = dictionary?.pairs?.repeated && dictionary.start < chunk.end
  const last = isSpared ? chunk.start : Math.max(chunk.start, chunk.dataPageOffset)
  const first = Math.min(chunk.end, last + FIRST_HEADER_BYTES)
  return rangeReader(storage, file.object, [[chunk.start, first]], signal, scratch.output.window)
}

function placeOf({ file, leaf, rowGroup }: ChunkSide): Place {
  return { location: file.object.location, column: leaf.path, rowGroup }
}

function pagesOf(storage: Storage, side: ChunkSide, signal: AbortSignal, memory: Window) {
  const { file, chunk } = side
  const source = rangeReader(storage, file.object, [[chunk.start, chunk.end]], signal, memory)
  return readPages(source, chunk, placeOf(side), { signal })
}

/** The cells of an input chunk. Its data pages are fetched only where the output's are not copies of them. */
class InputCells {
  readonly #work: ReplacedChunk
  readonly #side: ChunkSide
  /** Bodies that were copied, by their place in the input. */
  readonly #copied = new Set<number>()
  #pages: AsyncGenerator<Page> | undefined
  #dictionary: Dictionary | undefined
  #cursor: Cursor | undefined
  /** Where the body of the page began that was taken last: pages keep their order. */
  #last = -1

  constructor(work: ReplacedChunk, side: ChunkSide) {
    this.#work = work
    this.#side = side
  }

  async dictionary(): Promise<Dictionary | undefined> {
    const { known, storage, signal, scratch } = this.#work
    const { chunk, file, leaf, rowGroup } = this.#side
    if (this.#dictionary) return this.#dictionary
    if (known?.page) {
      const { page } = known
      return this.#take(page, page.body)
    }
    const { start, dataPageOffset, dictionaryPageOffset } = chunk
    const apart = dictionaryPageOffset === start && dataPageOffset > start
    const needed = [[start, apart ? dataPageOffset : chunk.end]] as const
    const source = rangeReader(storage, file.object, needed, signal, scratch.input.window)
    const place = { location: file.object.location, column: leaf.path, rowGroup }
    for await (const page of readPages(source, chunk, place, { signal, dictionaryOnly: apart })) {
      if (page.header.type === PAGE.DICTIONARY) this.#readDictionary(page as Page<DictionaryHeader>)
      break
    }
    return this.#dictionary
  }

  /** The output has the page whose body begins there as it is. */
  copied(from: number): string | undefined {
    const { chunk } = this.#side
    if (this.behind || from <= this.#last || from >= chunk.end) return 'pages are in another order than in the input'
    this.#last = from
    this.#copied.add(from)
    return undefined
  }

  /** A page with cells left that were not copied, or nothing where the chunk ends. */
  async cells(): Promise<Cursor | undefined> {
    if (this.#cursor && this.behind) return this.#cursor
    const { chunk, leaf } = this.#side
    const { seed, reading, scratch } = this.#work
    this.#pages ??= pagesOf(this.#work.storage, this.#side, this.#work.signal, scratch.inputCells.window)
    for (;;) {
      const { value: page, done } = await this.#pages.next()
      if (done || !page) return undefined
      if (page.header.type === PAGE.DICTIONARY) {
        if (!this.#dictionary) this.#readDictionary(page as Page<DictionaryHeader>)
        continue
      }
      if (this.#copied.has(page.from)) continue
      // A later page was copied before this one.
      if (page.from < this.#last) return undefined
      this.#last = page.from
      const entries = this.#dictionary?.entries()
      const cells = inputCells(page as Page<DataHeader>, leaf, chunk.codec, entries, reading, seed, scratch.inputCells)
      this.#cursor = { page: cells, cell: 0, present: 0 }
      if (cells.count > 0) return this.#cursor
    }
  }

  /** Whether cells of the last page have not been compared. */
  get behind(): boolean {
    return this.#cursor !== undefined && this.#cursor.cell < this.#cursor.page.count
  }

  #readDictionary(page: Page<DictionaryHeader>): void {
    this.#take(page, unpacked(page, this.#side.chunk.codec, this.#work.scratch.input))
  }

  #take(page: Page<DictionaryHeader>, plain: Uint8Array): Dictionary {
    const { reading, seed, scratch } = this.#work
    this.#dictionary = inputDictionary(page, plain, this.#side.leaf, reading, seed, scratch.input)
    return this.#dictionary
  }
}
