// base64 and base64url (RFC 4648), sixteen characters at a time, in one spelling only: no other alphabet, no white space, padding as
// the format has it, unused bits zero.
import { WORK } from './layout'

// Tables of sixteen bytes, for swizzles: looked up in a register, in the same time whatever is looked up. At +16: of base64url.
/** What to add to a six-bit value: 26 to 51; each digit; 62; 63; up to 25. */
const TO_TEXT = memory.data<u8>([71, 252, 252, 252, 252, 252, 252, 252, 252, 252, 252, 237, 240, 65, 0, 0, 71, 252, 252, 252, 252, 252, 252, 252, 252, 252, 252, 239, 32, 65, 0, 0], 16)
/** A character is of the alphabet where the entries of its two nibbles have no bit in common. */
const BAD_LOWER = memory.data<u8>([37, 33, 33, 33, 33, 33, 33, 33, 33, 33, 35, 58, 59, 59, 59, 58, 37, 33, 33, 33, 33, 33, 33, 33, 33, 33, 35, 59, 59, 58, 59, 51], 16)
const BAD_UPPER = memory.data<u8>([32, 32, 1, 2, 4, 8, 4, 16, 32, 32, 32, 32, 32, 32, 32, 32], 16)
const PACKED = memory.data<u8>([2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 255, 255, 255, 255], 16)
const THREES = memory.data<u8>([2, 1, 0, 255, 5, 4, 3, 255, 8, 7, 6, 255, 11, 10, 9, 255], 16)
/** What to add to a character, by its upper nibble; 8 on: for `/` or `_`, which are alike in it to others. */
const TO_VALUE = memory.data<u8>([0, 0, 19, 4, 191, 191, 185, 185, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 17, 4, 191, 191, 185, 185, 0, 0, 0, 0, 0, 224, 0, 0], 16)

/**
 * Writes `bytes` at `from` as text. Reads up to 15 bytes and writes up to 15 characters more than there are.
 * @returns characters
 */
export function encodeBase64(from: usize, bytes: u32, to: usize, url: bool): u32 {
  // What follows the last byte counts as zero.
  v128.store(from + bytes, i64x2.splat(0))
  const table = v128.load(TO_TEXT + (url ? 16 : 0))
  let p = to
  for (let i: u32 = 0; i < bytes; i += 12) {
    const x = v128.load(from + i)
    const v = i8x16.relaxed_swizzle(x, v128.load(THREES))
    const six = v128.or(
      v128.or(v128.and(i32x4.shr_u(v, 18), i32x4.splat(0x3f)), v128.and(i32x4.shr_u(v, 4), i32x4.splat(0x3f00))),
      v128.or(v128.and(i32x4.shl(v, 10), i32x4.splat(0x3f0000)), v128.and(i32x4.shl(v, 24), i32x4.splat(0x3f000000))),
    )
    const upTo25 = v128.and(i8x16.lt_s(six, i8x16.splat(26)), i8x16.splat(13))
    const which = v128.or(i8x16.sub_sat_u(six, i8x16.splat(51)), upTo25)
    v128.store(p, i8x16.add(six, i8x16.relaxed_swizzle(table, which)))
    p += 16
  }
  const whole = (bytes / 3) * 4
  const rest = bytes % 3
  if (rest === 0) return whole
  if (url) return whole + rest + 1
  if (rest === 1) store<u8>(to + whole, 61, 2)
  store<u8>(to + whole, 61, 3)
  return whole + 4
}

/**
 * Reads text of `length` characters. Writes up to 15 bytes more than there are.
 * @returns bytes, or −1 where it is not what {@link encodeBase64} writes
 */
export function decodeBase64(from: usize, length: u32, to: usize, url: bool): i32 {
  let digits = length
  if (!url) {
    if ((length & 3) !== 0 || length === 0) return -1
    if (load<u8>(from + length - 1) === 61) digits -= load<u8>(from + length - 2) === 61 ? 2 : 1
  }
  if ((digits & 3) === 1) return -1
  const lower = v128.load(BAD_LOWER + (url ? 16 : 0))
  const toValue = v128.load(TO_VALUE + (url ? 16 : 0))
  const special = i8x16.splat(url ? 95 : 47)
  let bad = i64x2.splat(0)
  let at: u32 = 0
  let p = to
  for (; at + 16 <= digits; at += 16) {
    const text = v128.load(from + at)
    bad = v128.or(bad, badCharacters(text, lower))
    v128.store(p, threeOfFour(values(text, toValue, special)))
    p += 12
  }
  const bytes = (digits * 3) >> 2
  if (at < digits) {
    // Filled up with A, which is zero.
    v128.store(WORK, i8x16.splat(65))
    for (let i: u32 = 0; at + i < digits; i++) store<u8>(WORK + i, load<u8>(from + at + i))
    const text = v128.load(WORK)
    bad = v128.or(bad, badCharacters(text, lower))
    v128.store(p, threeOfFour(values(text, toValue, special)))
    // The unused bits are the upper ones of the byte after the last.
    if ((digits & 3) !== 0 && load<u8>(to + bytes) !== 0) return -1
  }
  return v128.any_true(bad) ? -1 : (bytes as i32)
}

// @ts-ignore: decorator
@inline
function badCharacters(text: v128, lower: v128): v128 {
  const f = i8x16.splat(15)
  const low = i8x16.relaxed_swizzle(lower, v128.and(text, f))
  return v128.and(low, i8x16.relaxed_swizzle(v128.load(BAD_UPPER), v128.and(i16x8.shr_u(text, 4), f)))
}

/** Of characters of the alphabet; others give anything. */
// @ts-ignore: decorator
@inline
function values(text: v128, toValue: v128, special: v128): v128 {
  const upper = v128.and(i16x8.shr_u(text, 4), i8x16.splat(7))
  const which = v128.or(upper, v128.and(i8x16.eq(text, special), i8x16.splat(8)))
  return i8x16.add(text, i8x16.relaxed_swizzle(toValue, which))
}

/** Four values of six bits each become three bytes. */
// @ts-ignore: decorator
@inline
function threeOfFour(x: v128): v128 {
  const twelve = v128.or(i16x8.shl(v128.and(x, i16x8.splat(0x3f)), 6), i16x8.shr_u(x, 8))
  const v = i32x4.dot_i16x8_s(twelve, i32x4.splat(0x00011000))
  return i8x16.relaxed_swizzle(v, v128.load(PACKED))
}
