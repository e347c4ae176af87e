/**
 * What a file's writer hands to its storage, seen on the way: the bytes that were made here, and the beginnings of what was copied, are held until their
 * chunk was looked at, so that it need not be read back for that.
 */
import { crc32 } from 'node:zlib'
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import { FIRST_HEADER_BYTES } from '../../../lib/parquet/page.ts'
import type { Provenance, Sample } from '../../../lib/parquet/provenance.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { ObjectWriter, Storage, StoredObject, Version } from '../../../lib/storage/storage.ts'

/** That are held at a time; a chunk of which some were not is read back. */
const MOST_BYTES = 8 << 20

/** Bytes `[start, end)` of the output, at a place of the memory. */
interface Held {
  start: number
  end: number
  at: number
}

interface Looked {
  readonly chunk: ColumnChunk
  readonly leaf: LeafNode
  readonly positions: ReadonlyMap<number, number>
}

/** A chunk that was written, and is to be looked at when all of it was handed over. */
export interface Waiting {
  readonly rowGroup: number
  /** Position of its column in the output. */
  readonly column: number
  readonly chunk: ColumnChunk
}

export class Handed {
  readonly object: StoredObject
  /** In the order of the file. */
  readonly waiting: Waiting[] = []
  /** Of what was looked at, checksums of some pieces, to be read back. */
  readonly samples: Sample[] = []
  readonly #writer: ObjectWriter
  readonly #provenance: Provenance
  readonly #every: number
  readonly #looked = new Map<number, Looked>()
  /** Chunks that one sample in so many is of. */
  #sampled = 0
  #memory = new Uint8Array(0)
  #used = 0
  #held: Held[] = []
  /** Made, and not held. */
  #lost: { readonly start: number; readonly end: number }[] = []
  #position = 0
  /** The first of the recorded ranges that bytes to come may be of. */
  #range = 0

  /** @param every of so many chunks that were looked at, one is sampled */
  constructor(location: string, writer: ObjectWriter, provenance: Provenance, every: number) {
    this.#writer = writer
    this.#provenance = provenance
    this.#every = every
    this.object = { location, bytes: Number.MAX_SAFE_INTEGER, version: 'handed' as Version, modified: 0 }
  }

  /** Bytes so far: what is in front of this was handed over. */
  get position(): number {
    return this.#position
  }

  /** The storage's writer, seen. */
  get writer(): ObjectWriter {
    const writer = this.#writer
    const see = (bytes: Uint8Array) => this.#see(bytes)
    const pass = (bytes: number) => {
      this.#position += bytes
    }
    return {
      get bytes() {
        return writer.bytes
      },
      write(bytes) {
        see(bytes)
        return writer.write(bytes)
      },
      get copying() {
        const { copying } = writer
        return (
          copying && {
            leastBytes: copying.leastBytes,
            leadBytes: copying.leadBytes,
            async copy(source: StoredObject, start: number, end: number) {
              const copied = await copying.copy(source, start, end)
              if (copied) pass(end - start)
              return copied
            },
          }
        )
      },
      close: () => writer.close(),
      abort: () => writer.abort(),
    }
  }

  /** Whether all that was made of a chunk was handed over, and is held. */
  holds({ start, end }: Pick<ColumnChunk, 'start' | 'end'>): boolean {
    return end <= this.#position && !this.#lost.some((lost) => lost.start < end && lost.end > start)
  }

  /** A storage in which the held bytes are the object, for as long as they are held. */
  over(storage: Storage): Storage {
    return {
      ...storage,
      reads: (location) => (location === this.object.location ? undefined : storage.reads?.(location)),
      read: async (location, options = {}) => {
        if (location !== this.object.location) return storage.read(location, options)
        const { start = 0, end = 0 } = options
        const piece = this.#held.find((held) => held.start <= start && start < held.end)
        // What ends too early is said to be corrupt by who reads it.
        return piece ? this.#bytes(piece).subarray(start - piece.start, end - piece.start) : new Uint8Array(0)
      },
    }
  }

  /**
   * A chunk was looked at: by what the rewriting says of it, which the footer must say too.
   * @param spared nothing of it but headers: provenance has samples of what else was made
   */
  looked(chunk: ColumnChunk, leaf: LeafNode, positions: ReadonlyMap<number, number>, spared: boolean): void {
    const isSampled = this.#every === 1 || (!spared && this.#sampled++ % this.#every === 0)
    if (isSampled)
      for (const held of this.#held) {
        const [start, end] = [Math.max(held.start, chunk.start), Math.min(held.end, chunk.end)]
        if (start >= end) continue
        const bytes = this.#bytes(held).subarray(start - held.start, end - held.start)
        this.samples.push({ start, end, crc: crc32(bytes) })
      }
    this.#looked.set(chunk.start, { chunk, leaf, positions })
  }

  /** What is in front of `end` is not needed any more. */
  release(end: number): void {
    const cut = Math.min(end, this.#position)
    this.#lost = this.#lost.filter((lost) => lost.end > cut)
    this.#held = this.#held.filter((held) => held.end > cut)
    const first = this.#held[0]
    if (first && first.start < cut) {
      first.at += cut - first.start
      first.start = cut
    }
    if (!first) this.#used = 0
    else if (first.at > this.#memory.length >> 1) {
      this.#memory.copyWithin(0, first.at, this.#used)
      this.#used -= first.at
      const shift = first.at
      for (const held of this.#held) held.at -= shift
    }
  }

  /** Where pages of positions are, if the chunk that the footer has there is the one that was looked at; else nothing. */
  found(chunk: ColumnChunk, leaf?: LeafNode): ReadonlyMap<number, number> | undefined {
    const looked = this.#looked.get(chunk.start)
    if (!looked || !isSame(looked.chunk, chunk)) return undefined
    return leaf && !isSameLeaf(looked.leaf, leaf) ? undefined : looked.positions
  }

  /** How many chunks were looked at. */
  get chunks(): number {
    return this.#looked.size
  }

  #bytes({ start, end, at }: Held): Uint8Array {
    return this.#memory.subarray(at, at + end - start)
  }

  #see(bytes: Uint8Array): void {
    const from = this.#position
    const to = from + bytes.length
    this.#position = to
    const { ranges } = this.#provenance
    for (; this.#range < ranges.length; this.#range++) {
      const range = ranges[this.#range] as (typeof ranges)[number]
      if (range.start >= to) return
      // Of what need not be read only the beginning: the header of a page is asked for with some bytes behind it.
      const isRead = range.from === undefined && !range.pairs?.repeated
      const last = isRead ? range.end : Math.min(range.end, range.start + FIRST_HEADER_BYTES)
      const [start, end] = [Math.max(from, range.start), Math.min(to, last)]
      if (start < end) this.#hold(bytes.subarray(start - from, end - from), start, end)
      if (range.end > to) return
      // It may yet become longer.
      if (this.#range === ranges.length - 1) return
    }
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    if (this.#used + bytes.length > MOST_BYTES) {
      this.#lost.push({ start, end })
      return
    }
    if (this.#used + bytes.length > this.#memory.length) {
      const longer = new Uint8Array(Math.min(MOST_BYTES, 2 * (this.#used + bytes.length)))
      longer.set(this.#memory.subarray(0, this.#used))
      this.#memory = longer
    }
    this.#memory.set(bytes, this.#used)
    const last = this.#held.at(-1)
    if (last?.end === start && last.at + last.end - last.start === this.#used) last.end = end
    else this.#held.push({ start, end, at: this.#used })
    this.#used += bytes.length
  }
}

function isSame(a: ColumnChunk, b: ColumnChunk): boolean {
  return (
    a.start === b.start &&
    a.end === b.end &&
    a.values === b.values &&
    a.codec === b.codec &&
    a.dataPageOffset === b.dataPageOffset &&
    a.dictionaryPageOffset === b.dictionaryPageOffset
  )
}

function isSameLeaf(a: LeafNode, b: LeafNode): boolean {
  return (
    a.physical === b.physical &&
    a.maxDefinitionLevel === b.maxDefinitionLevel &&
    a.maxRepetitionLevel === b.maxRepetitionLevel &&
    a.path.length === b.path.length &&
    a.path.every((name, i) => name === b.path[i])
  )
}
