/** Values of a dictionary or a page as hashes, with their bytes for as long as they are looked at. */

import type { Codec } from '../../../lib/parquet/codec.ts'
import { decompress } from '../../../lib/parquet/codec.ts'
import { type DecodedPage, decodeData, decodeDictionary, decodePlain } from '../../../lib/parquet/decode.ts'
import { ENCODING } from '../../../lib/parquet/footer.ts'
import type { DataHeader, DictionaryHeader, Page } from '../../../lib/parquet/page.ts'
import { guarded } from '../../../lib/parquet/place.ts'
import { Window } from '../../../lib/parquet/ranges.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import { canonicalTexts } from '../../../lib/parquet/text.ts'
import type { Hasher } from './hash.ts'

export const KIND = { VALUE: 0, EMPTY: 1, NULL: 2 } as const

export interface Entries {
  readonly count: number
  /** Two lanes of each value's hash. */
  readonly a: Int32Array
  readonly b: Int32Array
  /** `KIND`; NULL for a value that the rule makes null. */
  readonly kind: Uint8Array
  readonly bytes: Uint8Array
  /** The i-th value is `bytes[from[i], to[i])`. */
  readonly from: Int32Array
  readonly to: Int32Array
}

/** Cells of a page: levels, and for each present cell its entry. */
export interface CellPage {
  readonly count: number
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  /** Missing where the i-th present cell is the i-th entry. */
  readonly indices?: Int32Array
  readonly entries: Entries
}

/** How the values of an input column are read: as their rule sends them to the service. */
export interface Reading {
  /** False where the bytes of a string column are what is sent. */
  readonly asText: boolean
  readonly normalized: (text: string) => string
  readonly nulls: ReadonlySet<string>
  /** Each text as it stands in the input, where the rule changes some. */
  readonly onRaw?: (view: DataView, length: number) => void
}

export function textOf({ bytes, from, to }: Entries, i: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', from[i], to[i])
}

/** A pseudonym is ASCII; what is not comes out as something that is none. */
export function asciiOf({ bytes, from, to }: Entries, i: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', from[i], to[i])
}

export function sameBytes(a: Entries, i: number, b: Entries, o: number): boolean {
  const [from, to] = [a.from[i] as number, a.to[i] as number]
  const [start, end] = [b.from[o] as number, b.to[o] as number]
  return to - from === end - start && Buffer.compare(a.bytes.subarray(from, to), b.bytes.subarray(start, end)) === 0
}

/** Whether a value has 6 characters and more. */
export function isLong({ bytes, from, to }: Pick<Entries, 'bytes' | 'from' | 'to'>, i: number): boolean {
  return hasCharacters(bytes, from[i] as number, to[i] as number)
}

export const MIN_CHARACTERS = 6

export function hasCharacters(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from < MIN_CHARACTERS || to - from >= MIN_CHARACTERS * 4) return to - from >= MIN_CHARACTERS
  let characters = 0
  // Bytes of UTF-8 that begin a character.
  for (let at = from; at < to; at++) if (((bytes[at] as number) & 0xc0) !== 0x80) characters++
  return characters >= MIN_CHARACTERS
}

/** Memory for one dictionary at a time: pages of it come by the thousand, and fresh memory costs more than what is done in it. */
export class Scratch {
  bytes = new Uint8Array(0)
  readonly window = new Window()
  #entries = emptyEntries(0, this.bytes)

  /** What was there before is gone. */
  entries(count: number, bytes: Uint8Array): Entries {
    if (this.#entries.a.length < count) this.#entries = emptyEntries(2 * count, bytes)
    this.#entries.kind.fill(0, 0, count)
    return { ...this.#entries, count, bytes }
  }

  copy(bytes: Uint8Array): Uint8Array {
    const room = this.room(bytes.length)
    if (room.length < bytes.length) return new Uint8Array(bytes)
    room.set(bytes)
    return room.subarray(0, bytes.length)
  }

  room(size: number): Uint8Array {
    if (this.bytes.length < size && size <= SCRATCH_BYTES)
      this.bytes = new Uint8Array(Math.min(2 * size, SCRATCH_BYTES))
    return this.bytes
  }
}
/** Dictionaries have a megabyte; a longer one gets memory of its own. */
const SCRATCH_BYTES = 4 << 20

/** A dictionary's values in PLAIN encoding; hashed only where somebody asks. */
export interface Dictionary {
  readonly plain: Uint8Array
  readonly count: number
  entries(): Entries
}

/** A dictionary of byte arrays. @param scratch holds the result, until it is used again */
export function byteDictionary(
  page: Page<DictionaryHeader>,
  codec: Codec,
  hasher: Hasher,
  scratch: Scratch = new Scratch(),
): Dictionary {
  return dictionaryOf(page, codec, scratch, (plain) => plainEntries(plain, page.header.values, hasher, scratch))
}

function dictionaryOf(
  { header, body, place }: Page<DictionaryHeader>,
  codec: Codec,
  scratch: Scratch,
  entriesOf: (plain: Uint8Array) => Entries,
): Dictionary {
  const plain = guarded(place, 'the dictionary', () => {
    const room = scratch.room(header.uncompressedBytes)
    const bytes = decompress(codec, body, header.uncompressedBytes, room)
    // The page is valid until the next is read.
    return codec === 'none' ? scratch.copy(bytes) : bytes
  })
  let entries: Entries | undefined
  return {
    plain,
    count: header.values,
    entries() {
      entries ??= guarded(place, 'the dictionary', () => entriesOf(plain))
      return entries
    },
  }
}

/** Byte arrays in PLAIN encoding. @throws RangeError where they end before `count` */
function plainEntries(bytes: Uint8Array, count: number, hasher: Hasher, scratch: Scratch | undefined): Entries {
  if (count * 4 > bytes.length) throw new RangeError('fewer bytes than values')
  const entries = scratch ? scratch.entries(count, bytes) : emptyEntries(count, bytes)
  const { a, b, kind, from, to } = entries
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (let i = 0; i < count; i++) {
    const start = at + 4
    at = start + view.getUint32(at, true)
    if (at > bytes.length) throw new RangeError('a value beyond the page')
    hasher.hash(view, start, at)
    a[i] = hasher.a
    b[i] = hasher.b
    from[i] = start
    to[i] = at
    if (at === start) kind[i] = KIND.EMPTY
  }
  return entries
}

/** An input's dictionary; its entries are as the rule has them sent. */
export function inputDictionary(
  page: Page<DictionaryHeader>,
  leaf: LeafNode,
  codec: Codec,
  reading: Reading,
  hasher: Hasher,
  scratch: Scratch,
): Dictionary {
  if (!reading.asText) return byteDictionary(page, codec, hasher, scratch)
  const { header, place } = page
  return dictionaryOf(page, codec, scratch, (plain) => {
    const stored = { ...page, body: plain, header: { ...header, compressedBytes: plain.length } }
    return textEntries(canonicalTexts(decodeDictionary(stored, leaf, 'none'), leaf, place), reading, hasher)
  })
}

/** @param dictionary of the chunk, for pages that refer to it */
export function inputCells(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionary: Entries | undefined,
  reading: Reading,
  hasher: Hasher,
): CellPage {
  if (!reading.asText) return outputCells(page, leaf, codec, dictionary, hasher)
  const { values = [], ...decoded } = decodeData(page, leaf, codec, dictionary?.count)
  return cells(decoded, dictionary, () => textEntries(canonicalTexts(values, leaf, page.place), reading, hasher))
}

/** Of byte arrays, hashed where they stand. @param dictionary of the chunk, for pages that refer to it */
export function outputCells(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionary: Entries | undefined,
  hasher: Hasher,
): CellPage {
  const { plain = new Uint8Array(0), present, ...decoded } = decodePlain(page, leaf, codec, dictionary?.count)
  return cells(decoded, dictionary, () =>
    guarded(page.place, 'the page', () => plainEntries(plain, present, hasher, undefined)),
  )
}

function cells(
  { count, repetition, definition, indices }: Omit<DecodedPage, 'values'>,
  dictionary: Entries | undefined,
  entriesOf: () => Entries,
): CellPage {
  return {
    count,
    ...(repetition && { repetition }),
    ...(definition && { definition }),
    ...(indices && { indices }),
    entries: indices && dictionary ? dictionary : entriesOf(),
  }
}

/** Texts as their rule sends them: hashed, and laid out one behind the other. */
export function textEntries(texts: readonly string[], { normalized, nulls, onRaw }: Reading, hasher: Hasher): Entries {
  const sent = texts.map((text) => {
    const value = normalized(text)
    return nulls.has(text) || nulls.has(value) ? null : value
  })
  const bytes = Buffer.allocUnsafe(sent.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), 0))
  const entries = emptyEntries(texts.length, bytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (const [i, text] of sent.entries()) {
    entries.from[i] = at
    at += text === null ? 0 : bytes.write(text, at)
    entries.to[i] = at
    hasher.hash(view, entries.from[i] as number, at)
    entries.a[i] = hasher.a
    entries.b[i] = hasher.b
    entries.kind[i] = text === null ? KIND.NULL : text === '' ? KIND.EMPTY : KIND.VALUE
    if (onRaw && texts[i] !== text) {
      const raw = Buffer.from(texts[i] as string)
      onRaw(new DataView(raw.buffer, raw.byteOffset, raw.byteLength), raw.length)
    }
  }
  return entries
}

function emptyEntries(count: number, bytes: Uint8Array): Entries {
  return {
    count,
    a: new Int32Array(count),
    b: new Int32Array(count),
    kind: new Uint8Array(count),
    bytes,
    from: new Int32Array(count),
    to: new Int32Array(count),
  }
}

/** Whether a data page refers to the chunk's dictionary. */
export function refersToDictionary({ encoding }: DataHeader): boolean {
  return encoding === ENCODING.PLAIN_DICTIONARY || encoding === ENCODING.RLE_DICTIONARY
}
