import type { Storage, StoredObject } from '../storage/storage.ts'
import { corrupt } from './place.ts'

/** Bytes asked of the storage at a time. */
export const WINDOW_BYTES = 4 << 20

/** Ranges of one version of one object. */
export interface RangeReader {
  /** @returns exactly `end - start` bytes, valid until the next call */
  read(start: number, end: number): Promise<Uint8Array>
}

/** Memory for a reader's bytes. Readers that take turns may share one: fresh memory for each costs more than reading into it. */
export class Window {
  #memory = new Uint8Array(0)

  /** What was there before may be gone. */
  room(bytes: number): Uint8Array {
    if (this.#memory.length < bytes) this.#memory = new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
    return this.#memory
  }
}

/**
 * Reads ahead inside the ranges that will be needed, so that many small chunks cost few requests, and no byte is fetched of a
 * column that is dropped. Every read carries the version that was opened.
 * @param needed `[start, end)` of what will be read, in any order
 * @param memory shared with readers that are not used any more
 */
export function rangeReader(
  storage: Storage,
  object: StoredObject,
  needed: readonly (readonly [number, number])[],
  signal?: AbortSignal,
  memory: Window = new Window(),
): RangeReader {
  const runs = merge(needed)
  let window = new Uint8Array(0) as Uint8Array
  let from = 0

  return {
    async read(start, end) {
      if (start >= from && end <= from + window.length) return window.subarray(start - from, end - from)
      signal?.throwIfAborted()
      const run = runs.find(([a, b]) => a <= start && start < b)
      const to = Math.max(end, Math.min(start + WINDOW_BYTES, run?.[1] ?? end))
      const asked = { start, end: to, ifMatch: object.version, into: memory.room(to - start) }
      // What is there is gone where the read fails half-way.
      window = window.subarray(0, 0)
      const bytes = await storage.read(object.location, asked)
      if (bytes.length !== to - start) throw corrupt({ location: object.location }, 'ends before its own size')
      window = bytes
      from = start
      return window.subarray(0, end - start)
    },
  }
}

function merge(needed: readonly (readonly [number, number])[]): [number, number][] {
  const runs: [number, number][] = []
  for (const [start, end] of [...needed].sort((a, b) => a[0] - b[0])) {
    const last = runs.at(-1)
    if (last && start <= last[1]) last[1] = Math.max(last[1], end)
    else runs.push([start, end])
  }
  return runs
}
