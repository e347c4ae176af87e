/** A column of values of a fixed width that come from elsewhere, as pages in PLAIN encoding. */
import { ChunkWriter, type EncodedPage, encodeDataPage } from './chunk-writer.ts'
import { type ChunkStatistics, ENCODING, type WrittenChunk } from './footer.ts'
import type { Sink } from './output.ts'
import { plainBytes, plainWidth } from './plain.ts'
import type { LeafNode } from './schema.ts'

/** As fast as Snappy, and smaller. */
const LEVEL = 1
/** What a page that waits takes beside its bytes. */
const PAGE_OVERHEAD = 512

/** A column of a batch of rows. */
export interface ValueColumn {
  /** Values that are not null, one behind the other, little-endian; a boolean is a byte. */
  readonly plain: Uint8Array
  readonly present: number
  /** One for each row, or element where the leaf is in a list: the leaf's highest level where there is a value. */
  readonly definition: Uint8Array
  /** Of a leaf in a list: one for each of `definition`, 0 where a row begins. */
  readonly repetition?: Uint8Array
}

export class ValueChunk {
  readonly #leaf: LeafNode
  readonly #pages: EncodedPage[] = []
  readonly #bounds: ((plain: Uint8Array) => void) | undefined
  #least: number | bigint | undefined
  #most: number | bigint | undefined
  #values = 0
  #present = 0
  bytes = 0

  constructor(leaf: LeafNode) {
    this.#leaf = leaf
    this.#bounds = this.#boundsOf(leaf)
  }

  /** A batch becomes a page. */
  add({ plain, present, definition, repetition }: ValueColumn): void {
    this.#values += definition.length
    this.#present += present
    this.#bounds?.(plain)
    const { physical } = this.#leaf
    const values =
      physical === 'BOOLEAN'
        ? plainBytes(
            this.#leaf,
            Array.from(plain, (byte) => byte === 1),
            0,
            present,
          )
        : plain
    const page = encodeDataPage(this.#leaf, 'zstd', {
      count: definition.length,
      definition,
      ...(repetition && { repetition }),
      encoding: ENCODING.PLAIN,
      values,
      random: false,
      level: LEVEL,
    })
    // zlib gives a part of a larger buffer, all of which would wait with it.
    const body = page.body.buffer.byteLength > 2 * page.body.length ? new Uint8Array(page.body) : page.body
    this.#pages.push({ ...page, body })
    this.bytes += body.length + PAGE_OVERHEAD
  }

  async finish(out: Sink): Promise<WrittenChunk> {
    const chunk = new ChunkWriter(out, this.#leaf, 'zstd')
    for (const page of this.#pages) await chunk.page(page)
    return chunk.finish(this.#statistics())
  }

  #statistics(): ChunkStatistics {
    const nulls = this.#values - this.#present
    if (this.#least === undefined || this.#most === undefined) return { nulls }
    return { nulls, min: this.#bytesOf(this.#least), max: this.#bytesOf(this.#most) }
  }

  #bytesOf(value: number | bigint): Uint8Array {
    const out = Buffer.alloc(plainWidth(this.#leaf))
    if (typeof value === 'bigint') out.writeBigInt64LE(value)
    else out.writeInt32LE(value)
    return out
  }

  /** Of integers, which times and most decimals are too; of others nobody would look for them. */
  #boundsOf({ physical }: LeafNode): ((plain: Uint8Array) => void) | undefined {
    if (physical !== 'INT64' && physical !== 'INT32') return undefined
    return (plain) => {
      const { buffer } = plain.byteOffset % 8 === 0 ? plain : new Uint8Array(plain)
      const at = buffer === plain.buffer ? plain.byteOffset : 0
      const values =
        physical === 'INT64'
          ? new BigInt64Array(buffer, at, plain.length / 8)
          : new Int32Array(buffer, at, plain.length / 4)
      for (const value of values) {
        if (this.#least === undefined || value < this.#least) this.#least = value
        if (this.#most === undefined || value > this.#most) this.#most = value
      }
    }
  }
}
