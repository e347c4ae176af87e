/** How large rewritten chunks will be. Pure. */
import type { OutputCodec } from '../../../lib/parquet/codec.ts'
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'

/** Base64 has six bits of news in a byte; what looks for repetition alone finds none in pseudonyms. */
const KEPT: Readonly<Record<OutputCodec, number>> = { none: 1, snappy: 1, gzip: 0.77, zstd: 0.77 }
/** In front of a text. */
export const LENGTH_BYTES = 4
/** An identifier, where none was looked at: a VIN has 17 characters. */
export const TYPICAL_BYTES = 17
/** Nonce and tag. */
const OVERHEAD_BYTES = 28

/** @param utf8 bytes of the identifier */
export function pseudonymBytes(utf8: number, format: 'original' | 'v2'): number {
  return format === 'original'
    ? 4 * Math.ceil((utf8 + OVERHEAD_BYTES) / 3)
    : 8 + Math.ceil((4 * (utf8 + OVERHEAD_BYTES)) / 3)
}

/** What was found in a chunk whose values are replaced. */
export interface Found {
  /** Pseudonyms of the dictionary, and their bytes. */
  readonly entries: number
  readonly entryBytes: number
  /** The same of values in pages without it; `oldBytes` is what they are now. */
  readonly plain: number
  readonly plainBytes: number
  readonly oldBytes: number
  /** Different ones among them. */
  readonly plainDistinct: number
  /** Cells that were not looked at. */
  readonly unseen: number
}

export const NOTHING_FOUND: Found = {
  entries: 0,
  entryBytes: 0,
  plain: 0,
  plainBytes: 0,
  oldBytes: 0,
  plainDistinct: 0,
  unseen: 0,
}

/** Bytes of a chunk whose dictionary is swapped: pages that refer to it keep their size. */
export function swappedBytes(chunk: ColumnChunk, found: Found, codec: OutputCodec, typical: number): number {
  const dictionary = chunk.dictionaryPageOffset === undefined ? 0 : Math.max(0, chunk.dataPageOffset - chunk.start)
  const kept = Math.max(0, chunk.end - chunk.start - dictionary - found.oldBytes)
  const values = found.entryBytes + LENGTH_BYTES * found.entries + found.plainBytes + LENGTH_BYTES * found.plain
  return (found.unseen > 0 ? 0 : kept) + KEPT[codec] * (values + unseenBytes(found, typical))
}

/** Bytes of a chunk that is written anew, with a dictionary where that is smaller; without one where every cell is different. */
export function transcodedBytes(
  cells: number,
  found: Found,
  codec: OutputCodec,
  typical: number,
  shared: boolean,
): number {
  const distinct = found.entries + found.plainDistinct
  const each =
    found.entries + found.plain === 0 ? typical : (found.entryBytes + found.plainBytes) / (found.entries + found.plain)
  const plain = cells * (each + LENGTH_BYTES)
  if (!shared || found.unseen > 0) return KEPT[codec] * plain
  const positions = (cells * Math.ceil(Math.log2(Math.max(2, distinct)))) / 8
  return KEPT[codec] * Math.min(plain, distinct * (each + LENGTH_BYTES) + positions)
}

function unseenBytes({ unseen }: Found, typical: number): number {
  return unseen * (typical + LENGTH_BYTES)
}

/** Of a chunk in the footer, and of a file around all of them. */
export const FOOTER_BYTES = { chunk: 120, file: 400 } as const
