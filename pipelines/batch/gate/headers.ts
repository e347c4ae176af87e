/**
 * Footer and page headers against an allow-list of their fields: what is not on it may hold values of a replaced column.
 * Pure. (parquet-format, parquet.thrift.)
 */
import type { FooterLook } from '../../../lib/parquet/footer.ts'
import { get, type ThriftStruct } from '../../../lib/parquet/thrift.ts'
import type { Finding } from './check.ts'

/** Field ids that may be there. */
const ALLOWED = {
  // version, schema, num_rows, row_groups, created_by, column_orders; no key-value metadata.
  file: [1, 2, 3, 4, 6, 7],
  // columns, total_byte_size, num_rows, file_offset, total_compressed_size, ordinal; no sorting columns.
  rowGroup: [1, 2, 3, 5, 6, 7],
  // file_offset, meta_data; no indexes.
  chunk: [2, 3],
  // type to total_compressed_size, data and dictionary offset, statistics, encoding_stats; no key-value metadata, bloom filter, size statistics.
  column: [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13],
  // null_count.
  replacedStatistics: [3],
  // null_count, max_value, min_value, and whether those are exact.
  statistics: [3, 5, 6, 7, 8],
  // type, sizes, crc, and one of the headers.
  page: [1, 2, 3, 4, 5, 7, 8],
  // num_values and encodings; no statistics.
  dataPage: [1, 2, 3, 4],
  dictionaryPage: [1, 2],
  dataPageV2: [1, 2, 3, 4, 5, 6, 7],
} as const

/** @returns what is wrong with the header of a page of a replaced column */
export function checkPageHeader(page: ThriftStruct): string | undefined {
  const dataPage = get.struct(page, 5)
  const dictionaryPage = get.struct(page, 7)
  const dataPageV2 = get.struct(page, 8)
  const unknown = [
    ...others(page, 'page'),
    ...(dataPage ? others(dataPage, 'dataPage') : []),
    ...(dictionaryPage ? others(dictionaryPage, 'dictionaryPage') : []),
    ...(dataPageV2 ? others(dataPageV2, 'dataPageV2') : []),
  ]
  return unknown.length > 0
    ? `the page header has ${unknown.join(', ')}, where only counts and sizes may be`
    : undefined
}

/** Looks at a footer while it is read. */
export class FooterCheck implements FooterLook {
  readonly findings: Finding[] = []
  readonly #columns: readonly { readonly path: readonly string[]; readonly replaced: boolean }[]

  /** @param columns by position: path, and whether the values are replaced */
  constructor(columns: readonly { readonly path: readonly string[]; readonly replaced: boolean }[]) {
    this.#columns = columns
  }

  file(fields: ThriftStruct, behind: number): void {
    if (behind > 0) this.findings.push({ message: 'more bytes than the footer' })
    this.#check(fields, 'file')
  }

  rowGroup(fields: ThriftStruct, rowGroup: number): void {
    this.#check(fields, 'rowGroup', { rowGroup })
  }

  chunk(fields: ThriftStruct, rowGroup: number, column: number): void {
    const { path = [], replaced = true } = this.#columns[column] ?? {}
    const place = { column: path, rowGroup }
    this.#check(fields, 'chunk', place)
    const meta = get.struct(fields, 3)
    if (!meta) return
    this.#check(meta, 'column', place)
    const statistics = get.struct(meta, 12)
    if (statistics) this.#check(statistics, replaced ? 'replacedStatistics' : 'statistics', place)
  }

  #check(of: ThriftStruct, kind: keyof typeof ALLOWED, place: Omit<Finding, 'message'> = {}): void {
    const unknown = others(of, kind)
    if (unknown.length > 0) this.findings.push({ ...place, message: `the footer has ${unknown.join(', ')}` })
  }
}

function others(of: ThriftStruct, kind: keyof typeof ALLOWED): readonly string[] {
  const allowed: readonly number[] = ALLOWED[kind]
  let unknown = NONE
  for (const id of of.keys()) if (!allowed.includes(id)) unknown = [...unknown, `field ${id} of ${NAMES[kind]}`]
  return unknown
}

const NONE: readonly string[] = []

const NAMES: Readonly<Record<keyof typeof ALLOWED, string>> = {
  file: 'FileMetaData',
  rowGroup: 'RowGroup',
  chunk: 'ColumnChunk',
  column: 'ColumnMetaData',
  replacedStatistics: 'Statistics',
  statistics: 'Statistics',
  page: 'PageHeader',
  dataPage: 'DataPageHeader',
  dictionaryPage: 'DictionaryPageHeader',
  dataPageV2: 'DataPageHeaderV2',
}
