/** A column of strings that come from elsewhere, as pages: in a dictionary while one pays, else PLAIN. */
import { ChunkWriter, type EncodedPage, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import type { OutputCodec } from './codec.ts'
import { type ChunkStatistics, ENCODING, type WrittenChunk } from './footer.ts'
import type { Sink } from './output.ts'
import { encodePositions } from './positions.ts'
import type { LeafNode } from './schema.ts'
import { ValueTable } from './value-table.ts'
import { newEngine } from './wasm/engine.ts'

/** Page and dictionary size that readers expect, before compression. */
const PAGE_BYTES = 1 << 20
/** What a page that waits takes beside its bytes. */
const PAGE_OVERHEAD = 512
const DICTIONARY_BYTES = 1 << 20
/** As fast as Snappy, and half as large on times and names. */
const LEVEL = 1
/** For a look-up: there is a table for each column. */
const ROOM = { in: 256 << 10, out: 1 << 10, count: 1 << 14 }
/** Values after which a dictionary is given up: soon where nearly each was new, later where half of them were. */
const ENOUGH = { nearlyAll: 1 << 13, half: 1 << 16 }
const NEARLY_ALL = 0.9
/** Longer bounds serve nobody. */
const BOUND_BYTES = 256

/** A column of a batch of rows. */
export interface TextColumn {
  /** Values that are not null, in PLAIN encoding: four bytes of length in front of each. */
  readonly plain: Uint8Array
  readonly present: number
  /** One for each row, or element where the leaf is in a list: the leaf's highest level where there is a value. */
  readonly definition: Uint8Array
  /** Of a leaf in a list: one for each of `definition`, 0 where a row begins. */
  readonly repetition?: Uint8Array
  /** Bytes of the longest value. */
  readonly longest: number
}

/** A table of a column's values, kept from one row group to the next. */
export function textTable(): ValueTable {
  return new ValueTable(DICTIONARY_BYTES, newEngine(ROOM))
}

export class TextChunk {
  readonly #leaf: LeafNode
  readonly #codec: OutputCodec
  readonly #bounds: Bounds | undefined
  readonly #pages: EncodedPage[] = []
  readonly #table: ValueTable | undefined
  /** Values of the dictionary, and their bytes; the table may hold more. */
  #entries = 0
  #entryBytes = 0
  #plainPages = false
  #rows = 0
  #present = 0
  bytes = 0

  /**
   * @param codec `snappy` for values that will be replaced: they are stored as they are
   * @param table for the dictionary; without one all is PLAIN
   * @param bounds whether least and greatest value are wanted
   */
  constructor(leaf: LeafNode, codec: OutputCodec, table: ValueTable | undefined, bounds: boolean) {
    this.#leaf = leaf
    this.#codec = codec
    this.#table = table
    table?.clear()
    this.#bounds = bounds ? new Bounds() : undefined
  }

  add(column: TextColumn): void {
    this.#rows += column.definition.length
    this.#present += column.present
    if (this.#plainPages || !this.#table || !this.#dictionaryPage(column, this.#table)) {
      this.#plainPages = true
      this.#plain(column)
    }
  }

  async finish(out: Sink): Promise<WrittenChunk> {
    const chunk = new ChunkWriter(out, this.#leaf, this.#codec)
    if (this.#entries > 0) {
      const values = this.#dictionary()
      this.#bounds?.look(values, this.#entries)
      await chunk.page(encodeDictionaryPage(this.#codec, values, this.#entries, this.#codec === 'snappy'))
    }
    for (const page of this.#pages) await chunk.page(page)
    return chunk.finish(this.#statistics())
  }

  #statistics(): ChunkStatistics {
    const nulls = this.#rows - this.#present
    return { nulls, ...this.#bounds?.found }
  }

  /** @returns false where a dictionary does not pay */
  #dictionaryPage({ plain, present, longest, ...levels }: TextColumn, table: ValueTable): boolean {
    if (longest + 4 > ROOM.in) return false
    const slots = new Int32Array(present)
    let seen = 0
    for (let at = 0; seen < present; ) {
      const found = table.find(plain.subarray(at), present - seen, 0)
      slots.set(found.slots, seen)
      seen += found.count
      at += found.bytes
      // Of all that came until now, for a page has few or many as it happens: what is drawn from a thousand values is new at first, too.
      if (isForNothing(table.size, this.#present - present + seen)) return false
      if (table.bytes > 8 * DICTIONARY_BYTES) return false
    }
    let bytes = this.#entryBytes
    for (let slot = this.#entries; slot < table.size; slot++) bytes += 4 + table.key(slot).length
    if (bytes > DICTIONARY_BYTES) return false
    this.#entries = table.size
    this.#entryBytes = bytes
    const values = present === 0 ? new Uint8Array(0) : encodePositions(slots, this.#entries)
    const encoding = present === 0 && this.#entries === 0 ? ENCODING.PLAIN : ENCODING.RLE_DICTIONARY
    // A page without a value needs no bit width, but some readers look for one.
    this.#page(levels, encoding, present === 0 && encoding !== ENCODING.PLAIN ? Uint8Array.of(1) : values, false)
    return true
  }

  #dictionary(): Buffer {
    const table = this.#table as ValueTable
    const out = Buffer.allocUnsafe(this.#entryBytes)
    let at = 0
    for (let slot = 0; slot < this.#entries; slot++) {
      const key = table.key(slot)
      at = out.writeUInt32LE(key.length, at)
      out.set(key, at)
      at += key.length
    }
    return out
  }

  #plain({ plain, present, ...levels }: TextColumn): void {
    this.#bounds?.look(plain, present)
    const { definition, repetition } = levels
    const { maxDefinitionLevel } = this.#leaf
    const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
    let [from, at, row] = [0, 0, 0]
    for (let i = 0; i < definition.length; i++) {
      if (definition[i] !== maxDefinitionLevel) continue
      at += 4 + view.getUint32(at, true)
      // A row does not span two pages.
      if (at - from < PAGE_BYTES || (repetition?.[i + 1] ?? 0) > 0) continue
      this.#page(cut(levels, row, i + 1), ENCODING.PLAIN, plain.subarray(from, at), this.#codec === 'snappy')
      from = at
      row = i + 1
    }
    if (row < definition.length)
      this.#page(cut(levels, row), ENCODING.PLAIN, plain.subarray(from, at), this.#codec === 'snappy')
  }

  #page({ definition, repetition }: Levels, encoding: number, values: Uint8Array, random: boolean): void {
    const page = encodeDataPage(this.#leaf, this.#codec, {
      count: definition.length,
      definition,
      ...(repetition && { repetition }),
      encoding,
      values,
      random: random || this.#codec === 'snappy',
      level: LEVEL,
    })
    // zlib gives a part of a larger buffer, all of which would wait with it.
    const body = page.body.buffer.byteLength > 2 * page.body.length ? new Uint8Array(page.body) : page.body
    this.#pages.push({ ...page, body })
    this.bytes += body.length + PAGE_OVERHEAD
  }
}

type Levels = Pick<TextColumn, 'definition' | 'repetition'>

function cut({ definition, repetition }: Levels, from: number, to?: number): Levels {
  return { definition: definition.subarray(from, to), ...(repetition && { repetition: repetition.subarray(from, to) }) }
}

/** @param different of `values` until now */
function isForNothing(different: number, values: number): boolean {
  if (values >= ENOUGH.half) return different * 2 > values
  return values >= ENOUGH.nearlyAll && different > NEARLY_ALL * values
}

/** Least and greatest of values in PLAIN encoding, in the order of their bytes. */
class Bounds {
  #min: Uint8Array | undefined
  #max: Uint8Array | undefined
  #tooLong = false

  get found(): { readonly min: Uint8Array; readonly max: Uint8Array } | undefined {
    return this.#min && this.#max && !this.#tooLong ? { min: this.#min, max: this.#max } : undefined
  }

  look(plain: Uint8Array, count: number): void {
    if (this.#tooLong) return
    const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
    // Where they are until the end: of times that go up, each value would be copied for the greatest.
    let [min, from, to] = [this.#min, 0, this.#min?.length ?? 0]
    let [max, first, last] = [this.#max, 0, this.#max?.length ?? 0]
    for (let i = 0, at = 0; i < count; i++) {
      const start = at + 4
      at = start + view.getUint32(at, true)
      if (!min || less(plain, start, at, min, from, to)) {
        min = plain
        from = start
        to = at
      }
      if (!max || less(max, first, last, plain, start, at)) {
        max = plain
        first = start
        last = at
      }
    }
    if (min && min !== this.#min) this.#min = this.#bound(min, from, to)
    if (max && max !== this.#max) this.#max = this.#bound(max, first, last)
  }

  #bound(plain: Uint8Array, from: number, to: number): Uint8Array {
    if (to - from > BOUND_BYTES) this.#tooLong = true
    return Uint8Array.prototype.slice.call(plain, from, Math.min(to, from + BOUND_BYTES + 1))
  }
}

/** Whether bytes `[a, aEnd)` of one are in front of bytes `[b, bEnd)` of the other. */
function less(one: Uint8Array, a: number, aEnd: number, other: Uint8Array, b: number, bEnd: number): boolean {
  const n = Math.min(aEnd - a, bEnd - b)
  for (let i = 0; i < n; i++) {
    const difference = (one[a + i] as number) - (other[b + i] as number)
    if (difference !== 0) return difference < 0
  }
  return aEnd - a < bEnd - b
}
