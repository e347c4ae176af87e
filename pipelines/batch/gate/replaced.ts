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
import type { Pairs } from './pairs.ts'

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
  /** Pairs that were found right before, where a value has one pseudonym. */
  readonly pairs: Pairs | undefined
  /** The input's dictionary as it was looked up a moment ago. */
  readonly known: Known | undefined
  /** Called with an output's dictionary of which not each entry was paired. */
  readonly checkEntries: (dictionary: Entries) => void
  /** Called for pages that stand in a file with the input's own bytes. */
  readonly copiedFrom: (start: number) => number | undefined
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
  let held: Pairs | undefined
  let paired = false
  let at = chunk.start
  let pages = 0
  let entries = 0
  let wrong: string | undefined
  // Of a page that was copied only the header is looked at.
  const wanted = (header: PageHeader, from: number) =>
    header.type === PAGE.DICTIONARY || !source || work.copiedFrom(from) === undefined
  for await (const page of readPages(outputReader(work), chunk, placeOf(output), { signal: work.signal, wanted })) {
    pages++
    const problem = checkPageHeader(page.fields)
    if (problem !== undefined) headers.push(problem)
    if (page.from - page.headBytes !== at) headers.push(`bytes ${at} to ${page.from - page.headBytes} are of no page`)
    at = page.from + page.header.compressedBytes
    if (page.header.type === PAGE.DICTIONARY) {
      const stored = page as Page<DictionaryHeader>
      if (work.perCell) wrong = 'a dictionary, though each cell has a pseudonym of its own'
      held = work.pairs?.hold(stored, chunk.codec, work.known) ? work.pairs : undefined
      dictionary = outputDictionary(work, stored, held)
      entries += dictionary.count
      continue
    }
    const header = page.header as DataHeader
    if (refersToDictionary(header)) positions.set(page.from, at)
    // Cells that are out of step would be wrong a million times.
    if (wrong !== undefined) continue
    const from = work.copiedFrom(page.from)
    if (from !== undefined && source && dictionary) {
      if (!paired) wrong = await comparePairs(work, source, dictionary, held)
      paired = true
      wrong ??= source.copied(from)
      continue
    }
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
  // Entries that no cell refers to are in the file all the same.
  if (dictionary && !paired) work.checkEntries(dictionary.entries())
  if (at !== chunk.end) headers.push(`bytes ${at} to ${chunk.end} are of no page`)
  if (wrong === undefined && source?.behind) wrong = 'fewer cells than the input has'
  return { positions, headers, cells: wrong, pages, entries }
}

/** @param held where pairs are remembered: the page is uncompressed there, and comes out only if it must be hashed */
function outputDictionary(
  { output, seed, scratch }: ReplacedChunk,
  page: Page<DictionaryHeader>,
  held: Pairs | undefined,
): Dictionary {
  if (!held) return byteDictionary(page, unpacked(page, output.chunk.codec, scratch.output), seed, scratch.output)
  let plain: Uint8Array | undefined
  const copied = () => {
    plain ??= scratch.output.copy(held.held)
    return plain
  }
  return byteDictionary(page, copied, seed, scratch.output)
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

/**
 * What is known of the pairs need not be looked at again, nor hashed, and the input's dictionary not be read again.
 * @param held where the output's dictionary is
 * @returns what is wrong
 */
async function comparePairs(
  { known, judge }: ReplacedChunk,
  source: InputCells,
  output: Dictionary,
  held: Pairs | undefined,
): Promise<string | undefined> {
  const values = known?.slots.length === output.count ? known : undefined
  if (held && values && guardedRange(() => held.areKnown(values))) return undefined
  const input = await source.dictionary()
  if (!input) return 'a dictionary where the input has none'
  const wrong = compareDictionaries(input.entries(), output.entries(), judge)
  if (wrong === undefined && values) held?.remember(values)
  return wrong
}

/** Bytes that end too early are looked at the long way, which says where. */
function guardedRange<R>(work: () => R): R | undefined {
  try {
    return work()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

/** Bodies that are not wanted are not fetched: headers are, one by one. */
function outputReader({ storage, output, signal, scratch, pairs, known }: ReplacedChunk): RangeReader {
  const { file, chunk } = output
  const first = Math.min(chunk.end, Math.max(chunk.start, chunk.dataPageOffset) + FIRST_HEADER_BYTES)
  const { window } = scratch.output
  // A dictionary comes first: it is read to where it is looked through. What comes later must not stand there.
  let table = pairs
  const room = (bytes: number) => {
    const memory = table?.room(bytes, known) ?? window.room(bytes)
    table = undefined
    return memory
  }
  return rangeReader(storage, file.object, [[chunk.start, first]], signal, { room })
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
      return this.#take(page, () => page.body)
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

  #take(page: Page<DictionaryHeader>, plain: () => Uint8Array): Dictionary {
    const { reading, seed, scratch } = this.#work
    this.#dictionary = inputDictionary(page, plain, this.#side.leaf, reading, seed, scratch.input)
    return this.#dictionary
  }
}
