// POLYVAL (RFC 8452 §3) by integer multiplication, without a table. Every fourth bit of a factor is kept, so that the sums of partial
// products have room for their carries and the bit wanted can be masked out: sixteen multiplications of 64 bits give the lower half of
// a product without carries, sixteen of the factors mirrored give the upper half. wasm's i64.mul takes the same time for all operands
// on x86-64 and ARM64.

const M0: u64 = 0x1111111111111111
const M1: u64 = 0x2222222222222222
const M2: u64 = 0x4444444444444444
const M3: u64 = 0x8888888888888888

let h0: u64 = 0
let h1: u64 = 0
let h0r: u64 = 0
let h1r: u64 = 0
let s0: u64 = 0
let s1: u64 = 0

/** Starts with the hash key H, in two halves. */
export function polyvalStart(low: u64, high: u64): void {
  h0 = low
  h1 = high
  h0r = mirror(low)
  h1r = mirror(high)
  s0 = 0
  s1 = 0
}

/** Adds `bytes` at `from`, filled up with zeros to whole blocks: they must already be there. */
export function polyvalUpdate(from: usize, bytes: u32): void {
  const end = from + bytes
  for (let p = from; p < end; p += 16) polyvalBlock(load<u64>(p), load<u64>(p, 8))
}

/** S = (S + X) · H · x^-128 */
export function polyvalBlock(low: u64, high: u64): void {
  const y0 = s0 ^ low
  const y1 = s1 ^ high
  const y0r = mirror(y0)
  const y1r = mirror(y1)
  // Karatsuba: three products of 64 × 64 bits, each as its lower and its upper half.
  const low0 = multiply(y0, h0)
  const low1 = multiply(y1, h1)
  const low2 = multiply(y0 ^ y1, h0 ^ h1) ^ low0 ^ low1
  const up0 = multiply(y0r, h0r)
  const up1 = multiply(y1r, h1r)
  const up2 = mirror(multiply(y0r ^ y1r, h0r ^ h1r) ^ up0 ^ up1) >> 1
  const v0 = low0
  let v1 = (mirror(up0) >> 1) ^ low2
  let v2 = low1 ^ up2
  let v3 = mirror(up1) >> 1
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

/** Bit i becomes bit 63 − i. */
// @ts-ignore: decorator
@inline
function mirror(x: u64): u64 {
  x = ((x & 0x5555555555555555) << 1) | ((x >> 1) & 0x5555555555555555)
  x = ((x & 0x3333333333333333) << 2) | ((x >> 2) & 0x3333333333333333)
  x = ((x & 0x0f0f0f0f0f0f0f0f) << 4) | ((x >> 4) & 0x0f0f0f0f0f0f0f0f)
  return bswap<u64>(x)
}
