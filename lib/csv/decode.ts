/**
 * Bytes in a file's encoding to UTF-8, as they come. What is no text in that encoding is never replaced: it ends the stream, and whoever
 * reads it knows at which record and column it is then.
 */
import { isUtf8 } from 'node:buffer'
import type { CsvEncoding } from './dialect.ts'

export interface Utf8Piece {
  readonly bytes: Uint8Array
  /** What follows is invalid; nothing comes behind it. */
  readonly invalid?: true
}

const BOM = [0xef, 0xbb, 0xbf] as const
/** Where something is invalid, it is looked for in pieces of so many bytes, then character by character. */
const LOOKED_AT = 4096

/** Without the byte order mark in front. */
export async function* utf8Pieces(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  encoding: CsvEncoding,
): AsyncGenerator<Utf8Piece> {
  const pieces =
    encoding === 'utf-8'
      ? fromUtf8(chunks)
      : encoding === 'latin1' || encoding === 'windows-1252'
        ? fromSingleBytes(chunks, encoding)
        : fromUtf16(chunks, encoding)
  let first = true
  for await (const piece of pieces) {
    yield first && encoding !== 'latin1' && encoding !== 'windows-1252' ? withoutMark(piece) : piece
    first = false
  }
}

function withoutMark(piece: Utf8Piece): Utf8Piece {
  return BOM.every((byte, i) => piece.bytes[i] === byte) ? { ...piece, bytes: piece.bytes.subarray(BOM.length) } : piece
}

/** A character may be cut by the end of a chunk; then it waits for the next one. */
async function* fromUtf8(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Utf8Piece> {
  let rest: Uint8Array = new Uint8Array(0)
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    // The mark itself is not to be cut.
    const end = bytes.length < BOM.length ? 0 : bytes.length - openTail(bytes)
    const whole = bytes.subarray(0, end)
    if (!isUtf8(whole)) {
      yield { bytes: whole.subarray(0, validLength(whole)), invalid: true }
      return
    }
    if (end > 0) yield { bytes: whole }
    rest = Uint8Array.prototype.slice.call(bytes, end)
  }
  if (rest.length === 0) return
  const valid = validLength(rest)
  yield valid === rest.length ? { bytes: rest } : { bytes: rest.subarray(0, valid), invalid: true }
}

/** Bytes at the end that begin a character and do not end it. */
function openTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] as number
    if (byte < 0x80) return 0
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? back : 0
    }
  }
  return 0
}

/** Bytes in front that are valid, whole characters. */
function validLength(bytes: Uint8Array): number {
  let at = 0
  while (at < bytes.length) {
    const piece = bytes.subarray(at, at + LOOKED_AT)
    const whole = piece.length - openTail(piece)
    if (whole === 0 || !isUtf8(piece.subarray(0, whole))) return firstInvalid(bytes, at)
    at += whole
  }
  return at
}

function firstInvalid(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length) {
    const byte = bytes[at] as number
    const length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    if (at + length > bytes.length || !isUtf8(bytes.subarray(at, at + length))) return at
    at += length
  }
  return at
}

/** Every byte is a character. Windows-1252 differs from Latin-1 in 0x80 to 0x9f. */
async function* fromSingleBytes(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  encoding: 'latin1' | 'windows-1252',
): AsyncGenerator<Utf8Piece> {
  const decoder = encoding === 'windows-1252' ? new TextDecoder('windows-1252') : undefined
  for await (const chunk of chunks) {
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    yield { bytes: Buffer.from(decoder ? decoder.decode(view) : view.toString('latin1')) }
  }
}

const SURROGATE = { first: 0xd800, low: 0xdc00, last: 0xdfff } as const

async function* fromUtf16(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  encoding: 'utf-16' | 'utf-16le' | 'utf-16be',
): AsyncGenerator<Utf8Piece> {
  let big = encoding === 'utf-16be'
  let first = true
  let rest = Buffer.alloc(0)
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([rest, chunk])
    if (first && bytes.length < 2) {
      rest = bytes
      continue
    }
    if (first && encoding === 'utf-16') big = bytes[0] === 0xfe && bytes[1] === 0xff
    first = false
    let end = bytes.length - (bytes.length % 2)
    // The first half of a pair waits for the second.
    if (end >= 2 && isHigh(unit(bytes, end - 2, big))) end -= 2
    rest = Buffer.from(bytes.subarray(end))
    const piece = utf8Of(bytes.subarray(0, end), big)
    yield piece
    if (piece.invalid) return
  }
  if (rest.length > 0) yield { bytes: new Uint8Array(0), invalid: true }
}

function utf8Of(bytes: Buffer<ArrayBuffer>, big: boolean): Utf8Piece {
  const little = big ? Buffer.from(bytes).swap16() : bytes
  const text = little.toString('utf16le')
  if (text.isWellFormed()) return { bytes: Buffer.from(text) }
  let at = 0
  while (at < little.length) {
    const here = unit(little, at, false)
    const pair = isHigh(here) && at + 4 <= little.length && isLow(unit(little, at + 2, false))
    if (here >= SURROGATE.first && here <= SURROGATE.last && !pair) break
    at += pair ? 4 : 2
  }
  return { bytes: Buffer.from(little.toString('utf16le', 0, at)), invalid: true }
}

function unit(bytes: Buffer, at: number, big: boolean): number {
  return big ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at)
}

function isHigh(code: number): boolean {
  return code >= SURROGATE.first && code < SURROGATE.low
}

function isLow(code: number): boolean {
  return code >= SURROGATE.low && code <= SURROGATE.last
}
