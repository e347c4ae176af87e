/** Values to pages. (parquet-format, Encodings.md.) */
import { sliceOf, type TextBatch } from '../core/texts.ts'
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
  readonly present: TextBatch
}

/** Byte arrays in PLAIN encoding: a length of four bytes, little-endian, in front of each. */
export function plainTexts({ bytes, offsets }: TextBatch): Uint8Array {
  const count = offsets.length - 1
  const out = new Uint8Array((offsets[count] as number) - (offsets[0] as number) + 4 * count)
  const view = new DataView(out.buffer)
  let at = 0
  for (let i = 0; i < count; i++) {
    const from = offsets[i] as number
    const to = offsets[i + 1] as number
    view.setUint32(at, to - from, true)
    out.set(bytes.subarray(from, to), at + 4)
    at += 4 + to - from
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

export function plainTextPages(leaf: LeafNode, codec: OutputCodec, cells: Cells): Generator<EncodedPage> {
  const { present } = cells
  const { offsets } = present
  return plainPages(
    leaf,
    codec,
    cells,
    (i) => 4 + (offsets[i + 1] as number) - (offsets[i] as number),
    (from, to) => plainTexts(sliceOf(present, from, to)),
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
