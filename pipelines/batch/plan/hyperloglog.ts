/**
 * About how many different texts there were, in 16 KiB whatever their number. (Flajolet et al., "HyperLogLog", 2007, with the estimator of
 * Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017: the first one is off by 3 % around 40,000.) Pure.
 */

/** 2^14 registers: the standard error is 1.04 / 128, that is 0.8 %. */
const INDEX_BITS = 14
const REGISTERS = 1 << INDEX_BITS
/** Of the second word: ranks go from 1 to one more. */
const RANK_BITS = 32

/** Three standard errors. */
export const SKETCH_ERROR = 0.025

export class HyperLogLog {
  readonly #registers = new Uint8Array(REGISTERS)

  add(text: string): void {
    const [index, rest] = hash(text)
    const register = index >>> (32 - INDEX_BITS)
    const rank = Math.clz32(rest) + 1
    if (rank > (this.#registers[register] ?? 0)) this.#registers[register] = rank
  }

  count(): number {
    const counts = new Array<number>(RANK_BITS + 2).fill(0)
    for (const rank of this.#registers) counts[rank] = (counts[rank] ?? 0) + 1
    let sum = REGISTERS * tau(1 - (counts[RANK_BITS + 1] ?? 0) / REGISTERS)
    for (let rank = RANK_BITS; rank >= 1; rank--) sum = (sum + (counts[rank] ?? 0)) / 2
    sum += REGISTERS * sigma((counts[0] ?? 0) / REGISTERS)
    return Math.round(REGISTERS ** 2 / (2 * Math.LN2 * sum))
  }
}

/** For registers that were never reached. */
function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY
  let [x, weight, sum, before] = [share, 1, share, Number.NaN]
  while (sum !== before) {
    x *= x
    before = sum
    sum += x * weight
    weight *= 2
  }
  return sum
}

/** For registers that can't say more. */
function tau(share: number): number {
  if (share === 0 || share === 1) return 0
  let [x, weight, sum, before] = [share, 1, 1 - share, Number.NaN]
  while (sum !== before) {
    x = Math.sqrt(x)
    before = sum
    weight /= 2
    sum -= (1 - x) ** 2 * weight
  }
  return sum / 3
}

/** Two words of 32 bits, each of which depends on every character. Multiplications and the final mix as in MurmurHash3. */
function hash(text: string): readonly [number, number] {
  let a = 0x9747b28c
  let b = 0x1b873593
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0xcc9e2d51)
    a = (a << 15) | (a >>> 17)
    b = Math.imul(b ^ unit, 0x85ebca6b)
    b = (b << 13) | (b >>> 19)
  }
  return [mix(a ^ text.length ^ Math.imul(b, 0x27d4eb2f)), mix(b ^ text.length ^ Math.imul(a, 0x165667b1))]
}

function mix(word: number): number {
  let h = word
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
