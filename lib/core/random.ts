/** Reproducible randomness: the same seed gives the same numbers, and so the same dataset, on every machine. Not for anything secret. Pure. */
export interface Random {
  /** Uniform in [0, 2^32). */
  u32(): number
  /** Uniform integer in [0, n). @param n up to 2^32; the bias of 2^-21 is of no account here */
  below(n: number): number
  /** Uniform in [0, 1), a multiple of 2^-32. */
  unit(): number
}

/** xoshiro128** (Blackman, Vigna, "Scrambled Linear Pseudorandom Number Generators"), its state drawn from the seed by SplitMix32. */
export function seeded(seed: number): Random {
  let mixer = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) | 0
  const mix = () => {
    mixer = (mixer + 0x9e3779b9) | 0
    let z = mixer
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
  let a = mix()
  let b = mix()
  let c = mix()
  let d = mix()

  const u32 = () => {
    const scaled = Math.imul(b, 5)
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = (d << 11) | (d >>> 21)
    return result
  }
  return {
    u32,
    below: (n) => Math.floor((u32() / 2 ** 32) * n),
    unit: () => u32() / 2 ** 32,
  }
}
