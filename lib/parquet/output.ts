import type { ObjectWriter } from '../storage/storage.ts'
import type { Provenance } from './provenance.ts'

const BUFFER_BYTES = 1 << 20

/** Gathers small pieces: a page header of 30 bytes is no request and no system call of its own. */
export class Output {
  readonly #writer: ObjectWriter
  readonly #provenance: Provenance | undefined
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  /** Bytes so far: the offset of the next one in the file. */
  position = 0

  constructor(writer: ObjectWriter, provenance?: Provenance) {
    this.#writer = writer
    this.#provenance = provenance
  }

  /** @param from where the bytes stand in the input, of which they are a copy */
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

  async flush(): Promise<void> {
    if (this.#used > 0) await this.#writer.write(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }
}
