/** Values to pages. (parquet-format, Encodings.md.) */
import { type ChunkWriter, type EncodedPage, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import type { OutputCodec } from './codec.ts'
import type { DecodedPage, RawValues } from './decode.ts'
import { ENCODING } from './footer.ts'
import { bitWidth, encodeHybrid } from './levels.ts'
import type { LeafNode } from './schema.ts'

/** Page and dictionary sizes that readers expect; both before compression. */
const PAGE_BYTES = 1 << 20
const DICTIONARY_BYTES = 1 << 20
/** Values in a page whose values are indices: those are so small that bytes alone would allow millions. */
const PAGE_VALUES = 1 << 17
/** Pages that wait for their dictionary. What is beyond is written without one, so that memory stays bounded. */
const WAITING_BYTES = 32 << 20

/** Levels of consecutive values, and the values that are present among them. */
export interface Cells {
  readonly count: number
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  readonly present: readonly string[]
}

/** Byte arrays in PLAIN encoding: a length of four bytes, little-endian, in front of each. */
export function plainStrings(values: readonly string[], from = 0, to: number = values.length): Buffer {
  let size = 0
  for (let i = from; i < to; i++) size += 4 + Buffer.byteLength(values[i] as string)
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (let i = from; i < to; i++) {
    const length = out.write(values[i] as string, at + 4)
    out.writeUInt32LE(length, at)
    at += 4 + length
  }
  return out
}

/**
 * Cuts cells into pieces that fit in a page, between rows: an index over pages counts on rows that don't span two.
 * @param size bytes of the i-th present value
 * @returns for each piece its ends: in levels, and in present values
 */
export function cutPages(
  cells: Omit<Cells, 'present'>,
  maxDefinitionLevel: number,
  size: (present: number) => number,
): { level: number; present: number }[] {
  const cuts: { level: number; present: number }[] = []
  let bytes = 0
  let present = 0
  let values = 0
  for (let i = 0; i < cells.count; i++) {
    const startsRow = !cells.repetition || cells.repetition[i] === 0
    if (startsRow && values > 0 && (bytes >= PAGE_BYTES || values >= PAGE_VALUES)) {
      cuts.push({ level: i, present })
      bytes = 0
      values = 0
    }
    values++
    if (!cells.definition || cells.definition[i] === maxDefinitionLevel) bytes += size(present++)
  }
  if (values > 0) cuts.push({ level: cells.count, present })
  return cuts
}

/** Pages in PLAIN encoding. @param bytes of the present values `[from, to)` */
export function* plainPages(
  leaf: LeafNode,
  codec: OutputCodec,
  cells: Omit<Cells, 'present'>,
  size: (present: number) => number,
  bytes: (from: number, to: number) => Uint8Array,
  random: boolean,
): Generator<EncodedPage> {
  let level = 0
  let present = 0
  for (const cut of cutPages(cells, leaf.maxDefinitionLevel, size)) {
    yield encodeDataPage(leaf, codec, {
      ...levelsOf(cells, level, cut.level),
      encoding: ENCODING.PLAIN,
      values: bytes(present, cut.present),
      random,
    })
    level = cut.level
    present = cut.present
  }
}

function levelsOf({ repetition, definition }: Omit<Cells, 'present'>, from: number, to: number) {
  return {
    count: to - from,
    ...(repetition && { repetition: repetition.subarray(from, to) }),
    ...(definition && { definition: definition.subarray(from, to) }),
  }
}

export function plainStringPages(leaf: LeafNode, codec: OutputCodec, cells: Cells): Generator<EncodedPage> {
  const { present } = cells
  return plainPages(
    leaf,
    codec,
    cells,
    (i) => 4 + (present[i] as string).length,
    (from, to) => plainStrings(present, from, to),
    true,
  )
}

/** A decoded page in PLAIN encoding: the same levels, every value bit by bit. */
export function plainValuePages(leaf: LeafNode, codec: OutputCodec, page: DecodedPage): Generator<EncodedPage> {
  const { values = [] } = page
  return plainPages(
    leaf,
    codec,
    page,
    values[0] instanceof Uint8Array ? (i) => 4 + (values[i] as Uint8Array).length : () => 8,
    (from, to) => plainValues(leaf, values, from, to),
    false,
  )
}

function plainValues({ physical }: LeafNode, values: RawValues, from: number, to: number): Uint8Array {
  // Their memory and not their numbers: the bits of a NaN need not survive being one of JavaScript's.
  if (ArrayBuffer.isView(values)) {
    const { buffer, byteOffset, byteLength } = values.subarray(from, to)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  if (physical === 'BOOLEAN') {
    const out = new Uint8Array(Math.ceil((to - from) / 8))
    for (let i = from; i < to; i++)
      if (values[i]) out[(i - from) >> 3] = (out[(i - from) >> 3] as number) | (1 << ((i - from) & 7))
    return out
  }
  const cut = values.slice(from, to) as Uint8Array[]
  return physical === 'BYTE_ARRAY' ? plainByteArrays(cut) : Buffer.concat(cut)
}

function plainByteArrays(values: readonly Uint8Array[]): Uint8Array {
  const out = Buffer.allocUnsafe(values.reduce((size, value) => size + 4 + value.length, 0))
  let at = 0
  for (const value of values) {
    at = out.writeUInt32LE(value.length, at)
    out.set(value, at)
    at += value.length
  }
  return out
}

/**
 * Writes the strings of a chunk, in a dictionary while one pays: until it is a megabyte, or holds more than half as many entries as
 * there are values. The rest is PLAIN.
 */
export class StringEncoder {
  readonly #chunk: ChunkWriter
  readonly #leaf: LeafNode
  readonly #codec: OutputCodec
  readonly #entries: string[] = []
  readonly #positions = new Map<string, number>()
  #entryBytes = 0
  #waiting: EncodedPage[] | undefined
  #waitingBytes = 0

  /** @param dictionary false where every cell stands alone: equal pseudonyms must not be told apart from different ones */
  constructor(chunk: ChunkWriter, leaf: LeafNode, codec: OutputCodec, dictionary: boolean) {
    this.#chunk = chunk
    this.#leaf = leaf
    this.#codec = codec
    this.#waiting = dictionary ? [] : undefined
  }

  async add(cells: Cells): Promise<void> {
    const page = this.#waiting && this.#dictionaryPage(cells)
    if (page && this.#waiting) {
      this.#waiting.push(page)
      this.#waitingBytes += page.body.length
      if (this.#waitingBytes > WAITING_BYTES) await this.#flush()
      return
    }
    await this.#flush()
    for (const plain of plainStringPages(this.#leaf, this.#codec, cells)) await this.#chunk.page(plain)
  }

  async finish(): Promise<void> {
    await this.#flush()
  }

  async #flush(): Promise<void> {
    const pages = this.#waiting ?? []
    this.#waiting = undefined
    if (pages.length > 0)
      await this.#chunk.page(encodeDictionaryPage(this.#codec, plainStrings(this.#entries), this.#entries.length, true))
    for (const page of pages) await this.#chunk.page(page)
  }

  #dictionaryPage(cells: Cells): EncodedPage | undefined {
    const before = this.#entries.length
    const bytesBefore = this.#entryBytes
    const indices = new Int32Array(cells.present.length)
    for (const [i, value] of cells.present.entries()) {
      let position = this.#positions.get(value)
      if (position === undefined) {
        position = this.#entries.length
        this.#positions.set(value, position)
        this.#entries.push(value)
        this.#entryBytes += 4 + Buffer.byteLength(value)
      }
      indices[i] = position
    }
    const added = this.#entries.length - before
    if (this.#entryBytes > DICTIONARY_BYTES || added * 2 > cells.present.length) {
      for (const value of this.#entries.splice(before)) this.#positions.delete(value)
      this.#entryBytes = bytesBefore
      return undefined
    }
    const width = Math.max(1, bitWidth(Math.max(0, this.#entries.length - 1)))
    const runs = encodeHybrid(indices, width)
    const values = Buffer.concat([Uint8Array.of(width), runs])
    return encodeDataPage(this.#leaf, this.#codec, {
      ...levelsOf(cells, 0, cells.count),
      encoding: ENCODING.RLE_DICTIONARY,
      values,
      random: false,
    })
  }
}
