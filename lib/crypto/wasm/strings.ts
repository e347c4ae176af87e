import { MAX_ENCODED } from '../format.ts'
import { MAX_IDENTIFIER_BYTES, NONCE_BYTES, type RandomBytes, type StringsOptions } from '../kernel.ts'
import { refusalFor } from '../refusal.ts'
import { BACK_TEXT, FORWARD_TEXT, sealedShare } from './chunk.ts'
import { BAD, MESSAGES, TEXT_BYTES, WIDE } from './engine.ts'
import type { Keyed } from './keyed.ts'

/**
 * Strings in, strings out. A batch is taken in chunks; of each, the strings are joined and encoded once, and what comes out is read as one
 * string and cut. So the results of a chunk share one string in V8: holding on to one keeps up to 2,048 alive.
 */

export function sealStrings(
  keyed: Keyed,
  identifiers: readonly string[],
  randomBytes: RandomBytes | undefined,
  into: StringsOptions['into'],
): string[] {
  const { texts: result, at } = into ?? { texts: new Array<string>(identifiers.length), at: 0 }
  for (const [from, to, units] of chunks(identifiers, MAX_IDENTIFIER_BYTES, FORWARD_UNITS)) {
    const random = randomBytes?.(NONCE_BYTES * (to - from))
    if (units < 0 || !sealChunk(keyed, part(identifiers, from, to), units, random, result, at + from))
      refuse(identifiers, keyed.id)
  }
  return result
}

export function openStrings(keyed: Keyed, pseudonyms: readonly string[], into: StringsOptions['into']): string[] {
  const refusal = refusalFor('pseudonym/invalid', keyed.id)
  const longest = MAX_ENCODED + keyed.prefixBytes
  // What is too long for a pseudonym is none, as the empty text is.
  const texts = pseudonyms.some((text) => text.length > longest)
    ? pseudonyms.map((text) => (text.length > longest ? '' : text))
    : pseudonyms
  const { texts: result, at } = into ?? { texts: new Array<string>(texts.length), at: 0 }
  for (const [from, to, units] of chunks(texts, longest, BACK_TEXT))
    openChunk(keyed, part(texts, from, to), units, (index) => refusal.add(from + index), result, at + from)
  refusal.throwIfAny()
  return result
}

/** UTF-16 units of a chunk: three bytes of UTF-8 each at most. */
const FORWARD_UNITS = FORWARD_TEXT / 3

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws PseudolakeError for the whole batch, so that the error doesn't depend on where chunks end */
function refuse(identifiers: readonly string[], id: string): never {
  const refusal = refusalFor('identifier/invalid', id)
  identifiers.forEach((text, i) => {
    if (!text.isWellFormed() || Buffer.byteLength(text) > MAX_IDENTIFIER_BYTES) refusal.add(i)
  })
  refusal.throwIfAny()
  throw new Error('a batch was refused, and none of its identifiers')
}

/** The pseudonyms of one chunk, put into `to` from `first` on. @returns false where an identifier can't have one */
function sealChunk(
  keyed: Keyed,
  texts: readonly string[],
  units: number,
  random: Uint8Array | undefined,
  to: string[],
  first: number,
): boolean {
  const { engine, format } = keyed
  const { memory, places, lengths } = engine
  const n = texts.length
  const bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'utf8')
  let longest = 0
  let outBytes = 0
  try {
    for (let i = 0; i < n; i++) lengths[i] = (texts[i] as string).length
    if (bytes !== units) {
      // A lone surrogate would be encoded as U+FFFD, and then two identifiers would share a pseudonym.
      for (const text of texts) if (!text.isWellFormed()) return false
      engine.utf8Lengths(n, bytes)
    }
    for (let i = 0; i < n; i++) longest = Math.max(longest, lengths[i] as number)
    if (longest > MAX_IDENTIFIER_BYTES) return false
    outBytes = keyed.seal(n, random)
    const out = memory.toString('latin1', places.out, places.out + outBytes)
    for (let i = 0, at = 0; i < n; i++) {
      const end = at + format.length(lengths[i] as number)
      to[first + i] = out.slice(at, end)
      at = end
    }
    return true
  } finally {
    keyed.forget(n, Math.min(bytes, TEXT_BYTES), outBytes, 0, Math.min(longest, MAX_IDENTIFIER_BYTES))
  }
}

/** The identifiers of one chunk, put into `to` from `first` on; `refused` gets the indices within it of those that are none. */
function openChunk(
  keyed: Keyed,
  texts: readonly string[],
  units: number,
  refused: (index: number) => void,
  to: string[],
  first: number,
): void {
  const { memory, places, lengths } = keyed.engine
  const n = texts.length
  let bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'utf8')
  let longest = 0
  let outBytes = 0
  try {
    if (bytes !== units) {
      texts = texts.map((text) => (isAscii(text) ? text : ''))
      // What was written is longer than what will be.
      memory.fill(0, places.text, places.text + bytes)
      bytes = memory.write(texts.join(''), places.text, TEXT_BYTES, 'latin1')
    }
    for (let i = 0; i < n; i++) lengths[i] = (texts[i] as string).length
    longest = keyed.open(n)
    const flags = memory.subarray(places.flags, places.flags + n)
    let wide = false
    for (let i = 0; i < n; i++) {
      if (flags[i] !== BAD) outBytes += lengths[i] as number
      if (flags[i] !== 0) wide = true
    }
    const out = wide ? '' : memory.toString('latin1', places.out, places.out + outBytes)
    for (let i = 0, at = 0; i < n; i++) {
      if (flags[i] === BAD) {
        refused(i)
        continue
      }
      const end = at + (lengths[i] as number)
      const text = wide ? decode(keyed, at, end, flags[i] === WIDE) : out.slice(at, end)
      at = end
      if (text === undefined) refused(i)
      else to[first + i] = text
    }
  } finally {
    keyed.forget(n, bytes, outBytes, sealedShare(bytes, n), longest)
  }
}

/** Each by itself: what is joined may be valid where its parts are not. */
function decode({ engine: { memory, places } }: Keyed, start: number, end: number, wide: boolean): string | undefined {
  if (!wide) return memory.toString('latin1', places.out + start, places.out + end)
  try {
    return UTF8.decode(memory.subarray(places.out + start, places.out + end))
  } catch {
    return undefined
  }
}

/** From, to, and UTF-16 units of each chunk; units −1 where a text is longer than `longest`. @throws TypeError where one is no string */
function* chunks(texts: readonly string[], longest: number, most: number): Generator<[number, number, number]> {
  for (let from = 0; from < texts.length; ) {
    const end = Math.min(texts.length, from + MESSAGES)
    let to = from
    let units = 0
    for (; to < end; to++) {
      const text = texts[to] as string
      if (typeof text !== 'string') throw new TypeError(`expected a string at index ${to}, got ${typeof text}`)
      if (text.length > longest) {
        yield [from, to, -1]
        return
      }
      if (units + text.length > most && to > from) break
      units += text.length
    }
    yield [from, to, units]
    from = to
  }
}

function part(texts: readonly string[], from: number, to: number): readonly string[] {
  return from === 0 && to === texts.length ? texts : texts.slice(from, to)
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false
  return true
}
