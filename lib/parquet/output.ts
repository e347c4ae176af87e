import type { ObjectWriter, StoredObject } from '../storage/storage.ts'
import type { Attempt } from './pair-table.ts'
import type { LookedPairs, Provenance } from './provenance.ts'
import { type RangeReader, WINDOW_BYTES } from './ranges.ts'

const BUFFER_BYTES = 1 << 20

/** Where the bytes of a file that is written go, in order. */
export interface Sink {
  /** Bytes so far: the offset of the next one. */
  readonly position: number
  /**
   * @param from where the bytes stand in the input, of which they are a copy
   * @param pairs of the body of a dictionary page
   */
  write(bytes: Uint8Array, from?: number, pairs?: LookedPairs): Promise<void>
  /** Bytes `[start, end)` of the input as they are. */
  copy(source: RangeReader, start: number, end: number): Promise<void>
  /** Of the file, where what is told of the bytes is kept for somebody who looks at it. */
  readonly attempt?: Attempt | undefined
  /** Before something is read of the input that is not copied: copies that wait are made, while their bytes are still there. */
  settle?(): Promise<void>
}

/** Copies that wait for what follows them: columns that stand side by side here and there are one. */
interface Run {
  readonly source: RangeReader
  readonly start: number
  end: number
  /** Offset in the output. */
  readonly at: number
}

/** Gathers small pieces: a page header of 30 bytes is no request and no system call of its own. */
export class Output implements Sink {
  readonly #writer: ObjectWriter
  readonly #provenance: Provenance | undefined
  readonly #input: StoredObject | undefined
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  #run: Run | undefined
  position = 0

  /** @param input what copies are of; where it is given, the storage may make them by itself */
  constructor(writer: ObjectWriter, provenance?: Provenance, input?: StoredObject) {
    this.#writer = writer
    this.#provenance = provenance
    this.#input = input
  }

  get attempt(): Attempt | undefined {
    return this.#provenance?.attempt
  }

  /** Not async: pages are many, and each would have a promise more. */
  write(bytes: Uint8Array, from?: number, pairs?: LookedPairs): Promise<void> {
    if (this.#run) return this.#settle().then(() => this.write(bytes, from, pairs))
    const at = this.position
    this.position += bytes.length
    return this.#put(bytes, at, from, pairs)
  }

  async copy(source: RangeReader, start: number, end: number): Promise<void> {
    const at = this.position
    if (!this.#input || !this.#writer.copying || !this.#provenance?.sampled) {
      this.position += end - start
      return this.#through(source, start, end, at)
    }
    if (this.#run && this.#run.end !== start) await this.#settle()
    this.position += end - start
    if (this.#run) this.#run.end = end
    else this.#run = { source, start, end, at }
  }

  async settle(): Promise<void> {
    if (this.#run) await this.#settle()
  }

  async flush(): Promise<void> {
    await this.settle()
    await this.#hand()
  }

  async #put(bytes: Uint8Array, at: number, from: number | undefined, pairs?: LookedPairs): Promise<void> {
    this.#provenance?.add(at, bytes, from, pairs)
    if (this.#used + bytes.length > BUFFER_BYTES) await this.#hand()
    if (bytes.length >= BUFFER_BYTES / 4) {
      await this.#hand()
      await this.#writer.write(bytes)
    } else {
      this.#buffer.set(bytes, this.#used)
      this.#used += bytes.length
    }
  }

  async #hand(): Promise<void> {
    if (this.#used > 0) await this.#writer.write(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }

  async #through(source: RangeReader, start: number, end: number, at: number): Promise<void> {
    for (let from = start; from < end; from += WINDOW_BYTES)
      await this.#put(await source.read(from, Math.min(end, from + WINDOW_BYTES)), at + from - start, from)
  }

  /** By the storage, where it does that and it pays; else through here. */
  async #settle(): Promise<void> {
    const { source, start, end, at } = this.#run as Run
    this.#run = undefined
    await this.#hand()
    const { copying } = this.#writer
    const from = start + (copying?.leadBytes ?? 0)
    const input = this.#input as StoredObject
    if (!copying || !this.#provenance || end - start < copying.leastBytes) return this.#through(source, start, end, at)
    await this.#through(source, start, from, at)
    await this.#hand()
    if (!(await copying.copy(input, from, end))) return this.#through(source, from, end, at + from - start)
    for (const [first, last] of this.#provenance.moved(at + from - start, end - from, from))
      this.#provenance.sample(at + first - start, await source.read(first, last))
  }
}
