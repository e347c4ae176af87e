/**
 * The RLE / bit-packing hybrid of levels and dictionary indices. Pure. (parquet-format, Encodings.md.)
 *
 * Our own, because hyparquet's trusts the run lengths it reads: some bytes would keep it busy for hours or fill the memory.
 */

/** Bits needed for values from 0 to `max`. */
export function bitWidth(max: number): number {
  return 32 - Math.clz32(max)
}

/**
 * Fills `out` from `bytes`.
 * @returns whether nothing but zeros follows the last value, in the padding of its run too: what else a writer put there is not among the values
 * @throws RangeError where the bytes end first, or a width is impossible
 */
export function decodeHybrid(bytes: Uint8Array, width: number, out: Uint8Array | Int32Array): boolean {
  if (width > 32) throw new RangeError('bit width above 32')
  const count = out.length
  const step = (width + 7) >> 3
  let at = 0
  let seen = 0
  let clean = true
  while (seen < count) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      const b = bytes[at++]
      if (b === undefined || shift > 28) throw new RangeError('runs end before the values do')
      header += (b & 0x7f) * 2 ** shift
      if (b < 0x80) break
    }
    if (header % 2 === 0) {
      const n = Math.min(header / 2, count - seen)
      if (header === 0 || at + step > bytes.length) throw new RangeError('an empty or cut run')
      let value = 0
      for (let i = 0; i < step; i++) value |= (bytes[at + i] as number) << (8 * i)
      at += step
      out.fill(value, seen, seen + n)
      seen += n
    } else {
      const packed = ((header - 1) / 2) * 8
      const n = Math.min(packed, count - seen)
      // The padding of the last group may be missing: writers before 2014 cut it.
      if (packed === 0 || at + Math.ceil((n * width) / 8) > bytes.length) throw new RangeError('an empty or cut run')
      if (width <= 24) unpack(bytes, at, width, out, seen, n)
      else unpackWide(bytes, at, width, out, seen, n)
      clean &&= paddingIsZero(bytes, at * 8 + n * width, at * 8 + packed * width)
      at += (packed * width) / 8
      seen += n
    }
  }
  return clean && onlyZeros(bytes, at)
}

/** What stands behind the last value of a packed run is no value: a writer may say of any number of groups that they follow. */
function paddingIsZero(bytes: Uint8Array, fromBit: number, toBit: number): boolean {
  const first = Math.ceil(fromBit / 8)
  if (fromBit % 8 !== 0 && (bytes[first - 1] as number) >> (fromBit % 8) !== 0) return false
  const end = Math.min(bytes.length, toBit / 8)
  for (let at = first; at < end; at++) if (bytes[at] !== 0) return false
  return true
}

export function onlyZeros(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}

function unpack(bytes: Uint8Array, from: number, width: number, out: Uint8Array | Int32Array, seen: number, n: number) {
  const mask = 2 ** width - 1
  let at = from
  let buffer = 0
  let bits = 0
  for (let i = seen; i < seen + n; i++) {
    while (bits < width) {
      buffer |= (bytes[at++] as number) << bits
      bits += 8
    }
    out[i] = buffer & mask
    buffer >>>= width
    bits -= width
  }
}

/** Widths above 24 do not fit in the 32 bits of the fast way; nobody writes them but for huge dictionaries. */
function unpackWide(
  bytes: Uint8Array,
  from: number,
  width: number,
  out: Uint8Array | Int32Array,
  seen: number,
  n: number,
) {
  for (let i = 0; i < n; i++) {
    const bit = i * width
    const at = from + Math.floor(bit / 8)
    let value = 0
    for (let b = 4; b >= 0; b--) value = value * 256 + (bytes[at + b] ?? 0)
    out[seen + i] = Math.floor(value / 2 ** (bit % 8)) % 2 ** width
  }
}

/** Runs of eight and more as runs, the rest packed. */
export function encodeHybrid(values: ArrayLike<number>, width: number): Uint8Array {
  const count = values.length
  const step = (width + 7) >> 3
  // Worst case: packed groups and runs in turn.
  const out = new Uint8Array(Math.ceil(count / 8) * (width + 1) + Math.ceil(count / 8) * (step + 5) + 16)
  let at = 0

  function varint(n: number): void {
    let rest = n
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) | 0x80
    out[at++] = rest
  }
  function pack(from: number, to: number): void {
    if (from === to) return
    const groups = Math.ceil((to - from) / 8)
    varint(groups * 2 + 1)
    let buffer = 0
    let bits = 0
    for (let i = from; i < from + groups * 8; i++) {
      buffer |= (i < count ? (values[i] as number) : 0) << bits
      bits += width
      for (; bits >= 8; bits -= 8) {
        out[at++] = buffer & 0xff
        buffer >>>= 8
      }
    }
  }

  let packed = 0
  let i = 0
  while (i < count) {
    const value = values[i] as number
    let end = i + 1
    while (end < count && values[end] === value) end++
    if (end - i < 8) {
      i += 8
      continue
    }
    pack(packed, i)
    varint((end - i) * 2)
    for (let b = 0; b < step; b++) out[at++] = (value >>> (8 * b)) & 0xff
    i = end
    packed = end
  }
  pack(packed, count)
  return out.subarray(0, at)
}
