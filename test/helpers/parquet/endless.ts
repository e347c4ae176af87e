/** A file whose one column chunk is as long as asked for: the same page again and again, made when it is read and never held. */
import { put, struct, T, writeStruct } from '../../../lib/parquet/thrift.ts'
import type { Storage, StoredObject, Version } from '../../../lib/storage/storage.ts'

const VALUES = 17
const VALUE_BYTES = 60_000

/** The values of each page, in order. */
export const PAGE_TEXTS: readonly string[] = Array.from({ length: VALUES }, (_, i) =>
  `plain-${i}-`.padEnd(VALUE_BYTES, 'x'),
)

function page(): Buffer {
  const parts = PAGE_TEXTS.flatMap((text) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(text.length)
    return [length, Buffer.from(text)]
  })
  const body = Buffer.concat(parts)
  const data = put.struct({ 1: put.i32(VALUES), 2: put.i32(0), 3: put.i32(3), 4: put.i32(3) })
  return Buffer.concat([
    writeStruct(struct({ 1: put.i32(0), 2: put.i32(body.length), 3: put.i32(body.length), 5: data })),
    body,
  ])
}

export interface Endless {
  readonly storage: Pick<Storage, 'read'>
  readonly object: StoredObject
  readonly rows: number
  /** The chunk's bytes: `[start, end)`. */
  readonly chunk: readonly [number, number]
  /** Bytes `[start, end)` of the file. */
  bytes(start: number, end: number): Buffer
}

export function endless(leastBytes: number): Endless {
  const one = page()
  const pages = Math.ceil(leastBytes / one.length)
  const size = pages * one.length
  const rows = pages * VALUES
  const meta = struct({
    1: put.i32(6),
    2: put.i32s([0, 3]),
    3: put.texts(['vin']),
    4: put.i32(0),
    5: put.i64(rows),
    6: put.i64(size),
    7: put.i64(size),
    9: put.i64(4),
  })
  const footer = writeStruct(
    struct({
      1: put.i32(1),
      2: put.structs([
        struct({ 4: put.text('schema'), 5: put.i32(1) }),
        struct({ 1: put.i32(6), 3: put.i32(0), 4: put.text('vin'), 6: put.i32(0) }),
      ]),
      3: put.i64(rows),
      4: put.structs([
        struct({
          1: put.structs([struct({ 2: put.i64(0), 3: { type: T.STRUCT, value: meta } })]),
          2: put.i64(size),
          3: put.i64(rows),
        }),
      ]),
    }),
  )
  const tail = Buffer.alloc(footer.length + 8)
  tail.set(footer)
  tail.writeUInt32LE(footer.length, footer.length)
  tail.write('PAR1', footer.length + 4)
  const total = 4 + size + tail.length

  function bytes(start: number, end: number): Buffer {
    const out = Buffer.alloc(end - start)
    for (let at = start; at < end; ) {
      let source: Buffer
      let from: number
      if (at < 4) [source, from] = [Buffer.from('PAR1'), at]
      else if (at < 4 + size) [source, from] = [one, (at - 4) % one.length]
      else [source, from] = [tail, at - 4 - size]
      at += source.copy(out, at - start, from, Math.min(source.length, from + end - at))
    }
    return out
  }

  const object: StoredObject = {
    location: 'memory:/endless.parquet',
    bytes: total,
    version: 'one' as Version,
    modified: 0,
  }
  const read: Storage['read'] = async (_, { start = 0, end = total } = {}) => bytes(start, end)
  return { storage: { read }, object, rows, chunk: [4, 4 + size], bytes }
}
