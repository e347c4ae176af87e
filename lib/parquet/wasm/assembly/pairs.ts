import { K, K2, lane, mix } from './mix'

// Which value has what in its place, by a hash of 64 bits of both, at the number of the value: read in order, bytes cost less than a comparison
// with others that are all over the memory.

/**
 * Goes through `count` values, by their prints (`find`) and numbers, and what stands in their places at `out`, in PLAIN encoding.
 * @param pairs a hash (u64) for each number below `most`; 0 where there is none: it becomes that of the pair which comes there first
 * @returns how many are not the pairs that were there. -1: the bytes end before `count` values
 */
export function unlike(
  prints: usize,
  slots: usize,
  count: u32,
  out: usize,
  outBytes: u32,
  pairs: usize,
  most: u32,
): i32 {
  const end = out + outBytes
  let at = out
  let found: i32 = 0
  for (let i: u32 = 0; i < count; i++) {
    if (u32(end - at) < 4) return -1
    const n = load<u32>(at)
    at += 4
    if (n > u32(end - at)) return -1
    const slot = load<u32>(slots + (usize(i) << 2))
    const here = pairOf(load<u64>(prints + (usize(i) << 3)), at, n)
    const place = pairs + (usize(slot) << 3)
    if (slot >= most) found++
    else if (load<u64>(place) != here) {
      if (load<u64>(place) == 0) store<u64>(place, here)
      found++
    }
    at += n
  }
  return found
}

// @ts-ignore: decorator
@inline
function pairOf(print: u64, at: usize, n: u32): u64 {
  // Two lanes: a multiplication waits for the one before it.
  let a = print ^ (u64(n) * K2)
  let b = print + K
  if (n >= 16) {
    const last = at + n - 16
    for (; at < last; at += 16) {
      a = turn(a, load<u64>(at))
      b = turn(b, load<u64>(at, 8))
    }
    // The last 16 bytes, of which some may have been taken.
    a = turn(a, load<u64>(last))
    b = turn(b, load<u64>(last, 8))
  } else b = lane(b, at, n)
  const h = mix(a, rotl<u64>(b, 32)) * K2
  const mixed = h ^ (h >> 32)
  return mixed == 0 ? 1 : mixed
}

// @ts-ignore: decorator
@inline
function turn(h: u64, word: u64): u64 {
  return rotl<u64>((h ^ word) * K, 29)
}
