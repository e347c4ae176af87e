/**
 * Executes what a plan says of one chunk.
 *
 * No byte of a protected chunk reaches the output but the bodies of pages that hold levels and positions in its dictionary.
 */
import { PseudolakeError } from '../core/errors.ts'
import { pick, rowsOf, slices, withNulls } from './cells.ts'
import { ChunkWriter, type EncodedPage, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import { compress, decompress } from './codec.ts'
import { decodeData, decodeDictionary, type RawValues } from './decode.ts'
import { plainPages, plainStringPages, plainStrings, plainValuePages, StringEncoder } from './encode.ts'
import { isOutputEncoding } from './encodings.ts'
import { type ChunkStatistics, type ColumnChunk, ENCODING, type WrittenChunk } from './footer.ts'
import { bitWidth, encodeHybrid } from './levels.ts'
import type { Output } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, type PageHeader, readPages } from './page.ts'
import { corrupt, failure, guarded, type Place } from './place.ts'
import type { PlannedChunk } from './plan.ts'
import { type RangeReader, WINDOW_BYTES } from './ranges.ts'
import { isDictionaryEncoded } from './scan.ts'
import type { LeafNode } from './schema.ts'
import { canonicalTexts } from './text.ts'
import { NotWidened, type OutputType, widen, widenedBytes } from './types.ts'

/** Rows in a page of a constant. */
const CONSTANT_ROWS = 1 << 20

/**
 * Maps texts of a column, never null or empty ones; equal ones once per call, unless every cell stands alone.
 * @returns one for each, same order; null only where the treatment says `nullable`
 */
export type Replace = (
  column: LeafNode,
  texts: readonly string[],
  where: { readonly rowGroup: number },
) => Promise<readonly (string | null)[]>

export interface ChunkTask {
  readonly location: string
  readonly source: RangeReader
  readonly out: Output
  readonly column: OutputColumn
  readonly planned: PlannedChunk
  /** Position in the input. */
  readonly rowGroup: number
  readonly rows: number
  /** Missing for a constant. */
  readonly chunk?: ColumnChunk
  readonly replace: Replace
  readonly signal?: AbortSignal
}

/** Writes one chunk of the output. @throws as `rewrite` does */
export function rewriteChunk(task: ChunkTask): Promise<WrittenChunk> {
  return new ChunkWork(task).run()
}

class ChunkWork {
  readonly #task: ChunkTask
  readonly #place: Place
  /** Nulls counted so far; undefined once a page was copied that does not say. */
  #nulls: number | undefined = 0

  constructor(task: ChunkTask) {
    const { location, column, rowGroup } = task
    this.#task = task
    this.#place = { location, column: (column.source ?? column.leaf).path, rowGroup }
  }

  async run(): Promise<WrittenChunk> {
    const { action, codec } = this.#task.planned
    const { leaf, source: input, widening } = this.#task.column
    const target = new ChunkWriter(this.#task.out, leaf, codec)
    if (action === 'constant') return this.#constant(target)
    const chunk = this.#task.chunk
    if (!chunk || !input) throw new PseudolakeError('internal/bug', 'a plan without an input for a chunk')
    if (action === 'copy') return this.#copy(chunk)
    if (action === 'recompress' || action === 'reencode') {
      if (action === 'recompress') await this.#recompress(target, chunk)
      else await this.#reencode(target, chunk, input)
      return target.finish(chunk.statistics)
    }
    if (widening) await this.#widenPages(target, chunk, input)
    else if (action === 'swap-dictionary') await this.#swapPages(target, chunk, input)
    else await this.#transcode(target, chunk, input)
    return target.finish(this.#countsOnly(chunk))
  }

  /** Counts tell nothing of a value; everything else of the statistics does. */
  #countsOnly(chunk: ColumnChunk): ChunkStatistics | undefined {
    const nulls = this.#nulls ?? chunk.statistics?.nulls
    return nulls === undefined ? undefined : { nulls }
  }

  async #copy(chunk: ColumnChunk): Promise<WrittenChunk> {
    const start = this.#task.out.position
    for (let at = chunk.start; at < chunk.end; at += WINDOW_BYTES) {
      this.#task.signal?.throwIfAborted()
      await this.#task.out.write(await this.#task.source.read(at, Math.min(chunk.end, at + WINDOW_BYTES)), at)
    }
    const shift = start - chunk.start
    const { dictionaryPageOffset, ...kept } = chunk
    return {
      ...kept,
      leaf: this.#task.column.leaf,
      start,
      end: this.#task.out.position,
      dataPageOffset: chunk.dataPageOffset + shift,
      ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + shift }),
    }
  }

  #pages(chunk: ColumnChunk): AsyncGenerator<Page> {
    return readPages(this.#task.source, chunk, this.#place, this.#task.signal)
  }

  async #recompress(target: ChunkWriter, chunk: ColumnChunk): Promise<void> {
    for await (const page of this.#pages(chunk)) await target.page(this.#recompressed(page, chunk))
  }

  async #reencode(target: ChunkWriter, chunk: ColumnChunk, input: LeafNode): Promise<void> {
    const { column, planned } = this.#task
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY || isOutputEncoding(page.header.encoding)) {
        await target.page(this.#recompressed(page, chunk))
        continue
      }
      const decoded = decodeData(page as Page<DataHeader>, input, chunk.codec, undefined)
      for (const plain of plainValuePages(column.leaf, planned.codec, decoded)) await target.page(plain)
    }
  }

  /** The page with its content as it is, in the output's codec. */
  #recompressed(page: Page, chunk: ColumnChunk): EncodedPage {
    const { header, body } = page
    const { codec } = this.#task.planned
    if (codec === chunk.codec) return page
    const { crc: _crc, ...rest } = header
    const levels = header.type === PAGE.DATA_V2 ? header.definitionBytes + header.repetitionBytes : 0
    const compressed = header.type !== PAGE.DATA_V2 || header.compressed
    const content = guarded(page.place, 'the page', () =>
      decompress(compressed ? chunk.codec : 'none', body.subarray(levels), header.uncompressedBytes - levels),
    )
    const packed = compressed ? compress(codec, content) : content
    const whole = levels === 0 ? packed : Buffer.concat([body.subarray(0, levels), packed])
    return { header: { ...rest, compressedBytes: whole.length } as PageHeader, body: whole }
  }

  /** Copies the body of a page that refers to the dictionary, under a header of its own. */
  async #keepIndices(target: ChunkWriter, page: Page, chunk: ColumnChunk, dictionarySize: number | undefined) {
    if (dictionarySize === undefined) throw corrupt(page.place, 'its values are in a dictionary, and there is none')
    const { header } = page
    if (header.type === PAGE.DATA_V2) this.#count(header.nulls)
    else if (this.#task.column.leaf.maxDefinitionLevel > 0) this.#nulls = undefined
    await target.page(this.#recompressed(page, chunk))
  }

  /**
   * The body of a page of a protected column, once it is proven to hold nothing but levels and positions in the dictionary: a header
   * can say so of a page that holds values. What else is in it, behind the last run say, stays behind.
   */
  async #keepProven(
    target: ChunkWriter,
    page: Page<DataHeader>,
    chunk: ColumnChunk,
    entries: number | undefined,
  ): Promise<void> {
    const { column, planned } = this.#task
    const decoded = decodeData(page, column.source as LeafNode, chunk.codec, entries)
    const { indices = new Int32Array(0), count, repetition, definition, tight } = decoded
    this.#count(count - indices.length)
    if (tight) return target.page(this.#recompressed(page, chunk))
    const width = bitWidth(Math.max(0, (entries ?? 0) - 1))
    const values = Uint8Array.from([width, ...encodeHybrid(indices, width)])
    await target.page(
      encodeDataPage(column.leaf, planned.codec, {
        count,
        ...(repetition && { repetition }),
        ...(definition && { definition }),
        encoding: page.header.encoding,
        values,
        random: false,
      }),
    )
  }

  #count(nulls: number): void {
    if (this.#nulls !== undefined) this.#nulls += nulls
  }

  async #widenPages(target: ChunkWriter, chunk: ColumnChunk, input: LeafNode): Promise<void> {
    const { leaf } = this.#task.column
    const { codec } = this.#task.planned
    const size = widenedBytes(leaf)
    let entries: number | undefined
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, input, chunk.codec)
        entries = values.length
        const bytes = this.#widened(values, input, leaf, page.place)
        await target.page(encodeDictionaryPage(codec, bytes, entries, false, page.header.encoding))
      } else if (isDictionaryEncoded(page.header.encoding)) await this.#keepIndices(target, page, chunk, entries)
      else {
        const decoded = decodeData(page as Page<DataHeader>, input, chunk.codec, entries)
        const values = decoded.values ?? []
        this.#count(decoded.count - values.length)
        const bytes = this.#widened(values, input, leaf, page.place)
        const cut = (from: number, to: number) => bytes.subarray(from * size, to * size)
        for (const plain of plainPages(leaf, codec, decoded, () => size, cut, false)) await target.page(plain)
      }
    }
  }

  #widened(values: RawValues, input: LeafNode, to: OutputType, place: Place): Uint8Array {
    const { widening } = this.#task.column
    if (!widening) throw new PseudolakeError('internal/bug', 'a widening without its name')
    try {
      return widen(widening, input, to, values)
    } catch (error) {
      if (!(error instanceof NotWidened)) throw error
      const type = input.logical?.type ?? input.physical
      throw failure('input/unsupported', place, `value ${error.index} of the page (${type}) ${error.message}`, {
        index: error.index,
        type,
      })
    }
  }

  async #swapPages(target: ChunkWriter, chunk: ColumnChunk, input: LeafNode): Promise<void> {
    const { leaf } = this.#task.column
    const { codec } = this.#task.planned
    let entries: number | undefined
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, input, chunk.codec)
        entries = values.length
        const mapped = await this.#mapStrings(canonicalTexts(values, input, page.place))
        await target.page(encodeDictionaryPage(codec, plainStrings(mapped), entries, true, page.header.encoding))
      } else if (isDictionaryEncoded(page.header.encoding))
        await this.#keepProven(target, page as Page<DataHeader>, chunk, entries)
      else {
        const decoded = decodeData(page as Page<DataHeader>, input, chunk.codec, entries)
        const texts = canonicalTexts(decoded.values ?? [], input, page.place)
        this.#count(decoded.count - texts.length)
        const cells = { ...decoded, present: await this.#mapStrings(texts) }
        for (const plain of plainStringPages(leaf, codec, cells)) await target.page(plain)
      }
    }
  }

  async #transcode(target: ChunkWriter, chunk: ColumnChunk, input: LeafNode): Promise<void> {
    const { leaf, perCell } = this.#task.column
    const encoder = new StringEncoder(target, leaf, this.#task.planned.codec, !perCell)
    let texts: string[] | undefined
    let mapped: (string | null)[] | undefined
    let rows = 0
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY) {
        texts = canonicalTexts(decodeDictionary(page as Page<DictionaryHeader>, input, chunk.codec), input, page.place)
        if (!perCell) mapped = await this.#map(texts)
        continue
      }
      const decoded = decodeData(page as Page<DataHeader>, input, chunk.codec, texts?.length)
      const { indices, values = [] } = decoded
      rows += rowsOf(decoded)
      for (const slice of slices(decoded, input.maxDefinitionLevel)) {
        const [from, to] = slice.present
        let cells: (string | null)[]
        if (indices && mapped) cells = pick(mapped, indices, from, to)
        else if (indices) cells = await this.#map(pick(texts ?? [], indices, from, to))
        else cells = await this.#map(canonicalTexts(values, input, page.place, from, to))
        const out = withNulls(slice, cells, input.maxDefinitionLevel, leaf.maxDefinitionLevel)
        this.#count(out.count - out.present.length)
        await encoder.add(out)
      }
    }
    if (rows !== this.#task.rows) throw corrupt(this.#place, `has ${rows} rows of ${this.#task.rows}`)
    await encoder.finish()
  }

  async #mapStrings(texts: readonly string[]): Promise<string[]> {
    const mapped = await this.#map(texts)
    for (const value of mapped)
      if (value === null)
        throw new PseudolakeError('internal/bug', 'a null for a value of a column that is not nullable')
    return mapped as string[]
  }

  /** Same order and length; the empty string is never sent: it stays, or is null where the treatment says so. */
  async #map(texts: readonly string[]): Promise<(string | null)[]> {
    const { source, perCell, nullable, emptyIsNull } = this.#task.column
    const empty = emptyIsNull ? null : ''
    const asked: string[] = []
    const positions = new Int32Array(texts.length)
    const known = new Map<string, number>()
    for (const [i, text] of texts.entries()) {
      let position = text === '' ? -1 : perCell ? undefined : known.get(text)
      if (position === undefined) {
        position = asked.length
        asked.push(text)
        if (!perCell) known.set(text, position)
      }
      positions[i] = position
    }
    if (asked.length === 0) return texts.map(() => empty)
    const answers = await this.#task.replace(source as LeafNode, asked, { rowGroup: this.#task.rowGroup })
    // Fails closed: a value that got no answer must not be taken for one that has none.
    if (answers.length !== asked.length)
      throw new PseudolakeError('internal/bug', 'replace answered another number of values')
    for (const answer of answers)
      if (typeof answer !== 'string' && !(answer === null && nullable))
        throw new PseudolakeError('internal/bug', 'replace answered something that is no string')
    return Array.from(positions, (position) => (position < 0 ? empty : (answers[position] as string | null)))
  }

  async #constant(target: ChunkWriter): Promise<WrittenChunk> {
    const { leaf, constant = null, replaced } = this.#task.column
    const { codec } = this.#task.planned
    const { rows } = this.#task
    if (constant !== null) await target.page(encodeDictionaryPage(codec, plainStrings([constant]), 1, true))
    for (let written = 0; written < rows; written += CONSTANT_ROWS) {
      const count = Math.min(CONSTANT_ROWS, rows - written)
      const definition = new Uint8Array(count).fill(constant === null ? 0 : 1)
      // One bit for each position, and all of them are 0: one run, however many rows there are.
      const positions = constant === null ? new Uint8Array(0) : [1, ...encodeHybrid(new Uint8Array(count), 1)]
      await target.page(
        encodeDataPage(leaf, codec, {
          count,
          definition,
          encoding: constant === null ? ENCODING.PLAIN : ENCODING.RLE_DICTIONARY,
          values: Uint8Array.from(positions),
          random: false,
        }),
      )
    }
    if (constant === null) return target.finish({ nulls: rows })
    const bound = Buffer.from(constant)
    return target.finish(replaced ? { nulls: 0 } : { nulls: 0, min: bound, max: bound })
  }
}
