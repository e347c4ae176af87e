// Multiplications by odd constants and shifts: enough where nobody chooses the values by the seed, which is the run's secret.

export const K: u64 = 0x9e3779b97f4a7c15
export const K2: u64 = 0xd6e8feb86659fd93

// @ts-ignore: decorator
@inline
export function mix(h: u64, word: u64): u64 {
  const m = (h ^ word) * K
  return m ^ (m >> 29)
}

// @ts-ignore: decorator
@inline
export function lane(from: u64, at: usize, n: u32): u64 {
  let h = from
  let i: u32 = 0
  for (; i + 8 <= n; i += 8) h = mix(h, load<u64>(at + i))
  const rest = n - i
  // Up to seven bytes behind it are loaded and cut off.
  return rest == 0 ? h : mix(h, load<u64>(at + i) & ((u64(1) << u64(rest << 3)) - 1))
}
