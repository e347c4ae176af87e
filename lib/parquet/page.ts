/** Pages of a column chunk and their headers. (parquet-format, parquet.thrift: PageHeader.) */
import zlib from 'node:zlib'
import { type ColumnChunk, isEncoding } from './footer.ts'
import { corrupt, failure, type Place } from './place.ts'
import type { RangeReader } from './ranges.ts'
import {
  get,
  need,
  put,
  readStruct,
  struct,
  ThriftEnd,
  ThriftInvalid,
  type ThriftStruct,
  writeStruct,
} from './thrift.ts'

export const PAGE = { DATA: 0, INDEX: 1, DICTIONARY: 2, DATA_V2: 3 } as const

interface HeaderBase {
  readonly uncompressedBytes: number
  readonly compressedBytes: number
  /** Of the body as it is stored. */
  readonly crc?: number
  /** Values, nulls included; entries of a dictionary. */
  readonly values: number
  readonly encoding: number
}
export interface DictionaryHeader extends HeaderBase {
  readonly type: typeof PAGE.DICTIONARY
}
export interface DataHeaderV1 extends HeaderBase {
  readonly type: typeof PAGE.DATA
  readonly definitionEncoding: number
  readonly repetitionEncoding: number
}
export interface DataHeaderV2 extends HeaderBase {
  readonly type: typeof PAGE.DATA_V2
  readonly nulls: number
  readonly rows: number
  readonly definitionBytes: number
  readonly repetitionBytes: number
  readonly compressed: boolean
}
export type DataHeader = DataHeaderV1 | DataHeaderV2
/** Without statistics: those of a page hold values, and none is ever written. */
export type PageHeader = DictionaryHeader | DataHeader

export interface Page<H extends PageHeader = PageHeader> {
  readonly header: H
  /** As stored; valid until the next page is asked for. */
  readonly body: Uint8Array
  readonly place: Place
  /** The header with all its fields, whose bytes are valid until the next page is asked for. */
  readonly fields: ThriftStruct
  readonly headBytes: number
  /** Where the body begins in the file. */
  readonly from: number
}

/** Where a header cannot be longer; the statistics in it may be long, but a page of an honest file is longer. */
const MAX_HEADER_BYTES = 16 << 20
/** Without statistics it has some fifty. */
export const FIRST_HEADER_BYTES = 512
const NOTHING = new Uint8Array(0)

export interface PageOptions {
  readonly signal?: AbortSignal | undefined
  /** The first page, which must be the dictionary. @default false */
  readonly dictionaryOnly?: boolean
  /** Which pages come with their body; the others are not read, and theirs is empty. @default all */
  readonly wanted?: (header: PageHeader, from: number) => boolean
}

/**
 * The dictionary and data pages of a chunk, in order. Stops after the last value: some writers pad.
 * @throws PseudolakeError `input/corrupt` where pages and footer disagree
 */
export async function* readPages(
  source: RangeReader,
  chunk: ColumnChunk,
  place: Place,
  { signal, dictionaryOnly = false, wanted }: PageOptions = {},
): AsyncGenerator<Page> {
  const end = dictionaryOnly ? chunk.dataPageOffset : chunk.end
  let at = chunk.start
  let seen = 0
  for (let index = 0; seen < chunk.values; index++) {
    signal?.throwIfAborted()
    const here: Place = { ...place, page: index }
    if (at >= end) throw corrupt(place, `its pages hold ${seen} values, the footer says ${chunk.values}`)
    const { header, fields, length } = await readHeader(source, at, end, here)
    const from = at + length
    at = from + header.compressedBytes
    if (at > end) throw corrupt(here, `its ${header.compressedBytes} bytes reach beyond the column`)
    if (header.type === 'other') continue
    // Its number would go into the output's footer, which no reader could read then.
    if (!isEncoding(header.encoding)) throw failure('input/unsupported', here, `encoding ${header.encoding}`)
    if (header.type === PAGE.DICTIONARY && index > 0) throw corrupt(here, 'a dictionary after the first page')
    if (header.type !== PAGE.DICTIONARY) {
      if (dictionaryOnly) throw corrupt(here, 'is no dictionary, where the footer says that one is')
      seen += header.values
      if (seen > chunk.values) throw corrupt(here, `its pages hold more than the ${chunk.values} values of the footer`)
    }
    if (wanted && !wanted(header, from)) {
      yield { header, body: NOTHING, place: here, fields, headBytes: length, from }
      continue
    }
    const body = await source.read(from, at)
    if (header.crc !== undefined && zlib.crc32(body) !== header.crc >>> 0)
      throw corrupt(here, 'its checksum does not match')
    yield { header, body, place: here, fields, headBytes: length, from }
    if (dictionaryOnly) return
  }
}

interface OtherHeader {
  readonly type: 'other'
  readonly compressedBytes: number
}

interface ParsedHeader {
  readonly header: PageHeader | OtherHeader
  readonly fields: ThriftStruct
  readonly length: number
}

async function readHeader(source: RangeReader, at: number, end: number, place: Place): Promise<ParsedHeader> {
  for (let ask = FIRST_HEADER_BYTES; ; ask *= 8) {
    const bytes = await source.read(at, Math.min(end, at + ask))
    try {
      return parseHeader(bytes)
    } catch (error) {
      if (error instanceof ThriftEnd && at + ask < end && ask < MAX_HEADER_BYTES) continue
      if (error instanceof ThriftEnd) throw corrupt(place, 'the page header is cut off')
      if (error instanceof ThriftInvalid) throw corrupt(place, `the page header cannot be read: ${error.message}`)
      throw error
    }
  }
}

function parseHeader(bytes: Uint8Array): ParsedHeader {
  const { value: page, end: length } = readStruct(bytes)
  const read = { fields: page, length }
  const type = need(get.i32(page, 1), 'the type of a page')
  const compressedBytes = need(get.count(page, 3), 'the size of a page')
  const crc = get.i32(page, 4)
  const base = {
    uncompressedBytes: need(get.count(page, 2), 'the size of a page'),
    compressedBytes,
    ...(crc !== undefined && { crc }),
  }
  switch (type) {
    case PAGE.DICTIONARY: {
      const of = need(get.struct(page, 7), 'the header of a dictionary')
      return { ...read, header: { ...base, type, ...counted(of, 2) } }
    }
    case PAGE.DATA: {
      const of = need(get.struct(page, 5), 'the header of a data page')
      const definitionEncoding = need(get.i32(of, 3), 'the encoding of levels')
      const repetitionEncoding = need(get.i32(of, 4), 'the encoding of levels')
      return { ...read, header: { ...base, type, ...counted(of, 2), definitionEncoding, repetitionEncoding } }
    }
    case PAGE.DATA_V2: {
      const of = need(get.struct(page, 8), 'the header of a data page')
      const header: DataHeaderV2 = {
        ...base,
        type,
        ...counted(of, 4),
        nulls: need(get.count(of, 2), 'a count of nulls'),
        rows: need(get.count(of, 3), 'a count of rows'),
        definitionBytes: need(get.count(of, 5), 'the size of levels'),
        repetitionBytes: need(get.count(of, 6), 'the size of levels'),
        compressed: get.bool(of, 7) ?? true,
      }
      const levels = header.definitionBytes + header.repetitionBytes
      if (header.nulls > header.values || levels > base.uncompressedBytes || levels > compressedBytes)
        throw new ThriftInvalid('counts that contradict each other')
      return { ...read, header }
    }
    default:
      // An index page, or one of a later version: readers skip those.
      return { ...read, header: { type: 'other', compressedBytes } }
  }
}

function counted(of: ThriftStruct, encodingField: number) {
  return {
    values: need(get.count(of, 1), 'a count of values'),
    encoding: need(get.i32(of, encodingField), 'an encoding'),
  }
}

/** A header made anew: what is not in PageHeader, statistics above all, cannot get into it. */
export function pageHeader(header: PageHeader): Uint8Array {
  const v2 = header.type === PAGE.DATA_V2 ? header : undefined
  return writeStruct(
    struct({
      1: put.i32(header.type),
      2: put.i32(header.uncompressedBytes),
      3: put.i32(header.compressedBytes),
      4: header.crc === undefined ? undefined : put.i32(header.crc),
      5:
        header.type === PAGE.DATA
          ? put.struct({
              1: put.i32(header.values),
              2: put.i32(header.encoding),
              3: put.i32(header.definitionEncoding),
              4: put.i32(header.repetitionEncoding),
            })
          : undefined,
      7:
        header.type === PAGE.DICTIONARY
          ? put.struct({ 1: put.i32(header.values), 2: put.i32(header.encoding) })
          : undefined,
      8:
        v2 &&
        put.struct({
          1: put.i32(v2.values),
          2: put.i32(v2.nulls),
          3: put.i32(v2.rows),
          4: put.i32(v2.encoding),
          5: put.i32(v2.definitionBytes),
          6: put.i32(v2.repetitionBytes),
          7: put.bool(v2.compressed),
        }),
    }),
  )
}
