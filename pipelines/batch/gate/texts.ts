/** What many texts look like, in one call. */
import { type Entries, hasCharacters, isPseudonym, MIN_CHARACTERS } from './entries.ts'
import { type Engine, START, sharedEngine } from './wasm/engine.ts'

/** For fewer it does not pay to put the bytes of all where the call finds them. */
const MANY = 64
/** More bytes stay where they are, and are looked at one text after the other. */
const MOST_BYTES = 16 << 20
/** Behind the bytes, for wide loads. */
const SLACK = 64

/** @param chosen numbers of entries @returns which of them, by their positions, are not spelled as pseudonyms */
export function notPseudonyms(entries: Entries, chosen: Int32Array): Int32Array {
  return (
    looked(entries, chosen, ({ malformed }, from, to, at) => malformed(START, from, to, at, chosen.length)) ??
    picked(chosen, (i) => !isPseudonym(entries, i))
  )
}

/** The same, which have 6 characters and more. */
export function longOnes(entries: Entries, chosen: Int32Array): Int32Array {
  const { bytes, from, to } = entries
  return (
    looked(entries, chosen, ({ long }, start, end, at) => long(START, start, end, at, chosen.length, MIN_CHARACTERS)) ??
    picked(chosen, (i) => hasCharacters(bytes, from[i] as number, to[i] as number))
  )
}

/** What is found is put where the chosen are. */
function looked(
  { bytes, from, to, count }: Entries,
  chosen: Int32Array,
  look: (functions: Engine['functions'], from: number, to: number, chosen: number) => number,
): Int32Array | undefined {
  if (chosen.length < MANY || bytes.length > MOST_BYTES) return undefined
  const shared = sharedEngine()
  const fromAt = START + ((bytes.length + SLACK + 3) & ~3)
  const toAt = fromAt + 4 * count
  const chosenAt = toAt + 4 * count
  shared.reserve(chosenAt + 4 * chosen.length)
  shared.bytes.set(bytes, START)
  const { words } = shared
  words.set(from.subarray(0, count), fromAt >> 2)
  words.set(to.subarray(0, count), toAt >> 2)
  words.set(chosen, chosenAt >> 2)
  const found = look(shared.functions, fromAt, toAt, chosenAt)
  return words.slice(chosenAt >> 2, (chosenAt >> 2) + found)
}

function picked(chosen: Int32Array, isOne: (i: number) => boolean): Int32Array {
  const positions: number[] = []
  for (const [k, i] of chosen.entries()) if (isOne(i)) positions.push(k)
  return Int32Array.from(positions)
}
