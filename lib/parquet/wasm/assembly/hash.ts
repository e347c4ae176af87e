// Hashes of values, for those who remember millions of them and keep none: 64 bits in two lanes of 32. Not for secrecy.

/**
 * Hashes `count` values in PLAIN encoding, each with its length of four bytes in front. Four lists of `count` numbers (u32) are put at `dst`:
 * both lanes, of which the second is never 0, and where the bytes begin and end, counted from `base` at `src`.
 * @param seed other values meet in each run
 * @returns how many of the values are empty. -1: the bytes end before the values do
 */
export function hashes(src: usize, length: u32, count: u32, seed: u32, dst: usize, base: u32): i32 {
  const end = src + length
  const list = usize(count) << 2
  let at = src
  let out = dst
  let empty: i32 = 0
  for (let i: u32 = 0; i < count; i++, out += 4) {
    if (u32(end - at) < 4) return -1
    const n = load<u32>(at)
    at += 4
    if (n > u32(end - at)) return -1
    empty += i32(n == 0)
    let a = seed ^ n
    let b = ~seed
    let rest = n
    let from = at
    for (; rest >= 4; rest -= 4, from += 4) {
      const word = load<u32>(from)
      a = (a ^ word) * 0x9e3779b1
      a ^= a >> 15
      b = (b ^ word) * 0x85ebca6b + a
      b = (b << 13) | (b >> 19)
    }
    // Up to four bytes behind the value are loaded and cut off.
    const last = load<u32>(from) & ((1 << (rest << 3)) - 1)
    a = mixed(a ^ last)
    b = mixed((b ^ last) * 0xc2b2ae35 + a)
    store<u32>(out, a)
    store<u32>(out + list, b == 0 ? 1 : b)
    store<u32>(out + 2 * list, u32(at - src) + base)
    at += n
    store<u32>(out + 3 * list, u32(at - src) + base)
  }
  return empty
}

// @ts-ignore: decorator
@inline
function mixed(hash: u32): u32 {
  let h = hash ^ (hash >> 16)
  h *= 0x85ebca6b
  h ^= h >> 13
  h *= 0xc2b2ae35
  return h ^ (h >> 16)
}
