/**
 * LZ4 blocks, alone (LZ4_RAW) and in the frames of Hadoop (LZ4). Pure. (parquet-format, Compression.md; lz4_Block_format.md.)
 *
 * Our own, because hyparquet-compressors takes a block that ends early for a page of zeros, and a frame for one of a single block:
 * Hadoop cuts what is longer than 256 KiB.
 */

/** @throws RangeError where the block does not yield exactly `size` bytes */
export function lz4Raw(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  if (decodeBlock(bytes, out, 0) !== size) throw new RangeError('a block that ends early')
  return out
}

/** Frames of Hadoop, or a bare block, which other writers put under the same name. @throws RangeError as `lz4Raw` */
export function lz4(bytes: Uint8Array, size: number): Uint8Array {
  try {
    return frames(bytes, size)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return lz4Raw(bytes, size)
  }
}

/** A frame: bytes of its content, then blocks with their length until the content is there. All numbers are big-endian. */
function frames(bytes: Uint8Array, size: number): Uint8Array {
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Uint8Array(size)
  let at = 0
  let filled = 0
  while (at < bytes.length) {
    const content = numbers.getUint32(at)
    at += 4
    const end = filled + content
    if (end > size) throw new RangeError('a frame of more than the page')
    while (filled < end) {
      const length = numbers.getUint32(at)
      at += 4
      if (length === 0 || at + length > bytes.length) throw new RangeError('a block of no bytes, or beyond the page')
      filled = decodeBlock(bytes.subarray(at, at + length), out.subarray(0, end), filled)
      at += length
    }
  }
  if (filled !== size) throw new RangeError('frames that end early')
  return out
}

/** @returns where in `out` the block ends; it may refer to what stands before `from` */
function decodeBlock(bytes: Uint8Array, out: Uint8Array, from: number): number {
  let at = 0
  let to = from

  function length(nibble: number): number {
    let n = nibble
    if (nibble === 15)
      for (let more = 255; more === 255; n += more) {
        const b = bytes[at++]
        if (b === undefined) throw new RangeError('a length beyond the block')
        more = b
      }
    return n
  }

  while (at < bytes.length) {
    const token = bytes[at++] as number
    const literals = length(token >> 4)
    if (at + literals > bytes.length || to + literals > out.length) throw new RangeError('literals beyond the end')
    out.set(bytes.subarray(at, at + literals), to)
    at += literals
    to += literals
    // The last sequence has no match.
    if (at === bytes.length) return to
    if (at + 2 > bytes.length) throw new RangeError('an offset beyond the block')
    const offset = (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
    at += 2
    const match = length(token & 15) + 4
    if (offset === 0 || offset > to || to + match > out.length) throw new RangeError('a match beyond the end')
    if (offset >= match) out.copyWithin(to, to - offset, to - offset + match)
    // A match may reach into itself.
    else for (let i = to; i < to + match; i++) out[i] = out[i - offset] as number
    to += match
  }
  return to
}
