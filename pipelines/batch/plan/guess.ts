/**
 * What the footer alone lets one guess of a chunk's values. It says how many bytes a chunk has unpacked; positions in a dictionary of d
 * values take log2(d) bits for each cell; so what is left are the values. Long runs of one value are shorter than that, and a chunk of
 * them looks as if it had fewer values than it has, but never fewer than its dictionary’s packed bytes hold. Pure.
 */
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import { allInDictionary } from '../../../lib/parquet/scan.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Look } from './look.ts'
import { LENGTH_BYTES, NOTHING_FOUND, pseudonymBytes, TYPICAL_BYTES } from './sizes.ts'

/** As guessed: nothing is read. */
export const lookAtFooter: Look = async ({ rule, sender, format, file, leaf, rowGroup, cells, lengths }) => {
  const chunk = file.rowGroups[rowGroup]?.columns[leaf.column] as ColumnChunk
  if (chunk.values === 0 || cells === 0) return NOTHING_FOUND
  const utf8 = textBytes(chunk, leaf)
  const pseudonym = pseudonymBytes(utf8, format)
  const distinct = distinctOf(chunk, leaf, cells)
  lengths.values += distinct
  lengths.valueBytes += distinct * utf8
  lengths.pseudonymBytes += distinct * pseudonym
  if (rule.mode === 'random') return NOTHING_FOUND
  sender.guessed(cells, distinct, utf8)
  if (chunk.dictionaryPageOffset !== undefined)
    return { ...NOTHING_FOUND, entries: distinct, entryBytes: distinct * pseudonym }
  const plain = { plain: cells, plainBytes: cells * pseudonym, oldBytes: cells * (utf8 + LENGTH_BYTES) }
  return { ...NOTHING_FOUND, ...plain, plainDistinct: distinct }
}

/** @param cells that are not null */
export function distinctOf(chunk: ColumnChunk, leaf: LeafNode, cells: number): number {
  if (chunk.dictionaryPageOffset === undefined) return cells
  const each = storedBytes(chunk, leaf)
  const dictionary = Math.max(0, chunk.dataPageOffset - chunk.start)
  // Without a word on it some pages may do without the dictionary, and hold values themselves.
  const most = allInDictionary(chunk) ? cells : Math.min(cells, chunk.uncompressedBytes / each)
  let [few, many] = [0, cells]
  for (let i = 0; i < 50; i++) {
    const middle = (few + many) / 2
    const positions = (cells * Math.ceil(Math.log2(Math.max(2, middle)))) / 8
    if (middle * each + positions < chunk.uncompressedBytes) few = middle
    else many = middle
  }
  return Math.max(1, Math.min(Math.round(most), Math.round(Math.max(few, dictionary / each))))
}

/** Of a value in the file. */
function storedBytes(chunk: ColumnChunk, leaf: LeafNode): number {
  const { physical, typeLength } = leaf
  if (physical === 'BYTE_ARRAY') return LENGTH_BYTES + textBytes(chunk, leaf)
  return FIXED_BYTES[physical] ?? typeLength ?? TYPICAL_BYTES
}

const FIXED_BYTES: Readonly<Record<string, number>> = { BOOLEAN: 1, INT32: 4, INT64: 8, INT96: 12, FLOAT: 4, DOUBLE: 8 }

/** Of a value's text: what bounds are long, where there are any. */
function textBytes({ statistics }: ColumnChunk, leaf: LeafNode): number {
  const bounds = leaf.physical === 'BYTE_ARRAY' ? [statistics?.min, statistics?.max] : []
  const lengths = bounds.flatMap((bound) => (bound === undefined ? [] : [bound.length]))
  if (lengths.length === 0) return TYPICAL_BYTES
  return lengths.reduce((sum, length) => sum + length, 0) / lengths.length
}
