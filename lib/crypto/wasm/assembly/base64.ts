// base64 and base64url (RFC 4648), sixteen characters at a time, in one spelling only: no other alphabet, no white space, padding as
// the format has it, unused bits zero.
import { WORK } from './layout'

/**
 * Writes `bytes` at `from` as text. Reads up to 15 bytes and writes up to 15 characters more than there are.
 * @returns characters
 */
export function encodeBase64(from: usize, bytes: u32, to: usize, url: bool): u32 {
  // What follows the last byte counts as zero.
  v128.store(from + bytes, i64x2.splat(0))
  const plus = i8x16.splat(url ? -13 : -15)
  const slash = i8x16.splat(url ? 36 : -12)
  let p = to
  for (let i: u32 = 0; i < bytes; i += 12) {
    const x = v128.load(from + i)
    const v = i8x16.swizzle(x, i8x16(2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1))
    const six = v128.or(
      v128.or(v128.and(i32x4.shr_u(v, 18), i32x4.splat(0x3f)), v128.and(i32x4.shr_u(v, 4), i32x4.splat(0x3f00))),
      v128.or(v128.and(i32x4.shl(v, 10), i32x4.splat(0x3f0000)), v128.and(i32x4.shl(v, 24), i32x4.splat(0x3f000000))),
    )
    let text = i8x16.add(six, i8x16.splat(65))
    text = i8x16.add(text, v128.and(i8x16.gt_u(six, i8x16.splat(25)), i8x16.splat(6)))
    text = i8x16.sub(text, v128.and(i8x16.gt_u(six, i8x16.splat(51)), i8x16.splat(75)))
    text = i8x16.add(text, v128.and(i8x16.eq(six, i8x16.splat(62)), plus))
    text = i8x16.add(text, v128.and(i8x16.eq(six, i8x16.splat(63)), slash))
    v128.store(p, text)
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
  let good = i8x16.splat(-1)
  let at: u32 = 0
  let p = to
  for (; at + 16 <= digits; at += 16) {
    const text = v128.load(from + at)
    good = v128.and(good, inAlphabet(text, url))
    v128.store(p, threeOfFour(values(text, url)))
    p += 12
  }
  const bytes = (digits * 3) >> 2
  if (at < digits) {
    // Filled up with A, which is zero.
    v128.store(WORK, i8x16.splat(65))
    for (let i: u32 = 0; at + i < digits; i++) store<u8>(WORK + i, load<u8>(from + at + i))
    const text = v128.load(WORK)
    good = v128.and(good, inAlphabet(text, url))
    v128.store(p, threeOfFour(values(text, url)))
    // The unused bits are the upper ones of the byte after the last.
    if ((digits & 3) !== 0 && load<u8>(to + bytes) !== 0) return -1
  }
  return i8x16.all_true(good) ? (bytes as i32) : -1
}

// @ts-ignore: decorator
@inline
function within(text: v128, first: i8, count: i8): v128 {
  return i8x16.lt_u(i8x16.sub(text, i8x16.splat(first)), i8x16.splat(count))
}

// @ts-ignore: decorator
@inline
function inAlphabet(text: v128, url: bool): v128 {
  const letters = v128.or(within(text, 65, 26), within(text, 97, 26))
  const signs = v128.or(i8x16.eq(text, i8x16.splat(url ? 45 : 43)), i8x16.eq(text, i8x16.splat(url ? 95 : 47)))
  return v128.or(v128.or(letters, within(text, 48, 10)), signs)
}

// @ts-ignore: decorator
@inline
function values(text: v128, url: bool): v128 {
  let x = v128.and(within(text, 65, 26), i8x16.sub(text, i8x16.splat(65)))
  x = v128.or(x, v128.and(within(text, 97, 26), i8x16.sub(text, i8x16.splat(71))))
  x = v128.or(x, v128.and(within(text, 48, 10), i8x16.add(text, i8x16.splat(4))))
  x = v128.or(x, v128.and(i8x16.eq(text, i8x16.splat(url ? 45 : 43)), i8x16.splat(62)))
  return v128.or(x, v128.and(i8x16.eq(text, i8x16.splat(url ? 95 : 47)), i8x16.splat(63)))
}

// @ts-ignore: decorator
@inline
function threeOfFour(x: v128): v128 {
  const v = v128.or(
    v128.or(
      i32x4.shl(v128.and(x, i32x4.splat(0xff)), 18),
      i32x4.shl(v128.and(x, i32x4.splat(0xff00)), 4),
    ),
    v128.or(i32x4.shr_u(v128.and(x, i32x4.splat(0xff0000)), 10), i32x4.shr_u(x, 24)),
  )
  return i8x16.swizzle(v, i8x16(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1))
}
