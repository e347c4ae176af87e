/** How many cells of a data file hold one of a few texts; a dictionary is asked first, and mostly that is all. */
import { decodeData, decodeDictionary } from '../../lib/parquet/decode.ts'
import type { ColumnChunk } from '../../lib/parquet/footer.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from '../../lib/parquet/page.ts'
import { rangeReader } from '../../lib/parquet/ranges.ts'
import { allInDictionary } from '../../lib/parquet/scan.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import type { Storage } from '../../lib/storage/storage.ts'

export interface LookedFor {
  /** Of the column; a file without ids is looked at by its name. */
  readonly fieldId: number
  readonly name: string
  readonly texts: readonly Uint8Array[]
}

/**
 * @returns cells of each text, for each column; none for a column that the file lacks or has as another type
 * @throws PseudolakeError `input/*`, `storage/*`
 */
export async function countCells(
  storage: Storage,
  location: string,
  columns: readonly LookedFor[],
  signal: AbortSignal | undefined,
): Promise<number[][]> {
  const file = await openParquet(storage, await storage.stat(location), signal ? { signal } : {})
  const counts: number[][] = []
  for (const { fieldId, name, texts } of columns) {
    const found = texts.map(() => 0)
    counts.push(found)
    const leaf = file.leaves.find(
      (each) =>
        each.path.length === 1 && (each.fieldId === undefined ? each.path[0] === name : each.fieldId === fieldId),
    )
    if (leaf?.physical !== 'BYTE_ARRAY') continue
    for (const [rowGroup, { columns: chunks }] of file.rowGroups.entries()) {
      signal?.throwIfAborted()
      const chunk = chunks[leaf.column]
      if (chunk && chunk.values > 0) await countChunk(chunk, leaf, rowGroup, texts, found)
    }
  }
  return counts

  async function countChunk(
    chunk: ColumnChunk,
    leaf: LeafNode,
    rowGroup: number,
    texts: readonly Uint8Array[],
    found: number[],
  ): Promise<void> {
    const place = { location, column: leaf.path, rowGroup }
    const needed = [chunk.start, chunk.end] as const
    const source = rangeReader(storage, file.object, [needed], signal)
    let entries: Int32Array | undefined
    for await (const page of readPages(source, chunk, place, { signal })) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, leaf, chunk.codec) as Uint8Array[]
        entries = Int32Array.from(values, (value) => placeOf(value, texts))
        if (allInDictionary(chunk) && entries.every((at) => at < 0)) return
        continue
      }
      const { indices, values = [] } = decodeData(page as Page<DataHeader>, leaf, chunk.codec, entries?.length)
      if (indices) for (const index of indices) add(found, entries?.[index] ?? -1)
      else for (const value of values as Uint8Array[]) add(found, placeOf(value, texts))
    }
  }
}

function add(found: number[], at: number): void {
  if (at >= 0) found[at] = (found[at] as number) + 1
}

function placeOf(value: Uint8Array, texts: readonly Uint8Array[]): number {
  return texts.findIndex((text) => text.length === value.length && Buffer.compare(text, value) === 0)
}
