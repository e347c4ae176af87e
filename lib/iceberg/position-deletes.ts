import { PseudolakeError } from '../core/errors.ts'
import { decodeData, decodeDictionary } from '../parquet/decode.ts'
import { openParquet, type ParquetFile } from '../parquet/open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from '../parquet/page.ts'
import { rangeReader } from '../parquet/ranges.ts'
import type { LeafNode } from '../parquet/schema.ts'
import type { Storage } from '../storage/storage.ts'
import type { DataFile } from './data-file.ts'
import { storageLocation } from './locations.ts'
import { DELETE_FILE_PATH, DELETE_POS } from './scan.ts'

/** Position-delete files: which rows of which data files are deleted (Iceberg specification, "Position Delete Files"). */

/** Of some data files, by location where Storage finds them. */
export interface PositionTaker {
  /** Number for a data file that is asked about, -1 for another. */
  numberOf(location: string): number
  take(number: number, position: number): void
}

/**
 * Memory: four bytes for each row of a row group.
 * @throws PseudolakeError `table/unsupported` for a format other than Parquet, `table/invalid` where the columns are not those of the
 *   specification, `input/corrupt`, `storage/*`
 */
export async function readPositionDeletes(
  storage: Storage,
  deletes: DataFile,
  taker: PositionTaker,
  signal?: AbortSignal,
): Promise<void> {
  const location = storageLocation(deletes.path)
  if (deletes.content !== 'position-deletes' || deletes.format.toUpperCase() !== 'PARQUET')
    throw new PseudolakeError('table/unsupported', `${location}: deletes of format ${deletes.format} are not read`, {
      location,
    })
  const file = await openParquet(storage, await storage.stat(location), signal ? { signal } : {})
  const path = leafOf(file, DELETE_FILE_PATH, 'file_path', 'BYTE_ARRAY')
  const pos = leafOf(file, DELETE_POS, 'pos', 'INT64')
  const names = new Map<string, number>()
  const numberOf = (bytes: Uint8Array) => {
    const name = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
    let number = names.get(name)
    if (number === undefined) {
      number = taker.numberOf(storageLocation(name))
      // Names come sorted: the last ones are those that come again.
      if (names.size >= MOST_NAMES) names.clear()
      names.set(name, number)
    }
    return number
  }
  for (const [rowGroup, { rows }] of file.rowGroups.entries()) {
    const numbers = new Int32Array(rows)
    let at = 0
    let entries: Int32Array | undefined
    for await (const page of pagesOf(storage, file, path, rowGroup, signal)) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, path, codecOf(file, path, rowGroup))
        entries = Int32Array.from(values as Uint8Array[], numberOf)
        continue
      }
      const decoded = decodeData(page as Page<DataHeader>, path, codecOf(file, path, rowGroup), entries?.length)
      const { indices, values = [] } = decoded
      if (indices && entries) for (const index of indices) numbers[at++] = entries[index] as number
      else for (const value of values as Uint8Array[]) numbers[at++] = numberOf(value)
    }
    if (at !== rows) throw invalid(location, 'a row lacks its file_path')
    if (!numbers.some((number) => number >= 0)) continue
    await readPositions(numbers, rowGroup)
  }

  async function readPositions(numbers: Int32Array, rowGroup: number): Promise<void> {
    let at = 0
    let entries: BigInt64Array | undefined
    for await (const page of pagesOf(storage, file, pos, rowGroup, signal)) {
      const codec = codecOf(file, pos, rowGroup)
      if (page.header.type === PAGE.DICTIONARY) {
        entries = (decodeDictionary(page as Page<DictionaryHeader>, pos, codec) as BigInt64Array).slice()
        continue
      }
      const { indices, values } = decodeData(page as Page<DataHeader>, pos, codec, entries?.length)
      const count = indices?.length ?? values?.length ?? 0
      for (let i = 0; i < count; i++) {
        const number = numbers[at++]
        const position = indices ? entries?.[indices[i] as number] : (values as BigInt64Array)[i]
        if (number === undefined || position === undefined) throw invalid(location, 'has more positions than rows')
        if (number >= 0) taker.take(number, Number(position))
      }
    }
    if (at !== numbers.length) throw invalid(location, 'a row lacks its pos')
  }
}

const MOST_NAMES = 10_000

function leafOf({ leaves, object }: ParquetFile, id: number, name: string, physical: LeafNode['physical']): LeafNode {
  const leaf =
    leaves.find(({ fieldId }) => fieldId === id) ??
    leaves.find(({ path, fieldId }) => path.length === 1 && path[0] === name && fieldId === undefined)
  if (leaf?.physical !== physical || leaf.maxRepetitionLevel > 0)
    throw invalid(object.location, `has no column ${name} of the type that position deletes have`)
  return leaf
}

function codecOf(file: ParquetFile, leaf: LeafNode, rowGroup: number) {
  return chunkOf(file, leaf, rowGroup).codec
}

function chunkOf({ rowGroups, object }: ParquetFile, { column }: LeafNode, rowGroup: number) {
  const chunk = rowGroups[rowGroup]?.columns[column]
  if (!chunk) throw invalid(object.location, `row group ${rowGroup} lacks a column`)
  return chunk
}

function pagesOf(storage: Storage, file: ParquetFile, leaf: LeafNode, rowGroup: number, signal?: AbortSignal) {
  const chunk = chunkOf(file, leaf, rowGroup)
  const { location } = file.object
  const source = rangeReader(storage, file.object, [[chunk.start, chunk.end]], signal)
  return readPages(source, chunk, { location, column: leaf.path, rowGroup }, { signal })
}

function invalid(location: string, what: string): PseudolakeError {
  return new PseudolakeError('table/invalid', `${location}: ${what}`, { location })
}
