// HMAC-SHA-256 (RFC 2104, FIPS 180-4) of four texts at once: a vector holds the same word of four hashes. The states after the padded
// key are kept, so a text of up to 55 bytes costs two compressions.
import {
  DIGEST, HASHED, HASHED_LANE_BYTES, LENGTHS, MAC_KEY, MAC_PREFIX, MAC_STATES, NONCES, SCHEDULE, SHA_STATE, TEXT,
} from './layout'

const K = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
])
const INITIAL = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
])

/** From the key at MAC_KEY, at most 64 bytes, the states after its inner and its outer block: 32 bytes each, at MAC_STATES. */
export function keyStates(bytes: u32): void {
  if (bytes > 64) unreachable()
  keyState(bytes, 0x36, MAC_STATES)
  keyState(bytes, 0x5c, MAC_STATES + 32)
  memory.fill(HASHED, 0, 64)
  memory.fill(SCHEDULE, 0, 1024)
  memory.fill(SHA_STATE, 0, 128)
}

function keyState(bytes: u32, pad: u8, to: usize): void {
  memory.fill(HASHED, pad, 64)
  for (let i: u32 = 0; i < bytes; i++) store<u8>(HASHED + i, load<u8>(MAC_KEY + i) ^ pad)
  splatState(INITIAL)
  loadSchedule(HASHED, HASHED, HASHED, HASHED)
  compress()
  for (let i: usize = 0; i < 8; i++) store<u32>(to + i * 4, load<u32>(SHA_STATE + i * 16))
}

/**
 * The deterministic nonces of the `n` texts at TEXT. HMAC's input is `prefixBytes` at MAC_PREFIX, with `counted` the text's length in
 * four bytes, then the text. The nonce is the first twelve bytes, or with `digits` ≥ 0 twelve digits of the hexadecimal form from there.
 */
export function deterministicNonces(n: u32, prefixBytes: u32, counted: bool, digits: i32): void {
  let text = TEXT
  let widest: u32 = 0
  for (let m: u32 = 0; m < n; m += 4) {
    const lanes = min<u32>(4, n - m)
    let last0: u32 = 0
    let last1: u32 = 0
    let last2: u32 = 0
    let last3: u32 = 0
    for (let j: u32 = 0; j < lanes; j++) {
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      const blocks = pad(HASHED + j * HASHED_LANE_BYTES, text, bytes, prefixBytes, counted)
      text += bytes
      if (j === 0) last0 = blocks
      else if (j === 1) last1 = blocks
      else if (j === 2) last2 = blocks
      else last3 = blocks
    }
    const last = i32x4(last0, last1, last2, last3)
    const most = max(max(last0, last1), max(last2, last3))
    widest = max(widest, most)
    splatState(MAC_STATES)
    for (let b: u32 = 0; b < most; b++) {
      const p = HASHED + b * 64
      loadSchedule(p, p + HASHED_LANE_BYTES, p + 2 * HASHED_LANE_BYTES, p + 3 * HASHED_LANE_BYTES)
      // A lane that has had its last block keeps its state.
      compressWhere(i32x4.gt_u(last, i32x4.splat(b)))
    }
    for (let i: usize = 0; i < 128; i += 16) v128.store(SCHEDULE + i, v128.load(SHA_STATE + i))
    const none = i64x2.splat(0)
    v128.store(SCHEDULE, i32x4.splat(0x80000000), 128)
    for (let i: usize = 144; i < 240; i += 16) v128.store(SCHEDULE + i, none)
    v128.store(SCHEDULE, i32x4.splat((64 + 32) * 8), 240)
    splatState(MAC_STATES + 32)
    compress()
    for (let j: u32 = 0; j < lanes; j++) storeNonce(NONCES + (m + j) * 16, j, digits)
  }
  for (let j: u32 = 0; j < 4; j++) memory.fill(HASHED + j * HASHED_LANE_BYTES, 0, widest * 64)
  memory.fill(SCHEDULE, 0, 1024)
  memory.fill(SHA_STATE, 0, 128)
  memory.fill(DIGEST, 0, 48)
}

/** Puts a text and its padding (FIPS 180-4 §5.1.1) at `to`. @returns blocks of 64 bytes */
function pad(to: usize, text: usize, bytes: u32, prefixBytes: u32, counted: bool): u32 {
  let p = to
  copy(p, MAC_PREFIX, prefixBytes)
  p += prefixBytes
  if (counted) {
    store<u32>(p, bswap<u32>(bytes))
    p += 4
  }
  copy(p, text, bytes)
  p += bytes
  const blocks = ((p - to) as u32 + 9 + 63) >> 6
  const end = to + blocks * 64
  store<u8>(p, 0x80)
  p++
  const none = i64x2.splat(0)
  for (; p < end; p += 16) v128.store(p, none)
  // The key's block counts too.
  store<u64>(end - 8, bswap<u64>(((64 + prefixBytes + bytes + (counted ? 4 : 0)) as u64) << 3))
  return blocks
}

/** Copies in steps of sixteen bytes: may read and write up to fifteen more. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i))
}

function storeNonce(to: usize, lane: usize, digits: i32): void {
  for (let i: usize = 0; i < 8; i++) store<u32>(DIGEST + i * 4, bswap(load<u32>(SHA_STATE + i * 16 + lane * 4)))
  store<u32>(to, 0)
  if (digits < 0) {
    store<u64>(to, load<u64>(DIGEST), 4)
    store<u32>(to, load<u32>(DIGEST, 8), 12)
    return
  }
  // Eight bytes, sixteen digits; the first may be a lower one.
  const bytes = v128.load(DIGEST + (digits >> 1))
  const f = i8x16.splat(15)
  const upper = v128.and(i16x8.shr_u(bytes, 4), f)
  const lower = v128.and(bytes, f)
  const values = i8x16.shuffle(upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
  const letters = v128.and(i8x16.gt_u(values, i8x16.splat(9)), i8x16.splat(39))
  v128.store(DIGEST, i8x16.add(i8x16.add(values, letters), i8x16.splat(48)), 32)
  const from = DIGEST + 32 + (digits & 1)
  store<u64>(to, load<u64>(from), 4)
  store<u32>(to, load<u32>(from, 8), 12)
}

function splatState(from: usize): void {
  for (let i: usize = 0; i < 8; i++) v128.store(SHA_STATE + i * 16, v128.load32_splat(from + i * 4))
}

// @ts-ignore: decorator
@inline
function swapWords(x: v128): v128 {
  return i8x16.shuffle(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)
}

/** The sixteen words of a block, of four lanes, side by side. */
function loadSchedule(p0: usize, p1: usize, p2: usize, p3: usize): void {
  for (let i: usize = 0; i < 64; i += 16) {
    const a = swapWords(v128.load(p0 + i))
    const b = swapWords(v128.load(p1 + i))
    const c = swapWords(v128.load(p2 + i))
    const d = swapWords(v128.load(p3 + i))
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5)
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5)
    const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7)
    const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
    const to = SCHEDULE + i * 4
    v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2), 0)
    v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 16)
    v128.store(to, v128.shuffle<i64>(ab2, cd2, 0, 2), 32)
    v128.store(to, v128.shuffle<i64>(ab2, cd2, 1, 3), 48)
  }
}

// @ts-ignore: decorator
@inline
function turn(x: v128, bits: i32): v128 {
  return v128.or(i32x4.shr_u(x, bits), i32x4.shl(x, 32 - bits))
}

// @ts-ignore: decorator
@inline
function t1(e: v128, f: v128, g: v128, h: v128, at: usize): v128 {
  const sum = v128.xor(v128.xor(turn(e, 6), turn(e, 11)), turn(e, 25))
  const choice = v128.xor(g, v128.and(e, v128.xor(f, g)))
  const word = i32x4.add(v128.load32_splat(K + at), v128.load(SCHEDULE + at * 4))
  return i32x4.add(i32x4.add(h, sum), i32x4.add(choice, word))
}

// @ts-ignore: decorator
@inline
function t2(a: v128, b: v128, c: v128): v128 {
  const sum = v128.xor(v128.xor(turn(a, 2), turn(a, 13)), turn(a, 22))
  return i32x4.add(sum, v128.or(v128.and(a, b), v128.and(c, v128.or(a, b))))
}

function compress(): void {
  compressWhere(i32x4.splat(-1))
}

/** One block into the states of those lanes whose mask is set (FIPS 180-4 §6.2.2). */
function compressWhere(lanes: v128): void {
  for (let p = SCHEDULE + 256; p < SCHEDULE + 1024; p += 16) {
    const w2 = v128.load(p - 32)
    const w15 = v128.load(p - 240)
    const l = v128.xor(v128.xor(turn(w15, 7), turn(w15, 18)), i32x4.shr_u(w15, 3))
    const r = v128.xor(v128.xor(turn(w2, 17), turn(w2, 19)), i32x4.shr_u(w2, 10))
    v128.store(p, i32x4.add(i32x4.add(v128.load(p - 256), l), i32x4.add(v128.load(p - 112), r)))
  }
  let a = v128.load(SHA_STATE, 0)
  let b = v128.load(SHA_STATE, 16)
  let c = v128.load(SHA_STATE, 32)
  let d = v128.load(SHA_STATE, 48)
  let e = v128.load(SHA_STATE, 64)
  let f = v128.load(SHA_STATE, 80)
  let g = v128.load(SHA_STATE, 96)
  let h = v128.load(SHA_STATE, 112)
  for (let at: usize = 0; at < 256; at += 32) {
    let t = t1(e, f, g, h, at)
    d = i32x4.add(d, t)
    h = i32x4.add(t, t2(a, b, c))
    t = t1(d, e, f, g, at + 4)
    c = i32x4.add(c, t)
    g = i32x4.add(t, t2(h, a, b))
    t = t1(c, d, e, f, at + 8)
    b = i32x4.add(b, t)
    f = i32x4.add(t, t2(g, h, a))
    t = t1(b, c, d, e, at + 12)
    a = i32x4.add(a, t)
    e = i32x4.add(t, t2(f, g, h))
    t = t1(a, b, c, d, at + 16)
    h = i32x4.add(h, t)
    d = i32x4.add(t, t2(e, f, g))
    t = t1(h, a, b, c, at + 20)
    g = i32x4.add(g, t)
    c = i32x4.add(t, t2(d, e, f))
    t = t1(g, h, a, b, at + 24)
    f = i32x4.add(f, t)
    b = i32x4.add(t, t2(c, d, e))
    t = t1(f, g, h, a, at + 28)
    e = i32x4.add(e, t)
    a = i32x4.add(t, t2(b, c, d))
  }
  addWhere(0, a, lanes)
  addWhere(16, b, lanes)
  addWhere(32, c, lanes)
  addWhere(48, d, lanes)
  addWhere(64, e, lanes)
  addWhere(80, f, lanes)
  addWhere(96, g, lanes)
  addWhere(112, h, lanes)
}

// @ts-ignore: decorator
@inline
function addWhere(at: usize, x: v128, lanes: v128): void {
  v128.store(SHA_STATE + at, i32x4.add(v128.load(SHA_STATE + at), v128.and(x, lanes)))
}
