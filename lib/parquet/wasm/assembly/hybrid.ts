// The RLE / bit-packing hybrid of levels and dictionary indices (parquet-format, Encodings.md).

/** Whether the runs were looked at to their end and nothing but zeros is behind the last value, in the padding of its group too. */
let tight: bool = false
export function wasTight(): bool {
  return tight
}

/** How many of the values were equal to the limit that was given. */
let equal: u32 = 0
export function equalToLimit(): u32 {
  return equal
}

/** How many of the values were 0. */
let zero: u32 = 0
export function zeros(): u32 {
  return zero
}

/**
 * Goes through `count` values of `width` bits. None may be above `limit`.
 * @param dst where they are put, a byte or four each; 0: nowhere
 * @param wide four bytes each
 * @returns false where the bytes end first or a value is too large
 */
export function hybrid(src: usize, length: u32, width: u32, count: u32, limit: u32, dst: usize, wide: bool): bool {
  tight = false
  equal = 0
  zero = 0
  if (width > 32) return false
  const end = src + length
  const step = (width + 7) >> 3
  const valueMask: u32 = width == 32 ? 0xffffffff : (1 << width) - 1
  let at = src
  let seen: u32 = 0
  let clean = true
  while (seen < count) {
    let header: u64 = 0
    for (let shift: u64 = 0; ; shift += 7) {
      if (at >= end || shift > 28) return false
      const b = load<u8>(at++)
      header |= (u64(b) & 0x7f) << shift
      if (b < 0x80) break
    }
    if ((header & 1) == 0) {
      const n = u32(min<u64>(header >> 1, u64(count - seen)))
      if (header == 0 || at + step > end) return false
      let value: u32 = 0
      for (let i: u32 = 0; i < step; i++) value |= u32(load<u8>(at + i)) << (8 * i)
      at += step
      if (value > limit) return false
      if (value == limit) equal += n
      if (value == 0) zero += n
      if (dst != 0) {
        if (wide) for (let i: u32 = 0; i < n; i++) store<u32>(dst + ((seen + i) << 2), value)
        else memory.fill(dst + seen, u8(value), n)
      }
      seen += n
      continue
    }
    const packed = (header >> 1) * 8
    const n = u32(min<u64>(packed, u64(count - seen)))
    const bytes = (u64(n) * u64(width) + 7) >> 3
    // The padding of the last group may be missing: writers before 2014 cut it.
    if (packed == 0 || u64(end - at) < bytes) return false
    // Whole groups of eight side by side, where nobody wants them one by one.
    const grouped = dst == 0 && width > 0 && width <= MOST_SIDE_BY_SIDE ? n & ~7 : 0
    let most = groups(at, width, grouped, limit)
    let bit: u32 = 0
    let here = at + (usize(grouped) * usize(width)) / 8
    for (let i = grouped; i < n; i++) {
      const value = u32(load<u64>(here) >> u64(bit)) & valueMask
      bit += width
      here += bit >> 3
      bit &= 7
      most = max<u32>(most, value)
      equal += u32(value == limit)
      zero += u32(value == 0)
      if (dst != 0) {
        if (wide) store<u32>(dst + ((seen + i) << 2), value)
        else store<u8>(dst + seen + i, value)
      }
    }
    if (most > limit) return false
    const whole = min<u64>((packed * u64(width)) >> 3, u64(end - at))
    if (bit != 0 && load<u8>(here) >> u8(bit) != 0) clean = false
    for (let rest = here + (bit == 0 ? 0 : 1); rest < at + usize(whole); rest++) if (load<u8>(rest) != 0) clean = false
    at += usize(whole)
    seen += n
  }
  for (; at < end; at++) if (load<u8>(at) != 0) clean = false
  tight = clean
  return true
}

/** Four values of so many bits, from any bit of a byte on, are in 16 bytes, and each in four. */
const MOST_SIDE_BY_SIDE: u32 = 25
/** For the first four values of a group and for the others: which bytes a value is in, and what moves it to the top of its 32 bits. */
const LANES = memory.data(64, 16)
let lanesOf: u32 = 0

function prepare(width: u32): void {
  lanesOf = width
  for (let i: u32 = 0; i < 8; i++) {
    const half = usize(i >> 2) << 5
    const lane = usize(i & 3) << 2
    const bit = i * width - (i < 4 ? 0 : ((4 * width) >> 3) << 3)
    for (let b: u32 = 0; b < 4; b++) store<u8>(LANES + half + lane + b, u8((bit >> 3) + b))
    store<u32>(LANES + half + lane, 1 << (32 - width - (bit & 7)), 16)
  }
}

/** As `hybrid`, of packed values in groups of eight. @returns the largest */
function groups(src: usize, width: u32, count: u32, limit: u32): u32 {
  if (count == 0) return 0
  if (lanesOf != width) prepare(width)
  const bytes = v128.load(LANES)
  const moves = v128.load(LANES, 16)
  const otherBytes = v128.load(LANES, 32)
  const otherMoves = v128.load(LANES, 48)
  const other: usize = (4 * width) >> 3
  const down = 32 - width
  const limits = i32x4.splat(limit)
  const none = i32x4.splat(0)
  let most = none
  let equals = none
  let zeroes = none
  let at = src
  for (let i: u32 = 0; i < count; i += 8, at += width) {
    const a = i32x4.shr_u(i32x4.mul(i8x16.swizzle(v128.load(at), bytes), moves), down)
    const b = i32x4.shr_u(i32x4.mul(i8x16.swizzle(v128.load(at + other), otherBytes), otherMoves), down)
    most = i32x4.max_u(most, i32x4.max_u(a, b))
    equals = i32x4.sub(equals, i32x4.add(i32x4.eq(a, limits), i32x4.eq(b, limits)))
    zeroes = i32x4.sub(zeroes, i32x4.add(i32x4.eq(a, none), i32x4.eq(b, none)))
  }
  equal += sum(equals)
  zero += sum(zeroes)
  return max<u32>(
    max<u32>(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1)),
    max<u32>(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3)),
  )
}

// @ts-ignore: decorator
@inline
function sum(lanes: v128): u32 {
  return (
    i32x4.extract_lane(lanes, 0) + i32x4.extract_lane(lanes, 1) + i32x4.extract_lane(lanes, 2) + i32x4.extract_lane(lanes, 3)
  )
}

/** Runs of eight and more as runs, the rest packed. @param src values, four bytes each @returns bytes written */
export function encode(src: usize, count: u32, width: u32, dst: usize): u32 {
  const step = (width + 7) >> 3
  let out = dst
  let packedFrom: u32 = 0
  let i: u32 = 0
  while (i < count) {
    const value = load<u32>(src + (i << 2))
    let end = i + 1
    while (end < count && load<u32>(src + (end << 2)) == value) end++
    if (end - i < 8) {
      i += 8
      continue
    }
    out = pack(src, packedFrom, i, count, width, out)
    out = varint((end - i) << 1, out)
    for (let b: u32 = 0; b < step; b++) store<u8>(out++, value >> (8 * b))
    i = end
    packedFrom = end
  }
  return u32(pack(src, packedFrom, count, count, width, out) - dst)
}

function varint(n: u32, dst: usize): usize {
  let out = dst
  let rest = n
  for (; rest >= 0x80; rest >>= 7) store<u8>(out++, (rest & 0x7f) | 0x80)
  store<u8>(out++, rest)
  return out
}

function pack(src: usize, from: u32, to: u32, count: u32, width: u32, dst: usize): usize {
  if (from >= to) return dst
  const groups = (to - from + 7) >> 3
  let out = varint(groups * 2 + 1, dst)
  let buffer: u64 = 0
  let bits: u32 = 0
  for (let i = from; i < from + groups * 8; i++) {
    if (i < count) buffer |= u64(load<u32>(src + (i << 2))) << u64(bits)
    bits += width
    for (; bits >= 8; bits -= 8) {
      store<u8>(out++, u8(buffer))
      buffer >>= 8
    }
  }
  return out
}
