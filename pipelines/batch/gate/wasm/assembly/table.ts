// Hashes of 64 bits that are remembered, in two words of which the second is never 0, and with each perhaps a value of 32: open addressing,
// from the place that the first word says onwards. There is no way around the end: behind it are some places more, and the last stays free.

/** Hashes that one call works on; each of the four lanes that callers fill or read has a word for each. */
const LANE_BYTES: usize = 1 << 16
const LANES: usize = 0x10000
const A: usize = LANES
const B: usize = LANES + LANE_BYTES
const VALUES: usize = LANES + 2 * LANE_BYTES
const LISTED: usize = LANES + 3 * LANE_BYTES
const SPILLED: usize = LANES + 4 * LANE_BYTES
const SPILL: u32 = 1 << 10
const TABLE: usize = SPILLED + usize(SPILL) * 12

let stride: usize = 8
let places: u32 = 0
let size: u32 = 0
let full: bool = false

let listedCount: u32 = 0
let keptCount: u32 = 0
let alikeCount: u32 = 0
let reason: u32 = 0

// What merge does with a hash.
/** A map: one that is there must have the same value. */
const MAP: u32 = 0
/** A set in which each comes once. */
const ONCE: u32 = 1
/** A set. */
const MANY: u32 = 2
/** Nothing is added: what is there is listed; what is not. */
const PRESENT: u32 = 3
const ABSENT: u32 = 4

export function laneAt(lane: u32): usize {
  return LANES + usize(lane) * LANE_BYTES
}

/** What the memory must have for so many places. */
export function tableBytes(count: u32): usize {
  return TABLE + (usize(count) + SPILL) * stride
}

/** Once, in memory that is long enough. @param words of a hash with its value @param count of places, a power of two */
export function setup(words: u32, count: u32): void {
  stride = usize(words) << 2
  places = count
}

export function capacity(): u32 {
  return places
}

export function entries(): u32 {
  return size
}

/** From now on nothing is added. */
export function setFull(): void {
  full = true
}

export function listed(): u32 {
  return listedCount
}

export function kept(): u32 {
  return keptCount
}

/** Of a map: how many of those that are listed have the second word of their hash for a value. */
export function alike(): u32 {
  return alikeCount
}

/** Why merge came to an end: 0, nothing is left; 1, the table must grow; 2, one is there, and should not be, or has another value. */
export function why(): u32 {
  return reason
}

/**
 * Goes through hashes `[from, count)` of the lanes. Lists those that are not there yet, and adds them while there is room.
 * @param base of what is listed
 * @returns where it came to an end; it goes on from there
 */
export function merge(count: u32, from: u32, mode: u32, base: u32): u32 {
  if (from == 0) {
    listedCount = 0
    keptCount = 0
    alikeCount = 0
  }
  reason = 0
  const last = tableBytes(places) - stride
  const isFar = places >= FAR_PLACES
  let near = from
  for (let k = from; k < count; k++) {
    if (isFar && k == near) near = fetch(k, count)
    const lane = usize(k) << 2
    const a = load<u32>(A + lane)
    const b = load<u32>(B + lane)
    const at = find(a, b)
    if (load<u32>(at, 4) != 0) {
      if (mode == PRESENT) list(base + k)
      else if (mode == ONCE || (mode == MAP && load<u32>(at, 8) != load<u32>(VALUES + lane))) {
        reason = 2
        return k
      }
      continue
    }
    if (mode == PRESENT) continue
    if (mode != ABSENT && !full) {
      if (u64(size) * 4 > (u64(places) - 1) * 3 || at >= last) {
        reason = 1
        return k
      }
      store<u32>(at, a)
      store<u32>(at, b, 4)
      if (mode == MAP) store<u32>(at, load<u32>(VALUES + lane), 8)
      size++
      keptCount++
    }
    if (mode == MAP && b == load<u32>(VALUES + lane)) alikeCount++
    list(base + k)
  }
  return count
}

/** A table of so many places is mostly outside of the processor's caches. */
const FAR_PLACES: u32 = 1 << 16
/** Places that a processor fetches at once. */
const FETCHED: u32 = 32
let fetched: u32 = 0

/** Reads the places of the next hashes, which are fetched side by side; one by one each would be waited for. @returns which hash comes after them */
function fetch(from: u32, count: u32): u32 {
  const to = min<u32>(from + FETCHED, count)
  let sum: u32 = 0
  for (let k = from; k < to; k++)
    sum ^= load<u32>(TABLE + usize(load<u32>(A + (usize(k) << 2)) & (places - 1)) * stride, 4)
  // Reads of which nothing is made are left out by compilers.
  fetched = sum
  return to
}

// @ts-ignore: decorator
@inline
function list(k: u32): void {
  store<u32>(LISTED + (usize(listedCount++) << 2), k)
}

/** Where the hash is, or would be. */
// @ts-ignore: decorator
@inline
function find(a: u32, b: u32): usize {
  let at = TABLE + usize(a & (places - 1)) * stride
  let found = load<u32>(at, 4)
  while (found != 0 && (found != b || load<u32>(at) != a)) {
    at += stride
    found = load<u32>(at, 4)
  }
  return at
}

/**
 * Twice the places, in memory that is long enough and zero. Each hash keeps its place, comes nearer to it, or goes to the upper half: gone through from
 * the first on, none is put behind one that has yet to move. Those behind the end are in the way of the upper half, and wait outside.
 */
export function grow(): void {
  const end = TABLE + usize(places) * stride
  let waiting: u32 = 0
  for (let at = end; at < end + usize(SPILL) * stride; at += stride) {
    if (load<u32>(at, 4) == 0) continue
    memory.copy(SPILLED + usize(waiting++) * stride, at, stride)
    memory.fill(at, 0, stride)
  }
  places *= 2
  for (let at = TABLE; at < end; at += stride) if (load<u32>(at, 4) != 0) move(at)
  for (let i: u32 = 0; i < waiting; i++) move(SPILLED + usize(i) * stride)
}

function move(from: usize): void {
  const a = load<u32>(from)
  const b = load<u32>(from, 4)
  const value = stride > 8 ? load<u32>(from, 8) : 0
  store<u32>(from, 0, 4)
  const at = find(a, b)
  store<u32>(at, a)
  store<u32>(at, b, 4)
  if (stride > 8) store<u32>(at, value, 8)
}
