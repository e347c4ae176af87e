// AES-256-GCM-SIV (RFC 8452 §4 and §5) of many short messages: each has keys of its own, so eight messages fill the eight lanes of AES.
// A long one fills them by itself, with eight blocks of its key stream.
//
// A lane: 4 bytes, nonce (12), text, tag (16). The text is replaced by the ciphertext where it is, or the other way round.
import { encryptBlocks, expandKeys } from './aes'
import { decodeBase64, encodeBase64 } from './base64'
import {
  AAD, BAD, BLOCKS, DERIVED, FLAGS, KEY_TEXT_BYTES, LANES, LANE_BYTES, LENGTHS, MESSAGES, MESSAGE_BYTES, NONCES, OUT, OUT_BYTES,
  PREFIX, SEALED, SEALED_BYTES, SOLO_BYTES, STARTS, TAGS, TEXT, TEXT_BYTES, WIDE, WORK,
} from './layout'
import { polyvalEnd, polyvalStart, polyvalStore, polyvalUpdate, polyvalWipe } from './polyval'

const NONCE: u32 = 12
const TAG: u32 = 16
/** Where a lane's text starts. */
const DATA: usize = 16

/** Traps unless the `n` lengths fit the memory that is there for their texts. */
export function checkLengths(n: u32, most: u32): void {
  if (n > MESSAGES) unreachable()
  let sum: u64 = 0
  for (let m: u32 = 0; m < n; m++) {
    const bytes = load<u32>(LENGTHS + m * 4)
    if (bytes > most) unreachable()
    sum += bytes
  }
  if (sum > TEXT_BYTES - 16) unreachable()
}

/** The six blocks (§4, derive_keys) of each nonce, to be encrypted under the master key. */
export function derivationBlocks(n: u32): void {
  if (n > MESSAGES) unreachable()
  let to = DERIVED
  for (let m: u32 = 0; m < n; m++) {
    const block = v128.load(NONCES + m * 16)
    for (let i: u32 = 0; i < 6; i++) {
      v128.store(to, i32x4.replace_lane(block, 0, i))
      to += 16
    }
  }
}

/** Encrypts the `n` texts at TEXT, with the nonces and the derived keys that are there. @returns characters at OUT */
export function seal(n: u32, aadBytes: u32, prefixBytes: u32, url: bool): u32 {
  checkLengths(n, MESSAGE_BYTES)
  if (aadBytes > KEY_TEXT_BYTES || prefixBytes > KEY_TEXT_BYTES) unreachable()
  let text = TEXT
  let out = OUT
  for (let m: u32 = 0; m < n; ) {
    const lanes = lanesFrom(m, n)
    for (let j: u32 = 0; j < lanes; j++) {
      const lane = LANES + j * LANE_BYTES
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      copyNonce(lane + 4, NONCES + (m + j) * 16 + 4)
      copy(lane + DATA, text, bytes)
      v128.store(lane + DATA + bytes, i64x2.splat(0))
      text += bytes
    }
    loadKeys(m, lanes)
    computeTags(m, lanes, aadBytes)
    applyKeyStream(m, lanes)
    for (let j: u32 = 0; j < lanes; j++) {
      const lane = LANES + j * LANE_BYTES
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      // What a text becomes: at most 4 characters for each 3 bytes begun, and the padding's overshoot.
      if (out + prefixBytes + ((bytes + NONCE + TAG + 11) / 12) * 16 + 16 > OUT + OUT_BYTES) unreachable()
      v128.store(lane + DATA + bytes, v128.load(TAGS + j * 16))
      memory.copy(out, PREFIX, prefixBytes)
      out += prefixBytes
      out += encodeBase64(lane + 4, NONCE + bytes + TAG, out, url)
    }
    m += lanes
  }
  return (out - OUT) as u32
}

/**
 * Reads the `n` pseudonyms at TEXT: what is no pseudonym of this prefix and spelling is flagged, the rest lies at SEALED, nonces at
 * NONCES, and LENGTHS says the bytes of each plaintext.
 */
export function unspell(n: u32, prefixBytes: u32, url: bool): void {
  checkLengths(n, TEXT_BYTES)
  if (prefixBytes > KEY_TEXT_BYTES) unreachable()
  let text = TEXT
  let to = SEALED
  for (let m: u32 = 0; m < n; m++) {
    const length = load<u32>(LENGTHS + m * 4)
    let bytes: i32 = -1
    // Bounds the decoder's writes before it starts.
    if (to + (length / 4) * 3 + 64 > SEALED + SEALED_BYTES) unreachable()
    if (length >= prefixBytes && startsWithPrefix(text, prefixBytes))
      bytes = decodeBase64(text + prefixBytes, length - prefixBytes, to, url)
    text += length
    const good = bytes >= ((NONCE + TAG) as i32) && (bytes as u32) <= MESSAGE_BYTES + NONCE + TAG
    if (!good) {
      bytes = (NONCE + TAG) as i32
      memory.fill(to, 0, NONCE + TAG)
    }
    store<u8>(FLAGS + m, good ? 0 : BAD)
    store<u32>(LENGTHS + m * 4, (bytes as u32) - NONCE - TAG)
    store<u32>(STARTS + m * 4, to as u32)
    store<u32>(NONCES + m * 16, 0)
    copyNonce(NONCES + m * 16 + 4, to)
    to += bytes
  }
}

/**
 * Decrypts what {@link unspell} left. A text comes to OUT only after its tag was found right; a text that is not has its flag set.
 * @returns how many are flagged
 */
export function open(n: u32, aadBytes: u32): u32 {
  checkLengths(n, MESSAGE_BYTES)
  if (aadBytes > KEY_TEXT_BYTES) unreachable()
  let out = OUT
  let bad: u32 = 0
  for (let m: u32 = 0; m < n; ) {
    const lanes = lanesFrom(m, n)
    for (let j: u32 = 0; j < lanes; j++) {
      const lane = LANES + j * LANE_BYTES
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      const from: usize = load<u32>(STARTS + (m + j) * 4)
      copy(lane + 4, from, NONCE + bytes + TAG)
      v128.store(TAGS + j * 16, v128.load(lane + DATA + bytes))
    }
    loadKeys(m, lanes)
    applyKeyStream(m, lanes)
    for (let j: u32 = 0; j < lanes; j++) {
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      // The key stream ran on to the end of the block.
      v128.store(LANES + j * LANE_BYTES + DATA + bytes, i64x2.splat(0))
      // Kept for the comparison: computing a tag uses TAGS.
      v128.store(GIVEN + j * 16, v128.load(TAGS + j * 16))
    }
    computeTags(m, lanes, aadBytes)
    for (let j: u32 = 0; j < lanes; j++) {
      const bytes = load<u32>(LENGTHS + (m + j) * 4)
      // All 128 bits at once: no early exit that would tell how many were right.
      const differs = v128.any_true(v128.xor(v128.load(GIVEN + j * 16), v128.load(TAGS + j * 16)))
      if (differs || load<u8>(FLAGS + m + j) !== 0) {
        store<u8>(FLAGS + m + j, BAD)
        bad++
        continue
      }
      if (out + bytes > OUT + OUT_BYTES) unreachable()
      store<u8>(FLAGS + m + j, isWide(LANES + j * LANE_BYTES + DATA, bytes) ? WIDE : 0)
      memory.copy(out, LANES + j * LANE_BYTES + DATA, bytes)
      out += bytes
    }
    m += lanes
  }
  return bad
}

/** Where {@link open} keeps the tags that came with the pseudonyms. */
const GIVEN: usize = TAGS + 128

/** Forgets texts, keys and what lies between, after `n` messages with so many bytes of text in and out. */
export function wipe(n: u32, textBytes: u32, outBytes: u32, sealedBytes: u32, longest: u32): void {
  if (n > MESSAGES || textBytes > TEXT_BYTES || outBytes > OUT_BYTES || sealedBytes > SEALED_BYTES) unreachable()
  if (longest > MESSAGE_BYTES) unreachable()
  memory.fill(TEXT, 0, textBytes + 16)
  memory.fill(OUT, 0, outBytes + 64)
  memory.fill(LENGTHS, 0, n * 4)
  memory.fill(FLAGS, 0, n)
  memory.fill(NONCES, 0, n * 16)
  memory.fill(DERIVED, 0, n * 96)
  memory.fill(SEALED, 0, sealedBytes + 64)
  memory.fill(STARTS, 0, n * 4)
  memory.fill(LANES, 0, max<u32>(8 * LANE_BYTES, longest + 64))
  memory.fill(BLOCKS, 0, (GIVEN + 128 - BLOCKS) as u32)
  polyvalWipe()
}

/** How many of the messages from `m` share the eight lanes: 1 for a long one. */
// @ts-ignore: decorator
@inline
function lanesFrom(m: u32, n: u32): u32 {
  const most = min<u32>(8, n - m)
  for (let j: u32 = 0; j < most; j++) if (load<u32>(LENGTHS + (m + j) * 4) > SOLO_BYTES) return j === 0 ? 1 : j
  return most
}

/** The message-encryption keys (§4) of the lanes: the first halves of derived blocks 2 to 5. A lane without a message has a copy. */
function loadKeys(m: u32, lanes: u32): void {
  for (let j: u32 = 0; j < 8; j++) {
    const from = DERIVED + (m + min(j, lanes - 1)) * 96
    const to = j * 16
    store<u64>(BLOCKS + to, load<u64>(from, 32))
    store<u64>(BLOCKS + to, load<u64>(from, 48), 8)
    store<u64>(WORK + to, load<u64>(from, 64))
    store<u64>(WORK + to, load<u64>(from, 80), 8)
  }
  expandKeys(BLOCKS, WORK)
}

/** The tags of the plaintexts in the lanes (§4), at TAGS. */
function computeTags(m: u32, lanes: u32, aadBytes: u32): void {
  for (let j: u32 = 0; j < lanes; j++) {
    const lane = LANES + j * LANE_BYTES
    const bytes = load<u32>(LENGTHS + (m + j) * 4)
    const derived = DERIVED + (m + j) * 96
    polyvalStart(load<u64>(derived), load<u64>(derived, 16))
    polyvalUpdate(AAD, aadBytes)
    polyvalEnd(lane + DATA, bytes, aadBytes)
    const block = BLOCKS + j * 16
    polyvalStore(block)
    store<u64>(block, load<u64>(block) ^ load<u64>(lane, 4))
    store<u32>(block, load<u32>(block, 8) ^ load<u32>(lane, 12), 8)
    store<u8>(block, load<u8>(block, 15) & 0x7f, 15)
  }
  encryptBlocks()
  for (let i: usize = 0; i < 128; i += 16) v128.store(TAGS + i, v128.load(BLOCKS + i))
}

/** AES in counter mode (§4) over the texts in the lanes, from the tags at TAGS. May go on to the end of the last block. */
function applyKeyStream(m: u32, lanes: u32): void {
  let longest: u32 = 0
  for (let j: u32 = 0; j < lanes; j++) longest = max(longest, load<u32>(LENGTHS + (m + j) * 4))
  // One message: eight of its blocks at a time. It is also right, and faster, for a short one that is alone.
  const alone = lanes === 1
  const step: u32 = alone ? 8 : 1
  const used: u32 = alone ? 8 : lanes
  const blocks = (longest + 15) >> 4
  for (let b: u32 = 0; b < blocks; b += step) {
    for (let j: u32 = 0; j < 8; j++) {
      const tag = alone ? TAGS : TAGS + j * 16
      const block = BLOCKS + j * 16
      v128.store(block, v128.load(tag))
      store<u32>(block, load<u32>(block) + b + (alone ? j : 0))
      store<u8>(block, load<u8>(block, 15) | 0x80, 15)
    }
    encryptBlocks()
    for (let j: u32 = 0; j < used; j++) {
      const offset = (alone ? b + j : b) * 16
      const bytes = load<u32>(LENGTHS + (alone ? m : m + j) * 4)
      if (offset >= bytes) continue
      const data = LANES + (alone ? 0 : j * LANE_BYTES) + DATA + offset
      v128.store(data, v128.xor(v128.load(data), v128.load(BLOCKS + j * 16)))
    }
  }
}

/** Is a byte above 127 among them? What follows them must be zero up to the sixteenth. */
// @ts-ignore: decorator
@inline
function isWide(from: usize, bytes: u32): bool {
  let seen = i64x2.splat(0)
  for (let i: u32 = 0; i < bytes; i += 16) seen = v128.or(seen, v128.load(from + i))
  return i8x16.bitmask(seen) !== 0
}

// @ts-ignore: decorator
@inline
function startsWithPrefix(text: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(text + i) !== load<u8>(PREFIX + i)) return false
  return true
}

// @ts-ignore: decorator
@inline
function copyNonce(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from))
  store<u32>(to, load<u32>(from, 8), 8)
}

/** In steps of sixteen bytes: may read and write up to fifteen more. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i))
}
