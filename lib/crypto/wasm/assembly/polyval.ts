// POLYVAL (RFC 8452 §3) by integer multiplication, without a table in memory that is read by a secret. Every fourth bit of a factor is
// kept, so that the sums of partial products have room for their carries and the bit wanted can be masked out: sixteen multiplications
// of 64 bits give the lower half of a product without carries, sixteen of the factors mirrored give the upper half. wasm's i64.mul
// takes the same time for all operands on x86-64 and ARM64. Swizzles look nibbles up in a register, in the same time for all of them.

const M0: u64 = 0x1111111111111111
const M1: u64 = 0x2222222222222222
const M2: u64 = 0x4444444444444444
const M3: u64 = 0x8888888888888888

/** A nibble mirrored, as the upper and as the lower one of a byte; its bits spread out; and the bytes of each half turned round. */
const MIRRORED_UP = memory.data<u8>([0, 128, 64, 192, 32, 160, 96, 224, 16, 144, 80, 208, 48, 176, 112, 240], 16)
const MIRRORED = memory.data<u8>([0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], 16)
const SPREAD = memory.data<u8>([0, 1, 4, 5, 16, 17, 20, 21, 64, 65, 68, 69, 80, 81, 84, 85], 16)
const TURNED = memory.data<u8>([7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8], 16)

let h0: u64 = 0
let h1: u64 = 0
let h0r: u64 = 0
let h1r: u64 = 0
let s0: u64 = 0
let s1: u64 = 0

/** Starts with the hash key H, in two halves. */
export function polyvalStart(low: u64, high: u64): void {
  useKey(low, high)
  s0 = 0
  s1 = 0
}

// @ts-ignore: decorator
@inline
function useKey(low: u64, high: u64): void {
  h0 = low
  h1 = high
  const r = mirror(pair(low, high))
  h0r = lower(r)
  h1r = upper(r)
}

/** Adds `bytes` at `from`, filled up with zeros to whole blocks: they must already be there. */
export function polyvalUpdate(from: usize, bytes: u32): void {
  const end = from + bytes
  for (let p = from; p < end; p += 16) polyvalBlock(load<u64>(p), load<u64>(p, 8))
}

/** S = (S + X) · H · x^-128 */
export function polyvalBlock(low: u64, high: u64): void {
  multiplyAdd(low, high, 0, 0, 0, 0)
}

/**
 * The text, filled up with zeros to whole blocks, and after it the block of the two lengths. The last two steps are taken as one:
 * ((S + X) · H + L) · H = (S + X) · H² + L · H, for a square is its factor's bits spread out, and L has few bits. Lengths are no secrets.
 */
export function polyvalEnd(from: usize, bytes: u32, aadBytes: u32): void {
  if (bytes === 0) {
    polyvalBlock((aadBytes as u64) << 3, 0)
    return
  }
  const last = from + ((bytes - 1) & ~15)
  for (let p = from; p < last; p += 16) polyvalBlock(load<u64>(p), load<u64>(p, 8))
  let v0: u64 = 0
  let v1: u64 = 0
  let v2: u64 = 0
  // Shifts of H by the bits of the lengths, which are below 2^20.
  for (let l = aadBytes; l !== 0; l &= l - 1) {
    const by = (ctz(l) + 3) as u64
    v0 ^= h0 << by
    v1 ^= (h1 << by) | (h0 >> (64 - by))
    v2 ^= h1 >> (64 - by)
  }
  let v3: u64 = 0
  for (let l = bytes; l !== 0; l &= l - 1) {
    const by = (ctz(l) + 3) as u64
    v1 ^= h0 << by
    v2 ^= (h1 << by) | (h0 >> (64 - by))
    v3 ^= h1 >> (64 - by)
  }
  squareKey()
  multiplyAdd(load<u64>(last), load<u64>(last, 8), v0, v1, v2, v3)
}

/** H becomes H · H · x^-128. */
// @ts-ignore: decorator
@inline
function squareKey(): void {
  const h = pair(h0, h1)
  const f = i8x16.splat(15)
  const table = v128.load(SPREAD)
  const even = i8x16.relaxed_swizzle(table, v128.and(h, f))
  const odd = i8x16.relaxed_swizzle(table, v128.and(i16x8.shr_u(h, 4), f))
  const low = i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
  const high = i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
  const v0 = lower(low)
  const v1 = upper(low) ^ (v0 << 63) ^ (v0 << 62) ^ (v0 << 57)
  const v2 = lower(high) ^ v0 ^ (v0 >> 1) ^ (v0 >> 2) ^ (v0 >> 7)
  const v3 = upper(high) ^ v1 ^ (v1 >> 1) ^ (v1 >> 2) ^ (v1 >> 7)
  useKey(v2 ^ (v1 << 63) ^ (v1 << 62) ^ (v1 << 57), v3)
}

/** S = ((S + X) · H + V) · x^-128 */
// @ts-ignore: decorator
@inline
function multiplyAdd(low: u64, high: u64, w0: u64, w1: u64, w2: u64, w3: u64): void {
  const y0 = s0 ^ low
  const y1 = s1 ^ high
  const r = mirror(pair(y0, y1))
  const y0r = lower(r)
  const y1r = upper(r)
  // Karatsuba: three products of 64 × 64 bits, each as its lower and its upper half.
  const low0 = multiply(y0, h0)
  const low1 = multiply(y1, h1)
  const low2 = multiply(y0 ^ y1, h0 ^ h1) ^ low0 ^ low1
  const up0 = multiply(y0r, h0r)
  const up1 = multiply(y1r, h1r)
  const up2 = multiply(y0r ^ y1r, h0r ^ h1r) ^ up0 ^ up1
  const u = i64x2.shr_u(mirror(pair(up0, up1)), 1)
  const v0 = w0 ^ low0
  let v1 = w1 ^ lower(u) ^ low2
  let v2 = w2 ^ low1 ^ (lower(mirror(pair(up2, 0))) >> 1)
  let v3 = w3 ^ upper(u)
  // x^128 + x^127 + x^126 + x^121 + 1: adding multiples of it makes the lower half zero; the upper one is the quotient by x^128.
  v1 ^= (v0 << 63) ^ (v0 << 62) ^ (v0 << 57)
  v2 ^= v0 ^ (v0 >> 1) ^ (v0 >> 2) ^ (v0 >> 7)
  v2 ^= (v1 << 63) ^ (v1 << 62) ^ (v1 << 57)
  v3 ^= v1 ^ (v1 >> 1) ^ (v1 >> 2) ^ (v1 >> 7)
  s0 = v2
  s1 = v3
}

export function polyvalStore(to: usize): void {
  store<u64>(to, s0)
  store<u64>(to, s1, 8)
}

export function polyvalWipe(): void {
  polyvalStart(0, 0)
}

/** The lower 64 bits of the product without carries. */
// @ts-ignore: decorator
@inline
function multiply(x: u64, y: u64): u64 {
  const x0 = x & M0
  const x1 = x & M1
  const x2 = x & M2
  const x3 = x & M3
  const y0 = y & M0
  const y1 = y & M1
  const y2 = y & M2
  const y3 = y & M3
  return (
    (((x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)) & M0) |
    (((x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)) & M1) |
    (((x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)) & M2) |
    (((x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)) & M3)
  )
}

// @ts-ignore: decorator
@inline
function pair(low: u64, high: u64): v128 {
  return i64x2.replace_lane(i64x2.splat(low), 1, high)
}

// @ts-ignore: decorator
@inline
function lower(x: v128): u64 {
  return i64x2.extract_lane(x, 0) as u64
}

// @ts-ignore: decorator
@inline
function upper(x: v128): u64 {
  return i64x2.extract_lane(x, 1) as u64
}

/** In each half, bit i becomes bit 63 − i. */
// @ts-ignore: decorator
@inline
function mirror(x: v128): v128 {
  const f = i8x16.splat(15)
  const up = i8x16.relaxed_swizzle(v128.load(MIRRORED_UP), v128.and(x, f))
  const down = i8x16.relaxed_swizzle(v128.load(MIRRORED), v128.and(i16x8.shr_u(x, 4), f))
  return i8x16.relaxed_swizzle(v128.or(up, down), v128.load(TURNED))
}
