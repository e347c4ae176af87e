import { isAscii, isUtf8 } from 'node:buffer'

/**
 * A batch of texts as bytes: no string is made where none is wanted (Parquet's pages are UTF-8), and another thread can work on it.
 *
 * Text i is `bytes[offsets[i]]` up to, not including, `bytes[offsets[i + 1]]`. So there is one offset more than there are texts; they never
 * descend, the first need not be 0, and bytes before the first and after the last are nobody's. Arrow's string columns have this shape.
 */
export interface TextBatch {
  /** UTF-8; pseudonyms are all ASCII. What a kernel answers has a buffer of its own, exactly filled. */
  readonly bytes: Uint8Array
  /** In bytes. */
  readonly offsets: Uint32Array | Int32Array
}

/** Where a batch that is made is to be put, from the front of both, so that it needs no copy after. May be shared with other threads. */
export interface TextRoom {
  readonly bytes: Uint8Array
  readonly offsets: Uint32Array
}

/** Offsets of `count` texts, the first 0: at the front of the room where there is one. @throws RangeError where it is too small */
export function offsetsIn(room: TextRoom | undefined, count: number): Uint32Array {
  if (!room) return new Uint32Array(count + 1)
  requireRoom('offsets', room.offsets.length, count + 1)
  const offsets = room.offsets.subarray(0, count + 1)
  offsets[0] = 0
  return offsets
}

/** As many bytes: at the front of the room where there is one. @throws RangeError where it is too small, or offsets could not say so many */
export function bytesIn(room: TextRoom | undefined, bytes: number): Uint8Array {
  if (bytes > 0xffffffff) throw new RangeError(`offsets: the answer would have ${bytes} bytes, more than they can say`)
  if (!room) return new Uint8Array(bytes)
  requireRoom('bytes', room.bytes.length, bytes)
  return room.bytes.subarray(0, bytes)
}

function requireRoom(what: string, has: number, needed: number): void {
  if (has < needed) throw new RangeError(`into.${what}: expected room for ${needed}, got ${has}`)
}

/** How many texts. @throws RangeError where the offsets are not what they must be; it names the first such text */
export function countOf({ bytes, offsets }: TextBatch): number {
  if (offsets.length === 0) throw new RangeError('offsets: expected one more than there are texts, got none')
  let before = offsets[0] as number
  if (before < 0) throw new RangeError(`offsets: expected 0 or more, got ${before} for text 0`)
  for (let i = 1; i < offsets.length; i++) {
    const end = offsets[i] as number
    if (end < before) throw new RangeError(`offsets: text ${i - 1} ends before it starts`)
    before = end
  }
  if (before > bytes.length)
    throw new RangeError(`offsets: expected at most ${bytes.length}, the length of bytes, got ${before}`)
  return offsets.length - 1
}

export function lengthOf({ offsets }: TextBatch, i: number): number {
  return (offsets[i + 1] as number) - (offsets[i] as number)
}

/** A view, not a copy. */
export function textAt({ bytes, offsets }: TextBatch, i: number): Uint8Array {
  return bytes.subarray(offsets[i], offsets[i + 1])
}

/** The texts `[from, to)` of a batch: views, not copies. */
export function sliceOf({ bytes, offsets }: TextBatch, from: number, to: number): TextBatch {
  return { bytes, offsets: offsets.subarray(from, to + 1) }
}

/** Several batches as one, in a buffer of its own; the only one of a list as it is. */
export function joinTexts(batches: readonly TextBatch[]): TextBatch {
  const [only] = batches
  if (only && batches.length === 1) return only
  let count = 0
  let size = 0
  for (const { offsets } of batches) {
    count += offsets.length - 1
    size += (offsets[offsets.length - 1] as number) - (offsets[0] as number)
  }
  const joined = { bytes: new Uint8Array(size), offsets: new Uint32Array(count + 1) }
  let at = 0
  for (const batch of batches) {
    putTexts(batch, joined, at)
    at += batch.offsets.length - 1
  }
  return joined
}

/** The same texts in a buffer of their own. */
export function copyTexts({ bytes, offsets }: TextBatch): TextBatch {
  const first = offsets[0] as number
  return {
    bytes: new Uint8Array(bytes.subarray(first, offsets[offsets.length - 1])),
    offsets: Uint32Array.from(offsets, (offset) => offset - first),
  }
}

/** A batch whose buffers hold little more than its texts: itself where that is so, else a copy. */
export function compactTexts(batch: TextBatch): TextBatch {
  const { bytes, offsets } = batch
  const size = (offsets[offsets.length - 1] as number) - (offsets[0] as number)
  const held = bytes.buffer.byteLength + offsets.buffer.byteLength
  return held <= 2 * (size + offsets.byteLength) ? batch : copyTexts(batch)
}

/** Writes texts into another batch from its text `at` on, whose offset must be there; those behind it are set. */
function putTexts({ bytes, offsets }: TextBatch, into: TextBatch, at: number): void {
  const count = offsets.length - 1
  const first = offsets[0] as number
  const start = into.offsets[at] as number
  into.bytes.set(bytes.subarray(first, offsets[count]), start)
  for (let i = 1; i <= count; i++) into.offsets[at + i] = start + (offsets[i] as number) - first
}

/** The texts at some places, in their order, in a buffer of their own. */
export function pickTexts({ bytes, offsets }: TextBatch, places: ArrayLike<number>): TextBatch {
  const picked = new Uint32Array(places.length + 1)
  let size = 0
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as number
    size += (offsets[place + 1] as number) - (offsets[place] as number)
    picked[i + 1] = size
  }
  const out = new Uint8Array(size)
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as number
    out.set(bytes.subarray(offsets[place], offsets[place + 1]), picked[i])
  }
  return { bytes: out, offsets: picked }
}

/** The first text that is not UTF-8 by itself, or -1. The offsets must be right ({@link countOf}). */
export function notUtf8({ bytes, offsets }: TextBatch): number {
  const count = offsets.length - 1
  const all = bytes.subarray(offsets[0], offsets[count])
  if (isAscii(all)) return -1
  // Together they may be valid where one ends inside a character.
  let whole = isUtf8(all)
  for (let i = 1; whole && i < count; i++) whole = ((bytes[offsets[i] as number] ?? 0) & 0xc0) !== 0x80
  if (whole) return -1
  for (let i = 0; i < count; i++) if (!isUtf8(bytes.subarray(offsets[i], offsets[i + 1]))) return i
  return -1
}

/** Strings as bytes in a buffer of their own; undefined where a string is not well-formed, since it has no UTF-8. */
export function packTexts(texts: readonly string[]): TextBatch | undefined {
  const offsets = new Uint32Array(texts.length + 1)
  const joined = texts.join('')
  const total = Buffer.byteLength(joined)
  if (!measure(texts, offsets, joined.length === total)) return undefined
  const bytes = new Uint8Array(total)
  asBuffer(bytes).write(joined, 'utf8')
  return { bytes, offsets }
}

/** The same at the front of a room. @returns whether they fit there and are well-formed; else nothing of them is left there */
export function packInto(texts: readonly string[], { bytes, offsets }: TextRoom): boolean {
  const joined = texts.join('')
  const units = joined.length
  if (texts.length >= offsets.length || units > bytes.length) return false
  // Measured by writing, which takes less than measuring before: what comes near the end may have been cut there.
  const written = asBuffer(bytes).write(joined, 'utf8')
  const isCut = written > bytes.length - UTF8_BYTES && written < Buffer.byteLength(joined)
  if (!isCut && measure(texts, offsets, written === units)) return true
  bytes.fill(0, 0, written)
  return false
}

/** Of a character at most. */
const UTF8_BYTES = 4

/** @param narrow each character is one byte @returns false where a string is not well-formed */
function measure(texts: readonly string[], offsets: Uint32Array, narrow: boolean): boolean {
  let end = 0
  offsets[0] = 0
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i] as string
    if (!narrow && !text.isWellFormed()) return false
    end += narrow ? text.length : Buffer.byteLength(text)
    offsets[i + 1] = end
  }
  return true
}

/** Bytes as strings. They must be UTF-8, as every kernel's answer is. */
export function unpackTexts(batch: TextBatch): string[] {
  const texts = new Array<string>(batch.offsets.length - 1)
  unpackInto(batch, texts, 0)
  return texts
}

/** The same, put into `texts` from place `at` on. */
export function unpackInto({ bytes, offsets }: TextBatch, texts: string[], at: number): void {
  const count = offsets.length - 1
  const first = offsets[0] as number
  const buffer = asBuffer(bytes)
  if (isAscii(bytes)) {
    const all = buffer.toString('latin1', first, offsets[count])
    for (let i = 0; i < count; i++)
      texts[at + i] = all.slice((offsets[i] as number) - first, (offsets[i + 1] as number) - first)
  } else for (let i = 0; i < count; i++) texts[at + i] = buffer.toString('utf8', offsets[i], offsets[i + 1])
}

/**
 * Overwrites bytes that nobody needs any more, and gives their memory back now: buffers that wait for the garbage collector make it run
 * more often than all strings of a batch do.
 */
export function discard(bytes: Uint8Array): void {
  bytes.fill(0)
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) buffer.transfer(0)
}

/** A view whose `copy` takes shared memory as fast as any: the language's own `set` goes by single bytes there. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
