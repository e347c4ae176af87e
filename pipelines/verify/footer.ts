/**
 * What a Parquet footer says beside what readers need: the fields that lib/parquet/footer.ts leaves out on purpose, read raw, because a
 * value that got out would be in just those. (parquet-format, parquet.thrift.)
 */
import type { ParquetFile } from '../../lib/parquet/open.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import {
  get,
  readStruct,
  ThriftEnd,
  ThriftInvalid,
  type ThriftList,
  type ThriftStruct,
} from '../../lib/parquet/thrift.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Finding } from './findings.ts'
import { isHarmlessBound } from './forms.ts'

/** Fields that files of ours have; anything else in them was put there by somebody else. */
const OURS = {
  file: [1, 2, 3, 4, 6, 7],
  rowGroup: [1, 2, 3, 5, 6, 7],
  chunk: [2, 3],
  column: [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13],
  statistics: [3, 5, 6, 7, 8],
}
/** Keys of metadata that Spark, PyIceberg, DuckDB and Iceberg's own library write: schemas and versions. */
const KNOWN_KEYS =
  /^(?:iceberg\.schema|ARROW:schema|parquet\.avro\.schema|avro\.schema|writer\.model\.name|write\.metadata\..*|delete-type|delete-field-ids|org\.apache\.spark\.(?:version|timeZone|legacyDateTime|legacyINT96|sql\.parquet\.row\.metadata))$/
const MAX_INDEX_BYTES = 64 << 20

const STATISTICS_BOUNDS = [1, 2, 5, 6]

export interface FooterChecks {
  readonly storage: Storage
  readonly file: ParquetFile
  /** The name of a replaced column by leaf. */
  readonly replaced: ReadonlyMap<LeafNode, string>
  /** Whether pseudolake wrote the file: then it must hold nothing that pseudolake does not write. */
  readonly ours: boolean
  readonly add: (finding: Omit<Finding, 'location'>) => void
}

/** The footer's bytes, as they are. */
export async function readRawFooter(
  storage: Storage,
  { object }: ParquetFile,
): Promise<{ raw: ThriftStruct; start: number }> {
  const { location, bytes, version } = object
  const tail = await storage.read(location, { start: bytes - 8, ifMatch: version })
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true)
  const start = bytes - 8 - length
  const footer = await storage.read(location, { start, end: bytes - 8, ifMatch: version })
  return { raw: readStruct(footer).value, start }
}

/** Statistics, filters and metadata that could hold or betray values of replaced columns. */
export async function checkFooter(raw: ThriftStruct, checks: FooterChecks): Promise<void> {
  const { file, replaced, ours, add } = checks
  checkKeyValues(raw, 'the footer', ours, add)
  const unknown = (of: ThriftStruct, known: readonly number[], what: string, where: Partial<Finding> = {}) => {
    if (!ours) return
    const extra = [...of.keys()].filter((id) => !known.includes(id))
    if (extra.length > 0) add({ kind: 'unknown-field', message: `${what} has field ${extra.join(', ')}`, ...where })
  }
  unknown(raw, [...OURS.file, 5], 'the footer')
  for (const [index, group] of (get.structs(raw, 4) ?? []).entries()) {
    unknown(group, OURS.rowGroup, 'a row group', { row_group: index })
    for (const leaf of file.leaves) {
      const chunk = get.structs(group, 1)?.[leaf.column]
      const meta = chunk && get.struct(chunk, 3)
      if (!chunk || !meta) continue
      const column = replaced.get(leaf)
      const at = { row_group: index, column: column ?? leaf.path.join('.') }
      const statistics = get.struct(meta, 12)
      unknown(chunk, OURS.chunk, 'a column', at)
      // Of replaced columns these are told by their own names below.
      unknown(meta, column === undefined ? OURS.column : [...OURS.column, 8, 14, 15], 'a column’s metadata', at)
      if (statistics) unknown(statistics, [...OURS.statistics, 1, 2], 'the statistics', at)
      if (column === undefined) continue
      const bounds = statistics ? STATISTICS_BOUNDS.flatMap((id) => get.bytes(statistics, id) ?? []) : []
      const leaks = ours ? bounds.length : bounds.filter((bound) => !isHarmlessBound(bound)).length
      if (leaks > 0) add({ kind: 'statistics', message: `the footer has ${leaks} bounds of its values`, ...at })
      if (meta.has(14)) add({ kind: 'bloom-filter', message: 'has a bloom filter', ...at })
      checkKeyValues(meta, 'its metadata', true, (finding) => add({ ...finding, ...at }), 8)
      await checkColumnIndex(chunk, at, checks)
    }
  }
}

function checkKeyValues(of: ThriftStruct, what: string, ours: boolean, add: FooterChecks['add'], field = 5): void {
  const pairs = get.structs(of, field) ?? []
  const keys = pairs.map((pair) => printable(get.bytes(pair, 1)))
  const odd = ours ? keys : keys.filter((key) => !KNOWN_KEYS.test(key))
  if (odd.length > 0)
    add({
      kind: 'key-value-metadata',
      message: `${what} has key-value metadata (${odd.length} keys that are not expected)`,
    })
}

/** Only compared with known keys, never shown: a key is as free as a value. */
function printable(bytes: Uint8Array | undefined): string {
  return bytes ? Buffer.from(bytes).toString('utf8') : ''
}

/** ColumnIndex: the least and greatest value of every page. */
async function checkColumnIndex(
  chunk: ThriftStruct,
  at: { readonly row_group: number; readonly column: string },
  { storage, file, ours, add }: FooterChecks,
): Promise<void> {
  const start = get.count(chunk, 6)
  const length = get.count(chunk, 7)
  if (start === undefined || length === undefined || length === 0) return
  if (ours) return add({ kind: 'statistics', message: 'has a column index', ...at })
  const { location, bytes, version } = file.object
  let leaks: number
  try {
    if (length > MAX_INDEX_BYTES || start + length > bytes) throw new ThriftInvalid('beyond the file')
    const index = readStruct(await storage.read(location, { start, end: start + length, ifMatch: version })).value
    const bounds = [2, 3].flatMap((id) => (index.get(id)?.value as ThriftList | undefined)?.items ?? [])
    leaks = bounds.filter((bound) => !(bound instanceof Uint8Array && isHarmlessBound(bound))).length
  } catch (error) {
    if (!(error instanceof ThriftInvalid || error instanceof ThriftEnd)) throw error
    return add({ kind: 'unreadable', message: 'its column index cannot be read', ...at })
  }
  if (leaks > 0) add({ kind: 'statistics', message: `the column index has ${leaks} bounds of its values`, ...at })
}

/** Bytes between the magic and the footer that belong to no chunk. */
export function unreferencedBytes(file: ParquetFile, footerStart: number): number {
  const ranges = file.rowGroups
    .flatMap(({ columns }) => columns.filter(({ values }) => values > 0))
    .map(({ start, end }) => [start, end] as const)
    .sort((a, b) => a[0] - b[0])
  let at = 4
  let holes = 0
  for (const [start, end] of ranges) {
    holes += Math.max(0, start - at)
    at = Math.max(at, end)
  }
  return holes + Math.max(0, footerStart - at)
}
