import { corrupt } from '../../../lib/parquet/place.ts'
import type { RangeReader } from '../../../lib/parquet/range-reader.ts'
import type { Storage, StoredObject } from '../../../lib/storage/storage.ts'

/** Several page headers. */
const HEAD_BYTES = 2048

/**
 * A reader of pages of which a body is wanted here and there, each in memory of somebody's own: what is read to be compared once passes through
 * no memory between. Headers have a small memory. For storages that answer at once.
 * @param end of what may be read
 * @param memoryOf where a body of so many bytes is to be; it must be used before the next is asked for
 */
export function bodyReader(
  storage: Storage,
  object: StoredObject,
  end: number,
  heads: Uint8Array,
  memoryOf: (bytes: number) => Uint8Array,
): RangeReader {
  let from = 0
  let head = heads.subarray(0, 0)

  async function read(start: number, stop: number, into: Uint8Array): Promise<Uint8Array> {
    const { location, version } = object
    const bytes = await storage.read(location, { start, end: stop, ifMatch: version, into })
    if (bytes.length !== stop - start) throw corrupt({ location }, 'ends before its own size')
    return bytes
  }

  return {
    async read(start, stop) {
      if (start >= from && stop <= from + head.length) return head.subarray(start - from, stop - from)
      // Of a header that is longer, the fields are looked at when the body is there.
      if (stop - start > HEAD_BYTES)
        return read(start, stop, start === from ? new Uint8Array(stop - start) : memoryOf(stop - start))
      head = heads.subarray(0, 0)
      head = await read(start, Math.min(end, start + HEAD_BYTES), heads)
      from = start
      return head.subarray(0, stop - start)
    },
  }
}

export function headMemory(): Uint8Array {
  return new Uint8Array(HEAD_BYTES)
}
