import { arenaAt, NULL, UNSET } from './layout'
import { K2, lane } from './mix'

// Which value has which replacement, by the bytes of both.
//
// The index is open addressing: a value’s hash in the upper half of a u64, its number plus one in the lower; 0 is free. It is half full at most.
// Index, hashes and entries stand in one block of the arena; where it is full, one of twice the size takes its place, and the old one is
// room lost until the table is emptied.

const FIRST_CAPACITY: u32 = 1 << 11
/** Of each value (u32 each): where its bytes begin and how many they are, where its replacement begins and how long it is. */
const ENTRY_BYTES: u32 = 16
/** Two places in the index, hash and entry. */
const BLOCK_BYTES: u32 = 2 * 8 + 4 + ENTRY_BYTES

let size: u32 = 0
let capacity: u32 = 0
let index: usize = 0
let hashes: usize = 0
let table: usize = 0
let top: usize = 0
let seed: u64 = 0
let want: u32 = 0

export function entries(): u32 {
  return size
}

/** Values that fit before the block must be a larger one. */
export function blockFor(): u32 {
  return capacity
}

export function entriesAt(): usize {
  return table
}

/** Where the arena ends. */
export function arenaTop(): usize {
  return top
}

/** Bytes that were missing when there was no room. */
export function wanted(): u32 {
  return want
}

// @ts-ignore: decorator
@inline
function room(): u64 {
  return (u64(memory.size()) << 16) - u64(top)
}

/**
 * Forgets all values.
 * @param salt hashes of two tables differ, so that nobody can choose values that meet
 * @param most values for which there is a block at once, a power of two
 * @returns false without room
 */
export function clear(salt: u64, most: u32): bool {
  seed = salt
  size = 0
  top = arenaAt()
  // As many values as before may come again; blocks that grow anew would leave their room behind anew.
  return block(max<u32>(min<u32>(capacity, most), FIRST_CAPACITY))
}

/** A block for so many values, and those that are there in it. */
function block(values: u32): bool {
  top = (top + 15) & ~15
  want = BLOCK_BYTES * values + 64
  if (room() < u64(want)) return false
  const at = top
  top += BLOCK_BYTES * values
  memory.fill(at, 0, usize(values) << 4)
  const newHashes = at + (usize(values) << 4)
  const newTable = newHashes + (usize(values) << 2)
  memory.copy(newHashes, hashes, usize(size) << 2)
  memory.copy(newTable, table, usize(size) * ENTRY_BYTES)
  index = at
  hashes = newHashes
  table = newTable
  capacity = values
  const mask = values * 2 - 1
  for (let i: u32 = 0; i < size; i++) {
    const h = load<u32>(hashes + (usize(i) << 2))
    let slot = h & mask
    while (load<u64>(index + (usize(slot) << 3)) != 0) slot = (slot + 1) & mask
    store<u64>(index + (usize(slot) << 3), (u64(h) << 32) | u64(i + 1))
  }
  return true
}

/** Takes `bytes` of the arena. @returns where they begin, or 0 where there is no room: memory must grow first */
export function take(bytes: u32): usize {
  want = bytes + 64
  if (room() < u64(want)) return 0
  const at = top
  top += bytes
  return at
}

/**
 * Looks `count` values up in PLAIN encoding, and puts their numbers at `slots`; new ones get the next numbers.
 * @param width bytes of a value; 0 where each has its length in front of it
 * @param prints gets a hash of 64 bits of each, unless it is 0
 * @returns how many were looked up: fewer where there is no room for more. -1: the bytes end before the values do
 */
export function find(src: usize, length: u32, count: u32, width: u32, slots: usize, prints: usize): i32 {
  const end = src + length
  const isFar = capacity >= FAR_CAPACITY
  let at = src
  let near: u32 = 0
  consumed = 0
  for (let i: u32 = 0; i < count; i++) {
    if (isFar && i == near) near = fetch(at, end, i, count, width, slots, prints)
    let n = width
    let key = at
    if (width == 0) {
      if (u32(end - at) < 4) return -1
      n = load<u32>(at)
      key = at + 4
    }
    if (n > u32(end - key)) return -1
    let h: u32
    if (isFar) h = load<u32>(slots + (usize(i) << 2))
    else {
      const print = hash(key, n)
      if (prints != 0) store<u64>(prints + (usize(i) << 3), print)
      h = u32(print >> 32)
    }
    const mask = capacity * 2 - 1
    let slot = h & mask
    let found: u32 = 0
    for (;;) {
      const entry = load<u64>(index + (usize(slot) << 3))
      if (entry == 0) break
      if (u32(entry >> 32) == h) {
        const candidate = u32(entry) - 1
        const meta = table + usize(candidate) * ENTRY_BYTES
        if (load<u32>(meta, 4) == n && same(load<u32>(meta), key, n)) {
          found = candidate + 1
          break
        }
      }
      slot = (slot + 1) & mask
    }
    if (found == 0) {
      if (size == capacity) {
        if (!block(capacity * 2)) return i32(i)
        slot = h & (capacity * 2 - 1)
        while (load<u64>(index + (usize(slot) << 3)) != 0) slot = (slot + 1) & (capacity * 2 - 1)
      }
      const to = take(n)
      if (to == 0) return i32(i)
      memory.copy(to, key, n)
      const meta = table + usize(size) * ENTRY_BYTES
      store<u32>(meta, u32(to))
      store<u32>(meta, n, 4)
      store<u32>(meta, 0, 8)
      store<u32>(meta, UNSET, 12)
      store<u32>(hashes + (usize(size) << 2), h)
      size++
      store<u64>(index + (usize(slot) << 3), (u64(h) << 32) | u64(size))
      found = size
    }
    store<u32>(slots + (usize(i) << 2), found - 1)
    at = key + n
    consumed = u32(at - src)
  }
  return i32(count)
}

/** The index of a table of so many values is mostly outside of the processor's nearest cache. */
const FAR_CAPACITY: u32 = 1 << 13
/** Places that a processor fetches at once. */
const FETCHED: u32 = 32
let fetched: u64 = 0

/**
 * Puts the hashes of the next values at their places in `slots` and `prints`, and reads where they stand in the index: so these places are fetched side by side,
 * where one by one each would be waited for.
 * @returns which value comes after them
 */
function fetch(src: usize, end: usize, from: u32, count: u32, width: u32, slots: usize, prints: usize): u32 {
  const to = min<u32>(from + FETCHED, count)
  const mask = capacity * 2 - 1
  let at = src
  let sum: u64 = 0
  for (let i = from; i < to; i++) {
    let n = width
    if (width == 0) {
      // Who looks them up says so.
      if (u32(end - at) < 4) break
      n = load<u32>(at)
      at += 4
    }
    if (n > u32(end - at)) break
    const print = hash(at, n)
    if (prints != 0) store<u64>(prints + (usize(i) << 3), print)
    const h = u32(print >> 32)
    store<u32>(slots + (usize(i) << 2), h)
    sum ^= load<u64>(index + (usize(h & mask) << 3))
    at += n
  }
  // Reads of which nothing is made are left out by compilers.
  fetched = sum
  return to
}

let consumed: u32 = 0
/** Bytes of the values that `find` looked up last. */
export function findConsumed(): u32 {
  return consumed
}

// @ts-ignore: decorator
@inline
function hash(at: usize, n: u32): u64 {
  const h = lane(seed ^ (u64(n) * K2), at, n)
  return (h ^ (h >> 32)) * K2
}

// @ts-ignore: decorator
@inline
function same(a: usize, b: usize, n: u32): bool {
  // Most identifiers, without a loop: the first 16 bytes and the last.
  if (n - 16 <= 16)
    return !v128.any_true(
      v128.or(
        v128.xor(v128.load(a), v128.load(b)),
        v128.xor(v128.load(a + n - 16), v128.load(b + n - 16)),
      ),
    )
  let i: u32 = 0
  for (; i + 8 <= n; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false
  const rest = n - i
  return rest == 0 || ((load<u64>(a + i) ^ load<u64>(b + i)) & ((u64(1) << u64(rest << 3)) - 1)) == 0
}

/** Bytes of the replacements at `slots`, lengths of four bytes in front. @returns -1 where one is missing or null */
export function sizeOf(slots: usize, count: u32): i64 {
  let bytes: i64 = 0
  for (let i: u32 = 0; i < count; i++) {
    const slot = load<u32>(slots + (usize(i) << 2))
    if (slot >= size) return -1
    const n = load<u32>(table + usize(slot) * ENTRY_BYTES, 12)
    if (n >= NULL) return -1
    bytes += 4 + i64(n)
  }
  return bytes
}

let emitted: u32 = 0
/** How many replacements `emit` wrote last. */
export function emittedCount(): u32 {
  return emitted
}

/** Writes replacements in PLAIN encoding while they fit in `room`. @returns bytes written; -1 where one is missing or null */
export function emit(slots: usize, count: u32, dst: usize, room: u32): i32 {
  let out = dst
  emitted = 0
  for (let i: u32 = 0; i < count; i++) {
    const slot = load<u32>(slots + (usize(i) << 2))
    if (slot >= size) return -1
    const meta = table + usize(slot) * ENTRY_BYTES
    const n = load<u32>(meta, 12)
    if (n >= NULL) return -1
    if (u32(out - dst) + 4 + n > room) break
    store<u32>(out, n)
    out += 4
    const from = usize(load<u32>(meta, 8))
    if (n <= 64) {
      v128.store(out, v128.load(from))
      if (n > 16) v128.store(out, v128.load(from, 16), 16)
      if (n > 32) v128.store(out, v128.load(from, 32), 32)
      if (n > 48) v128.store(out, v128.load(from, 48), 48)
    } else memory.copy(out, from, n)
    out += n
    emitted = i + 1
  }
  return i32(out - dst)
}
