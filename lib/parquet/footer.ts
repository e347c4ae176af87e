/**
 * FileMetaData, the footer of a file: read with suspicion, and written anew from an allow-list. Pure.
 * (parquet-format, parquet.thrift.)
 *
 * A footer that is written here never starts from one that was read: whatever a writer put into a field that is unknown to us
 * (statistics, key-value metadata, a schema copy) may hold values of a protected column.
 */
import { CODECS, type Codec } from './codec.ts'
import { checkDisjoint } from './disjoint.ts'
import { columnName, corrupt, failure, type Place } from './place.ts'
import type { LeafNode, SchemaNode } from './schema.ts'
import { AmbiguousName, buildTree, flattenTree, PHYSICAL, type SchemaTree } from './schema-tree.ts'
import { SharedParts } from './shared-parts.ts'
import { refuseShortChunks } from './short-chunks.ts'
import {
  get,
  need,
  put,
  readStruct,
  readStructs,
  struct,
  type TakeList,
  ThriftEnd,
  ThriftInvalid,
  type ThriftStruct,
  writeStruct,
} from './thrift.ts'

export const MAGIC = Buffer.from('PAR1')

/** Encodings by their number in the format. */
export const ENCODING = {
  PLAIN: 0,
  PLAIN_DICTIONARY: 2,
  RLE: 3,
  BIT_PACKED: 4,
  DELTA_BINARY_PACKED: 5,
  DELTA_LENGTH_BYTE_ARRAY: 6,
  DELTA_BYTE_ARRAY: 7,
  RLE_DICTIONARY: 8,
  BYTE_STREAM_SPLIT: 9,
} as const

/** Whether the format has an encoding of this number. */
export function isEncoding(number: number): boolean {
  return number >= 0 && number <= ENCODING.BYTE_STREAM_SPLIT && number !== 1
}

/** Of the enum of page types: data, index, dictionary, data of version 2. */
const PAGE_TYPES = 4

export interface EncodingStat {
  readonly page: number
  readonly encoding: number
  readonly count: number
}

export interface ChunkStatistics {
  readonly nulls?: number
  /** Bounds in PLAIN form, in the order of the type; a file that does not say its order has none. */
  readonly min?: Uint8Array
  readonly max?: Uint8Array
  readonly minExact?: boolean
  readonly maxExact?: boolean
}

export interface ColumnChunk {
  readonly codec: Codec
  readonly encodings: readonly number[]
  /** Values, nulls included. */
  readonly values: number
  /** The chunk's bytes in the file, page headers included: `[start, end)`. */
  readonly start: number
  readonly end: number
  readonly uncompressedBytes: number
  readonly dataPageOffset: number
  readonly dictionaryPageOffset?: number
  readonly statistics?: ChunkStatistics
  readonly encodingStats?: readonly EncodingStat[]
}

export interface RowGroup {
  readonly rows: number
  /** Sum of its chunks' bytes in the file. */
  readonly bytes: number
  /** One for each leaf. */
  readonly columns: readonly ColumnChunk[]
}

export interface Footer extends SchemaTree {
  readonly rows: number
  readonly rowGroups: readonly RowGroup[]
  readonly createdBy?: string
}

/** Is shown the structures of a footer as they are read, with all their fields: for who asks what else is in it. */
export interface FooterLook {
  /** @param behind bytes that follow the structure */
  file(fields: ThriftStruct, behind: number): void
  rowGroup(fields: ThriftStruct, rowGroup: number): void
  chunk(fields: ThriftStruct, rowGroup: number, column: number): void
}

/**
 * @param start where the footer begins: no chunk may reach into it
 * @throws PseudolakeError `input/corrupt`, `input/encrypted`, `input/unsupported`
 */
export function parseFooter(bytes: Uint8Array, start: number, place: Place, look?: FooterLook): Footer {
  try {
    return parse(bytes, start, place, look)
  } catch (error) {
    if (error instanceof ThriftInvalid || error instanceof ThriftEnd)
      throw corrupt(place, `the footer cannot be read: ${error.message}`)
    if (error instanceof AmbiguousName)
      throw failure('input/unsupported', { ...place, column: error.path }, 'the file has two columns of this name')
    throw error
  }
}

/** Row groups, and chunks in them, are read one by one: as a tree, a footer of 50 MB takes two gigabytes. */
function parse(bytes: Uint8Array, limit: number, place: Place, look: FooterLook | undefined): Footer {
  let groups: RowGroups | undefined
  // The schema stands in front of the row groups; where it does not they are read when all else is.
  const take: TakeList = (count, next, before) => {
    if (!before.has(2)) return false
    groups = new RowGroups(buildTree(need(get.structs(before, 2), 'the schema')), limit, place, look)
    for (let i = 0; i < count; i++) groups.read(next)
    return true
  }
  const { value: file, end } = readStruct(bytes, 0, { 4: take })
  look?.file(file, bytes.length - end)
  if (file.has(8)) throw failure('input/encrypted', place, 'the file has encrypted columns')
  if (!groups)
    readStructs(bytes, need(get.later(file, 4), 'the row groups'), (count, next) => take(count, next, withSchema(file)))
  const { tree, all } = groups as unknown as RowGroups
  const { leaves } = tree
  const rows = need(get.count(file, 3), 'the number of rows')
  // 1 is TypeDefinedOrder. Without it min_value and max_value have no order that could be relied on.
  const ordered = (get.structs(file, 7) ?? []).map((order) => order.has(1))
  const rowGroups = leaves.every((_, i) => ordered[i]) ? all : all.map((group) => withoutBounds(group, ordered))

  const createdBy = get.text(file, 6)
  refuseShortChunks(createdBy, rowGroups, leaves, place)
  const counted = rowGroups.reduce((sum, group) => sum + group.rows, 0)
  if (counted !== rows) throw corrupt(place, `the footer says ${rows} rows, its row groups ${counted}`)
  checkDisjoint(rowGroups, leaves, place)
  return { ...tree, rows, rowGroups, ...(createdBy !== undefined && { createdBy }) }
}

function withSchema(file: ThriftStruct): ThriftStruct {
  need(file.get(2), 'the schema')
  return file
}

function withoutBounds(group: RowGroup, ordered: readonly boolean[]): RowGroup {
  const columns = group.columns.map((column, i) => {
    if (ordered[i] || !column.statistics) return column
    const { min: _, max: __, ...statistics } = column.statistics
    return { ...column, statistics }
  })
  return { ...group, columns }
}

/** The row groups of a footer, as they come. */
class RowGroups {
  readonly all: RowGroup[] = []
  readonly tree: SchemaTree
  readonly #limit: number
  readonly #place: Place
  readonly #look: FooterLook | undefined
  readonly #shared = new SharedParts()

  constructor(tree: SchemaTree, limit: number, place: Place, look: FooterLook | undefined) {
    this.tree = tree
    this.#limit = limit
    this.#place = place
    this.#look = look
  }

  read(next: Parameters<TakeList>[1]): void {
    const { leaves } = this.tree
    const index = this.all.length
    const at: Place = { ...this.#place, rowGroup: index }
    const columns: ColumnChunk[] = []
    const group = next({
      1: (count, chunk) => {
        if (count !== leaves.length) throw corrupt(at, `has ${count} columns where the schema has ${leaves.length}`)
        for (const [i, leaf] of leaves.entries()) {
          const fields = chunk()
          this.#look?.chunk(fields, index, i)
          columns.push(parseChunk(fields, leaf, this.#limit, { ...at, column: leaf.path }, this.#shared))
        }
        return true
      },
    })
    this.#look?.rowGroup(group, index)
    const rows = need(get.count(group, 3), 'the number of rows of a row group')
    need(get.later(group, 1), 'the columns of a row group')
    for (const [i, { values }] of columns.entries()) {
      const { path, maxRepetitionLevel } = leaves[i] as LeafNode
      if (maxRepetitionLevel === 0 ? values !== rows : values < rows)
        throw corrupt({ ...at, column: path }, `has ${values} values for ${rows} rows`)
    }
    this.all.push({ rows, bytes: columns.reduce((sum, c) => sum + c.end - c.start, 0), columns })
  }
}

function parseChunk(chunk: ThriftStruct, leaf: LeafNode, limit: number, at: Place, shared: SharedParts): ColumnChunk {
  if (chunk.has(8) || chunk.has(9)) throw failure('input/encrypted', at, 'is encrypted')
  if (get.text(chunk, 1)) throw failure('input/unsupported', at, 'its data is in another file')
  const meta = need(get.struct(chunk, 3), 'the metadata of a column')

  if (PHYSICAL[need(get.i32(meta, 1), 'a type')] !== leaf.physical)
    throw corrupt(at, 'has another type than the schema')
  const path = need(get.texts(meta, 3), 'a path')
  if (path.length !== leaf.path.length || path.some((name, i) => name !== leaf.path[i]))
    throw corrupt(at, `the row group has column ${columnName(path)} in its place`)
  const codec = CODECS[need(get.i32(meta, 4), 'a codec')]
  if (codec === undefined) throw failure('input/unsupported', at, 'has an unknown codec')

  const values = need(get.count(meta, 5), 'the number of values')
  const dataPageOffset = need(get.count(meta, 9), 'the offset of the data pages')
  const dictionaryPageOffset = get.count(meta, 11)
  // Some writers say 0 where there is no dictionary.
  const start = dictionaryPageOffset && dictionaryPageOffset < dataPageOffset ? dictionaryPageOffset : dataPageOffset
  const end = start + need(get.count(meta, 7), 'the compressed size')
  if (values > 0 && (start < MAGIC.length || end <= start || end > limit || dataPageOffset >= end))
    throw corrupt(at, `its bytes ${start} to ${end} are not inside the file’s data`)

  const statistics = parseStatistics(get.struct(meta, 12), leaf, shared)
  const encodings = get.i32s(meta, 2) ?? []
  const stats = get.structs(meta, 13)?.map((stat) => ({
    page: need(get.i32(stat, 1), 'a page type'),
    encoding: need(get.i32(stat, 2), 'an encoding'),
    count: need(get.count(stat, 3), 'a count of pages'),
  }))
  // One of a page that the format does not have would make the output's footer unreadable.
  const known = stats?.every((stat) => stat.page >= 0 && stat.page < PAGE_TYPES)
  const encodingStats = known ? shared.list(JSON.stringify(stats), () => stats) : undefined
  return {
    codec,
    encodings: shared.list(encodings.join(), () => encodings),
    values,
    start,
    end,
    uncompressedBytes: need(get.count(meta, 6), 'the uncompressed size'),
    dataPageOffset,
    ...(dictionaryPageOffset && { dictionaryPageOffset }),
    ...(statistics && { statistics }),
    ...(encodingStats && { encodingStats }),
  }
}

/** Bytes of a bound where the type says; texts may be cut. */
const BOUND_BYTES: Partial<Record<LeafNode['physical'], number>> = {
  BOOLEAN: 1,
  INT32: 4,
  INT64: 8,
  FLOAT: 4,
  DOUBLE: 8,
}

function parseStatistics(
  statistics: ThriftStruct | undefined,
  { physical }: LeafNode,
  shared: SharedParts,
): ChunkStatistics | undefined {
  if (!statistics) return undefined
  const nulls = get.count(statistics, 3)
  const size = BOUND_BYTES[physical]
  const max = boundOf(statistics, 5, size)
  const min = boundOf(statistics, 6, size)
  const maxExact = get.bool(statistics, 7)
  const minExact = get.bool(statistics, 8)
  // Footers have them by the hundred thousand, and no objects are made on the way to one.
  const found: { -readonly [K in keyof ChunkStatistics]: ChunkStatistics[K] } = {}
  if (nulls !== undefined) found.nulls = nulls
  if (min) found.min = shared.bound(min)
  if (max) found.max = shared.bound(max)
  if (maxExact !== undefined) found.maxExact = maxExact
  if (minExact !== undefined) found.minExact = minExact
  return found
}

/** One that can be no value of the column is none: a reader of the output would fail over it. */
function boundOf(statistics: ThriftStruct, id: number, size: number | undefined): Uint8Array | undefined {
  const bound = get.bytes(statistics, id)
  return size === undefined || bound?.length === size ? bound : undefined
}

/** A chunk that was written, with its offsets in the new file. */
export interface WrittenChunk {
  readonly leaf: LeafNode
  readonly codec: Codec
  readonly encodings: readonly number[]
  readonly encodingStats?: readonly EncodingStat[]
  readonly values: number
  readonly start: number
  readonly end: number
  readonly uncompressedBytes: number
  readonly dataPageOffset: number
  readonly dictionaryPageOffset?: number
  readonly statistics?: ChunkStatistics
}

export interface WrittenRowGroup {
  readonly rows: number
  readonly chunks: readonly WrittenChunk[]
}

/** Length and magic. */
const TAIL_BYTES = 8

/** The footer with its length and the magic: everything after the last chunk. */
export function serializeFooter(
  root: readonly SchemaNode[],
  rowGroups: readonly WrittenRowGroup[],
  createdBy: string,
): Uint8Array {
  const columns = rowGroups[0]?.chunks.length ?? countLeaves(root)
  const out = writeStruct(
    struct({
      // 2 would promise nothing more, and some old readers refuse it.
      1: put.i32(1),
      2: put.structs(flattenTree(root)),
      3: put.i64(rowGroups.reduce((sum, group) => sum + group.rows, 0)),
      4: put.series(rowGroups, rowGroupStruct),
      6: put.text(createdBy),
      7: put.structs(Array.from({ length: columns }, () => struct({ 1: put.struct({}) }))),
    }),
    TAIL_BYTES,
  )
  const length = out.length - TAIL_BYTES
  new DataView(out.buffer, out.byteOffset, out.length).setUint32(length, length, true)
  out.set(MAGIC, length + 4)
  return out
}

function rowGroupStruct({ rows, chunks }: WrittenRowGroup, ordinal: number): ThriftStruct {
  return struct({
    1: put.series(chunks, chunkStruct),
    2: put.i64(chunks.reduce((sum, chunk) => sum + chunk.uncompressedBytes, 0)),
    3: put.i64(rows),
    5: put.i64(chunks[0]?.start ?? 0),
    6: put.i64(chunks.reduce((sum, chunk) => sum + chunk.end - chunk.start, 0)),
    // An i16: a file of more row groups goes without.
    7: ordinal > 32767 ? undefined : { type: 4, value: ordinal },
  })
}

function chunkStruct(chunk: WrittenChunk): ThriftStruct {
  const { leaf, statistics: stats, dictionaryPageOffset } = chunk
  const statistics = struct({
    3: stats?.nulls === undefined ? undefined : put.i64(stats.nulls),
    5: stats?.max && put.bytes(stats.max),
    6: stats?.min && put.bytes(stats.min),
    7: stats?.max && stats.maxExact !== undefined ? put.bool(stats.maxExact) : undefined,
    8: stats?.min && stats.minExact !== undefined ? put.bool(stats.minExact) : undefined,
  })
  return struct({
    2: put.i64(0),
    3: put.struct({
      1: put.i32(PHYSICAL.indexOf(leaf.physical)),
      2: put.i32s(chunk.encodings),
      3: put.texts(leaf.path),
      4: put.i32(CODECS.indexOf(chunk.codec)),
      5: put.i64(chunk.values),
      6: put.i64(chunk.uncompressedBytes),
      7: put.i64(chunk.end - chunk.start),
      9: put.i64(chunk.dataPageOffset),
      11: dictionaryPageOffset === undefined ? undefined : put.i64(dictionaryPageOffset),
      12: statistics.size === 0 ? undefined : { type: 12, value: statistics },
      13:
        chunk.encodingStats &&
        put.structs(
          chunk.encodingStats.map((s) => struct({ 1: put.i32(s.page), 2: put.i32(s.encoding), 3: put.i32(s.count) })),
        ),
    }),
  })
}

function countLeaves(nodes: readonly SchemaNode[]): number {
  return nodes.reduce((sum, node) => {
    if (node.kind === 'leaf') return sum + 1
    if (node.kind === 'struct') return sum + countLeaves(node.children)
    return sum + countLeaves(node.kind === 'list' ? [node.element] : [node.key, node.value])
  }, 0)
}
