/** Pages of a data file: that replaced columns hold nothing but pseudonyms, and that what the footer counts is there. */
import { decodeData, decodeDictionary } from '../../lib/parquet/decode.ts'
import type { ColumnChunk } from '../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from '../../lib/parquet/page.ts'
import type { Place } from '../../lib/parquet/place.ts'
import { type RangeReader, rangeReader } from '../../lib/parquet/ranges.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { get, readStruct, ThriftEnd, ThriftInvalid, type ThriftStruct } from '../../lib/parquet/thrift.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Finding } from './findings.ts'
import { isHarmlessBound, notPseudonyms } from './forms.ts'

/** Fields of a page header that files of ours have, and of the header inside by its field. */
const OURS = [1, 2, 3, 4, 5, 7, 8]
const INNER = { 5: [1, 2, 3, 4], 7: [1, 2], 8: [1, 2, 3, 4, 5, 6, 7] } as const
/** Where statistics are in the header of a data page of version 1 and 2. */
const STATISTICS = { 5: 5, 8: 8 } as const
const FIRST_HEADER_BYTES = 4 << 10
const MAX_HEADER_BYTES = 16 << 20

export interface PageChecks {
  readonly storage: Storage
  readonly file: ParquetFile
  readonly leaf: LeafNode
  readonly rowGroup: number
  /** Name of the replaced column; undefined for others, whose pages are only counted. */
  readonly column: string | undefined
  readonly ours: boolean
  /** Every page; else the dictionary and the first data page. */
  readonly full: boolean
  readonly signal: AbortSignal | undefined
  readonly add: (finding: Omit<Finding, 'location'>) => void
}

/** @throws PseudolakeError `input/*` where pages cannot be read */
export async function checkPages(checks: PageChecks): Promise<void> {
  const { storage, file, leaf, rowGroup, signal, full } = checks
  const chunk = file.rowGroups[rowGroup]?.columns[leaf.column]
  if (!chunk || chunk.values === 0) return
  const place: Place = { location: file.object.location, column: leaf.path, rowGroup }
  const source = rangeReader(storage, file.object, [[chunk.start, chunk.end]], signal)
  const headers = checks.column === undefined ? 0 : await checkHeaders(source, chunk, checks, checks.column)
  const bodies = await checkBodies(readPages(source, chunk, place, { signal }), chunk, full, checks)
  // Readers stop after the last value; what a page behind it holds, nobody would see.
  if (checks.column !== undefined && checks.ours && full && headers > bodies)
    checks.add({
      kind: 'unreferenced-bytes',
      message: `the column has ${headers - bodies} pages behind its last value`,
      row_group: rowGroup,
      column: checks.column,
    })
}

/** @returns pages read */
async function checkBodies(
  pages: AsyncGenerator<Page>,
  chunk: ColumnChunk,
  full: boolean,
  { leaf, rowGroup, column, ours, add }: PageChecks,
): Promise<number> {
  const at = { row_group: rowGroup, column: column ?? leaf.path.join('.') }
  let dictionarySize: number | undefined
  let nulls = 0
  let number = 0
  for await (const page of pages) {
    const here = { ...at, page: number++ }
    if (page.header.type === PAGE.DICTIONARY) {
      const values = decodeDictionary(page as Page<DictionaryHeader>, leaf, chunk.codec)
      dictionarySize = values.length
      if (column !== undefined) tellOthers(values, 'entries', here)
      continue
    }
    const decoded = decodeData(page as Page<DataHeader>, leaf, chunk.codec, dictionarySize)
    nulls += decoded.count - (decoded.values?.length ?? decoded.indices?.length ?? 0)
    if (column !== undefined) {
      if (decoded.values) tellOthers(decoded.values, 'values', here)
      else if (ours && !decoded.tight)
        add({ kind: 'unreferenced-bytes', message: 'the page has bytes that no reader looks at', ...here })
    }
    if (!full) return number
  }
  const counted = chunk.statistics?.nulls
  if (leaf.maxRepetitionLevel === 0 && counted !== undefined && counted !== nulls)
    add({ kind: 'column-counts', message: `the footer says ${counted} nulls, the pages hold ${nulls}`, ...at })
  return number

  function tellOthers(values: Parameters<typeof notPseudonyms>[0], what: string, here: typeof at & { page: number }) {
    const others = notPseudonyms(values)
    if (others)
      add({
        kind: 'not-a-pseudonym',
        message: `${others.count} of ${values.length} ${what} are no pseudonyms; the first is at index ${others.index} and has ${others.bytes} bytes`,
        ...here,
      })
  }
}

/**
 * Raw headers: lib/parquet reads them without what they may hold besides, which is what is looked for here.
 * @returns pages seen
 */
async function checkHeaders(
  source: RangeReader,
  chunk: ColumnChunk,
  { rowGroup, ours, full, add }: PageChecks,
  column: string,
): Promise<number> {
  let at = chunk.start
  let page = 0
  for (; at < chunk.end; page++) {
    const here = { row_group: rowGroup, column, page }
    const { header, length } = await readHeader(source, at, chunk.end)
    const inner = ([5, 7, 8] as const).flatMap((id) => {
      const found = get.struct(header, id)
      return found ? [{ id, found }] : []
    })
    const unknown = [...header.keys()].filter((id) => !OURS.includes(id))
    for (const { id, found } of inner) {
      const statistics = id === 7 ? undefined : get.struct(found, STATISTICS[id])
      const bounds = statistics ? [1, 2, 5, 6].flatMap((bound) => get.bytes(statistics, bound) ?? []) : []
      const leaks = ours ? (statistics ? 1 : 0) : bounds.filter((bound) => !isHarmlessBound(bound)).length
      if (leaks > 0) add({ kind: 'page-statistics', message: 'the page header has statistics', ...here })
      const known: readonly number[] = INNER[id]
      unknown.push(...[...found.keys()].filter((field) => !known.includes(field) && !(statistics && field === id)))
    }
    if (ours && unknown.length > 0)
      add({ kind: 'unknown-field', message: `the page header has field ${unknown.join(', ')}`, ...here })
    at += length + (get.count(header, 3) ?? 0)
    // The dictionary, and the first page that is none.
    if (!full && !(page === 0 && get.i32(header, 1) === PAGE.DICTIONARY)) return page + 1
  }
  return page
}

async function readHeader(
  source: RangeReader,
  at: number,
  end: number,
): Promise<{ header: ThriftStruct; length: number }> {
  for (let ask = FIRST_HEADER_BYTES; ; ask *= 8) {
    const bytes = await source.read(at, Math.min(end, at + ask))
    try {
      const { value, end: length } = readStruct(bytes)
      return { header: value, length }
    } catch (error) {
      if (error instanceof ThriftEnd && at + ask < end && ask < MAX_HEADER_BYTES) continue
      throw error instanceof ThriftEnd ? new ThriftInvalid('the page header is cut off') : error
    }
  }
}
