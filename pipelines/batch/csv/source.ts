/** The bytes of a CSV file, one window after the other, unpacked where they are gzip; the next window is on its way while one is scanned. */
import { pipeline, Readable } from 'node:stream'
import zlib from 'node:zlib'
import { isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import type { Storage, StoredObject } from '../../../lib/storage/storage.ts'

/** A header, or a sample, needs no more than the first. */
const FIRST_WINDOW_BYTES = 256 << 10
const WINDOW_BYTES = 4 << 20
const UNPACKED_BYTES = 1 << 20

export interface CsvSource {
  readonly chunks: AsyncIterable<Uint8Array>
  /** Of the file as it is stored, until now. */
  readonly bytesRead: number
}

/** @throws PseudolakeError from `chunks`: `input/not-csv`, `input/corrupt` (gzip that is none, or cut off), `storage/*` */
export function csvSource(storage: Storage, object: StoredObject, signal: AbortSignal): CsvSource {
  let bytesRead = 0
  async function* windows(): AsyncGenerator<Uint8Array> {
    const { location, bytes, version } = object
    const load = (start: number, size: number) => {
      const window = storage.read(location, { start, end: Math.min(bytes, start + size), ifMatch: version })
      // A failure is that of whoever comes for the bytes; perhaps nobody does.
      window.catch(() => {})
      return window
    }
    let next = load(0, FIRST_WINDOW_BYTES)
    for (let at = 0; ; ) {
      signal.throwIfAborted()
      const window = await next
      if (window.length === 0 && at < bytes)
        throw new PseudolakeError('input/corrupt', `${location} ends before its own size`, { location })
      const first = at === 0
      at += window.length
      bytesRead = at
      // Who wants a header alone gets no more than that.
      if (at < bytes && !first) next = load(at, WINDOW_BYTES)
      yield window
      if (at >= bytes) return
      if (first) next = load(at, WINDOW_BYTES)
    }
  }
  return {
    chunks: unpacked(windows(), object.location),
    get bytesRead() {
      return bytesRead
    },
  }
}

async function* unpacked(windows: AsyncGenerator<Uint8Array>, location: string): AsyncGenerator<Uint8Array> {
  try {
    const { value: first, done } = await windows.next()
    if (done) return
    const what = FOREIGN.find(({ magic }) => magic.every((byte, i) => first[i] === byte))
    if (what)
      throw new PseudolakeError('input/not-csv', `${location} is ${what.name}, not CSV`, {
        location,
        ...(what.hint && { hint: what.hint }),
      })
    async function* all(): AsyncGenerator<Uint8Array> {
      yield first
      yield* windows
    }
    if (first[0] === 0x1f && first[1] === 0x8b) yield* gunzipped(all(), location)
    else yield* all()
  } finally {
    await windows.return(undefined)
  }
}

async function* gunzipped(packed: AsyncGenerator<Uint8Array>, location: string): AsyncGenerator<Uint8Array> {
  const gunzip = zlib.createGunzip({ chunkSize: UNPACKED_BYTES })
  pipeline(Readable.from(packed, { objectMode: true, highWaterMark: 1 }), gunzip, () => {})
  try {
    for await (const chunk of gunzip) yield chunk as Uint8Array
  } catch (error) {
    if (isPseudolakeError(error) || !/^Z_/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    throw new PseudolakeError(
      'input/corrupt',
      `${location}: its gzip is damaged or cut off`,
      { location },
      { cause: error },
    )
  }
}

const FOREIGN: readonly { readonly magic: readonly number[]; readonly name: string; readonly hint?: string }[] = [
  { magic: [0x50, 0x41, 0x52, 0x31], name: 'Parquet', hint: 'Set input.format to parquet.' },
  { magic: [0x50, 0x4b, 0x03, 0x04], name: 'a zip archive', hint: 'Unpack it, or pack it with gzip.' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], name: 'packed with zstd', hint: 'Unpack it, or pack it with gzip.' },
  { magic: [0x42, 0x5a, 0x68, 0x39], name: 'packed with bzip2', hint: 'Unpack it, or pack it with gzip.' },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], name: 'packed with xz', hint: 'Unpack it, or pack it with gzip.' },
]
