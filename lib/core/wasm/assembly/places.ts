/**
 * For each text the place of the first that is equal to it, put at `places` (u32 each).
 * @param slots zeros (u32 each), `mask` + 1 of them, twice as many as texts at least
 * @param hashes room for as many as texts (u32 each)
 * @returns how many are different
 */
export function firstPlaces(
  bytes: usize,
  offsets: usize,
  count: u32,
  slots: usize,
  mask: u32,
  hashes: usize,
  places: usize,
  seed: u64,
): u32 {
  let different: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const from = load<u32>(offsets + (usize(i) << 2))
    const n = load<u32>(offsets + (usize(i) << 2), 4) - from
    const h = hash(bytes + from, n, seed)
    store<u32>(hashes + (usize(i) << 2), h)
    let slot = h & mask
    let place = i
    for (;;) {
      const other = load<u32>(slots + (usize(slot) << 2))
      if (other == 0) {
        store<u32>(slots + (usize(slot) << 2), i + 1)
        different++
        break
      }
      const candidate = usize(other - 1)
      if (load<u32>(hashes + (candidate << 2)) == h) {
        const start = load<u32>(offsets + (candidate << 2))
        if (load<u32>(offsets + (candidate << 2), 4) - start == n && same(bytes + start, bytes + from, n)) {
          place = other - 1
          break
        }
      }
      slot = (slot + 1) & mask
    }
    store<u32>(places + (usize(i) << 2), place)
  }
  return different
}

const K: u64 = 0x9e3779b97f4a7c15

// @ts-ignore: decorator
@inline
function mix(h: u64, word: u64): u64 {
  const m = (h ^ word) * K
  return m ^ (m >> 29)
}

// @ts-ignore: decorator
@inline
function hash(at: usize, n: u32, seed: u64): u32 {
  let h = seed ^ (u64(n) * 0xd6e8feb86659fd93)
  let i: u32 = 0
  for (; i + 8 <= n; i += 8) h = mix(h, load<u64>(at + i))
  const rest = n - i
  // Up to seven bytes behind the text are loaded and cut off.
  if (rest > 0) h = mix(h, load<u64>(at + i) & ((u64(1) << u64(rest << 3)) - 1))
  h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93
  return u32(h >> 32)
}

// @ts-ignore: decorator
@inline
function same(a: usize, b: usize, n: u32): bool {
  for (let i: u32 = 0; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false
  return true
}
