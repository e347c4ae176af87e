/** A small generator of its own, so that a failure names the seed that makes it again. (mulberry32.) */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to below `n`. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n)
  }

  /** Both ends included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1)
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0
  }

  pick<V>(of: readonly V[]): V {
    return of[this.below(of.length)] as V
  }

  bigint(bits: number): bigint {
    let value = 0n
    for (let i = 0; i < bits; i += 16) value = (value << 16n) | BigInt(this.below(65_536))
    return BigInt.asIntN(bits, value)
  }
}
