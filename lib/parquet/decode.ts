/**
 * Pages to levels and values. Pure. (parquet-format, Encodings.md.)
 *
 * hyparquet decodes numbers, deltas and split streams. It believes the counts in headers, so every size is checked against the
 * bytes that are there before it is called; byte arrays are cut here, because a wrong length would make it read past the page.
 */
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { byteStreamSplit } from 'hyparquet/src/encoding.js'
import { readPlain } from 'hyparquet/src/plain.js'
import { type Codec, decompress } from './codec.ts'
import { ENCODING } from './footer.ts'
import { bitWidth, decodeHybrid, onlyZeros } from './levels.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import { corrupt, failure, guarded, type Place } from './place.ts'
import { plainOf, plainWidth, type RawValues } from './plain.ts'
import { decodeRuns } from './runs.ts'
import type { LeafNode } from './schema.ts'

export type { RawValues } from './plain.ts'

export interface DecodedPage {
  /** Values, nulls and empty lists included. */
  readonly count: number
  /** Missing where the leaf has no such levels. */
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  /** What is present: positions in the dictionary, or the values themselves. */
  readonly indices?: Int32Array
  readonly values?: RawValues
  /** Whether levels and indices are all that the page's body holds, so that it can be copied: there may be bytes that no reader looks at. */
  readonly tight: boolean
}

/** A page of more values than this is not decoded: its levels alone would take the memory that a whole run may use. */
const MAX_PAGE_VALUES = 100_000_000
/** Values that share prefixes can be long without being there; what they add up to is bounded. */
const MAX_EXPANDED_BYTES = 1 << 30

export function decodeDictionary(page: Page<DictionaryHeader>, leaf: LeafNode, codec: Codec): RawValues {
  const { header, body, place } = page
  requirePlain(page)
  return guarded(place, 'the dictionary', () =>
    plain(decompress(codec, body, header.uncompressedBytes), leaf, header.values),
  )
}

/** @param dictionarySize entries; indices beyond are refused. Undefined where there is no dictionary. */
export function decodeData(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionarySize: number | undefined,
): DecodedPage {
  return decodePage(page, leaf, codec, dictionarySize, (bytes, count) => ({
    values: values(bytes, leaf, page.header.encoding, count, page.place),
  }))
}

/** A page whose values, where they are no positions in the dictionary, are in PLAIN encoding: `width` bytes each, as `plainWidth` says. */
export type PlainPage = Omit<DecodedPage, 'values'> & {
  readonly plain?: Uint8Array
  /** Values that are present. */
  readonly present: number
}

/** As `decodeData`, for values that are looked up by their bytes. @param scratch the page is decompressed there, where it can be */
export function decodePlain(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionarySize: number | undefined,
  scratch?: Uint8Array,
): PlainPage {
  const valuesOf = (bytes: Uint8Array, count: number) => {
    const asTheyAre = page.header.encoding === ENCODING.PLAIN && leaf.physical !== 'BOOLEAN'
    return { plain: asTheyAre ? bytes : plainOf(values(bytes, leaf, page.header.encoding, count, page.place), leaf) }
  }
  return decodePage(page, leaf, codec, dictionarySize, valuesOf, scratch)
}

/** The entries of a dictionary in PLAIN encoding. */
export function plainDictionary(page: Page<DictionaryHeader>, codec: Codec, scratch?: Uint8Array): Uint8Array {
  const { header, body, place } = page
  requirePlain(page)
  return guarded(place, 'the dictionary', () => decompress(codec, body, header.uncompressedBytes, scratch))
}

function requirePlain({ header, place }: Page<DictionaryHeader>): void {
  if (header.encoding !== ENCODING.PLAIN && header.encoding !== ENCODING.PLAIN_DICTIONARY)
    throw failure('input/unsupported', place, `a dictionary of encoding ${header.encoding}`)
}

function decodePage<V>(
  page: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  dictionarySize: number | undefined,
  valuesOf: (bytes: Uint8Array, count: number) => V,
  scratch?: Uint8Array,
): Omit<DecodedPage, 'values'> & { readonly present: number } & Partial<V> {
  const { header, place } = page
  if (header.values > MAX_PAGE_VALUES) throw failure('input/unsupported', place, `a page of ${header.values} values`)
  return guarded(place, 'the page', () => {
    const { repetition, definition, bytes, tight } =
      header.type === PAGE.DATA ? levelsV1(page, leaf, codec, scratch) : levelsV2(page, leaf, codec, scratch)
    const present = definition?.atMost ?? header.values
    const levels = {
      ...(repetition && { repetition: repetition.values }),
      ...(definition && { definition: definition.values }),
    }
    const base = { count: header.values, present, ...levels }
    if (header.encoding === ENCODING.PLAIN_DICTIONARY || header.encoding === ENCODING.RLE_DICTIONARY) {
      const found = indices(bytes, present, dictionarySize, place)
      return { ...base, indices: found.indices, tight: tight && found.tight } as ReturnType<typeof decodePage<V>>
    }
    return { ...base, ...valuesOf(bytes, present), tight: false }
  })
}

interface Level {
  readonly values: Uint8Array
  /** How many of them are the largest that may be. */
  readonly atMost: number
  readonly tight: boolean
}

/** @throws RangeError where the runs end before `count` levels, or one is above `max` */
function levelsOf(kind: 'repetition' | 'definition', bytes: Uint8Array, max: number, count: number): Level {
  const values = new Uint8Array(count)
  const runs = decodeRuns(bytes, bitWidth(max), values, max)
  if (runs) return { values, tight: runs.tight, atMost: runs.atLimit }
  const tight = decodeHybrid(bytes, bitWidth(max), values)
  let atMost = 0
  for (const level of values) {
    if (level > max) throw new RangeError(`${kind} level out of range`)
    if (level === max) atMost++
  }
  return { values, tight, atMost }
}

interface Levels {
  readonly repetition: Level | undefined
  readonly definition: Level | undefined
  /** What follows the levels, decompressed. */
  readonly bytes: Uint8Array
  readonly tight: boolean
}

function levelsV1({ header, body, place }: Page, leaf: LeafNode, codec: Codec, scratch?: Uint8Array): Levels {
  if (header.type !== PAGE.DATA) throw new TypeError('a page of version 1 is needed')
  let bytes = decompress(codec, body, header.uncompressedBytes, scratch)
  function level(kind: 'repetition' | 'definition', max: number, encoding: number): Level | undefined {
    if (max === 0) return undefined
    if (encoding !== ENCODING.RLE)
      throw failure('input/unsupported', place, `levels of encoding ${encoding}, as writers before 2014 made them`)
    const length = view(bytes).getUint32(0, true)
    if (4 + length > bytes.length) throw new RangeError('levels beyond the page')
    const runs = bytes.subarray(4, 4 + length)
    bytes = bytes.subarray(4 + length)
    return levelsOf(kind, runs, max, header.values)
  }
  const repetition = level('repetition', leaf.maxRepetitionLevel, header.repetitionEncoding)
  const definition = level('definition', leaf.maxDefinitionLevel, header.definitionEncoding)
  return { repetition, definition, bytes, tight: areTight(repetition, definition) }
}

function levelsV2({ header, body }: Page, leaf: LeafNode, codec: Codec, scratch?: Uint8Array): Levels {
  if (header.type !== PAGE.DATA_V2) throw new TypeError('a page of version 2 is needed')
  const { repetitionBytes, definitionBytes } = header
  const rest = repetitionBytes + definitionBytes
  const { maxRepetitionLevel, maxDefinitionLevel } = leaf
  const level = (kind: 'repetition' | 'definition', max: number, from: number, to: number) =>
    max === 0 ? undefined : levelsOf(kind, body.subarray(from, to), max, header.values)
  const repetition = level('repetition', maxRepetitionLevel, 0, repetitionBytes)
  const definition = level('definition', maxDefinitionLevel, repetitionBytes, rest)
  const unused = (!repetition && repetitionBytes > 0) || (!definition && definitionBytes > 0)
  const stored = body.subarray(rest)
  const bytes = decompress(header.compressed ? codec : 'none', stored, header.uncompressedBytes - rest, scratch)
  return { repetition, definition, bytes, tight: areTight(repetition, definition) && !unused }
}

function areTight(...levels: readonly (Level | undefined)[]): boolean {
  return levels.every((level) => level?.tight ?? true)
}

function indices(bytes: Uint8Array, count: number, size: number | undefined, place: Place) {
  if (size === undefined) throw corrupt(place, 'its values are in a dictionary, and there is none')
  const out = new Int32Array(count)
  const width = bytes[0] ?? 0
  const runs = count > 0 && width > 0 ? decodeRuns(bytes.subarray(1), width, out, size - 1) : undefined
  if (runs) return { indices: out, tight: runs.tight }
  // Zero bits for the one entry: nothing has to follow. DuckDB reads the width of a page without values too, and wants a possible one.
  const nothing = bytes.length > 0 && width <= 32 && onlyZeros(bytes, 1)
  const tight = count > 0 && width > 0 ? decodeHybrid(bytes.subarray(1), width, out) : nothing
  for (const index of out) if (index < 0 || index >= size) throw new RangeError('index beyond the dictionary')
  return { indices: out, tight }
}

function values(bytes: Uint8Array, leaf: LeafNode, encoding: number, count: number, place: Place): RawValues {
  if (count === 0) return []
  const { physical } = leaf
  switch (encoding) {
    case ENCODING.PLAIN:
      return plain(bytes, leaf, count)
    case ENCODING.RLE: {
      if (physical !== 'BOOLEAN') break
      const length = view(bytes).getUint32(0, true)
      if (4 + length > bytes.length) throw new RangeError('runs beyond the page')
      const bits = new Uint8Array(count)
      decodeHybrid(bytes.subarray(4, 4 + length), 1, bits)
      return Array.from(bits, (bit) => bit === 1)
    }
    case ENCODING.BYTE_STREAM_SPLIT: {
      if (bytes.length < count * plainWidth(leaf)) throw new RangeError('fewer bytes than values')
      return byteStreamSplit({ view: view(bytes), offset: 0 }, count, physical, leaf.typeLength) as RawValues
    }
    case ENCODING.DELTA_BINARY_PACKED: {
      if (physical !== 'INT32' && physical !== 'INT64') break
      return new Deltas(bytes).read(count, physical === 'INT32' ? new Int32Array(count) : new BigInt64Array(count))
    }
    case ENCODING.DELTA_LENGTH_BYTE_ARRAY:
      if (physical !== 'BYTE_ARRAY') break
      return deltaLength(bytes, count)
    case ENCODING.DELTA_BYTE_ARRAY:
      if (physical !== 'BYTE_ARRAY' && physical !== 'FIXED_LEN_BYTE_ARRAY') break
      return deltaBytes(bytes, count, physical === 'FIXED_LEN_BYTE_ARRAY' ? leaf.typeLength : undefined)
  }
  throw failure('input/unsupported', place, `encoding ${encoding} of ${physical}`)
}

function plain(bytes: Uint8Array, leaf: LeafNode, count: number): RawValues {
  const { physical } = leaf
  if (physical === 'BYTE_ARRAY') return plainByteArrays(bytes, count)
  const needed = physical === 'BOOLEAN' ? Math.ceil(count / 8) : count * plainWidth(leaf)
  if (needed > bytes.length) throw new RangeError('fewer bytes than values')
  if (physical === 'INT96' || physical === 'FIXED_LEN_BYTE_ARRAY') {
    const size = plainWidth(leaf)
    return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
  }
  return readPlain({ view: view(bytes), offset: 0 }, physical, count, leaf.typeLength) as RawValues
}

function plainByteArrays(bytes: Uint8Array, count: number): Uint8Array[] {
  if (count * 4 > bytes.length) throw new RangeError('fewer bytes than values')
  const lengths = view(bytes)
  const out = new Array<Uint8Array>(count)
  let at = 0
  for (let i = 0; i < count; i++) {
    const from = at + 4
    at = from + lengths.getUint32(at, true)
    if (at > bytes.length) throw new RangeError('a value beyond the page')
    out[i] = bytes.subarray(from, at)
  }
  return out
}

/** A cursor over DELTA_BINARY_PACKED runs, with the checks of their header that hyparquet leaves out. */
class Deltas {
  readonly #reader: { view: DataView; offset: number }

  constructor(bytes: Uint8Array) {
    this.#reader = { view: view(bytes), offset: 0 }
  }

  get offset(): number {
    return this.#reader.offset
  }

  read<A extends Int32Array | BigInt64Array>(count: number, out: A): A {
    const at = this.#reader.offset
    const [block, mini, total] = [this.#varint(), this.#varint(), this.#varint()]
    this.#reader.offset = at
    if (total !== count) throw new RangeError('another count than the levels say')
    if (mini === 0 || block % 128 !== 0 || block > 1 << 20 || (block / mini) % 32 !== 0)
      throw new RangeError('impossible blocks')
    deltaBinaryUnpack(this.#reader, count, out)
    return out
  }

  #varint(): number {
    let n = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const b = this.#reader.view.getUint8(this.#reader.offset++)
      n += (b & 0x7f) * 2 ** shift
      if (b < 0x80) return n
    }
    throw new RangeError('a varint that does not end')
  }
}

function deltaLength(bytes: Uint8Array, count: number): Uint8Array[] {
  const deltas = new Deltas(bytes)
  const lengths = deltas.read(count, new Int32Array(count))
  let at = deltas.offset
  return Array.from(lengths, (length) => {
    if (length < 0 || at + length > bytes.length) throw new RangeError('a value beyond the page')
    at += length
    return bytes.subarray(at - length, at)
  })
}

function deltaBytes(bytes: Uint8Array, count: number, fixed: number | undefined): Uint8Array[] {
  const deltas = new Deltas(bytes)
  const prefixes = deltas.read(count, new Int32Array(count))
  const suffixes = deltas.read(count, new Int32Array(count))
  const out = new Array<Uint8Array>(count)
  let at = deltas.offset
  let expanded = 0
  let previous: Uint8Array = new Uint8Array(0)
  for (let i = 0; i < count; i++) {
    const [prefix, suffix] = [prefixes[i] as number, suffixes[i] as number]
    if (prefix < 0 || suffix < 0 || prefix > previous.length || at + suffix > bytes.length)
      throw new RangeError('a value beyond the page')
    const length = prefix + suffix
    expanded += length
    if (expanded > MAX_EXPANDED_BYTES) throw new RangeError('values that add up to too much')
    if (fixed !== undefined && length !== fixed) throw new RangeError('a value of another length')
    const value: Uint8Array = new Uint8Array(length)
    value.set(previous.subarray(0, prefix))
    value.set(bytes.subarray(at, at + suffix), prefix)
    at += suffix
    out[i] = value
    previous = value
  }
  return out
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
