import type { Storage, StoredObject } from '../storage/storage.ts'
import { type Footer, type FooterLook, MAGIC, parseFooter } from './footer.ts'
import { corrupt, failure, type Place } from './place.ts'

/** A file whose footer was read: what plans are made from. */
export interface ParquetFile extends Footer {
  readonly object: StoredObject
}

/** Read at the end of a file at first: most footers are inside. */
const TAIL_BYTES = 64 << 10
/** A footer of more is no footer of a real file, and would not fit in memory several times over. */
const MAX_FOOTER_BYTES = 512 << 20
const ENCRYPTED = Buffer.from('PARE')

/**
 * Reads and checks a file's footer: two or three small reads.
 * @throws PseudolakeError `input/not-parquet`, `input/corrupt`, `input/encrypted`, `input/unsupported`, `storage/changed`
 */
export async function openParquet(
  storage: Storage,
  object: StoredObject,
  options: { readonly signal?: AbortSignal; readonly look?: FooterLook } = {},
): Promise<ParquetFile> {
  const { location, bytes, version } = object
  const place: Place = { location }
  options.signal?.throwIfAborted()
  if (bytes < 12) throw failure('input/not-parquet', place, `${bytes} bytes are too few for a Parquet file`, { bytes })

  const tailStart = Math.max(0, bytes - TAIL_BYTES)
  const read = (start: number, end: number) => storage.read(location, { start, end, ifMatch: version })
  // Where answers are late, both ends are asked for at once.
  const early = tailStart > 0 && storage.reads?.(location) ? read(0, 1024) : undefined
  early?.catch(() => {})
  let tail = await read(tailStart, bytes)
  if (tail.length !== bytes - tailStart) throw corrupt(place, 'ends before its own size')
  const head = tailStart === 0 ? tail.subarray(0, 1024) : await (early ?? read(0, 1024))
  checkMagic(head, tail, place)

  const length = new DataView(tail.buffer, tail.byteOffset + tail.length - 8).getUint32(0, true)
  const start = bytes - 8 - length
  if (length === 0 || start < MAGIC.length)
    throw corrupt(place, `a footer of ${length} bytes does not fit in a file of ${bytes}`)
  if (length > MAX_FOOTER_BYTES) throw failure('input/unsupported', place, `a footer of ${length} bytes`)
  options.signal?.throwIfAborted()
  if (start < tailStart) tail = await read(start, bytes)
  const footer = tail.subarray(tail.length - 8 - length, tail.length - 8)
  return { object, ...parseFooter(footer, start, place, options.look) }
}

function checkMagic(head: Uint8Array, tail: Uint8Array, place: Place): void {
  const first = head.subarray(0, 4)
  const last = tail.subarray(tail.length - 4)
  if (ENCRYPTED.equals(first) || ENCRYPTED.equals(last))
    throw failure('input/encrypted', place, 'the file’s footer is encrypted')
  const [begins, ends] = [MAGIC.equals(first), MAGIC.equals(last)]
  if (begins && ends) return
  if (begins) throw corrupt(place, 'is cut off: it begins as a Parquet file and does not end as one')
  if (ends) throw corrupt(place, 'ends as a Parquet file and does not begin as one')
  const text = head.every((b) => b >= 0x20 || b === 0x09 || b === 0x0a || b === 0x0d)
  throw failure(
    'input/not-parquet',
    place,
    text
      ? 'is text, perhaps CSV or JSON, not Parquet (no PAR1 at either end)'
      : 'is not Parquet (no PAR1 at either end)',
  )
}
