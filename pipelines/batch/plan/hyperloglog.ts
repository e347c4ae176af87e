/**
 * About how many different texts there were, in 16 KiB whatever their number. (Flajolet et al., "HyperLogLog", 2007; the small range by
 * linear counting.) Pure.
 */

/** 2^14 registers: the standard error is 1.04 / 128, that is 0.8 %. */
const INDEX_BITS = 14
const REGISTERS = 1 << INDEX_BITS
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)

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
    let sum = 0
    let zeros = 0
    for (const rank of this.#registers) {
      sum += 2 ** -rank
      if (rank === 0) zeros++
    }
    const raw = (ALPHA * REGISTERS * REGISTERS) / sum
    return Math.round(raw <= 2.5 * REGISTERS && zeros > 0 ? REGISTERS * Math.log(REGISTERS / zeros) : raw)
  }
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
