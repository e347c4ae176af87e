/** Values to pages. (parquet-format, Encodings.md.) */
import { type EncodedPage, encodeDataPage } from './chunk-writer.ts'
import type { OutputCodec } from './codec.ts'
import type { DecodedPage } from './decode.ts'
import { ENCODING } from './footer.ts'
import { plainBytes } from './plain.ts'
import type { LeafNode } from './schema.ts'

/** Page size that readers expect, before compression. */
const PAGE_BYTES = 1 << 20
/** Values in a page whose values are indices: those are so small that bytes alone would allow millions. */
const PAGE_VALUES = 1 << 17

/** Levels of consecutive values, and the values that are present among them. */
export interface Cells {
  readonly count: number
  readonly repetition?: Uint8Array
  readonly definition?: Uint8Array
  readonly present: readonly string[]
}

/** Byte arrays in PLAIN encoding: a length of four bytes, little-endian, in front of each. */
export function plainStrings(values: readonly string[], from = 0, to: number = values.length): Buffer {
  let size = 0
  for (let i = from; i < to; i++) size += 4 + Buffer.byteLength(values[i] as string)
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (let i = from; i < to; i++) {
    const length = out.write(values[i] as string, at + 4)
    out.writeUInt32LE(length, at)
    at += 4 + length
  }
  return out
}

/**
 * Cuts cells into pieces that fit in a page, between rows: an index over pages counts on rows that don't span two.
 * @param size bytes of the i-th present value
 * @returns for each piece its ends: in levels, and in present values
 */
export function cutPages(
  cells: Omit<Cells, 'present'>,
  maxDefinitionLevel: number,
  size: (present: number) => number,
): { level: number; present: number }[] {
  const cuts: { level: number; present: number }[] = []
  let bytes = 0
  let present = 0
  let values = 0
  for (let i = 0; i < cells.count; i++) {
    const startsRow = !cells.repetition || cells.repetition[i] === 0
    if (startsRow && values > 0 && (bytes >= PAGE_BYTES || values >= PAGE_VALUES)) {
      cuts.push({ level: i, present })
      bytes = 0
      values = 0
    }
    values++
    if (!cells.definition || cells.definition[i] === maxDefinitionLevel) bytes += size(present++)
  }
  if (values > 0) cuts.push({ level: cells.count, present })
  return cuts
}

/** Pages in PLAIN encoding. @param bytes of the present values `[from, to)` */
export function* plainPages(
  leaf: LeafNode,
  codec: OutputCodec,
  cells: Omit<Cells, 'present'>,
  size: (present: number) => number,
  bytes: (from: number, to: number) => Uint8Array,
  random: boolean,
): Generator<EncodedPage> {
  let level = 0
  let present = 0
  for (const cut of cutPages(cells, leaf.maxDefinitionLevel, size)) {
    yield encodeDataPage(leaf, codec, {
      ...levelsOf(cells, level, cut.level),
      encoding: ENCODING.PLAIN,
      values: bytes(present, cut.present),
      random,
    })
    level = cut.level
    present = cut.present
  }
}

export function levelsOf({ repetition, definition }: Omit<Cells, 'present'>, from: number, to: number) {
  return {
    count: to - from,
    ...(repetition && { repetition: repetition.subarray(from, to) }),
    ...(definition && { definition: definition.subarray(from, to) }),
  }
}

export function plainStringPages(leaf: LeafNode, codec: OutputCodec, cells: Cells): Generator<EncodedPage> {
  const { present } = cells
  return plainPages(
    leaf,
    codec,
    cells,
    (i) => 4 + (present[i] as string).length,
    (from, to) => plainStrings(present, from, to),
    true,
  )
}

/** A decoded page in PLAIN encoding: the same levels, every value bit by bit. */
export function plainValuePages(leaf: LeafNode, codec: OutputCodec, page: DecodedPage): Generator<EncodedPage> {
  const { values = [] } = page
  return plainPages(
    leaf,
    codec,
    page,
    values[0] instanceof Uint8Array ? (i) => 4 + (values[i] as Uint8Array).length : () => 8,
    (from, to) => plainBytes(leaf, values, from, to),
    false,
  )
}
