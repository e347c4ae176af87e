/** Compression of pages. (parquet-format, Compression.md.) */
import zlib from 'node:zlib'
import { snappyUncompress } from 'hyparquet/src/snappy.js'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { lz4, lz4Raw } from './lz4.ts'
import { sharedEngine } from './wasm/engine.ts'

/** In the order of the format's enum. */
export const CODECS = ['none', 'snappy', 'gzip', 'lzo', 'brotli', 'lz4', 'zstd', 'lz4_raw'] as const
export type Codec = (typeof CODECS)[number]
/** Codecs that Spark, Trino, PyIceberg and DuckDB all read; output has no other. */
export type OutputCodec = 'none' | 'snappy' | 'gzip' | 'zstd'

export function isOutputCodec(codec: Codec): codec is OutputCodec {
  return codec === 'none' || codec === 'snappy' || codec === 'gzip' || codec === 'zstd'
}

/** The most that a byte of a codec without an entropy coder can stand for; a header that promises more is wrong. */
const MAX_RATIO: Partial<Record<Codec, number>> = { snappy: 22, lz4: 256, lz4_raw: 256 }

/** Pages have a megabyte; what promises this much is a trap or a mistake, and must not fill the memory. */
const MAX_PAGE_BYTES = 512 << 20

/**
 * @param size what the header says; memory is taken for no more than the compressed bytes can yield
 * @param scratch used for the result where the codec can and it is long enough
 * @returns what was stored as it is, without compression or as one literal, where it stands in `bytes`
 * @throws Error of any kind where the bytes are not what they should be
 */
export function decompress(codec: Codec, bytes: Uint8Array, size: number, scratch?: Uint8Array): Uint8Array {
  if (codec === 'none') {
    if (bytes.length !== size) throw new RangeError('length differs from the header')
    return bytes
  }
  // Some writers compress nothing into nothing.
  if (size === 0) return new Uint8Array(0)
  if (size > MAX_PAGE_BYTES) throw new RangeError('longer than a page may be')
  const ratio = MAX_RATIO[codec]
  if (ratio !== undefined && size > bytes.length * ratio + 64) throw new RangeError('longer than the codec allows')
  const page = inflate(codec, bytes, size, scratch)
  if (page.length !== size) throw new RangeError('length differs from the header')
  return page
}

function inflate(codec: Codec, bytes: Uint8Array, size: number, scratch: Uint8Array | undefined): Uint8Array {
  // One byte more than is right, so that what is too long shows; memory grows with the output, not with the promise.
  const options = { maxOutputLength: size + 1 }
  switch (codec) {
    case 'snappy': {
      // Other readers look at it, and a page may be copied as it is.
      if (!declares(bytes, size)) throw new RangeError('length differs from the header')
      const literal = literalOf(bytes, size)
      if (literal) return literal
      const out = scratch && scratch.length >= size ? scratch.subarray(0, size) : new Uint8Array(size)
      if (!snappyInto(bytes, out)) snappyUncompress(bytes, out)
      return out
    }
    case 'gzip':
      return zlib.gunzipSync(bytes, options)
    case 'zstd':
      return zlib.zstdDecompressSync(bytes, options)
    case 'brotli':
      return zlib.brotliDecompressSync(bytes, options)
    case 'lz4':
      return lz4(bytes, size)
    case 'lz4_raw':
      return lz4Raw(bytes, size)
    default:
      throw new RangeError(`codec ${codec}`)
  }
}

/**
 * @param random the bytes are pseudonyms or indices of such, in which Snappy finds no repetition: stored as literals, at the speed
 * of a copy. The other codecs have an entropy coder, which still saves a quarter.
 * @param level of zstd
 */
export function compress(codec: OutputCodec, bytes: Uint8Array, random = false, level?: number): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes
    case 'snappy':
      return random ? snappyLiterals([bytes]) : snappyCompress(bytes)
    case 'gzip':
      return zlib.gzipSync(bytes)
    case 'zstd':
      return level === undefined
        ? zlib.zstdCompressSync(bytes)
        : zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: level } })
  }
}

/** Snappy without back references, of pieces one behind the other. */
export function snappyLiterals(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const piece of pieces) length += piece.length
  return Buffer.concat([snappyHead(length), ...pieces])
}

/** What stands in front of so many bytes, so that both together are Snappy (format_description.txt): their length as a varint, and the tag of one literal. */
export function snappyHead(length: number): Uint8Array {
  const head: number[] = []
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80)
  head.push(rest)
  if (length === 0) return Uint8Array.from(head)
  const last = length - 1
  // The short form for up to 60 bytes: some readers take a longer one for cut off when so little follows.
  if (last < 60) head.push(last << 2)
  else {
    const bytes = last < 1 << 16 ? 2 : last < 1 << 24 ? 3 : 4
    head.push((59 + bytes) << 2)
    for (let i = 0; i < bytes; i++) head.push((last >>> (8 * i)) & 0xff)
  }
  return Uint8Array.from(head)
}
/** Of {@link snappyHead}, at most. */
export const SNAPPY_HEAD_BYTES = 10

/** The `size` bytes of a page of which `snappyLiterals` made one literal: where they stand in it. Undefined where it is anything else. */
export function literalOf(page: Uint8Array, size: number): Uint8Array | undefined {
  const head = snappyHead(size)
  if (page.length !== head.length + size || Buffer.compare(page.subarray(0, head.length), head) !== 0) return undefined
  return page.subarray(head.length)
}

/** Whether Snappy's own length in front, a varint of at most 32 bits, is this one. */
function declares(bytes: Uint8Array, size: number): boolean {
  let declared = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[i] ?? 0x80
    declared += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return declared === size
  }
  return false
}

/** @returns false where the bytes do not fit in the memory of the fast way, or are not what they should be */
function snappyInto(bytes: Uint8Array, out: Uint8Array): boolean {
  const engine = sharedEngine(Math.max(bytes.length, out.length))
  const { places, room } = engine
  if (bytes.length > room.in || out.length > room.out) return false
  engine.bytes().set(bytes, places.in)
  if (!engine.uncompress(places.in, bytes.length, places.out, out.length)) return false
  out.set(engine.bytes().subarray(places.out, places.out + out.length))
  return true
}
