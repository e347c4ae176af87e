import type { Storage, StoredObject } from '../storage/storage.ts'
import { type AheadReader, parallelRanges } from './parallel-ranges.ts'
import { corrupt } from './place.ts'
import type { RangeReader } from './range-reader.ts'

export type { RangeReader } from './range-reader.ts'

/** Bytes asked of the storage at a time. */
export const WINDOW_BYTES = 4 << 20

/** Memory for a reader's bytes. Readers that take turns may share one: fresh memory for each costs more than reading into it. */
export class Window {
  #memory = new Uint8Array(0)

  room(bytes: number): Uint8Array {
    if (this.#memory.length < bytes) this.#memory = new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
    return this.#memory
  }
}

/** In front of what is read ahead, for the end of the bytes before it: what reaches over both is in one piece then. */
const HEAD_BYTES = 1 << 20

/** The bytes behind the window, on their way into memory of their own. */
interface Ahead {
  readonly to: number
  readonly memory: Window
  readonly room: Uint8Array
  readonly bytes: Promise<Uint8Array>
}

/**
 * Reads ahead inside the ranges that will be needed, so that many small chunks cost few requests, and no byte is fetched of a
 * column that is dropped. Who reads on and on finds the next bytes there already. Every read carries the version that was opened.
 * @param needed `[start, end)` of what will be read, in the order of reading
 * @param memory shared with readers that are not used any more
 */
export function rangeReader(
  storage: Storage,
  object: StoredObject,
  needed: readonly (readonly [number, number])[],
  signal?: AbortSignal,
  memory: Window = new Window(),
): RangeReader {
  const held = storage.inMemory?.(object)
  if (held) return heldRanges(held, object)
  const shape = storage.reads?.(object.location)
  if (shape) return parallelRanges(storage, object, needed, shape, signal)
  const runs = merge(needed)
  let window = new Uint8Array(0) as Uint8Array
  let from = 0
  let here = memory
  let spare: Window | undefined
  let ahead: Ahead | undefined

  async function load(start: number, end: number, into: Uint8Array): Promise<Uint8Array> {
    const bytes = await storage.read(object.location, { start, end, ifMatch: object.version, into })
    if (bytes.length !== end - start) throw corrupt({ location: object.location }, 'ends before its own size')
    return bytes
  }

  function runAt(at: number): [number, number] | undefined {
    return runs.find(([a, b]) => a <= at && at < b)
  }

  function readAhead(at: number): void {
    const run = runAt(at)
    if (!run) return
    const to = Math.min(at + WINDOW_BYTES, run[1])
    const memory = spare ?? new Window()
    spare = undefined
    const room = memory.room(HEAD_BYTES + to - at)
    const bytes = load(at, to, room.subarray(HEAD_BYTES))
    // A failure is that of whoever comes for the bytes; perhaps nobody does.
    bytes.catch(() => {})
    ahead = { to, memory, room, bytes }
  }

  /** What was read ahead is the window now, with the last `kept` bytes of the one before in front. */
  async function goOn({ to, memory, room, bytes }: Ahead, kept: number): Promise<void> {
    const read = await bytes
    const end = window.subarray(window.length - kept)
    from += window.length - kept
    // Some storages have memory of their own.
    const inPlace = read.buffer === room.buffer
    const both = inPlace
      ? room.subarray(HEAD_BYTES - kept, HEAD_BYTES + read.length)
      : new Uint8Array(kept + read.length)
    both.set(end)
    if (!inPlace) both.set(read, kept)
    window = both
    spare = here
    here = memory
    ahead = undefined
    readAhead(to)
  }

  return {
    async read(start, end) {
      if (start >= from && end <= from + window.length) return window.subarray(start - from, end - from)
      signal?.throwIfAborted()
      const last = from + window.length
      const follows = window.length > 0 && start >= from && start <= last
      if (ahead && end <= ahead.to && start >= from && last - start <= HEAD_BYTES) {
        await goOn(ahead, Math.max(0, last - start))
        return window.subarray(start - from, end - from)
      }
      // What is under way keeps its memory until it is there.
      await ahead?.bytes.catch(() => {})
      ahead = undefined
      const to = Math.max(end, Math.min(start + WINDOW_BYTES, runAt(start)?.[1] ?? end))
      // What is there is gone where the read fails half-way.
      window = window.subarray(0, 0)
      window = await load(start, to, here.room(to - start))
      from = start
      if (follows) readAhead(to)
      return window.subarray(0, end - start)
    },
  }
}

/** As `rangeReader`, for who also looks at what will be read later; undefined where answers are not late. */
export function aheadReader(
  storage: Storage,
  object: StoredObject,
  needed: readonly (readonly [number, number])[],
  signal?: AbortSignal,
): AheadReader | undefined {
  const shape = storage.reads?.(object.location)
  return shape && !storage.inMemory?.(object) ? parallelRanges(storage, object, needed, shape, signal) : undefined
}

/** A window would be a copy. */
function heldRanges(bytes: Uint8Array, { location }: StoredObject): RangeReader {
  return {
    async read(start, end) {
      if (end > bytes.length) throw corrupt({ location }, 'ends before its own size')
      return bytes.subarray(start, end)
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
