/**
 * Encodings of values that Spark, Trino, PyIceberg and DuckDB all read with their defaults. Pure.
 *
 * Iceberg's vectorized reader, the default in Spark, knows no others than these and fails the query.
 */
import { type ColumnChunk, ENCODING } from './footer.ts'
import { PAGE } from './page.ts'
import type { PhysicalType } from './schema.ts'

const READ_BY_ALL: readonly number[] = [
  ENCODING.PLAIN,
  ENCODING.PLAIN_DICTIONARY,
  ENCODING.RLE_DICTIONARY,
  ENCODING.DELTA_BINARY_PACKED,
]

export function isOutputEncoding(encoding: number): boolean {
  return READ_BY_ALL.includes(encoding)
}

/**
 * Names of the encodings in a chunk that not every engine reads; none where its pages can stay as they are.
 *
 * Footers always list RLE, and old ones BIT_PACKED, for levels. Of booleans, which alone can have their values in RLE, only the
 * statistics of encodings tell the two apart; without those, it takes a look at the pages.
 */
export function refusedEncodings({ encodings, encodingStats = [] }: ColumnChunk, physical: PhysicalType): string[] {
  const counted = encodingStats.filter((stat) => stat.page !== PAGE.DICTIONARY && stat.count > 0)
  const unclear = physical === 'BOOLEAN' && counted.length === 0
  const listed = encodings.filter(
    (encoding) => encoding !== ENCODING.BIT_PACKED && (encoding !== ENCODING.RLE || unclear),
  )
  const refused = [...listed, ...counted.map((stat) => stat.encoding)].filter((encoding) => !isOutputEncoding(encoding))
  return [...new Set(refused)].map(encodingName)
}

function encodingName(encoding: number): string {
  if (encoding === ENCODING.RLE) return 'RLE booleans'
  return Object.entries(ENCODING).find(([, number]) => number === encoding)?.[0] ?? `encoding ${encoding}`
}
