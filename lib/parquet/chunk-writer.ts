/** One column chunk in the making: pages out, what its footer entry must say of them in. */
import { type Codec, compress, type OutputCodec, snappyLiterals } from './codec.ts'
import { type ChunkStatistics, ENCODING, type EncodingStat, type WrittenChunk } from './footer.ts'
import { bitWidth } from './levels.ts'
import type { Sink } from './output.ts'
import { PAGE, type PageHeader, pageHeader } from './page.ts'
import type { LookedPairs } from './provenance.ts'
import { encodeRuns } from './runs.ts'
import type { LeafNode } from './schema.ts'

/** A data page before it is compressed. */
export interface PageContent {
  readonly count: number
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  readonly encoding: number
  /** The values' bytes, as `encoding` has them. No part of what is made of them. */
  readonly values: Uint8Array
  /** Pseudonyms or what is as random: see `compress`. */
  readonly random: boolean
  /** Of zstd. @default 3, as zlib has it */
  readonly level?: number
}

/** A page ready to be written: it can wait for the dictionary that stands in front of it. */
export interface EncodedPage {
  readonly header: PageHeader
  readonly body: Uint8Array
  /** Where the body stands in the input, of which it is a copy. */
  readonly from?: number
  /** Of a dictionary, where they were looked at. */
  readonly pairs?: LookedPairs
}

/** Version 1: every engine reads it, fast paths included. */
export function encodeDataPage(leaf: LeafNode, codec: OutputCodec, page: PageContent): EncodedPage {
  const parts: Uint8Array[] = []
  for (const [levels, max] of [
    [page.repetition, leaf.maxRepetitionLevel],
    [page.definition, leaf.maxDefinitionLevel],
  ] as const) {
    if (max === 0) continue
    const runs = encodeRuns(levels as Uint8Array, bitWidth(max))
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32LE(runs.length)
    parts.push(length, runs)
  }
  parts.push(page.values)
  // Literals are pieced together without being laid out first.
  const literal = codec === 'snappy' && page.random
  const body = literal ? snappyLiterals(parts) : compress(codec, Buffer.concat(parts), page.random, page.level)
  const header: PageHeader = {
    type: PAGE.DATA,
    uncompressedBytes: parts.reduce((sum, { length }) => sum + length, 0),
    compressedBytes: body.length,
    values: page.count,
    encoding: page.encoding,
    definitionEncoding: ENCODING.RLE,
    repetitionEncoding: ENCODING.RLE,
  }
  return { header, body }
}

export function encodeDictionaryPage(
  codec: OutputCodec,
  values: Uint8Array,
  entries: number,
  random: boolean,
  encoding: number = ENCODING.PLAIN,
): EncodedPage {
  return dictionaryPage(compress(codec, values, random), values.length, entries, encoding)
}

/** @param body compressed; `uncompressedBytes` is what it was before */
export function dictionaryPage(
  body: Uint8Array,
  uncompressedBytes: number,
  entries: number,
  encoding: number,
): EncodedPage {
  const sizes = { uncompressedBytes, compressedBytes: body.length }
  return { header: { type: PAGE.DICTIONARY, ...sizes, values: entries, encoding }, body }
}

export class ChunkWriter {
  readonly #out: Sink
  readonly #leaf: LeafNode
  readonly #codec: Codec
  readonly #start: number
  readonly #pages = new Map<string, EncodingStat>()
  #dictionary: number | undefined
  #data: number | undefined
  #values = 0
  #uncompressed = 0

  constructor(out: Sink, leaf: LeafNode, codec: Codec) {
    this.#out = out
    this.#leaf = leaf
    this.#codec = codec
    this.#start = out.position
  }

  async page({ header, body, from, pairs }: EncodedPage): Promise<void> {
    if (header.type === PAGE.DICTIONARY) this.#dictionary = this.#out.position
    else {
      this.#data ??= this.#out.position
      this.#values += header.values
    }
    const key = `${header.type}/${header.encoding}`
    const count = (this.#pages.get(key)?.count ?? 0) + 1
    this.#pages.set(key, { page: header.type, encoding: header.encoding, count })
    const head = pageHeader(withKnownLevels(header, this.#leaf))
    this.#uncompressed += head.length + header.uncompressedBytes
    await this.#out.write(head)
    await this.#out.write(body, from, pairs)
  }

  finish(statistics: ChunkStatistics | undefined): WrittenChunk {
    const stats = [...this.#pages.values()]
    const levels = this.#leaf.maxDefinitionLevel + this.#leaf.maxRepetitionLevel > 0 ? [ENCODING.RLE] : []
    return {
      leaf: this.#leaf,
      codec: this.#codec,
      encodings: [...new Set([...stats.map((stat) => stat.encoding), ...levels])],
      encodingStats: stats,
      values: this.#values,
      start: this.#start,
      end: this.#out.position,
      uncompressedBytes: this.#uncompressed,
      dataPageOffset: this.#data ?? this.#start,
      ...(this.#dictionary !== undefined && { dictionaryPageOffset: this.#dictionary }),
      ...(statistics && { statistics }),
    }
  }
}

/** A header says of levels that are not there how they are encoded, too; copied from one that is broken, other readers would refuse it. */
function withKnownLevels(header: PageHeader, leaf: LeafNode): PageHeader {
  if (header.type !== PAGE.DATA) return header
  return {
    ...header,
    ...(leaf.maxRepetitionLevel === 0 && { repetitionEncoding: ENCODING.RLE }),
    ...(leaf.maxDefinitionLevel === 0 && { definitionEncoding: ENCODING.RLE }),
  }
}
