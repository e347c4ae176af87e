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
import { emptyHashes, hashByteArrays, type ValueHashes } from '../../../lib/parquet/value-hashes.ts'
import { pseudonymFormAt } from '../../../lib/wire/forms.ts'

export const KIND = { VALUE: 0, EMPTY: 1, NULL: 2 } as const

/** The i-th value is `bytes[from[i], to[i])`. */
export interface Entries extends ValueHashes {
  readonly count: number
  /** `KIND`; NULL for a value that the rule makes null. */
  readonly kind: Uint8Array
  /** Whether each is a `KIND.VALUE`. */
  readonly allValues: boolean
  readonly bytes: Uint8Array
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

/** Strings and bytes. */
export function isBytes({ physical, logical }: LeafNode): boolean {
  return physical === 'BYTE_ARRAY' && logical?.type !== 'decimal'
}

/** How the values of an input column are read: as their rule sends them to the service. */
export interface Reading {
  /** False where the bytes of a string column are what is sent. */
  readonly asText: boolean
  readonly normalized: (text: string) => string
  readonly nulls: ReadonlySet<string>
  /** Called with texts as they stand in the input, where the rule changes them. */
  readonly onRaw?: (raw: Entries) => void
}

export function textOf({ bytes, from, to }: Entries, i: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8', from[i], to[i])
}

/** Whether the value is spelled as a pseudonym. */
export function isPseudonym({ bytes, from, to }: Entries, i: number): boolean {
  return pseudonymFormAt(bytes, from[i] as number, to[i] as number) !== undefined
}

export function sameBytes(a: Entries, i: number, b: Entries, o: number): boolean {
  const start = a.from[i] as number
  const other = b.from[o] as number
  const length = (a.to[i] as number) - start
  if (length !== (b.to[o] as number) - other) return false
  for (let at = 0; at < length; at++) if (a.bytes[start + at] !== b.bytes[other + at]) return false
  return true
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

/** Memory for one dictionary or page at a time: they come by the thousand, and fresh memory costs more than what is done in it. */
export class Scratch {
  bytes = new Uint8Array(0)
  readonly window = new Window()
  #entries = emptyEntries(0, this.bytes)

  /** What was there before is gone. */
  entries(count: number, bytes: Uint8Array): Entries {
    if (this.#entries.a.length < count) this.#entries = emptyEntries(2 * count, bytes)
    this.#entries.kind.fill(0, 0, count)
    return { ...this.#entries, count, bytes, allValues: false }
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

/** A dictionary's values; hashed only where somebody asks. */
export interface Dictionary {
  readonly count: number
  entries(): Entries
}

/** A dictionary of byte arrays. @param scratch holds the entries, until it is used again */
export function byteDictionary(
  page: Page<DictionaryHeader>,
  plain: Uint8Array,
  seed: number,
  scratch: Scratch,
): Dictionary {
  return dictionaryOf(page, () => plainEntries(plain, page.header.values, seed, scratch))
}

/** The bytes of a page, which is valid until the next is read. @param scratch holds them, until it is used again */
export function unpacked({ header, body, place }: Page<DictionaryHeader>, codec: Codec, scratch: Scratch): Uint8Array {
  return guarded(place, 'the dictionary', () => {
    const room = scratch.room(header.uncompressedBytes)
    const bytes = decompress(codec, body, header.uncompressedBytes, room)
    // What was not compressed is still in the page.
    return bytes.buffer === body.buffer ? scratch.copy(bytes) : bytes
  })
}

function dictionaryOf({ header, place }: Page<DictionaryHeader>, entriesOf: () => Entries): Dictionary {
  let entries: Entries | undefined
  return {
    count: header.values,
    entries() {
      entries ??= guarded(place, 'the dictionary', entriesOf)
      return entries
    },
  }
}

/** Byte arrays in PLAIN encoding. @throws RangeError where they end before `count` */
function plainEntries(bytes: Uint8Array, count: number, seed: number, scratch: Scratch): Entries {
  if (count * 4 > bytes.length) throw new RangeError('fewer bytes than values')
  const entries = scratch.entries(count, bytes)
  const { kind, from, to } = entries
  const empty = hashByteArrays(bytes, count, seed, entries)
  if (empty > 0) for (let i = 0; i < count; i++) if (from[i] === to[i]) kind[i] = KIND.EMPTY
  return { ...entries, allValues: empty === 0 }
}

/** An input's dictionary; its entries are as the rule has them sent. @param plain the page's bytes */
export function inputDictionary(
  page: Page<DictionaryHeader>,
  plain: Uint8Array,
  leaf: LeafNode,
  reading: Reading,
  seed: number,
  scratch: Scratch,
): Dictionary {
  if (!reading.asText) return byteDictionary(page, plain, seed, scratch)
  const { header, place } = page
  return dictionaryOf(page, () => {
    const stored = { ...page, body: plain, header: { ...header, compressedBytes: plain.length } }
    return textEntries(canonicalTexts(decodeDictionary(stored, leaf, 'none'), leaf, place), reading, seed)
  })
}

/** @param dictionary of the chunk, for pages that refer to it @param scratch holds the page, until it is used again */
export function inputCells(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionary: Entries | undefined,
  reading: Reading,
  seed: number,
  scratch: Scratch,
): CellPage {
  if (!reading.asText) return outputCells(page, leaf, codec, dictionary, seed, scratch)
  const { values = [], ...decoded } = decodeData(page, leaf, codec, dictionary?.count)
  return cells(decoded, dictionary, () => textEntries(canonicalTexts(values, leaf, page.place), reading, seed))
}

/** Of byte arrays, hashed where they stand. @param dictionary and scratch as for `inputCells` */
export function outputCells(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionary: Entries | undefined,
  seed: number,
  scratch: Scratch,
): CellPage {
  const room = scratch.room(page.header.uncompressedBytes)
  const { plain = new Uint8Array(0), present, ...decoded } = decodePlain(page, leaf, codec, dictionary?.count, room)
  return cells(decoded, dictionary, () =>
    guarded(page.place, 'the page', () => plainEntries(plain, present, seed, scratch)),
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

/** Texts as their rule sends them. */
export function textEntries(texts: readonly string[], { normalized, nulls, onRaw }: Reading, seed: number): Entries {
  const sent = texts.map((text) => {
    const value = normalized(text)
    return nulls.has(text) || nulls.has(value) ? null : value
  })
  if (onRaw)
    onRaw(
      hashedTexts(
        texts.filter((text, i) => text !== sent[i]),
        seed,
      ),
    )
  return hashedTexts(sent, seed)
}

/** Laid out one behind the other. */
function hashedTexts(texts: readonly (string | null)[], seed: number): Entries {
  const bytes = Buffer.allocUnsafe(texts.reduce((sum, text) => sum + 4 + Buffer.byteLength(text ?? ''), 0))
  let at = 0
  for (const text of texts) {
    const length = text === null ? 0 : bytes.write(text, at + 4)
    at = bytes.writeUInt32LE(length, at) + length
  }
  const entries = emptyEntries(texts.length, bytes)
  hashByteArrays(bytes, texts.length, seed, entries)
  for (const [i, text] of texts.entries())
    entries.kind[i] = text === null ? KIND.NULL : text === '' ? KIND.EMPTY : KIND.VALUE
  return entries
}

function emptyEntries(count: number, bytes: Uint8Array): Entries {
  return { ...emptyHashes(count), count, kind: new Uint8Array(count), allValues: false, bytes }
}

/** Whether a data page refers to the chunk's dictionary. */
export function refersToDictionary({ encoding }: DataHeader): boolean {
  return encoding === ENCODING.PLAIN_DICTIONARY || encoding === ENCODING.RLE_DICTIONARY
}
