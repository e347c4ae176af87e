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
      const out = scratch && scratch.length >= size ? scratch.subarray(0, size) : new Uint8Array(size)
      if (!copyLiterals(bytes, out) && !snappyInto(bytes, out)) snappyUncompress(bytes, out)
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

const LITERAL_BYTES = 65_536

/** Snappy without back references, of pieces one behind the other: the length as a varint, then literals of at most 64 KiB. */
export function snappyLiterals(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const piece of pieces) length += piece.length
  const out = new Uint8Array(length + 3 * Math.ceil(length / LITERAL_BYTES) + 5)
  let at = 0
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80
  out[at++] = rest
  let left = length
  /** Of the literal that was begun. */
  let room = 0
  for (const piece of pieces)
    for (let from = 0; from < piece.length; ) {
      if (room === 0) {
        room = Math.min(LITERAL_BYTES, left)
        left -= room
        // The short form for up to 60 bytes: some readers take a longer one for cut off when so little follows.
        if (room <= 60) out[at++] = (room - 1) << 2
        else {
          out[at++] = 61 << 2
          out[at++] = (room - 1) & 0xff
          out[at++] = (room - 1) >> 8
        }
      }
      const n = Math.min(room, piece.length - from)
      out.set(piece.subarray(from, from + n), at)
      at += n
      from += n
      room -= n
    }
  return out.subarray(0, at)
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
  const engine = sharedEngine()
  const { places, room } = engine
  if (bytes.length > room.in || out.length > room.out) return false
  engine.bytes().set(bytes, places.in)
  if (!engine.uncompress(places.in, bytes.length, places.out, out.length)) return false
  out.set(engine.bytes().subarray(places.out, places.out + out.length))
  return true
}

/**
 * What `snappyLiterals` wrote, of pseudonyms above all, goes from here to there and nowhere else.
 * @returns false at the first thing that is no long literal
 */
function copyLiterals(bytes: Uint8Array, out: Uint8Array): boolean {
  let at = 0
  while ((bytes[at++] ?? 0) >= 0x80);
  let filled = 0
  while (at < bytes.length) {
    // A literal with its length in one byte or two behind the tag; the last may be short.
    const tag = bytes[at++] as number
    const last = out.length - filled <= SHORT_LITERAL_BYTES
    if (tag !== 61 << 2 && tag !== 60 << 2 && !(last && (tag & 3) === 0 && tag < 60 << 2)) return false
    let length = tag >> 2
    if (length === 60) length = bytes[at++] ?? 0
    else if (length === 61) {
      length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)
      at += 2
    }
    length++
    if (at + length > bytes.length || filled + length > out.length) return false
    out.set(bytes.subarray(at, at + length), filled)
    at += length
    filled += length
  }
  return filled === out.length
}
const SHORT_LITERAL_BYTES = 60
