/**
 * Parquet as Spark writes it by default, in row groups of DuckDB's 122,880 rows: a dictionary for each chunk whose distinct values take
 * at most 1 MiB and less room than the plain ones, pages of 1 MiB, version 1 pages, Snappy, statistics, optional string columns.
 * (parquet-format: README "Data Pages", Encodings.md, parquet.thrift.) It shares no code with lib/parquet, which is tested on its files.
 */
import type { ColumnChunk, Encoding, FileMetaData, RowGroup, SchemaElement } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { writeRleBitPackedHybrid } from 'hyparquet-writer/src/encoding.js'
import { writeMetadata } from 'hyparquet-writer/src/metadata.js'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import type { Column, Text } from './text.ts'

export const ROW_GROUP_ROWS = 122_880
const PAGE_BYTES = 1 << 20
const DICTIONARY_BYTES = 1 << 20

export interface ParquetEncoder {
  /** The file's first bytes. */
  begin(): Uint8Array
  /** A row group of the columns' first `rows` values. */
  rowGroup(columns: readonly Column[], rows: number): Uint8Array
  /** Footer and closing magic. */
  end(): Uint8Array
}

const MAGIC = Buffer.from('PAR1')

/** Encodes one file; the bytes of all calls, in order, are the file. */
export function parquetEncoder(names: readonly string[]): ParquetEncoder {
  const rowGroups: RowGroup[] = []
  const schema: SchemaElement[] = [
    { name: 'schema', num_children: names.length },
    ...names.map(
      (name): SchemaElement => ({
        name,
        type: 'BYTE_ARRAY',
        repetition_type: 'OPTIONAL',
        converted_type: 'UTF8',
        logical_type: { type: 'STRING' },
      }),
    ),
  ]
  const indexOf = dictionaryIndex()
  let offset = 0
  let total = 0

  return {
    begin() {
      offset += MAGIC.length
      return MAGIC
    },
    rowGroup(columns, rows) {
      const out = new ByteWriter(4 << 20)
      const chunks = columns.map((column) => writeChunk(out, column, rows, offset, indexOf))
      rowGroups.push({
        columns: chunks,
        num_rows: BigInt(rows),
        total_byte_size: chunks.reduce((sum, { meta_data }) => sum + (meta_data?.total_uncompressed_size ?? 0n), 0n),
        total_compressed_size: BigInt(out.offset),
        file_offset: BigInt(offset),
      })
      offset += out.offset
      total += rows
      return out.getBytes()
    },
    end() {
      const footer: FileMetaData = {
        version: 1,
        created_by: 'pseudolake datagen',
        schema,
        num_rows: BigInt(total),
        row_groups: rowGroups,
        metadata_length: 0,
      }
      const out = new ByteWriter()
      writeMetadata(out, footer, Number.POSITIVE_INFINITY)
      out.appendBytes(MAGIC)
      offset += out.offset
      return out.getBytes()
    },
  }
}

function writeChunk(
  out: ByteWriter,
  { name, text, values }: Column,
  rows: number,
  base: number,
  indexOf: DictionaryIndex,
): ColumnChunk {
  const start = out.offset
  let uncompressed = 0
  let pages = 0
  let dictionaryOffset: bigint | undefined
  const dictionary = buildDictionary(text, values, rows, indexOf)
  const encoding: Encoding = dictionary ? 'PLAIN_DICTIONARY' : 'PLAIN'

  const put = (header: Parameters<typeof writePageHeader>[1], body: Uint8Array) => {
    const compressed = snappyCompress(body)
    const before = out.offset
    writePageHeader(out, {
      ...header,
      uncompressed_page_size: body.length,
      compressed_page_size: compressed.length,
    })
    uncompressed += out.offset - before + body.length
    out.appendBytes(compressed)
  }
  const putData = (count: number, body: Uint8Array) => {
    pages++
    const levels = { definition_level_encoding: 'RLE', repetition_level_encoding: 'RLE' } as const
    put({ ...EMPTY_HEADER, type: 'DATA_PAGE', data_page_header: { num_values: count, encoding, ...levels } }, body)
  }

  if (dictionary) {
    dictionaryOffset = BigInt(base + start)
    const body = plain(text, dictionary.values, 0, dictionary.values.length, 0)
    const header = { num_values: dictionary.values.length, encoding } as const
    put({ ...EMPTY_HEADER, type: 'DICTIONARY_PAGE', dictionary_page_header: header }, body)
  }
  const dataOffset = BigInt(base + out.offset)
  if (dictionary) {
    const width = indexWidth(dictionary.values.length)
    const body = new ByteWriter(rows * 2 + 64)
    body.appendBytes(allPresent(rows))
    body.appendUint8(width)
    writeRleBitPackedHybrid(body, dictionary.indexes.subarray(0, rows), width)
    putData(rows, body.getBytes())
  } else {
    for (let from = 0; from < rows; ) {
      let to = from
      for (let size = 0; to < rows && size < PAGE_BYTES; to++) size += 4 + text.length(values[to] as number)
      const levels = allPresent(to - from)
      const body = plain(text, values, from, to, levels.length)
      body.set(levels)
      putData(to - from, body)
      from = to
    }
  }

  const [min, max] = extremes(text, dictionary?.values ?? values.subarray(0, rows))
  return {
    file_offset: BigInt(base + start),
    meta_data: {
      type: 'BYTE_ARRAY',
      encodings: dictionary ? ['PLAIN_DICTIONARY', 'RLE'] : ['PLAIN', 'RLE'],
      path_in_schema: [name],
      codec: 'SNAPPY',
      num_values: BigInt(rows),
      total_uncompressed_size: BigInt(uncompressed),
      total_compressed_size: BigInt(out.offset - start),
      data_page_offset: dataOffset,
      ...(dictionaryOffset === undefined ? {} : { dictionary_page_offset: dictionaryOffset }),
      statistics: { min_value: string(text, min), max_value: string(text, max), null_count: 0n },
      encoding_stats: [
        ...(dictionary ? [{ page_type: 'DICTIONARY_PAGE', encoding, count: 1 } as const] : []),
        { page_type: 'DATA_PAGE', encoding, count: pages },
      ],
    },
  }
}

const EMPTY_HEADER = { uncompressed_page_size: 0, compressed_page_size: 0 }

interface Dictionary {
  readonly values: Float64Array
  readonly indexes: Int32Array
}

/** A dictionary in order of first appearance, or undefined where plain values are what an engine would fall back to. */
function buildDictionary(
  text: Text,
  values: Float64Array,
  rows: number,
  indexOf: DictionaryIndex,
): Dictionary | undefined {
  indexOf.clear()
  const indexes = indexOf.indexes
  const found = indexOf.found
  let bytes = 0
  let plainBytes = 0
  for (let i = 0; i < rows; i++) {
    const value = values[i] as number
    const before = indexOf.count
    indexes[i] = indexOf.add(value)
    const size = 4 + text.length(value)
    plainBytes += size
    if (indexOf.count > before) {
      bytes += size
      if (bytes > DICTIONARY_BYTES) return undefined
    }
  }
  if (bytes + (rows * indexWidth(indexOf.count)) / 8 >= plainBytes && rows > 1) return undefined
  return { values: found.subarray(0, indexOf.count), indexes }
}

/** A hash table from values to positions, reused for every chunk. */
interface DictionaryIndex {
  readonly indexes: Int32Array
  readonly found: Float64Array
  count: number
  clear(): void
  add(value: number): number
}

function dictionaryIndex(): DictionaryIndex {
  const BITS = 18 // Twice the rows of a group and more: short probes.
  const slots = new Int32Array(1 << BITS)
  const found = new Float64Array(ROW_GROUP_ROWS)
  const index: DictionaryIndex = {
    indexes: new Int32Array(ROW_GROUP_ROWS),
    found,
    count: 0,
    clear() {
      slots.fill(-1)
      index.count = 0
    },
    add(value) {
      let slot = Math.imul(value | 0, 0x9e3779b1) >>> (32 - BITS)
      for (;;) {
        const position = slots[slot] as number
        if (position === -1) {
          slots[slot] = index.count
          found[index.count] = value
          return index.count++
        }
        if (found[position] === value) return position
        slot = (slot + 1) & ((1 << BITS) - 1)
      }
    },
  }
  return index
}

function indexWidth(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1)
}

/** Values `from` to `to` in PLAIN form, after `head` bytes left free. */
function plain(text: Text, values: Float64Array, from: number, to: number, head: number): Uint8Array {
  let size = head
  for (let i = from; i < to; i++) size += 4 + text.length(values[i] as number)
  const out = new Uint8Array(size)
  let at = head
  for (let i = from; i < to; i++) {
    const end = text.write(values[i] as number, out, at + 4)
    // Texts are shorter than 256 bytes: the three upper bytes of the length stay zero.
    out[at] = end - at - 4
    at = end
  }
  return out
}

/** Definition levels of `count` values that are all there: one run of ones, with its length before it. */
function allPresent(count: number): Uint8Array {
  const run = new ByteWriter(16)
  run.appendVarInt(count << 1)
  run.appendUint8(1)
  const out = new ByteWriter(16)
  out.appendUint32(run.offset)
  out.appendBytes(run.getBytes())
  return out.getBytes()
}

function extremes(text: Text, values: Float64Array): [number, number] {
  let min = values[0] as number
  let max = min
  for (const value of values) {
    if (text.compare(value, min) < 0) min = value
    else if (text.compare(value, max) > 0) max = value
  }
  return [min, max]
}

function string(text: Text, value: number): string {
  const out = Buffer.alloc(text.length(value))
  text.write(value, out, 0)
  return out.toString('latin1')
}
