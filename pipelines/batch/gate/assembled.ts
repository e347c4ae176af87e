/**
 * A file that was put together out of row groups, each of which was held against its input while both were in memory: here it is read back and
 * held against those row groups. No byte of it is a copy of an input's.
 */
import { crc32 } from 'node:zlib'
import { MAGIC, type WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import type { RewritePlan } from '../../../lib/parquet/plan.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { Finding } from './check.ts'

export interface AssembledChunk {
  readonly column: readonly string[]
  readonly rowGroup: number
  readonly start: number
  readonly end: number
  readonly replaced: boolean
  /** CRC-32 of its bytes as they were looked at. */
  readonly crc: number
}

export interface Assembled {
  readonly output: string
  readonly plan: Pick<RewritePlan, 'columns'>
  readonly rowGroups: readonly WrittenRowGroup[]
  /** In the order of the file. */
  readonly chunks: readonly AssembledChunk[]
}

/** Rows, row groups and columns of a file's footer. */
export function checkAssembled({ plan, rowGroups }: Assembled, file: ParquetFile): Finding[] {
  const findings: Finding[] = []
  const expect = (what: string, found: number, expected: number, rowGroup?: number) => {
    if (found === expected) return
    findings.push({ message: `${found} ${what}, expected ${expected}`, ...(rowGroup !== undefined && { rowGroup }) })
  }
  expect(
    'rows',
    file.rows,
    rowGroups.reduce((sum, { rows }) => sum + rows, 0),
  )
  expect('row groups', file.rowGroups.length, rowGroups.length)
  expect('columns', file.leaves.length, plan.columns.length)
  for (const [i, { rows }] of rowGroups.entries()) expect('rows', file.rowGroups[i]?.rows ?? 0, rows, i)
  return findings
}

/** Every byte in front of the footer belongs to a chunk that was looked at. */
export function checkPlaces({ chunks }: Assembled, file: ParquetFile): Finding[] {
  let at = MAGIC.length
  const findings: Finding[] = []
  for (const { start, end, column, rowGroup } of chunks) {
    if (start !== at) findings.push({ message: `bytes ${at} to ${start}: it is not known where they come from` })
    at = end
    const written = file.rowGroups[rowGroup]?.columns[file.leaves.findIndex(({ path }) => same(path, column))]
    if (written?.start !== start || written.end !== end)
      findings.push({ column, rowGroup, message: `bytes ${start} to ${end} are in no such column of the footer` })
  }
  return findings
}

/** Whether a chunk of the stored file has the bytes that were looked at. */
export async function checkBytes(
  storage: Storage,
  { object }: ParquetFile,
  { start, end, crc, column, rowGroup }: AssembledChunk,
): Promise<Finding[]> {
  let found = 0
  for (let at = start; at < end; at += READ_BYTES) {
    const window = { start: at, end: Math.min(end, at + READ_BYTES), ifMatch: object.version }
    found = crc32(await storage.read(object.location, window), found)
  }
  return found === crc
    ? []
    : [{ column, rowGroup, message: `bytes ${start} to ${end} are not those that were looked at` }]
}

const READ_BYTES = 4 << 20

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i])
}
