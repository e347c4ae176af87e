/** Replacements of a chunk's values to pages: in a dictionary while one pays, else PLAIN. */
import { type ChunkWriter, type EncodedPage, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import type { OutputCodec } from './codec.ts'
import { levelsOf, plainPages } from './encode.ts'
import { ENCODING } from './footer.ts'
import { encodePositions } from './positions.ts'
import type { Replacement } from './replacement.ts'
import type { LeafNode } from './schema.ts'
import type { SlotCells } from './slot-cells.ts'

/** Dictionary size that readers expect, before compression. */
const DICTIONARY_BYTES = 1 << 20
/** Pages that wait for their dictionary. What is beyond is written without one, so that memory stays bounded. */
const WAITING_BYTES = 32 << 20

export function plainSlotPages(
  leaf: LeafNode,
  codec: OutputCodec,
  cells: SlotCells,
  replacement: Replacement,
): Generator<EncodedPage> {
  const { slots } = cells
  const bytes = (from: number, to: number) => replacement.emitted(slots.subarray(from, to))
  return plainPages(leaf, codec, cells, (i) => 4 + replacement.lengthOf(slots[i] as number), bytes, true)
}

/** A dictionary pays until it is a megabyte, or a page adds more than half as many entries as it has values. The rest is PLAIN. */
export class SlotEncoder {
  readonly #chunk: ChunkWriter
  readonly #leaf: LeafNode
  readonly #codec: OutputCodec
  readonly #replacement: Replacement
  #entries = new Int32Array(1 << 10)
  #count = 0
  /** By number of the value: its position in the dictionary, plus one. */
  #positions = new Int32Array(1 << 12)
  #entryBytes = 0
  #waiting: EncodedPage[] | undefined = []
  #waitingBytes = 0

  constructor(chunk: ChunkWriter, leaf: LeafNode, codec: OutputCodec, replacement: Replacement) {
    this.#chunk = chunk
    this.#leaf = leaf
    this.#codec = codec
    this.#replacement = replacement
  }

  async add(cells: SlotCells): Promise<void> {
    const page = this.#waiting && this.#dictionaryPage(cells)
    if (page && this.#waiting) {
      this.#waiting.push(page)
      this.#waitingBytes += page.body.length
      if (this.#waitingBytes > WAITING_BYTES) await this.flush()
      return
    }
    await this.flush()
    for (const plain of plainSlotPages(this.#leaf, this.#codec, cells, this.#replacement)) await this.#chunk.page(plain)
  }

  /** Writes what waits. The numbers of values that were added are not needed afterwards; what follows is PLAIN. */
  async flush(): Promise<void> {
    const pages = this.#waiting ?? []
    this.#waiting = undefined
    if (pages.length === 0) return
    const entries = this.#entries.subarray(0, this.#count)
    const bytes = Buffer.allocUnsafe(this.#replacement.sizeOf(entries))
    this.#replacement.emit(entries, bytes)
    await this.#chunk.page(encodeDictionaryPage(this.#codec, bytes, this.#count, true))
    for (const page of pages) await this.#chunk.page(page)
  }

  #dictionaryPage(cells: SlotCells): EncodedPage | undefined {
    const { slots } = cells
    const before = this.#count
    const bytesBefore = this.#entryBytes
    const indices = new Int32Array(slots.length)
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i] as number
      let position = this.#positions[slot] ?? 0
      if (position === 0) position = this.#add(slot)
      indices[i] = position - 1
    }
    if (this.#entryBytes > DICTIONARY_BYTES || (this.#count - before) * 2 > slots.length) {
      for (let i = before; i < this.#count; i++) this.#positions[this.#entries[i] as number] = 0
      this.#count = before
      this.#entryBytes = bytesBefore
      return undefined
    }
    return encodeDataPage(this.#leaf, this.#codec, {
      ...levelsOf(cells, 0, cells.count),
      encoding: ENCODING.RLE_DICTIONARY,
      values: encodePositions(indices, this.#count),
      random: false,
    })
  }

  #add(slot: number): number {
    if (slot >= this.#positions.length) this.#positions = longer(this.#positions, slot + 1)
    if (this.#count === this.#entries.length) this.#entries = longer(this.#entries, this.#count + 1)
    this.#entries[this.#count++] = slot
    this.#entryBytes += 4 + this.#replacement.lengthOf(slot)
    this.#positions[slot] = this.#count
    return this.#count
  }
}

function longer(array: Int32Array<ArrayBuffer>, least: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(Math.max(least, 2 * array.length))
  out.set(array)
  return out
}
