/** Looks for the run's originals in columns that were copied: an identifier may stand in a second column that nobody thought of. */
import { type ColumnChunk, ENCODING } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from '../../../lib/parquet/page.ts'
import { rangeReader } from '../../../lib/parquet/ranges.ts'
import { readingAhead } from '../../../lib/parquet/reading-ahead.ts'
import { allInDictionary } from '../../../lib/parquet/scan.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { Finding } from './check.ts'
import {
  byteDictionary,
  type CellPage,
  type Entries,
  isLong,
  outputCells,
  refersToDictionary,
  type Scratch,
  unpacked,
} from './entries.ts'
import type { HashTable } from './hash-table.ts'

/** Of the bytes of chunks that do without a dictionary, the share that is looked at. */
const SAMPLE_SHARE = 1 / 50
/** Pages of a chunk among which the sampled one is chosen in turn. */
const SAMPLE_PAGES = 4

export interface Looked {
  readonly path: readonly string[]
  /** Cells that are not null and were looked at; an entry of a dictionary counts as one where its cells were not. */
  readonly cells: number
  readonly matches: number
}

/** @param maxRatio of matches to the cells looked at, in each column */
export function checkMatches(columns: readonly Looked[], maxRatio: number): Finding[] {
  return columns.flatMap(({ path, cells, matches }) =>
    matches > cells * maxRatio
      ? [
          {
            column: path,
            message: `${matches} of ${cells} cells looked at are values of replaced columns; gate.max_match_ratio is ${maxRatio}`,
          },
        ]
      : [],
  )
}

/** That may be under way of a column, where answers are late. */
const AHEAD_BYTES = 8 << 20

function isApart({ start, dictionaryPageOffset, dataPageOffset }: ColumnChunk): boolean {
  return dictionaryPageOffset === start && dataPageOffset > start
}

/** Where a chunk's dictionary is; old writers do not say where it ends: then it is the first page. */
function dictionaryRange(chunk: ColumnChunk): [start: number, end: number][] {
  const { start, end, encodings, dataPageOffset } = chunk
  if (isApart(chunk)) return [[start, dataPageOffset]]
  return encodings.includes(ENCODING.PLAIN_DICTIONARY) || encodings.includes(ENCODING.RLE_DICTIONARY)
    ? [[start, end]]
    : []
}

export interface CopiedOptions {
  readonly storage: Storage
  readonly originals: HashTable
  /** Of the hashes of the originals. */
  readonly seed: number
  /** Every cell. */
  readonly full: boolean
  /** For one dictionary, and one data page, after the other. */
  readonly scratch: Record<'output' | 'outputCells', Scratch>
  readonly signal: AbortSignal
}

/** One copied column over the files of a step. */
export class CopiedColumn {
  readonly path: readonly string[]
  cells = 0
  matches = 0
  /** Of dictionaries. */
  entries = 0
  pages = 0
  chunks = 0
  /** Whether every cell was looked at. */
  complete = true
  readonly #options: CopiedOptions
  #found = new Int32Array(0)
  #plainBytes = 0
  #sampledBytes = 0
  #samples = 0

  constructor(path: readonly string[], options: CopiedOptions) {
    this.path = path
    this.#options = options
  }

  async look(file: ParquetFile, leaf: LeafNode): Promise<void> {
    const { storage, signal } = this.#options
    const chunks = file.rowGroups.map(({ columns }) => columns[leaf.column])
    const ranges = chunks.flatMap((chunk) => (chunk && chunk.values > 0 ? dictionaryRange(chunk) : []))
    const ahead = readingAhead(storage, [{ object: file.object, ranges }], { bytes: AHEAD_BYTES, signal })
    for (const [rowGroup, chunk] of chunks.entries())
      if (chunk && chunk.values > 0) await this.#chunk(ahead, file, leaf, rowGroup, chunk)
  }

  async #chunk(
    storage: Storage,
    file: ParquetFile,
    leaf: LeafNode,
    rowGroup: number,
    chunk: ColumnChunk,
  ): Promise<void> {
    const { signal, seed, full, scratch } = this.#options
    this.chunks++
    const covered = allInDictionary(chunk)
    const nulls = leaf.maxDefinitionLevel === 0 ? 0 : chunk.statistics?.nulls
    const place = { location: file.object.location, column: leaf.path, rowGroup }
    const dictionary = await this.#dictionary(storage, file, leaf, rowGroup, chunk)
    let all = full
    if (dictionary) {
      this.entries += dictionary.count
      const found = this.#matching(dictionary)
      // What a match weighs, only the cells that refer to it can tell.
      if (found) all = true
      else if (!all) {
        if (covered && nulls !== undefined) this.cells += chunk.values - nulls
        else this.cells += dictionary.count
      }
    }
    if (!all && covered && dictionary) return
    if (!all && !this.#samplesNow(chunk)) {
      this.complete = false
      return
    }
    const skip = all ? 0 : this.#samples % SAMPLE_PAGES
    const source = rangeReader(storage, file.object, [[chunk.start, chunk.end]], signal)
    let last: Page<DataHeader> | undefined
    let seen = 0
    for await (const page of readPages(source, chunk, place, { signal })) {
      if (page.header.type === PAGE.DICTIONARY) continue
      const data = page as Page<DataHeader>
      if (all) this.#count(outputCells(data, leaf, chunk.codec, dictionary, seed, scratch.outputCells), dictionary)
      else if (!refersToDictionary(data.header)) {
        last = data
        if (seen++ === skip) break
      }
    }
    if (all) return
    if (!last) {
      // All of its pages refer to the dictionary, though the footer does not say so.
      this.#sampledBytes += chunk.end - chunk.start
      if (dictionary && nulls !== undefined) this.cells += chunk.values - nulls - dictionary.count
      return
    }
    this.complete = false
    this.#sampledBytes += last.body.length
    this.#samples++
    this.#count(outputCells(last, leaf, chunk.codec, dictionary, seed, scratch.outputCells), undefined)
  }

  async #dictionary(
    storage: Storage,
    file: ParquetFile,
    leaf: LeafNode,
    rowGroup: number,
    chunk: ColumnChunk,
  ): Promise<Entries | undefined> {
    const { signal, seed, scratch } = this.#options
    const ranges = dictionaryRange(chunk)
    if (ranges.length === 0) return undefined
    const apart = isApart(chunk)
    const source = rangeReader(storage, file.object, ranges, signal)
    const place = { location: file.object.location, column: leaf.path, rowGroup }
    for await (const page of readPages(source, chunk, place, { signal, dictionaryOnly: apart })) {
      if (page.header.type !== PAGE.DICTIONARY) return undefined
      const dictionary = page as Page<DictionaryHeader>
      const plain = unpacked(dictionary, chunk.codec, scratch.output)
      return byteDictionary(dictionary, plain, seed, scratch.output).entries()
    }
    return undefined
  }

  /** Spread over the column: a chunk is looked into when what was sampled is less than its share of what went by. */
  #samplesNow(chunk: ColumnChunk): boolean {
    this.#plainBytes += chunk.end - chunk.start
    return this.#sampledBytes === 0 || this.#sampledBytes < this.#plainBytes * SAMPLE_SHARE
  }

  #count({ indices, entries }: CellPage, dictionary: Entries | undefined): void {
    this.pages++
    const matching = this.#matching(entries)
    const cells = indices && dictionary ? indices.length : entries.count
    this.cells += cells
    if (!matching) return
    if (indices && dictionary) for (const index of indices) this.matches += matching[index] as number
    else for (const one of matching) this.matches += one
  }

  /** 1 for each entry that is an original; undefined where none is. */
  #matching(entries: Entries): Uint8Array | undefined {
    const { originals } = this.#options
    const { count } = entries
    if (this.#found.length < count) this.#found = new Int32Array(count)
    let matching: Uint8Array | undefined
    for (const i of this.#found.subarray(0, originals.present(entries, count, this.#found))) {
      if (!isLong(entries, i)) continue
      matching ??= new Uint8Array(count)
      matching[i] = 1
    }
    return matching
  }
}
