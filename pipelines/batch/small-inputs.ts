/** Small files of a bucket, each read by one request while those before it are rewritten: a run over many of them waits for answers else. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { heldStorage } from '../../lib/parquet/text-group.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'

/** Of one file: a larger one keeps several requests busy by itself. */
const MOST_FILE_BYTES = 4 << 20
/** Of all that were asked for and not used yet, with the one that is. */
const MOST_BYTES = 16 << 20
const MOST_FILES = 8

export interface SmallInput {
  readonly object: StoredObject
}

export class SmallInputs {
  readonly #storage: Storage
  readonly #signal: AbortSignal
  #inputs: readonly SmallInput[] = []
  readonly #reading = new Map<SmallInput, Promise<Uint8Array>>()

  constructor(storage: Storage, signal: AbortSignal) {
    this.#storage = storage
    this.#signal = signal
  }

  /** @param inputs in the order in which they will be asked for; some may not be */
  begin(inputs: readonly SmallInput[]): void {
    this.#inputs = inputs
    this.#reading.clear()
  }

  /**
   * The storage in which the input is best read.
   * @throws PseudolakeError `storage/*` of its reading, the version that was listed
   */
  async of(input: SmallInput): Promise<Storage> {
    const at = this.#inputs.indexOf(input)
    if (at < 0) return this.#storage
    this.#inputs = this.#inputs.slice(at)
    for (const one of this.#reading.keys()) if (!this.#inputs.includes(one)) this.#reading.delete(one)
    this.#readOn()
    const reading = this.#reading.get(input)
    if (!reading) return this.#storage
    const { object } = input
    const held = heldStorage(new Map([[object.location, { object, bytes: await reading }]]))
    const isHeld = (location: string) => location === object.location
    return {
      ...this.#storage,
      read: (location, options) => (isHeld(location) ? held : this.#storage).read(location, options),
      inMemory: (other) => (isHeld(other.location) ? held : this.#storage).inMemory?.(other),
      reads: (location) => (isHeld(location) ? undefined : this.#storage.reads?.(location)),
    }
  }

  #readOn(): void {
    let bytes = 0
    for (const input of this.#inputs.slice(0, MOST_FILES)) {
      const { object } = input
      if (object.bytes > MOST_FILE_BYTES || !this.#storage.reads?.(object.location)) continue
      bytes += object.bytes
      if (bytes > MOST_BYTES || this.#signal.aborted) return
      if (this.#reading.has(input)) continue
      const reading = this.#read(object)
      // A failure is that of the file's own turn; perhaps it does not come.
      reading.catch(() => {})
      this.#reading.set(input, reading)
    }
  }

  async #read({ location, bytes, version }: StoredObject): Promise<Uint8Array> {
    const read = await this.#storage.read(location, { start: 0, end: bytes, ifMatch: version })
    if (read.length === bytes) return read
    throw new PseudolakeError('input/corrupt', `${location}: ends before its own size`, { location })
  }
}
