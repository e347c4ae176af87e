/**
 * Parquet files with every page laid out by chance, or as a test says. Independent of the product but for Thrift, which has a suite of
 * its own.
 */
import { crc32 } from 'node:zlib'
import { put, struct, T, type ThriftField, type ThriftStruct, writeStruct } from '../../../lib/parquet/thrift.ts'
import {
  CODEC,
  compressed,
  deltaBytes,
  deltaLengths,
  deltas,
  ENC,
  hybrid,
  PHYSICAL,
  type Physical,
  plain,
  type Raw,
  split,
  type TestCodec,
} from './encoders.ts'
import type { Random } from './random.ts'
import { elementsOf, type Leaf, type Levels, leavesOf, type Spec, shred, type Tree } from './schema.ts'

/** Encodings that values of a type can have without a dictionary. */
export const ENCODINGS: Readonly<Record<Physical, readonly number[]>> = {
  BOOLEAN: [ENC.PLAIN, ENC.RLE],
  INT32: [ENC.PLAIN, ENC.DELTA_BINARY_PACKED, ENC.BYTE_STREAM_SPLIT],
  INT64: [ENC.PLAIN, ENC.DELTA_BINARY_PACKED, ENC.BYTE_STREAM_SPLIT],
  INT96: [ENC.PLAIN],
  FLOAT: [ENC.PLAIN, ENC.BYTE_STREAM_SPLIT],
  DOUBLE: [ENC.PLAIN, ENC.BYTE_STREAM_SPLIT],
  BYTE_ARRAY: [ENC.PLAIN, ENC.DELTA_LENGTH_BYTE_ARRAY, ENC.DELTA_BYTE_ARRAY],
  FIXED_LEN_BYTE_ARRAY: [ENC.PLAIN, ENC.DELTA_BYTE_ARRAY, ENC.BYTE_STREAM_SPLIT],
}

/** What a chunk looks like; what is missing is left to chance. */
export interface Layout {
  readonly codec?: TestCodec
  readonly version?: 1 | 2
  /** Pages before this share of the chunk are in a dictionary: 0 for none, 1 for all. */
  readonly dictionary?: number
  /** Of pages without a dictionary. */
  readonly encoding?: number
  readonly dictionaryEncoding?: 2 | 8
}

interface Written {
  readonly meta: ThriftStruct
  readonly bytes: Uint8Array
}

/** One chunk at offset `start`. */
function chunk(leaf: Leaf, levels: Levels, start: number, random: Random, layout: Layout): Written {
  const { spec, path, maxDefinition, maxRepetition } = leaf
  const { physical, length } = spec.type
  const codec = layout.codec ?? random.pick(CODEC.filter((name) => name !== 'lzo'))
  const count = levels.definition.length
  const marker = spec.fate === 'copy' ? undefined : 'plain-statistic'
  const share = layout.dictionary ?? random.pick([0, 0.5, 1])
  const inDictionary = physical === 'BOOLEAN' ? 0 : Math.ceil(share * count)
  const dictionaryEncoding = layout.dictionaryEncoding ?? random.pick([ENC.PLAIN_DICTIONARY, ENC.RLE_DICTIONARY])
  const mixed = layout.version ?? random.pick([1, 2, undefined])
  const checked = random.once(2)
  const parts: Uint8Array[] = []
  const stats = new Map<string, { page: number; encoding: number; count: number }>()
  let at = start
  let uncompressed = 0
  let dictionaryOffset: number | undefined
  let dataOffset: number | undefined

  function emit(
    type: number,
    fields: Readonly<Record<number, ThriftField | undefined>>,
    body: Uint8Array,
    size: number,
  ): void {
    const crc = checked ? put.i32(crc32(body) | 0) : undefined
    const head = writeStruct(struct({ 1: put.i32(type), 2: put.i32(size), 3: put.i32(body.length), 4: crc, ...fields }))
    if (type === 2) dictionaryOffset = at
    if (type === 0 || type === 3) dataOffset ??= at
    at += head.length + body.length
    uncompressed += head.length + size
    parts.push(Uint8Array.from(head), body)
  }

  const counted = (page: number, encoding: number) => {
    const key = `${page}/${encoding}`
    stats.set(key, { page, encoding, count: (stats.get(key)?.count ?? 0) + 1 })
  }

  const presentBefore = (level: number) => levels.definition.slice(0, level).filter((d) => d === maxDefinition).length
  const cuts = pageCuts(levels, random, mixed === 1)
  const dictionaryEnds = cuts.filter((cut) => cut <= inDictionary).at(-1) ?? 0
  const entries: Raw[] = []
  const positions = new Map<string, number>()
  const keyOf = (value: Raw) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : Object.is(value, -0) ? '-0' : String(value)
  if (dictionaryEnds > 0) {
    const inside = levels.values.slice(0, presentBefore(dictionaryEnds))
    for (const value of random.once(2) ? inside : inside.toReversed()) {
      if (positions.has(keyOf(value))) continue
      positions.set(keyOf(value), entries.length)
      entries.push(value)
      // An entry that nothing refers to, or that stands twice.
      if (random.once(12)) entries.push(value)
    }
    const content = plain(entries, physical)
    const body = compressed(codec, content, random)
    const encoding = random.pick([
      ENC.PLAIN,
      dictionaryEncoding === ENC.PLAIN_DICTIONARY ? ENC.PLAIN_DICTIONARY : ENC.PLAIN,
    ])
    emit(
      2,
      {
        7: put.struct({
          1: put.i32(entries.length),
          2: put.i32(encoding),
          3: random.once(3) ? put.bool(false) : undefined,
        }),
      },
      body,
      content.length,
    )
    counted(2, encoding)
  }

  const pageStatistics = () =>
    marker && random.once(2)
      ? put.struct({ 5: put.text(marker), 6: put.text(marker), 1: put.text(marker), 2: put.text(marker) })
      : undefined
  const bits = (max: number) => 32 - Math.clz32(max)
  let from = 0
  let present = 0
  for (const to of cuts) {
    const definition = levels.definition.slice(from, to)
    const repetition = levels.repetition.slice(from, to)
    const here = definition.filter((d) => d === maxDefinition).length
    const values = levels.values.slice(present, present + here)
    const dictionary = to <= dictionaryEnds
    const encoding = dictionary ? dictionaryEncoding : (layout.encoding ?? random.pick(ENCODINGS[physical]))
    // Of no values some write not a byte. That, too, is more than DuckDB takes in a copy.
    const nothing = here === 0 && spec.fate !== 'copy' && random.once(2)
    const referred = values.map((value) => positions.get(keyOf(value)) as number)
    const inPage = () =>
      dictionary ? indices(referred, entries.length, random) : encoded(values, physical, length, encoding, random)
    const content = nothing ? new Uint8Array(0) : inPage()
    const version = mixed ?? random.pick([1, 2])
    const levelParts = [
      maxRepetition > 0 ? hybrid(repetition, bits(maxRepetition), random) : new Uint8Array(0),
      maxDefinition > 0 ? hybrid(definition, bits(maxDefinition), random) : new Uint8Array(0),
    ] as const
    // DuckDB, which must read what is copied, does not skip an index page.
    if (spec.fate !== 'copy' && dataOffset !== undefined && random.once(15)) emit(1, {}, Uint8Array.of(1, 2, 3), 3)
    if (version === 1) {
      const size = (part: Uint8Array) => {
        const out = Buffer.alloc(part.length === 0 ? 0 : 4)
        if (part.length > 0) out.writeUInt32LE(part.length)
        return out
      }
      const whole = Buffer.concat([size(levelParts[0]), levelParts[0], size(levelParts[1]), levelParts[1], content])
      // Java says BIT_PACKED of levels that are not there.
      const encodingOf = (max: number) => put.i32(max === 0 ? random.pick([ENC.RLE, ENC.BIT_PACKED]) : ENC.RLE)
      const header = put.struct({
        1: put.i32(to - from),
        2: put.i32(encoding),
        3: encodingOf(maxDefinition),
        4: encodingOf(maxRepetition),
        5: pageStatistics(),
      })
      emit(0, { 5: header }, compressed(codec, whole, random), whole.length)
    } else {
      const packed = !random.once(4)
      const empty = content.length === 0 && random.once(2)
      const body = packed && !empty ? compressed(codec, content, random) : content
      const header = put.struct({
        1: put.i32(to - from),
        2: put.i32(definition.length - here),
        3: put.i32(repetition.filter((r) => r === 0).length),
        4: put.i32(encoding),
        5: put.i32(levelParts[1].length),
        6: put.i32(levelParts[0].length),
        7: packed ? (random.once(2) ? put.bool(true) : undefined) : put.bool(false),
        8: pageStatistics(),
      })
      const size = levelParts[0].length + levelParts[1].length
      emit(3, { 8: header }, Buffer.concat([...levelParts, body]), size + content.length)
    }
    counted(version === 1 ? 0 : 3, encoding)
    from = to
    present += here
  }

  const nulls = count - levels.values.length
  const all = [...stats.values()]
  const statistics = struct({
    3: random.once(4) ? undefined : put.i64(nulls),
    ...(marker &&
      random.once(2) && { 1: put.text(marker), 2: put.text(marker), 5: put.text(marker), 6: put.text(marker) }),
  })
  const encodings = [
    ...new Set([
      ...all.map((stat) => stat.encoding),
      ...(maxDefinition > 0 ? [ENC.RLE] : []),
      ...(random.once(3) ? [ENC.BIT_PACKED] : []),
    ]),
  ]
  const tells = random.once(2)
  const meta = struct({
    1: put.i32(PHYSICAL.indexOf(physical)),
    2: put.i32s(encodings),
    3: put.texts(path),
    4: put.i32(CODEC.indexOf(codec)),
    5: put.i64(count),
    6: put.i64(uncompressed),
    7: put.i64(at - start),
    8:
      marker && random.once(3)
        ? put.structs([struct({ 1: put.text('k'), 2: put.text('plain-key-value') })])
        : undefined,
    // Old writers leave the dictionary to be found.
    9: put.i64(tells || dictionaryOffset === undefined ? (dataOffset ?? start) : dictionaryOffset),
    11: tells && dictionaryOffset !== undefined ? put.i64(dictionaryOffset) : random.once(9) ? put.i64(0) : undefined,
    12: statistics.size > 0 ? { type: T.STRUCT, value: statistics } : undefined,
    13:
      random.once(2) && all.length > 0
        ? put.structs(all.map((s) => struct({ 1: put.i32(s.page), 2: put.i32(s.encoding), 3: put.i32(s.count) })))
        : undefined,
  })
  return { meta, bytes: Buffer.concat(parts) }
}

/** Ends of pages, in levels: between rows, but for pages of version 1, which old writers cut anywhere. */
function pageCuts({ repetition }: Levels, random: Random, anywhere: boolean): number[] {
  const count = repetition.length
  if (count === 0) return []
  const inside = Array.from({ length: count - 1 }, (_, i) => i + 1).filter(
    (i) => repetition[i] === 0 || (anywhere && random.once(3)),
  )
  const pages = random.between(1, 5)
  const chosen = new Set<number>()
  for (let i = 1; i < pages && inside.length > 0; i++) chosen.add(random.pick(inside))
  return [...[...chosen].sort((a, b) => a - b), count]
}

function indices(values: readonly number[], size: number, random: Random): Uint8Array {
  const width = Math.min(32, 32 - Math.clz32(Math.max(0, size - 1)) + (random.once(4) ? random.below(4) : 0))
  if (values.length === 0) return Uint8Array.of(width)
  return Buffer.concat([Uint8Array.of(width), hybrid(values, width, random)])
}

function encoded(
  values: readonly Raw[],
  physical: Physical,
  length: number | undefined,
  encoding: number,
  random: Random,
): Uint8Array {
  switch (encoding) {
    case ENC.PLAIN:
      return plain(values, physical)
    case ENC.RLE: {
      const runs = hybrid(values.map(Number), 1, random)
      const size = Buffer.alloc(4)
      size.writeUInt32LE(runs.length)
      return Buffer.concat([size, runs])
    }
    case ENC.DELTA_BINARY_PACKED:
      return deltas(values as (number | bigint)[], physical === 'INT32' ? 32 : 64, random)
    case ENC.DELTA_LENGTH_BYTE_ARRAY:
      return deltaLengths(values as Uint8Array[], random)
    case ENC.DELTA_BYTE_ARRAY:
      return deltaBytes(values as Uint8Array[], random)
    case ENC.BYTE_STREAM_SPLIT:
      return split(values, physical)
  }
  throw new Error(`encoding ${encoding} of ${physical}, ${length}`)
}

export interface FileOptions {
  readonly layout?: Layout
  readonly createdBy?: string
}

/** @param groups rows of each row group */
export function parquetFile(
  specs: readonly Spec[],
  groups: readonly (readonly Readonly<Record<string, Tree>>[])[],
  random: Random,
  { layout = {}, createdBy = 'plain-writer version 1.0 (build 0)' }: FileOptions = {},
): Uint8Array {
  const leaves = leavesOf(specs)
  const parts: Uint8Array[] = [Buffer.from('PAR1')]
  let at = 4
  const rowGroups = groups.map((rows) => {
    const chunks = shred(specs, rows).map((levels, i) => {
      // Bloom filters and indexes stand between chunks.
      const gap = random.once(3) ? Buffer.from('gap-between-chunks') : new Uint8Array(0)
      parts.push(gap)
      at += gap.length
      const { meta, bytes } = chunk(leaves[i] as Leaf, levels, at, random, layout)
      parts.push(bytes)
      at += bytes.length
      return { start: at - bytes.length, meta, size: bytes.length }
    })
    return struct({
      1: put.structs(
        chunks.map(({ start, meta }) =>
          struct({ 2: put.i64(random.once(2) ? 0 : start), 3: { type: T.STRUCT, value: meta } }),
        ),
      ),
      2: put.i64(chunks.reduce((sum, { size }) => sum + size, 0)),
      3: put.i64(rows.length),
    })
  })
  const footer = writeStruct(
    struct({
      1: put.i32(random.pick([1, 2])),
      2: put.structs(elementsOf(specs, random.pick(['schema', 'hive_schema', 'm']))),
      3: put.i64(groups.reduce((sum, rows) => sum + rows.length, 0)),
      4: put.structs(rowGroups),
      5: random.once(2) ? put.structs([struct({ 1: put.text('k'), 2: put.text('plain-key-value') })]) : undefined,
      6: put.text(createdBy),
      7: random.once(2) ? put.structs(leaves.map(() => struct({ 1: put.struct({}) }))) : undefined,
    }),
  )
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(footer.length)
  tail.write('PAR1', 4)
  return Buffer.concat([...parts, footer, tail])
}
