import type { ObjectWriter } from '../storage/storage.ts'
import type { Provenance } from './provenance.ts'
import { type RangeReader, WINDOW_BYTES } from './ranges.ts'

const BUFFER_BYTES = 1 << 20

/** Where the bytes of a file that is written go, in order. */
export interface Sink {
  /** Bytes so far: the offset of the next one. */
  readonly position: number
  /** @param from where the bytes stand in the input, of which they are a copy */
  write(bytes: Uint8Array, from?: number): Promise<void>
  /** Bytes `[start, end)` of the input as they are. */
  copy(source: RangeReader, start: number, end: number): Promise<void>
}

/** Gathers small pieces: a page header of 30 bytes is no request and no system call of its own. */
export class Output implements Sink {
  readonly #writer: ObjectWriter
  readonly #provenance: Provenance | undefined
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  position = 0

  constructor(writer: ObjectWriter, provenance?: Provenance) {
    this.#writer = writer
    this.#provenance = provenance
  }

  async write(bytes: Uint8Array, from?: number): Promise<void> {
    this.#provenance?.add(this.position, bytes, from)
    this.position += bytes.length
    if (this.#used + bytes.length > BUFFER_BYTES) await this.flush()
    if (bytes.length >= BUFFER_BYTES / 4) {
      await this.flush()
      await this.#writer.write(bytes)
    } else {
      this.#buffer.set(bytes, this.#used)
      this.#used += bytes.length
    }
  }

  async copy(source: RangeReader, start: number, end: number): Promise<void> {
    for (let at = start; at < end; at += WINDOW_BYTES)
      await this.write(await source.read(at, Math.min(end, at + WINDOW_BYTES)), at)
  }

  async flush(): Promise<void> {
    if (this.#used > 0) await this.#writer.write(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }
}
