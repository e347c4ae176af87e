/** One data or delete file, held against what its manifest says and against the pins of the table. */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { openParquet, type ParquetFile } from '../../lib/parquet/open.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { pathKey } from '../../lib/parquet/schema.ts'
import { ThriftEnd, ThriftInvalid } from '../../lib/parquet/thrift.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { leafNames } from '../columns.ts'
import { wrongChecksum } from './checksum.ts'
import type { Finding, Findings } from './findings.ts'
import { checkFooter, readRawFooter, unreferencedBytes } from './footer.ts'
import { checkPages } from './pages.ts'
import type { Protected } from './protected.ts'

export interface DataFileChecks {
  readonly storage: Storage
  readonly protectedColumns: Protected
  readonly findings: Findings
  /** Every page of every column; else footers, and of replaced columns the dictionaries and first pages. */
  readonly full: boolean
  readonly signal: AbortSignal | undefined
}

/** @returns bytes of the file, 0 where it is missing */
export async function checkDataFile(entry: DataFile, checks: DataFileChecks): Promise<number> {
  const { storage, findings, protectedColumns, signal } = checks
  const location = storageLocation(entry.path)
  const add = (finding: Omit<Finding, 'location'>) => findings.add({ location, ...finding })
  signal?.throwIfAborted()
  checkBounds(entry, protectedColumns, add)
  let object: Awaited<ReturnType<Storage['stat']>>
  try {
    object = await storage.stat(location)
  } catch (error) {
    if (!isPseudolakeError(error, 'storage/not-found')) throw error
    add({ kind: 'missing-file', message: 'the data file is not there' })
    return 0
  }
  if (object.bytes !== entry.bytes)
    add({ kind: 'size-differs', message: `has ${object.bytes} bytes, its manifest says ${entry.bytes}` })
  const wrong = checks.full ? await wrongChecksum(storage, object, signal) : undefined
  if (wrong !== undefined) add({ kind: 'checksum-differs', message: wrong })
  if (entry.format.toUpperCase() !== 'PARQUET') {
    // Deletion vectors are positions only.
    if (entry.format.toUpperCase() !== 'PUFFIN')
      add({ kind: 'unreadable', message: `is of format ${entry.format}, which is not looked into` })
    return object.bytes
  }
  try {
    const remembered = rememberingReads(storage)
    const file = await openParquet(remembered, object, signal ? { signal } : {})
    await checkParquet(file, entry, remembered, checks, add)
  } catch (error) {
    if (error instanceof ThriftInvalid || error instanceof ThriftEnd)
      add({ kind: 'unreadable', message: `cannot be read: ${error.message}` })
    else if (isPseudolakeError(error, 'input/corrupt', 'input/not-parquet', 'input/unsupported', 'input/encrypted'))
      add({ kind: 'unreadable', message: error.message })
    else throw error
  }
  return object.bytes
}

async function checkParquet(
  file: ParquetFile,
  entry: DataFile,
  storage: Storage,
  { protectedColumns, full, signal }: DataFileChecks,
  add: (finding: Omit<Finding, 'location'>) => void,
): Promise<void> {
  const ours = file.createdBy?.startsWith('pseudolake ') ?? false
  if (file.rows !== entry.rows)
    add({ kind: 'row-count', message: `has ${file.rows} rows, its manifest says ${entry.rows}` })
  const replaced = replacedLeaves(file, protectedColumns)
  checkCounts(file, entry, add)
  const { raw, start } = await readRawFooter(storage, file)
  await checkFooter(raw, { storage, file, replaced, ours, add })
  const holes = ours ? unreferencedBytes(file, start) : 0
  if (holes > 0) add({ kind: 'unreferenced-bytes', message: `${holes} bytes belong to no column` })
  for (const leaf of file.leaves) {
    const column = replaced.get(leaf)
    if (column === undefined && !full) continue
    for (let rowGroup = 0; rowGroup < file.rowGroups.length; rowGroup++) {
      signal?.throwIfAborted()
      await checkPages({ storage, file, leaf, rowGroup, column, ours, full, signal, add })
    }
  }
}

function replacedLeaves(file: ParquetFile, { ids, names }: Protected): ReadonlyMap<LeafNode, string> {
  const called = leafNames(file.root)
  return new Map(
    file.leaves.flatMap((leaf): [LeafNode, string][] => {
      const name = called.get(pathKey(leaf.path)) ?? ''
      const column = leaf.fieldId === undefined ? (names.has(name) ? name : undefined) : ids.get(leaf.fieldId)
      return column === undefined ? [] : [[leaf, column]]
    }),
  )
}

/** What a manifest says of a column against the sum over the row groups. */
function checkCounts(file: ParquetFile, entry: DataFile, add: (finding: Omit<Finding, 'location'>) => void): void {
  const ours = file.createdBy?.startsWith('pseudolake ') ?? false
  for (const leaf of file.leaves) {
    if (leaf.fieldId === undefined) continue
    // Iceberg's library counts floats as it writes them, and does not come by where a group above is null.
    if (!ours && (leaf.physical === 'FLOAT' || leaf.physical === 'DOUBLE') && leaf.path.length > 1) continue
    const chunks = file.rowGroups.flatMap(({ columns }) => columns[leaf.column] ?? [])
    const column = leaf.path.join('.')
    const values = chunks.reduce((sum, chunk) => sum + chunk.values, 0)
    const said = entry.valueCounts?.get(leaf.fieldId)
    if (said !== undefined && said !== values)
      add({ kind: 'column-counts', column, message: `the manifest says ${said} values, the footer ${values}` })
    const saidNulls = entry.nullCounts?.get(leaf.fieldId)
    if (saidNulls === undefined || chunks.some(({ statistics }) => statistics?.nulls === undefined)) continue
    const nulls = chunks.reduce((sum, { statistics }) => sum + (statistics?.nulls ?? 0), 0)
    if (saidNulls !== nulls)
      add({ kind: 'column-counts', column, message: `the manifest says ${saidNulls} nulls, the footer ${nulls}` })
  }
}

function checkBounds(entry: DataFile, { ids }: Protected, add: (finding: Omit<Finding, 'location'>) => void): void {
  for (const [id, column] of ids)
    if (entry.lowerBounds?.has(id) || entry.upperBounds?.has(id))
      add({ kind: 'bounds', column, message: 'the manifest has bounds of its values' })
}

/** Two looks at the end of a file, one as its reader has it and one raw, are one read. */
function rememberingReads(storage: Storage): Storage {
  let last: { location: string; start: number; end: number; version: string | undefined; bytes: Uint8Array } | undefined
  return {
    ...storage,
    async read(location, options = {}) {
      const { start = 0, end, ifMatch } = options
      if (last && end !== undefined && last.location === location && last.version === ifMatch)
        if (start >= last.start && end <= last.end) return last.bytes.subarray(start - last.start, end - last.start)
      const bytes = await storage.read(location, options)
      last = { location, start, end: start + bytes.length, version: ifMatch, bytes }
      return bytes
    },
  }
}
