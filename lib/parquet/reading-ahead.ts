import type { ReadOptions, Storage, StoredObject } from '../storage/storage.ts'
import { parallelRanges } from './parallel-ranges.ts'
import type { RangeReader } from './range-reader.ts'

/** What will be read of an object, in the order of reading. */
export interface Ahead {
  readonly object: StoredObject
  readonly ranges: Iterable<readonly [start: number, end: number]>
}

/**
 * A storage for readers that take turns over objects whose ranges are known beforehand: where answers are late, what the next reader will ask
 * for is under way while the one before is at work. On a disk it is the storage itself.
 * @param bytes that may be held of each object
 */
export function readingAhead(
  storage: Storage,
  ahead: readonly Ahead[],
  { bytes, signal }: { readonly bytes: number; readonly signal?: AbortSignal | undefined },
): Storage {
  const readers = new Map<string, { readonly object: StoredObject; readonly read: Read }>()
  for (const { object, ranges } of ahead) {
    const shape = storage.reads?.(object.location)
    if (!shape) continue
    const requestBytes = Math.min(shape.requestBytes, bytes >> 2)
    const reader = parallelRanges(storage, object, ranges, { ...shape, requestBytes, aheadBytes: bytes }, signal)
    readers.set(object.location, { object, read: inTurn(reader) })
  }
  if (readers.size === 0) return storage
  return {
    ...storage,
    // Who reads on finds the bytes here.
    reads: (location) => (readers.has(location) ? undefined : storage.reads?.(location)),
    read(location, options = {}) {
      const known = readers.get(location)
      const { start, end, ifMatch } = options
      if (!known || start === undefined || end === undefined || ifMatch !== known.object.version)
        return storage.read(location, options)
      return known.read(start, Math.min(end, known.object.bytes), options)
    },
  }
}

type Read = (start: number, end: number, options: ReadOptions) => Promise<Uint8Array>

/** A reader's bytes are good until its next call, so each is copied before. */
function inTurn(reader: RangeReader): Read {
  let turn: Promise<unknown> = Promise.resolve()
  return (start, end, { into }) => {
    const read = turn.then(async () => {
      const found = await reader.read(start, end)
      if (!into || into.length < found.length) return new Uint8Array(found)
      into.set(found)
      return into.subarray(0, found.length)
    })
    turn = read.catch(() => {})
    return read
  }
}
