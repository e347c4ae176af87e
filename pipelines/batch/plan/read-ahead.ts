/**
 * Reads of several files at once, for a plan that then looks at them one after the other: where each read is a request to an object
 * store, a million small files would else be a million waits. Small files are read whole with their footers, and not again.
 */
import pLimit from 'p-limit'
import type { ReadOptions, Storage, StoredObject } from '../../../lib/storage/storage.ts'

interface Held {
  readonly start: number
  readonly end: number
  readonly bytes: Promise<Uint8Array>
}

export class ReadAhead {
  /** What is read through this one is held. */
  readonly holding: Storage
  /** Answers from what is held, where it can. */
  readonly storage: Storage
  readonly #inner: Storage
  readonly #limit: <T>(work: () => Promise<T>) => Promise<T>
  readonly #mostBytes: number
  readonly #held = new Map<string, Held[]>()
  #bytes = 0

  /**
   * @param requests at a time
   * @param mostBytes held beside what `holding` reads
   */
  constructor(inner: Storage, requests: number, mostBytes: number) {
    this.#inner = inner
    this.#limit = pLimit(requests)
    this.#mostBytes = mostBytes
    this.holding = { ...inner, read: (location, options) => this.#hold(location, options) }
    this.storage = { ...inner, read: (location, options) => this.#read(location, options) }
  }

  /** Starts to read a part, unless that would be too much to hold. */
  start({ location, version }: StoredObject, [start, end]: readonly [number, number]): void {
    if (this.#find(location, start, end) || this.#bytes + end - start > this.#mostBytes) return
    this.#bytes += end - start
    void this.#hold(location, { start, end, ifMatch: version }).catch(() => {
      // Whoever wants it hears of it.
    })
  }

  forget(): void {
    this.#held.clear()
    this.#bytes = 0
  }

  #hold(location: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const { start = 0, end } = options
    const bytes = this.#limit(() => this.#inner.read(location, options))
    if (end === undefined) return bytes
    const of = this.#held.get(location) ?? []
    of.push({ start, end, bytes })
    this.#held.set(location, of)
    return bytes
  }

  async #read(location: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const { start = 0, end } = options
    const held = end === undefined ? undefined : this.#find(location, start, end)
    if (!held) return this.#inner.read(location, options)
    return (await held.bytes).subarray(start - held.start, (end as number) - held.start)
  }

  #find(location: string, start: number, end: number): Held | undefined {
    return this.#held.get(location)?.find((held) => held.start <= start && end <= held.end)
  }
}
