/**
 * What a consumer holds, and how much that may be: batches that wait to be taken, and answers that are being read. An answer waits in its
 * connection until there is room for it.
 */
import type { Batch } from './shard-reader.ts'

/** What an object a record and its texts take, about. */
const RECORD_BYTES = 200
/** How often an answer is there while it is read: as bytes, as text, in the texts of its records and as their data, some of it already let go. */
const READING = 2.5

/** A batch that waits since then, of the clock. */
export interface Waiting {
  readonly batch: Batch
  readonly sinceMs: number
}

export class Room {
  readonly #maxBytes: number
  /** Aborted once nothing has to wait any more: what is read then is thrown away. */
  readonly #closing: AbortSignal
  readonly #ready: (Waiting & { readonly held: number })[] = []
  /** Bytes of `#ready`. */
  #held = 0
  /** Bytes of answers that are being read, by shard. */
  readonly #admitted = new Map<string, number>()
  readonly #atTheDoor: { readonly shard: string; readonly bytes: number; readonly enter: () => void }[] = []

  constructor(maxBytes: number, closing: AbortSignal) {
    this.#maxBytes = maxBytes
    this.#closing = closing
  }

  /** Whether something more may be asked for. */
  get free(): boolean {
    return this.#atTheDoor.length === 0 && this.#taken() < this.#maxBytes
  }

  /** Batches that wait, in the order in which they are taken. */
  get waiting(): readonly Waiting[] {
    return this.#ready
  }

  /** Resolves when an answer of so many bytes may be read, in the order in which they came. */
  enter(shard: string, bytes: number): Promise<void> {
    return new Promise((enter) => {
      this.#atTheDoor.push({ shard, bytes: bytes * READING, enter })
      this.admit()
    })
  }

  /** The shard's answer is read, or is not going to be. */
  leave(shard: string): void {
    this.#admitted.delete(shard)
    this.admit()
  }

  put(batch: Batch, sinceMs: number): void {
    const held = batch.bytes + batch.records.length * RECORD_BYTES
    this.#held += held
    this.#ready.push({ batch, held, sinceMs })
  }

  take(): Batch | undefined {
    const first = this.#ready.shift()
    if (!first) return undefined
    this.#held -= first.held
    this.admit()
    return first.batch
  }

  /** Lets in what there is room for; all, while it is closing. */
  admit(): void {
    for (let first = this.#atTheDoor[0]; first !== undefined; first = this.#atTheDoor[0]) {
      const taken = this.#taken()
      if (taken > 0 && taken + first.bytes > this.#maxBytes && !this.#closing.aborted) return
      this.#atTheDoor.shift()
      this.#admitted.set(first.shard, first.bytes)
      first.enter()
    }
  }

  #taken(): number {
    let taken = this.#held
    for (const bytes of this.#admitted.values()) taken += bytes
    return taken
  }
}
