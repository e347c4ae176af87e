/**
 * Executes a plan (plan.ts), one chunk after the other, in memory for a few pages: a file is never held whole.
 *
 * No byte of a protected chunk reaches the output but the bodies of pages that hold levels and positions in its dictionary.
 */
import { PseudolakeError } from '../core/errors.ts'
import type { ObjectWriter, Storage } from '../storage/storage.ts'
import { ChunkWriter, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import { compress, decompress } from './codec.ts'
import { decodeData, decodeDictionary, type RawValues } from './decode.ts'
import { type Cells, plainPages, plainStringPages, plainStrings, StringEncoder } from './encode.ts'
import {
  type ChunkStatistics,
  type ColumnChunk,
  ENCODING,
  MAGIC,
  serializeFooter,
  type WrittenChunk,
  type WrittenRowGroup,
} from './footer.ts'
import type { ParquetFile } from './open.ts'
import { Output } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, type PageHeader, readPages } from './page.ts'
import { corrupt, failure, guarded, type Place } from './place.ts'
import type { PlannedChunk, RewritePlan } from './plan.ts'
import { type RangeReader, rangeReader, WINDOW_BYTES } from './ranges.ts'
import { isDictionaryEncoded } from './scan.ts'
import type { LeafNode } from './schema.ts'
import { summarize } from './summary.ts'
import { canonicalTexts } from './text.ts'
import { NotWidened, type OutputType, widen, widenedBytes } from './types.ts'
import type { WrittenFile } from './written.ts'

/** Cells of a page that are mapped in one call where each stands alone. */
const SLICE_CELLS = 1 << 16

/**
 * Maps texts of a column, never null or empty ones; equal ones once per call, unless every cell stands alone.
 * @returns one for each, same order; null only where the treatment says `nullable`
 */
export type Replace = (
  column: LeafNode,
  texts: readonly string[],
  where: { readonly rowGroup: number },
) => Promise<readonly (string | null)[]>

export interface RewriteOptions {
  readonly storage: Storage
  readonly file: ParquetFile
  /** A new one. It is closed at the end, and aborted on a failure. */
  readonly writer: ObjectWriter
  readonly replace: Replace
  /** As parquet-format wants it: `application version X (build Y)`. */
  readonly createdBy: string
  readonly signal?: AbortSignal
  /** After each row group. Bytes are those of the input's chunks that were read. */
  readonly onProgress?: (done: { readonly rows: number; readonly bytes: number }) => void
}

/**
 * @throws PseudolakeError `input/corrupt`, `input/value-invalid`, `input/unsupported` (a value that a wider type cannot hold),
 * `storage/*`, and whatever `replace` throws; the signal's reason when aborted
 */
export async function rewrite(plan: RewritePlan, options: RewriteOptions): Promise<WrittenFile> {
  const { file, writer, signal, onProgress } = options
  try {
    checkPlan(plan, file)
    const needed = plan.rowGroups.flatMap((group) => group.chunks.flatMap((chunk) => (chunk.from ? [chunk.from] : [])))
    const source = rangeReader(options.storage, file.object, needed, signal)
    const out = new Output(writer)
    await out.write(MAGIC)

    const rowGroups: WrittenRowGroup[] = []
    let rows = 0
    let bytes = 0
    for (const group of plan.rowGroups) {
      const chunks: WrittenChunk[] = []
      for (const [i, planned] of group.chunks.entries()) {
        signal?.throwIfAborted()
        const column = plan.columns[i] as OutputColumn
        const chunk = column.source && file.rowGroups[group.index]?.columns[column.source.column]
        const work = new ChunkWork(options, source, out, column, planned, group.index, group.rows, chunk)
        chunks.push(await work.run())
        bytes += chunk ? chunk.end - chunk.start : 0
      }
      rowGroups.push({ rows: group.rows, chunks })
      rows += group.rows
      onProgress?.({ rows, bytes })
    }
    await out.write(serializeFooter(plan.root, rowGroups, options.createdBy))
    await out.flush()
    const stored = await writer.close()
    return summarize(stored, plan, rowGroups)
  } catch (error) {
    await writer.abort()
    throw error
  }
}

function checkPlan(plan: RewritePlan, file: ParquetFile): void {
  const { location, version, bytes } = file.object
  if (plan.input.location !== location || plan.input.version !== version || plan.input.bytes !== bytes)
    throw new PseudolakeError('storage/changed', `${location} is not the version that the plan was made for`, {
      location,
    })
}

class ChunkWork {
  readonly #options: RewriteOptions
  readonly #source: RangeReader
  readonly #out: Output
  readonly #column: OutputColumn
  readonly #planned: PlannedChunk
  readonly #rowGroup: number
  readonly #rows: number
  readonly #chunk: ColumnChunk | undefined
  readonly #place: Place
  /** Nulls counted so far; undefined once a page was copied that does not say. */
  #nulls: number | undefined = 0

  constructor(
    options: RewriteOptions,
    source: RangeReader,
    out: Output,
    column: OutputColumn,
    planned: PlannedChunk,
    rowGroup: number,
    rows: number,
    chunk: ColumnChunk | undefined,
  ) {
    this.#options = options
    this.#source = source
    this.#out = out
    this.#column = column
    this.#planned = planned
    this.#rowGroup = rowGroup
    this.#rows = rows
    this.#chunk = chunk
    this.#place = {
      location: options.file.object.location,
      column: (column.source ?? column.leaf).path,
      rowGroup,
    }
  }

  async run(): Promise<WrittenChunk> {
    const { action, codec } = this.#planned
    const { leaf, source: input, widening } = this.#column
    const target = new ChunkWriter(this.#out, leaf, codec)
    if (action === 'constant') return this.#constant(target)
    const chunk = this.#chunk
    if (!chunk || !input) throw new PseudolakeError('internal/bug', 'a plan without an input for a chunk')
    if (action === 'copy') return this.#copy(chunk)
    if (action === 'recompress') {
      await this.#recompress(target, chunk)
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
    const start = this.#out.position
    for (let at = chunk.start; at < chunk.end; at += WINDOW_BYTES) {
      this.#options.signal?.throwIfAborted()
      await this.#out.write(await this.#source.read(at, Math.min(chunk.end, at + WINDOW_BYTES)))
    }
    const shift = start - chunk.start
    const { dictionaryPageOffset, ...kept } = chunk
    return {
      ...kept,
      leaf: this.#column.leaf,
      start,
      end: this.#out.position,
      dataPageOffset: chunk.dataPageOffset + shift,
      ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + shift }),
    }
  }

  #pages(chunk: ColumnChunk): AsyncGenerator<Page> {
    return readPages(this.#source, chunk, this.#place, this.#options.signal)
  }

  async #recompress(target: ChunkWriter, chunk: ColumnChunk): Promise<void> {
    for await (const page of this.#pages(chunk)) await target.page(this.#recompressed(page, chunk))
  }

  /** The page with its content as it is, in the output's codec. */
  #recompressed(page: Page, chunk: ColumnChunk): { header: PageHeader; body: Uint8Array } {
    const { header, body } = page
    const { codec } = this.#planned
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
    else if (this.#column.leaf.maxDefinitionLevel > 0) this.#nulls = undefined
    await target.page(this.#recompressed(page, chunk))
  }

  #count(nulls: number): void {
    if (this.#nulls !== undefined) this.#nulls += nulls
  }

  async #widenPages(target: ChunkWriter, chunk: ColumnChunk, input: LeafNode): Promise<void> {
    const { leaf } = this.#column
    const { codec } = this.#planned
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
    const { widening } = this.#column
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
    const { leaf } = this.#column
    const { codec } = this.#planned
    let entries: number | undefined
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, input, chunk.codec)
        entries = values.length
        const mapped = await this.#mapStrings(canonicalTexts(values, input, page.place))
        await target.page(encodeDictionaryPage(codec, plainStrings(mapped), entries, true, page.header.encoding))
      } else if (isDictionaryEncoded(page.header.encoding)) await this.#keepIndices(target, page, chunk, entries)
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
    const { leaf, perCell } = this.#column
    const encoder = new StringEncoder(target, leaf, this.#planned.codec, !perCell)
    let texts: string[] | undefined
    let mapped: (string | null)[] | undefined
    for await (const page of this.#pages(chunk)) {
      if (page.header.type === PAGE.DICTIONARY) {
        texts = canonicalTexts(decodeDictionary(page as Page<DictionaryHeader>, input, chunk.codec), input, page.place)
        if (!perCell) mapped = await this.#map(texts)
        continue
      }
      const decoded = decodeData(page as Page<DataHeader>, input, chunk.codec, texts?.length)
      const { indices, values = [] } = decoded
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
    await encoder.finish()
  }

  async #mapStrings(texts: readonly string[]): Promise<string[]> {
    const mapped = await this.#map(texts)
    for (const value of mapped)
      if (value === null)
        throw new PseudolakeError('internal/bug', 'a null for a value of a column that is not nullable')
    return mapped as string[]
  }

  /** Same order and length; the empty string stays, and is never sent. */
  async #map(texts: readonly string[]): Promise<(string | null)[]> {
    const { source, perCell, nullable } = this.#column
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
    if (asked.length === 0) return texts.map(() => '')
    const answers = await this.#options.replace(source as LeafNode, asked, { rowGroup: this.#rowGroup })
    // Fails closed: a value that got no answer must not be taken for one that has none.
    if (answers.length !== asked.length)
      throw new PseudolakeError('internal/bug', 'replace answered another number of values')
    for (const answer of answers)
      if (typeof answer !== 'string' && !(answer === null && nullable))
        throw new PseudolakeError('internal/bug', 'replace answered something that is no string')
    return Array.from(positions, (position) => (position < 0 ? '' : (answers[position] as string | null)))
  }

  async #constant(target: ChunkWriter): Promise<WrittenChunk> {
    const { leaf, constant = null, replaced } = this.#column
    const { codec } = this.#planned
    const count = this.#rows
    // One run of levels and one of indices, however many rows there are.
    const definition = new Uint8Array(count).fill(constant === null ? 0 : 1)
    if (constant === null) {
      await target.page(
        encodeDataPage(leaf, codec, {
          count,
          definition,
          encoding: ENCODING.PLAIN,
          values: new Uint8Array(0),
          random: false,
        }),
      )
      return target.finish({ nulls: count })
    }
    await target.page(encodeDictionaryPage(codec, plainStrings([constant]), 1, true))
    const run: number[] = []
    for (let n = count * 2; ; n = Math.floor(n / 128)) {
      if (n < 128) {
        run.push(n)
        break
      }
      run.push((n % 128) | 128)
    }
    const values = Uint8Array.of(1, ...run, 0)
    await target.page(
      encodeDataPage(leaf, codec, { count, definition, encoding: ENCODING.RLE_DICTIONARY, values, random: false }),
    )
    const bound = Buffer.from(constant)
    return target.finish(replaced ? { nulls: 0 } : { nulls: 0, min: bound, max: bound })
  }
}

interface Slice extends Omit<Cells, 'present'> {
  readonly present: readonly [from: number, to: number]
}

/** Cuts a page between rows, so that few cells are strings at a time. */
function* slices(page: Omit<Cells, 'present'>, maxDefinitionLevel: number): Generator<Slice> {
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

function pick<V>(values: readonly V[], indices: Int32Array, from: number, to: number): V[] {
  const out = new Array<V>(to - from)
  for (let i = from; i < to; i++) out[i - from] = values[indices[i] as number] as V
  return out
}

/** Lowers the definition level of cells that became null; raises that of the others where a required leaf became optional. */
function withNulls(slice: Slice, cells: readonly (string | null)[], from: number, to: number): Cells {
  const { count, repetition } = slice
  const base = { count, ...(repetition && { repetition }) }
  if (to === from && !cells.includes(null))
    return { ...base, ...(slice.definition && { definition: slice.definition }), present: cells as string[] }
  const definition = new Uint8Array(count)
  let cell = 0
  for (let i = 0; i < count; i++) {
    const level = slice.definition ? (slice.definition[i] as number) : 0
    if (level < from) definition[i] = level
    else definition[i] = cells[cell++] === null ? to - 1 : to
  }
  return { ...base, definition, present: cells.filter((value) => value !== null) }
}
