import type { Storage } from '../storage/storage.ts'
import { decodeData, decodeDictionary } from './decode.ts'
import { type ColumnChunk, ENCODING } from './footer.ts'
import type { ParquetFile } from './open.ts'
import type { DataHeader, DictionaryHeader } from './page.ts'
import { PAGE, type Page, readPages } from './page.ts'
import type { Place } from './place.ts'
import { rangeReader } from './ranges.ts'
import type { LeafNode } from './schema.ts'
import { canonicalTexts } from './text.ts'

export interface TextBatch {
  /** Canonical texts of values that are present and not empty. */
  readonly texts: readonly string[]
  /** True where each entry of a chunk's dictionary stands once, whatever cells refer to it. */
  readonly dictionary: boolean
  readonly rowGroup: number
  /** Cells of the chunk that are not null, where its statistics say; of the whole chunk, in each of its batches. */
  readonly cells?: number
}

export interface ScanOptions {
  readonly signal?: AbortSignal
  /** @default all */
  readonly rowGroups?: readonly number[]
}

/**
 * The texts of a column, cheaply: a dictionary's entries once for each chunk, and the values of pages that do without. Chunks whose
 * footer says that all pages use the dictionary are read no further than that. Empty strings are left out, as nobody maps them.
 * @throws PseudolakeError `input/corrupt`, `input/value-invalid`, `input/unsupported`
 */
export async function* scanTexts(
  storage: Storage,
  file: ParquetFile,
  leaf: LeafNode,
  { signal, rowGroups = file.rowGroups.map((_, i) => i) }: ScanOptions = {},
): AsyncGenerator<TextBatch> {
  for (const rowGroup of rowGroups) {
    const chunk = file.rowGroups[rowGroup]?.columns[leaf.column]
    if (!chunk || chunk.values === 0) continue
    const place: Place = { location: file.object.location, column: leaf.path, rowGroup }
    const nulls = leaf.maxDefinitionLevel === 0 ? 0 : chunk.statistics?.nulls
    const about = { rowGroup, ...(nulls !== undefined && { cells: chunk.values - nulls }) }
    const dictionaryOnly = allInDictionary(chunk)
    // Where only the dictionary is wanted, nothing behind it is fetched.
    const needed = dictionaryOnly ? ([chunk.start, chunk.dataPageOffset] as const) : ([chunk.start, chunk.end] as const)
    const source = rangeReader(storage, file.object, [needed], signal)
    let dictionarySize: number | undefined
    for await (const page of readPages(source, chunk, place, { signal, dictionaryOnly })) {
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, leaf, chunk.codec)
        dictionarySize = values.length
        yield { texts: canonicalTexts(values, leaf, page.place).filter(isPresent), dictionary: true, ...about }
      } else if (!isDictionaryEncoded(page.header.encoding)) {
        const { values = [] } = decodeData(page as Page<DataHeader>, leaf, chunk.codec, dictionarySize)
        yield { texts: canonicalTexts(values, leaf, page.place).filter(isPresent), dictionary: false, ...about }
      }
    }
  }
}

export function isDictionaryEncoded(encoding: number): boolean {
  return encoding === ENCODING.PLAIN_DICTIONARY || encoding === ENCODING.RLE_DICTIONARY
}

/** Whether the footer proves that no page does without the dictionary. */
export function allInDictionary({ encodingStats, dictionaryPageOffset, start, dataPageOffset }: ColumnChunk): boolean {
  if (!encodingStats || dictionaryPageOffset !== start || dataPageOffset <= start) return false
  const data = encodingStats.filter((stat) => stat.page !== PAGE.DICTIONARY && stat.count > 0)
  return data.length > 0 && data.every((stat) => isDictionaryEncoded(stat.encoding))
}

function isPresent(text: string): boolean {
  return text !== ''
}
