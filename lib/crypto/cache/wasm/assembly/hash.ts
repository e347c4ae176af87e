// SipHash-1-3 (Aumasson and Bernstein, 2012) over a text and whose it is: who does not know the key can't choose texts that meet.

let k0: u64 = 0
let k1: u64 = 0

export function setKey(low: u64, high: u64): void {
  k0 = low
  k1 = high
}

/** Owner and length go first, so that no two inputs are one. Up to seven bytes behind the text are loaded and cut off. */
export function hash(at: usize, bytes: u32, owner: u32): u64 {
  let v0: u64 = k0 ^ 0x736f6d6570736575
  let v1: u64 = k1 ^ 0x646f72616e646f6d
  let v2: u64 = k0 ^ 0x6c7967656e657261
  let v3: u64 = k1 ^ 0x7465646279746573
  const whole = bytes & ~7
  const last: u32 = (bytes + 7) & ~7
  let word: u64 = (u64(owner) << 32) | bytes
  // Three more at the end, of nothing.
  for (let i: u32 = 0; i <= last + 24; i += 8) {
    v3 ^= word
    v0 += v1
    v1 = rotl(v1, 13) ^ v0
    v0 = rotl(v0, 32)
    v2 += v3
    v3 = rotl(v3, 16) ^ v2
    v0 += v3
    v3 = rotl(v3, 21) ^ v0
    v2 += v1
    v1 = rotl(v1, 17) ^ v2
    v2 = rotl(v2, 32)
    v0 ^= word
    if (i < whole) word = load<u64>(at + i)
    else if (i < last) word = load<u64>(at + i) & ((u64(1) << u64((bytes & 7) << 3)) - 1)
    else if (i === last) {
      word = 0
      v2 ^= 0xff
    }
  }
  return v0 ^ v1 ^ v2 ^ v3
}
