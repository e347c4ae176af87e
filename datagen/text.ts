/** Values as ASCII, written straight into the page or line they belong to: a string each would be most of the run. Pure. */

/** A kind of column: how a number of it reads. */
export interface Text {
  /** Bytes of the value's text. */
  length(value: number): number
  /** Writes the text, returns the position after it. */
  write(value: number, out: Uint8Array, at: number): number
  /** Orders values as their texts' bytes are ordered. */
  compare(a: number, b: number): number
}

export interface Column {
  readonly name: string
  readonly text: Text
  readonly values: Float64Array
}

/** Whole numbers from 0, in decimal digits: `10` comes before `9`. */
export const digits: Text = {
  length: digitCount,
  write(value, out, at) {
    const end = at + digitCount(value)
    let rest = value
    for (let i = end - 1; i >= at; i--) {
      const next = Math.floor(rest / 10)
      out[i] = 48 + rest - next * 10
      rest = next
    }
    return end
  },
  compare(a, b) {
    const [left, right] = [digitCount(a), digitCount(b)]
    const width = Math.max(left, right)
    return a * 10 ** (width - left) - b * 10 ** (width - right) || left - right
  },
}

function digitCount(value: number): number {
  let count = 1
  for (let limit = 10; value >= limit; limit *= 10) count++
  return count
}

/** Microseconds since 1970 as `2024-01-01T00:00:00.000000`. Quick where neighbours are of one second. */
export function timestamps(): Text {
  const second = Buffer.alloc(20)
  let current = -1
  return {
    length: () => 26,
    write(value, out, at) {
      const seconds = Math.floor(value / 1e6)
      if (seconds !== current) {
        current = seconds
        second.write(`${new Date(seconds * 1000).toISOString().slice(0, 19)}.`, 'latin1')
      }
      out.set(second, at)
      let rest = value - seconds * 1e6
      for (let i = at + 25; i >= at + 20; i--) {
        const next = Math.floor(rest / 10)
        out[i] = 48 + rest - next * 10
        rest = next
      }
      return at + 26
    },
    compare: (a, b) => a - b,
  }
}
