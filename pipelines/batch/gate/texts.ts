/** What many texts look like, in one call. */
import { type Entries, hasCharacters, isPseudonym, MIN_CHARACTERS } from './entries.ts'
import { gather } from './hash-table.ts'
import { type Engine, newEngine } from './wasm/engine.ts'

/** For fewer it does not pay to put the bytes of all where the call finds them. */
const MANY = 64
/** More bytes stay where they are, and are looked at one text after the other. */
const MOST_BYTES = 16 << 20
/** In front of what is put in, for the compiler's constants; behind it, for wide loads. */
const START = 0x10000
const SLACK = 64

let shared: Engine | undefined

/** @param chosen numbers of entries @returns which of them, by their positions, are not spelled as pseudonyms */
export function notPseudonyms(entries: Entries, chosen: Int32Array): Int32Array {
  return (
    looked(entries, chosen, ({ malformed }, from, to) => malformed(START, from, to, chosen.length, from)) ??
    picked(chosen, (i) => !isPseudonym(entries, i))
  )
}

/** The same, which have 6 characters and more. */
export function longOnes(entries: Entries, chosen: Int32Array): Int32Array {
  const { bytes, from, to } = entries
  return (
    looked(entries, chosen, ({ long }, start, end) => long(START, start, end, chosen.length, MIN_CHARACTERS, start)) ??
    picked(chosen, (i) => hasCharacters(bytes, from[i] as number, to[i] as number))
  )
}

/** What is found is put where the beginnings are. */
function looked(
  { bytes, from, to }: Entries,
  chosen: Int32Array,
  look: (functions: Engine['functions'], from: number, to: number) => number,
): Int32Array | undefined {
  const count = chosen.length
  if (count < MANY || bytes.length > MOST_BYTES) return undefined
  shared ??= newEngine()
  const fromAt = START + ((bytes.length + SLACK + 3) & ~3)
  const toAt = fromAt + 4 * count
  shared.reserve(toAt + 4 * count)
  shared.bytes.set(bytes, START)
  gather(from, chosen, count, shared.words.subarray(fromAt >> 2))
  gather(to, chosen, count, shared.words.subarray(toAt >> 2))
  const found = look(shared.functions, fromAt, toAt)
  return shared.words.slice(fromAt >> 2, (fromAt >> 2) + found)
}

function picked(chosen: Int32Array, isOne: (i: number) => boolean): Int32Array {
  const positions: number[] = []
  for (const [k, i] of chosen.entries()) if (isOne(i)) positions.push(k)
  return Int32Array.from(positions)
}
