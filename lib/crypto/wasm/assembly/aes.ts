// AES-256 encryption (FIPS 197) of eight blocks at once, each under a key of its own, bitsliced: plane k holds bit k of every byte of
// every block; byte p of a plane is byte p of the state, and its bit j belongs to block j. No table, no branch and no address depends
// on a key or a text.
import { BLOCKS, PLANES, ROUND_KEYS, WORK } from './layout'

// Where the sixteen bytes of a vector go; 255 gives zero. Constants in memory: V8 makes a shuffle's operand anew each time, at three times the
// cost of loading it. Byte 4c + r of the state is row r of column c (§3.4); row r moves r columns to the left (§5.1.2).
const SHIFTED = memory.data<u8>([0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11], 16)
const SHIFTED_TURNED = memory.data<u8>([5, 10, 15, 0, 9, 14, 3, 4, 13, 2, 7, 8, 1, 6, 11, 12], 16)
const TURNED_TWICE = memory.data<u8>([2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13], 16)
/** The last word everywhere; the same, turned by a byte; words moved up by one and by two. */
const LAST = memory.data<u8>([12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15], 16)
const LAST_TURNED = memory.data<u8>([13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12], 16)
const UP_ONE = memory.data<u8>([255, 255, 255, 255, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 16)
const UP_TWO = memory.data<u8>([255, 255, 255, 255, 255, 255, 255, 255, 0, 1, 2, 3, 4, 5, 6, 7], 16)

/** Encrypts the eight blocks at BLOCKS, in place, under the round keys at ROUND_KEYS. */
export function encryptBlocks(): void {
  transpose(BLOCKS, PLANES)
  for (let k: usize = 0; k < 128; k += 16)
    v128.store(PLANES + k, v128.xor(v128.load(PLANES + k), v128.load(ROUND_KEYS + k)))
  let key = ROUND_KEYS + 128
  for (let round = 1; round < 14; round++) {
    subBytes(PLANES)
    shiftRowsMixColumnsAddKey(PLANES, key)
    key += 128
  }
  subBytes(PLANES)
  for (let k: usize = 0; k < 128; k += 16)
    v128.store(PLANES + k, v128.xor(shiftRows(v128.load(PLANES + k)), v128.load(key + k)))
  transpose(PLANES, BLOCKS)
}

/** Key expansion (§5.2) of eight keys: their halves, eight blocks each, become fifteen round keys of eight planes. */
export function expandKeys(firstHalves: usize, secondHalves: usize): void {
  transpose(firstHalves, ROUND_KEYS)
  transpose(secondHalves, ROUND_KEYS + 128)
  // Byte 0 of each word, in all eight blocks.
  const firstBytes = i32x4.splat(0xff)
  for (let i: u32 = 2; i < 15; i++) {
    const to = ROUND_KEYS + i * 128
    const previous = to - 128
    const before = to - 256
    const even = (i & 1) === 0
    // The last word of the round key before, in all four columns; rotated by a byte for every other round key.
    const word = v128.load(even ? LAST_TURNED : LAST)
    for (let k: usize = 0; k < 128; k += 16)
      v128.store(WORK + k, i8x16.relaxed_swizzle(v128.load(previous + k), word))
    subBytes(WORK)
    if (even) {
      const rcon = WORK + ((i >> 1) - 1) * 16
      v128.store(rcon, v128.xor(v128.load(rcon), firstBytes))
    }
    // Word c of the new key is the sum of words 0 to c of the one two before, and the word above.
    for (let k: usize = 0; k < 128; k += 16) {
      let x = v128.load(before + k)
      x = v128.xor(x, i8x16.relaxed_swizzle(x, v128.load(UP_ONE)))
      x = v128.xor(x, i8x16.relaxed_swizzle(x, v128.load(UP_TWO)))
      v128.store(to + k, v128.xor(x, v128.load(WORK + k)))
    }
  }
}

// @ts-ignore: decorator
@inline
function shiftRows(x: v128): v128 {
  return i8x16.relaxed_swizzle(x, v128.load(SHIFTED))
}

/** The same, and each column turned by one row. */
// @ts-ignore: decorator
@inline
function shiftRowsTurned(x: v128): v128 {
  return i8x16.relaxed_swizzle(x, v128.load(SHIFTED_TURNED))
}

// @ts-ignore: decorator
@inline
function turnTwice(x: v128): v128 {
  return i8x16.relaxed_swizzle(x, v128.load(TURNED_TWICE))
}

// @ts-ignore: decorator
@inline
function mixed(doubled: v128, turned: v128, sum: v128, key: v128): v128 {
  return v128.xor(v128.xor(doubled, turned), v128.xor(turnTwice(sum), key))
}

/**
 * MixColumns (§5.1.3) as 2(a + a') + a' + (a + a')'': a' is the next row, '' two rows on. Doubling moves every plane up by one and
 * adds plane 7 to planes 0, 1, 3 and 4.
 */
function shiftRowsMixColumnsAddKey(p: usize, key: usize): void {
  let x = v128.load(p, 112)
  const b7 = shiftRowsTurned(x)
  const s7 = v128.xor(shiftRows(x), b7)
  x = v128.load(p, 0)
  const b0 = shiftRowsTurned(x)
  const s0 = v128.xor(shiftRows(x), b0)
  v128.store(p, mixed(s7, b0, s0, v128.load(key, 0)), 0)
  x = v128.load(p, 16)
  const b1 = shiftRowsTurned(x)
  const s1 = v128.xor(shiftRows(x), b1)
  v128.store(p, mixed(v128.xor(s0, s7), b1, s1, v128.load(key, 16)), 16)
  x = v128.load(p, 32)
  const b2 = shiftRowsTurned(x)
  const s2 = v128.xor(shiftRows(x), b2)
  v128.store(p, mixed(s1, b2, s2, v128.load(key, 32)), 32)
  x = v128.load(p, 48)
  const b3 = shiftRowsTurned(x)
  const s3 = v128.xor(shiftRows(x), b3)
  v128.store(p, mixed(v128.xor(s2, s7), b3, s3, v128.load(key, 48)), 48)
  x = v128.load(p, 64)
  const b4 = shiftRowsTurned(x)
  const s4 = v128.xor(shiftRows(x), b4)
  v128.store(p, mixed(v128.xor(s3, s7), b4, s4, v128.load(key, 64)), 64)
  x = v128.load(p, 80)
  const b5 = shiftRowsTurned(x)
  const s5 = v128.xor(shiftRows(x), b5)
  v128.store(p, mixed(s4, b5, s5, v128.load(key, 80)), 80)
  x = v128.load(p, 96)
  const b6 = shiftRowsTurned(x)
  const s6 = v128.xor(shiftRows(x), b6)
  v128.store(p, mixed(s5, b6, s6, v128.load(key, 96)), 96)
  v128.store(p, mixed(s6, b7, s7, v128.load(key, 112)), 112)
}

/**
 * SubBytes (§5.1.1) on eight planes: the circuit of J. Boyar and R. Peralta, "A depth-16 circuit for the AES S-box" (2011): inversion
 * in GF(2^8) over a tower of fields, between two linear layers. x0 and s0 are the highest bits.
 */
function subBytes(p: usize): void {
  const x0 = v128.load(p, 112)
  const x1 = v128.load(p, 96)
  const x2 = v128.load(p, 80)
  const x3 = v128.load(p, 64)
  const x4 = v128.load(p, 48)
  const x5 = v128.load(p, 32)
  const x6 = v128.load(p, 16)
  const x7 = v128.load(p, 0)
  const y14 = v128.xor(x3, x5)
  const y13 = v128.xor(x0, x6)
  const y9 = v128.xor(x0, x3)
  const y8 = v128.xor(x0, x5)
  const t0 = v128.xor(x1, x2)
  const y1 = v128.xor(t0, x7)
  const y4 = v128.xor(y1, x3)
  const y12 = v128.xor(y13, y14)
  const y2 = v128.xor(y1, x0)
  const y5 = v128.xor(y1, x6)
  const y3 = v128.xor(y5, y8)
  const t1 = v128.xor(x4, y12)
  const y15 = v128.xor(t1, x5)
  const y20 = v128.xor(t1, x1)
  const y6 = v128.xor(y15, x7)
  const y10 = v128.xor(y15, t0)
  const y11 = v128.xor(y20, y9)
  const y7 = v128.xor(x7, y11)
  const y17 = v128.xor(y10, y11)
  const y19 = v128.xor(y10, y8)
  const y16 = v128.xor(t0, y11)
  const y21 = v128.xor(y13, y16)
  const y18 = v128.xor(x0, y16)

  const t2 = v128.and(y12, y15)
  const t4 = v128.xor(v128.and(y3, y6), t2)
  const t6 = v128.xor(v128.and(y4, x7), t2)
  const t7 = v128.and(y13, y16)
  const t9 = v128.xor(v128.and(y5, y1), t7)
  const t11 = v128.xor(v128.and(y2, y7), t7)
  const t12 = v128.and(y9, y11)
  const t14 = v128.xor(v128.and(y14, y17), t12)
  const t16 = v128.xor(v128.and(y8, y10), t12)
  const t21 = v128.xor(v128.xor(t4, t14), y20)
  const t22 = v128.xor(v128.xor(t6, t16), y19)
  const t23 = v128.xor(v128.xor(t9, t14), y21)
  const t24 = v128.xor(v128.xor(t11, t16), y18)
  const t25 = v128.xor(t21, t22)
  const t26 = v128.and(t21, t23)
  const t27 = v128.xor(t24, t26)
  const t29 = v128.xor(v128.and(t25, t27), t22)
  const t30 = v128.xor(t23, t24)
  const t31 = v128.xor(t22, t26)
  const t33 = v128.xor(v128.and(t31, t30), t24)
  const t34 = v128.xor(t23, t33)
  const t35 = v128.xor(t27, t33)
  const t36 = v128.and(t24, t35)
  const t37 = v128.xor(t36, t34)
  const t38 = v128.xor(t27, t36)
  const t40 = v128.xor(t25, v128.and(t29, t38))
  const t41 = v128.xor(t40, t37)
  const t42 = v128.xor(t29, t33)
  const t43 = v128.xor(t29, t40)
  const t44 = v128.xor(t33, t37)
  const t45 = v128.xor(t42, t41)
  const z0 = v128.and(t44, y15)
  const z1 = v128.and(t37, y6)
  const z2 = v128.and(t33, x7)
  const z3 = v128.and(t43, y16)
  const z4 = v128.and(t40, y1)
  const z5 = v128.and(t29, y7)
  const z6 = v128.and(t42, y11)
  const z7 = v128.and(t45, y17)
  const z8 = v128.and(t41, y10)
  const z9 = v128.and(t44, y12)
  const z10 = v128.and(t37, y3)
  const z11 = v128.and(t33, y4)
  const z12 = v128.and(t43, y13)
  const z13 = v128.and(t40, y5)
  const z14 = v128.and(t29, y2)
  const z15 = v128.and(t42, y9)
  const z16 = v128.and(t45, y14)
  const z17 = v128.and(t41, y8)

  const t46 = v128.xor(z15, z16)
  const t47 = v128.xor(z10, z11)
  const t48 = v128.xor(z5, z13)
  const t49 = v128.xor(z9, z10)
  const t50 = v128.xor(z2, z12)
  const t51 = v128.xor(z2, z5)
  const t52 = v128.xor(z7, z8)
  const t53 = v128.xor(z0, z3)
  const t54 = v128.xor(z6, z7)
  const t55 = v128.xor(z16, z17)
  const t56 = v128.xor(z12, t48)
  const t57 = v128.xor(t50, t53)
  const t58 = v128.xor(z4, t46)
  const t59 = v128.xor(z3, t54)
  const t60 = v128.xor(t46, t57)
  const t61 = v128.xor(z14, t57)
  const t62 = v128.xor(t52, t58)
  const t63 = v128.xor(t49, t58)
  const t64 = v128.xor(z4, t59)
  const t65 = v128.xor(t61, t62)
  const t66 = v128.xor(z1, t63)
  const t67 = v128.xor(t64, t65)
  const s3 = v128.xor(t53, t66)
  v128.store(p, v128.xor(t59, t63), 112)
  v128.store(p, v128.not(v128.xor(t64, s3)), 96)
  v128.store(p, v128.not(v128.xor(t55, t67)), 80)
  v128.store(p, s3, 64)
  v128.store(p, v128.xor(t51, t66), 48)
  v128.store(p, v128.xor(t47, t65), 32)
  v128.store(p, v128.not(v128.xor(t56, t62)), 16)
  v128.store(p, v128.not(v128.xor(t48, t60)), 0)
}

// What `a` and `b` must exchange so that the bits of `b` under `mask` change places with those of `a` that are `shift` above them.
// @ts-ignore: decorator
@inline
function exchange(a: v128, b: v128, shift: i32, mask: v128): v128 {
  return v128.and(v128.xor(i64x2.shr_u(a, shift), b), mask)
}

/** Eight blocks into eight planes, or back: an 8 × 8 bit matrix turned over in each of the sixteen bytes. */
function transpose(from: usize, to: usize): void {
  let x0 = v128.load(from, 0)
  let x1 = v128.load(from, 16)
  let x2 = v128.load(from, 32)
  let x3 = v128.load(from, 48)
  let x4 = v128.load(from, 64)
  let x5 = v128.load(from, 80)
  let x6 = v128.load(from, 96)
  let x7 = v128.load(from, 112)

  const m1 = i8x16.splat(0x55)
  let t = exchange(x0, x1, 1, m1)
  x1 = v128.xor(x1, t)
  x0 = v128.xor(x0, i64x2.shl(t, 1))
  t = exchange(x2, x3, 1, m1)
  x3 = v128.xor(x3, t)
  x2 = v128.xor(x2, i64x2.shl(t, 1))
  t = exchange(x4, x5, 1, m1)
  x5 = v128.xor(x5, t)
  x4 = v128.xor(x4, i64x2.shl(t, 1))
  t = exchange(x6, x7, 1, m1)
  x7 = v128.xor(x7, t)
  x6 = v128.xor(x6, i64x2.shl(t, 1))

  const m2 = i8x16.splat(0x33)
  t = exchange(x0, x2, 2, m2)
  x2 = v128.xor(x2, t)
  x0 = v128.xor(x0, i64x2.shl(t, 2))
  t = exchange(x1, x3, 2, m2)
  x3 = v128.xor(x3, t)
  x1 = v128.xor(x1, i64x2.shl(t, 2))
  t = exchange(x4, x6, 2, m2)
  x6 = v128.xor(x6, t)
  x4 = v128.xor(x4, i64x2.shl(t, 2))
  t = exchange(x5, x7, 2, m2)
  x7 = v128.xor(x7, t)
  x5 = v128.xor(x5, i64x2.shl(t, 2))

  const m4 = i8x16.splat(0x0f)
  t = exchange(x0, x4, 4, m4)
  v128.store(to, v128.xor(x4, t), 64)
  v128.store(to, v128.xor(x0, i64x2.shl(t, 4)), 0)
  t = exchange(x1, x5, 4, m4)
  v128.store(to, v128.xor(x5, t), 80)
  v128.store(to, v128.xor(x1, i64x2.shl(t, 4)), 16)
  t = exchange(x2, x6, 4, m4)
  v128.store(to, v128.xor(x6, t), 96)
  v128.store(to, v128.xor(x2, i64x2.shl(t, 4)), 32)
  t = exchange(x3, x7, 4, m4)
  v128.store(to, v128.xor(x7, t), 112)
  v128.store(to, v128.xor(x3, i64x2.shl(t, 4)), 48)
}
