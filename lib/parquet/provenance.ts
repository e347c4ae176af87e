/**
 * Where each byte of a file that is being written comes from: out of the input as it is, or made here. Recorded at the one place that
 * writes, so that somebody else can hold it against the plan and the file.
 */
import { crc32 } from 'node:zlib'

/** Bytes `[start, end)` of the output. */
export interface ByteRange {
  readonly start: number
  readonly end: number
  /** Where they stand in the input; missing for bytes that were made here. */
  readonly from?: number
}

/** Of a copied piece, to be read back. */
export interface CopiedSample {
  readonly start: number
  readonly end: number
  /** CRC-32 of the bytes as the input had them. */
  readonly crc: number
}

/** Of what the storage copies by itself, what counts as one piece. */
const PIECE_BYTES = 4 << 20
/** Of a piece that is sampled: what goes wrong with a copy goes on to its end, and the checksum costs more than the copy. */
export const SAMPLE_BYTES = 1 << 17
/** Of the golden ratio: samples are looked at here and there in their pieces. */
const STRIDE = 0x9e3779b1

export class Provenance {
  readonly #every: number
  readonly #ranges: { start: number; end: number; from?: number }[] = []
  readonly #samples: CopiedSample[] = []
  #copies = 0
  #copiedBytes = 0

  /** @param every how many copied pieces there are to one whose checksum is kept; 1 for all */
  constructor(every: number) {
    this.#every = every
  }

  /** In the order of the output, each as long as it can be. */
  get ranges(): readonly ByteRange[] {
    return this.#ranges
  }

  get samples(): readonly CopiedSample[] {
    return this.#samples
  }

  get copiedBytes(): number {
    return this.#copiedBytes
  }

  /** Whether a sample is kept of what is copied, and not all of it. */
  get sampled(): boolean {
    return this.#every > 1
  }

  /** Bytes that go to `start` of the output; `from` is given where they are the input's own. */
  add(start: number, bytes: Uint8Array, from: number | undefined): void {
    if (bytes.length === 0) return
    if (from !== undefined) {
      this.#copiedBytes += bytes.length
      if (this.#copies++ % this.#every === 0) {
        const [first, last] = this.#stretch(bytes.length)
        this.sample(start + first, bytes.subarray(first, last))
      }
    }
    this.#range(start, start + bytes.length, from)
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
      if (this.#copies++ % this.#every !== 0) continue
      const [first, last] = this.#stretch(Math.min(length - at, PIECE_BYTES))
      wanted.push([from + at + first, from + at + last])
    }
    return wanted
  }

  /** What of a piece is sampled; all of it, where each is. */
  #stretch(length: number): [start: number, end: number] {
    if (!this.sampled || length <= SAMPLE_BYTES) return [0, length]
    const start = (Math.imul(this.#copies, STRIDE) >>> 0) % (length - SAMPLE_BYTES)
    return [start, start + SAMPLE_BYTES]
  }

  /** Bytes of the input as they must be found at `start` of the output. */
  sample(start: number, bytes: Uint8Array): void {
    this.#samples.push({ start, end: start + bytes.length, crc: crc32(bytes) })
  }

  #range(start: number, end: number, from: number | undefined): void {
    const last = this.#ranges.at(-1)
    const follows = last && (last.from === undefined ? undefined : last.from + last.end - last.start)
    if (last && last.end === start && follows === from) last.end = end
    else this.#ranges.push({ start, end, ...(from !== undefined && { from }) })
  }
}
