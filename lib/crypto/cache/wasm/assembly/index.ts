// Texts and what they became, kept by whose they are (lib/crypto/README.md, "The cache"). Entries lie one behind the other in a ring, where
// the oldest makes room; a table of slots finds them. A slot whose position is before the ring's tail points to nothing.
import { hash, setKey } from './hash'
import {
  BUCKET_SLOTS, HASHES, MISSING, MOST, OUT, OUT_BYTES, OUT_OFFSETS, SLOT_BYTES, SLOTS, TEXT, TEXT_BYTES, TEXT_OFFSETS,
} from './layout'

export { setKey }

/** Of an entry: u32 second up to which it counts, u32 owner, u32 bytes of the text, u32 of what it became; then both, each filled up with zeros. */
const HEADER: u32 = 16
/** In the place of a text's length: nothing more comes before the end of the ring. */
const SKIP: u32 = 0xffffffff
/** Longer texts are not kept: one would push out hundreds. */
const LONGEST: u32 = 1024

/** The table grows with what is in it: of a large one each look would be at a page of memory of its own. */
const FIRST_BUCKETS: u32 = 256
let bucketMask: u32 = 0
let mostBuckets: u32 = 0
let kept: u32 = 0
let entries: usize = 0
let ringBytes: u32 = 0
/** Where the next entry comes, and where the oldest is: positions only grow, places are those within the ring. Positions begin at 1. */
let head: u64 = 1
let headPlace: u32 = 0
let tail: u64 = 1
let tailPlace: u32 = 0
/** How much of the ring was ever written. */
let touched: u32 = 0

/** Once, before anything else. @param buckets a power of two */
export function layOut(buckets: u32, bytes: u32): void {
  mostBuckets = buckets
  bucketMask = min(buckets, FIRST_BUCKETS) - 1
  entries = SLOTS + usize(buckets) * BUCKET_SLOTS * SLOT_BYTES
  ringBytes = bytes & ~15
  if (buckets & (buckets - 1) || entries + ringBytes + 64 > (usize(memory.size()) << 16)) unreachable()
}

/** Addresses, in the order of `PLACES` in ../engine.ts. */
export function place(which: u32): u32 {
  switch (which) {
    case 0: return TEXT as u32
    case 1: return TEXT_OFFSETS as u32
    case 2: return OUT as u32
    case 3: return OUT_OFFSETS as u32
    case 4: return MISSING as u32
    default: return SLOTS as u32
  }
}

/**
 * What the `n` texts at TEXT became, put at OUT; nothing for those at MISSING. What counts up to a second before `now` only is missing too.
 * @returns how many are missing
 */
export function recall(n: u32, owner: u32, now: u32): u32 {
  check(n, TEXT_OFFSETS, TEXT_BYTES)
  let out: u32 = 0
  let missing: u32 = 0
  store<u32>(OUT_OFFSETS, 0)
  // One step for all texts, then the next one: so many loads from far away are on their way at the same time.
  for (let i: u32 = 0; i < n; i++) {
    const start = load<u32>(TEXT_OFFSETS + (usize(i) << 2))
    const bytes = load<u32>(TEXT_OFFSETS + (usize(i) << 2), 4) - start
    store<u64>(HASHES + (usize(i) << 3), bytes > LONGEST ? 0 : hash(TEXT + start, bytes, owner))
  }
  for (let i: u32 = 0; i < n; i++) store<u64>(HASHES + (usize(i) << 3), candidate(load<u64>(HASHES + (usize(i) << 3))))
  for (let i: u32 = 0; i < n; i++) {
    const start = load<u32>(TEXT_OFFSETS + (usize(i) << 2))
    const bytes = load<u32>(TEXT_OFFSETS + (usize(i) << 2), 4) - start
    const at = load<u32>(HASHES + (usize(i) << 3)) as usize
    if (at === 0 || !fits(at, TEXT + start, bytes, owner, now)) {
      store<u32>(MISSING + (usize(missing++) << 2), i)
      store<u32>(OUT_OFFSETS + (usize(i) << 2), out, 4)
      continue
    }
    const size = load<u32>(at, 12)
    // Can't be: whoever keeps a text gives what fits.
    if (out + size > OUT_BYTES) unreachable()
    copy(OUT + out, at + HEADER + filled(bytes), size)
    out += size
    store<u32>(OUT_OFFSETS + (usize(i) << 2), out, 4)
  }
  return missing
}

/** Keeps the `n` texts at TEXT, with what is at OUT, up to the second `until`, which no call before may have exceeded. */
export function keep(n: u32, owner: u32, now: u32, until: u32): void {
  check(n, TEXT_OFFSETS, TEXT_BYTES)
  check(n, OUT_OFFSETS, OUT_BYTES)
  for (let i: u32 = 0; i < n; i++) {
    const text = load<u32>(TEXT_OFFSETS + (usize(i) << 2))
    const bytes = load<u32>(TEXT_OFFSETS + (usize(i) << 2), 4) - text
    if (bytes > LONGEST) continue
    const out = load<u32>(OUT_OFFSETS + (usize(i) << 2))
    const size = load<u32>(OUT_OFFSETS + (usize(i) << 2), 4) - out
    const h = hash(TEXT + text, bytes, owner)
    // Twice in one request, or asked for by two at once.
    if (find(TEXT + text, bytes, owner, now, h) !== 0) continue
    const all = HEADER + filled(bytes) + filled(size)
    if (all > ringBytes >> 2) continue
    makeRoom(all)
    const at = entries + headPlace
    store<u32>(at, until)
    store<u32>(at, owner, 4)
    store<u32>(at, bytes, 8)
    store<u32>(at, size, 12)
    memory.copy(at + HEADER, TEXT + text, bytes)
    memory.copy(at + HEADER + filled(bytes), OUT + out, size)
    point(h, headPlace, head)
    advanceHead(all)
    if (++kept > (bucketMask >> 2) * 3 && bucketMask + 1 < mostBuckets) grow()
  }
}

/** Overwrites what counts up to a second before `now` only. */
export function expire(now: u32): void {
  while (tail < head) {
    const at = entries + tailPlace
    if (load<u32>(at, 8) !== SKIP && load<u32>(at) >= now) return
    dropOldest()
  }
}

/** Overwrites everything. */
export function clear(): void {
  memory.fill(entries, 0, touched)
  memory.fill(SLOTS, 0, (bucketMask + 1) * BUCKET_SLOTS * SLOT_BYTES)
  bucketMask = min(mostBuckets, FIRST_BUCKETS) - 1
  kept = 0
  head = tail = 1
  headPlace = tailPlace = touched = 0
}

/** Overwrites what came in and went out with a call. */
export function forget(n: u32, textBytes: u32, outBytes: u32): void {
  memory.fill(TEXT, 0, textBytes)
  memory.fill(OUT, 0, min(outBytes + 16, OUT_BYTES + 16))
  memory.fill(TEXT_OFFSETS, 0, (n + 1) << 2)
  memory.fill(OUT_OFFSETS, 0, (n + 1) << 2)
  memory.fill(HASHES, 0, n << 3)
}

/** Traps unless these are offsets of `n` texts that fit. */
function check(n: u32, offsets: usize, most: u32): void {
  if (n > MOST) unreachable()
  let last: u32 = 0
  for (let i: u32 = 0; i <= n; i++) {
    const offset = load<u32>(offsets + (usize(i) << 2))
    if (offset < last) unreachable()
    last = offset
  }
  if (last > most) unreachable()
}

// @ts-ignore: decorator
@inline
function bucket(h: u64): usize {
  return SLOTS + usize(u32(h) & bucketMask) * BUCKET_SLOTS * SLOT_BYTES
}

// @ts-ignore: decorator
@inline
function tag(h: u64): u32 {
  return u32(h >> 32)
}

/** The address of an entry that may be the one; 0 where there is none. Of two, which next to never are, the later one. */
// @ts-ignore: decorator
@inline
function candidate(h: u64): u64 {
  const first = bucket(h)
  let at: u64 = 0
  for (let i: u32 = 0; i < BUCKET_SLOTS; i++) {
    const slot = first + usize(i) * SLOT_BYTES
    const found = i32(load<u32>(slot) === tag(h)) & i32(load<u64>(slot, 8) >= tail)
    at = select<u64>(u64(entries) + load<u32>(slot, 4), at, found !== 0)
  }
  return at
}

// @ts-ignore: decorator
@inline
function fits(at: usize, text: usize, bytes: u32, owner: u32, now: u32): bool {
  return load<u32>(at) >= now && load<u32>(at, 4) === owner && load<u32>(at, 8) === bytes && same(at + HEADER, text, bytes)
}

/** An entry's address; 0 where there is none. */
function find(text: usize, bytes: u32, owner: u32, now: u32, h: u64): usize {
  const first = bucket(h)
  for (let slot = first; slot < first + BUCKET_SLOTS * SLOT_BYTES; slot += SLOT_BYTES) {
    if (load<u32>(slot) !== tag(h) || load<u64>(slot, 8) < tail) continue
    const at = entries + load<u32>(slot, 4)
    if (fits(at, text, bytes, owner, now)) return at
  }
  return 0
}

/** Has a slot of its bucket point to the entry. */
function point(h: u64, place: u32, position: u64): void {
  const slot = victim(bucket(h))
  store<u32>(slot, tag(h))
  store<u32>(slot, place, 4)
  store<u64>(slot, position, 8)
}

/** Twice as many buckets, for the entries as they are. */
function grow(): void {
  memory.fill(SLOTS, 0, (bucketMask + 1) * BUCKET_SLOTS * SLOT_BYTES)
  bucketMask = bucketMask * 2 + 1
  let place = tailPlace
  for (let position = tail; position < head; ) {
    const at = entries + place
    const bytes = load<u32>(at, 8)
    if (bytes !== SKIP) point(hash(at + HEADER, bytes, load<u32>(at, 4)), place, position)
    const all = sizeOf(at)
    position += all
    place += all
    if (place === ringBytes) place = 0
  }
}

/** Of a bucket, the slot that points to nothing, else to the oldest. */
function victim(first: usize): usize {
  let oldest = first
  for (let slot = first; slot < first + BUCKET_SLOTS * SLOT_BYTES; slot += SLOT_BYTES)
    if (load<u64>(slot, 8) < load<u64>(oldest, 8)) oldest = slot
  return oldest
}

/** Drops the oldest entries until `bytes` in one piece are free at the head. */
function makeRoom(bytes: u32): void {
  const left = ringBytes - headPlace
  if (left < bytes) {
    reach(left)
    store<u32>(entries + headPlace, SKIP, 8)
    store<u32>(entries + headPlace, left, 12)
    advanceHead(left)
  }
  reach(bytes)
}

function reach(bytes: u32): void {
  while (head + bytes - tail > ringBytes) dropOldest()
}

function advanceHead(bytes: u32): void {
  head += bytes
  headPlace += bytes
  touched = max(touched, headPlace)
  if (headPlace === ringBytes) headPlace = 0
}

function dropOldest(): void {
  const at = entries + tailPlace
  const bytes = load<u32>(at, 8)
  const all = sizeOf(at)
  if (bytes !== SKIP) kept--
  memory.fill(at, 0, bytes === SKIP ? HEADER : all)
  tail += all
  tailPlace += all
  if (tailPlace === ringBytes) tailPlace = 0
}

/** Of an entry, or of what is skipped. */
function sizeOf(at: usize): u32 {
  const bytes = load<u32>(at, 8)
  return bytes === SKIP ? load<u32>(at, 12) : HEADER + filled(bytes) + filled(load<u32>(at, 12))
}

// @ts-ignore: decorator
@inline
function filled(bytes: u32): u32 {
  return (bytes + 15) & ~15
}

/** May write up to 15 bytes more. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i))
}

const ONES = memory.data<u8>([255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 16)

/** @param kept filled up with zeros */
// @ts-ignore: decorator
@inline
function same(kept: usize, text: usize, bytes: u32): bool {
  let i: u32 = 0
  for (; i + 16 <= bytes; i += 16) if (v128.any_true(v128.xor(v128.load(kept + i), v128.load(text + i)))) return false
  const rest = bytes - i
  if (rest === 0) return true
  const mask = v128.load(ONES + 16 - rest)
  return !v128.any_true(v128.xor(v128.load(kept + i), v128.and(v128.load(text + i), mask)))
}
