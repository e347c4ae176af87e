/**
 * Where each byte of a file that is being written comes from: out of the input as it is, or made here. Recorded at the one place that
 * writes, so that somebody else can hold it against the plan and the file.
 */
import { crc32 } from 'node:zlib'
import type { Codec } from './codec.ts'
import type { Attempt } from './pair-table.ts'

/** Bytes `[start, end)` of the output. */
export interface ByteRange {
  readonly start: number
  readonly end: number
  /** Where they stand in the input; missing for bytes that were made here. */
  readonly from?: number
  /** They are the body of a dictionary page; missing where its pairs were not looked at. */
  readonly pairs?: LookedPairs
}

/** Of a dictionary page whose pairs of a value and what takes its place were looked at as it was made (pair-table.ts). */
export interface LookedPairs {
  /** Each stood in a page that was looked at before: whoever has found those right need not look at this one. */
  readonly repeated: boolean
  /** The id of the values that were looked up (gather.ts). */
  readonly known: number
  readonly codec: Codec
  readonly values: number
  readonly uncompressedBytes: number
}

/** Of a piece of the output, to be read back. */
export interface Sample {
  readonly start: number
  readonly end: number
  /** CRC-32 of the bytes as they were handed over; of copied ones, as the input had them. */
  readonly crc: number
}

/** Of what the storage copies by itself, what counts as one piece. */
const PIECE_BYTES = 4 << 20
/** Of a piece that is sampled: what goes wrong with a copy goes on to its end, and the checksum costs more than the copy. */
export const SAMPLE_BYTES = 1 << 17
/** Of the golden ratio: samples are looked at here and there in their pieces. */
const STRIDE = 0x9e3779b1

/** One piece in so many. */
class Samples {
  readonly list: Sample[] = []
  readonly #every: number
  #pieces = 0

  constructor(every: number) {
    this.#every = every
  }

  /** @returns what is wanted of the next piece; all of it where each is sampled */
  next(length: number): [start: number, end: number] | undefined {
    if (this.#pieces++ % this.#every !== 0) return undefined
    if (this.#every === 1 || length <= SAMPLE_BYTES) return [0, length]
    const start = (Math.imul(this.#pieces, STRIDE) >>> 0) % (length - SAMPLE_BYTES)
    return [start, start + SAMPLE_BYTES]
  }

  add(start: number, bytes: Uint8Array): void {
    this.list.push({ start, end: start + bytes.length, crc: crc32(bytes) })
  }

  piece(start: number, bytes: Uint8Array): void {
    const wanted = this.next(bytes.length)
    if (wanted) this.add(start + wanted[0], bytes.subarray(...wanted))
  }
}

export class Provenance {
  /** Passed when somebody has held the file against this. */
  readonly attempt: Attempt = { passed: false }
  readonly #every: number
  readonly #ranges: { start: number; end: number; from?: number; pairs?: LookedPairs }[] = []
  readonly #copied: Samples
  readonly #repeated: Samples
  #copiedBytes = 0

  /** @param every how many pieces that are not looked at again there are to one whose checksum is kept; 1 for all */
  constructor(every: number) {
    this.#every = every
    this.#copied = new Samples(every)
    this.#repeated = new Samples(every)
  }

  /** In the order of the output, each as long as it can be. */
  get ranges(): readonly ByteRange[] {
    return this.#ranges
  }

  /** The first range that begins there or behind. */
  from(start: number): ByteRange | undefined {
    let [low, high] = [0, this.#ranges.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ranges[middle] as ByteRange).start < start) low = middle + 1
      else high = middle
    }
    return this.#ranges[low]
  }

  /** Of what was copied. */
  get samples(): readonly Sample[] {
    return this.#copied.list
  }

  /** Of dictionaries that repeat pairs. */
  get repeatedSamples(): readonly Sample[] {
    return this.#repeated.list
  }

  get copiedBytes(): number {
    return this.#copiedBytes
  }

  /** Whether samples are kept, and not all. */
  get sampled(): boolean {
    return this.#every > 1
  }

  /** Bytes that go to `start` of the output; `from` is given where they are the input's own, and `pairs` where those of a dictionary were looked at. */
  add(start: number, bytes: Uint8Array, from: number | undefined, pairs?: LookedPairs): void {
    if (bytes.length === 0) return
    if (from !== undefined) {
      this.#copiedBytes += bytes.length
      this.#copied.piece(start, bytes)
    } else if (pairs?.repeated) this.#repeated.piece(start, bytes)
    this.#range(start, start + bytes.length, from, pairs)
  }

  /**
   * Bytes that the storage copies by itself.
   * @returns ranges of the input of which a sample is wanted
   */
  moved(start: number, length: number, from: number): [start: number, end: number][] {
    this.#copiedBytes += length
    this.#range(start, start + length, from)
    const wanted: [number, number][] = []
    for (let at = 0; at < length; at += PIECE_BYTES) {
      const some = this.#copied.next(Math.min(length - at, PIECE_BYTES))
      if (some) wanted.push([from + at + some[0], from + at + some[1]])
    }
    return wanted
  }

  /** Bytes of the input as they must be found at `start` of the output. */
  sample(start: number, bytes: Uint8Array): void {
    this.#copied.add(start, bytes)
  }

  #range(start: number, end: number, from: number | undefined, pairs?: LookedPairs): void {
    const last = this.#ranges.at(-1)
    const follows = last && (last.from === undefined ? undefined : last.from + last.end - last.start)
    const apart = pairs || last?.pairs
    if (last && !apart && last.end === start && follows === from) last.end = end
    else this.#ranges.push({ start, end, ...(from !== undefined && { from }), ...(pairs && { pairs }) })
  }
}
