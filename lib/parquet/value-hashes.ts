/**
 * Hashes of byte arrays, so that millions can be remembered in little memory and none is kept: 64 bits in two lanes. Not for secrecy: they
 * never leave the process. Two of a million values meet by chance once in 40 million runs.
 */
import { sharedEngine } from './wasm/engine.ts'

/** One for each value. */
export interface ValueHashes {
  readonly a: Int32Array
  /** Never 0. */
  readonly b: Int32Array
  /** The i-th value is `plain[from[i], to[i])`. */
  readonly from: Int32Array
  readonly to: Int32Array
}

const LISTS = 4
const LONG_PIECE_BYTES = 1 << 20

/**
 * @param plain values in PLAIN encoding, each with its length of four bytes in front
 * @param seed other values meet where it is another
 * @param into long enough for `count`
 * @returns how many values are empty
 * @throws RangeError where the bytes end before `count` values
 */
export function hashByteArrays(plain: Uint8Array, count: number, seed: number, into: ValueHashes): number {
  const engine = sharedEngine(plain.length)
  const { places, room } = engine
  const most = Math.floor(room.out / LISTS / Int32Array.BYTES_PER_ELEMENT)
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  let empty = 0
  for (let done = 0, at = 0; done < count; ) {
    // All that are left, if the page has no more than there is room for.
    const left = count - done
    const isLast = left <= most && plain.length - at <= room.in
    const piece = isLast ? { count: left, end: plain.length } : wholeValues(view, at, Math.min(left, most), room.in)
    if (piece.count === 0) hashLong(plain, at + 4, piece.end, seed, into, done++)
    else {
      engine.bytes().set(plain.subarray(at, piece.end), places.in)
      const found = engine.hashes(places.in, piece.end - at, piece.count, seed, places.out, at)
      if (found < 0) throw beyond()
      empty += found
      const words = engine.words()
      let list = places.out >> 2
      for (const lane of [into.a, into.b, into.from, into.to]) {
        lane.set(words.subarray(list, list + piece.count), done)
        list += piece.count
      }
      done += piece.count
    }
    at = piece.end
  }
  return empty
}

/** As many values as fit in so many bytes; none, and the end of the first, where that one does not. */
function wholeValues(view: DataView, start: number, count: number, bytes: number): { count: number; end: number } {
  let whole = 0
  let end = start
  while (whole < count) {
    if (end + 4 > view.byteLength) throw beyond()
    const next = end + 4 + view.getUint32(end, true)
    if (next > view.byteLength) throw beyond()
    if (next - start > bytes) return whole > 0 ? { count: whole, end } : { count: 0, end: next }
    end = next
    whole++
  }
  return { count: whole, end }
}

/** The hash of the hashes of its pieces. */
function hashLong(plain: Uint8Array, from: number, to: number, seed: number, into: ValueHashes, i: number): void {
  const pieces = Math.ceil((to - from) / LONG_PIECE_BYTES)
  const lanes = emptyHashes(pieces)
  const one = Buffer.allocUnsafe(4 + LONG_PIECE_BYTES)
  for (let piece = 0; piece < pieces; piece++) {
    const bytes = plain.subarray(from + piece * LONG_PIECE_BYTES, Math.min(to, from + (piece + 1) * LONG_PIECE_BYTES))
    one.writeUInt32LE(bytes.length)
    one.set(bytes, 4)
    const hash = emptyHashes(1)
    hashByteArrays(one, 1, seed, hash)
    lanes.a.set(hash.a, piece)
    lanes.b.set(hash.b, piece)
  }
  const both = Buffer.alloc(4 + 8 * pieces)
  both.writeUInt32LE(8 * pieces)
  for (let piece = 0; piece < pieces; piece++) {
    both.writeInt32LE(lanes.a[piece] as number, 4 + 8 * piece)
    both.writeInt32LE(lanes.b[piece] as number, 8 + 8 * piece)
  }
  const hash = emptyHashes(1)
  hashByteArrays(both, 1, seed, hash)
  into.a.set(hash.a, i)
  into.b.set(hash.b, i)
  into.from[i] = from
  into.to[i] = to
}

export function emptyHashes(count: number): ValueHashes {
  return {
    a: new Int32Array(count),
    b: new Int32Array(count),
    from: new Int32Array(count),
    to: new Int32Array(count),
  }
}

function beyond(): RangeError {
  return new RangeError('a value beyond the page')
}
