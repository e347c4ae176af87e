import { PseudolakeError } from '../../core/errors.ts'
import { type MergePart, mergeFiles } from '../../parquet/merge.ts'
import { openParquet, type ParquetFile } from '../../parquet/open.ts'
import type { RewritePlan } from '../../parquet/plan.ts'
import type { WrittenFile } from '../../parquet/written.ts'
import type { Storage } from '../../storage/storage.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { currentSchema, sortedBy, type TableMetadata } from '../metadata.ts'
import { dataFileFrom, metricsModes } from '../metrics.ts'
import { readPositionDeletes } from '../position-deletes.ts'
import { openMergeable } from './compact-file.ts'
import type { Bin, BinFile } from './compact-plan.ts'
import { Positions } from './positions.ts'

export interface BinWork {
  readonly storage: Storage
  readonly metadata: TableMetadata
  readonly replaced: ReadonlySet<number>
  readonly createdBy: string
  /** Of the new file, as the table spells it. */
  readonly path: string
  readonly signal?: AbortSignal
  readonly onProgress: (bytes: number) => void
  /** Rows that are deleted by equal values, by path; of files where some are. */
  readonly struck: ReadonlyMap<string, Positions>
  /** Values that become null, by field id and their bytes. @default none */
  readonly nulled?: Nulled
  /** Looks at the new file before anybody lists it: throws where it must not be. */
  readonly inspect?: (location: string) => Promise<void>
}

export type Nulled = ReadonlyMap<number, (value: Uint8Array) => boolean>

export interface MergedBin {
  /** Missing where no row was left. */
  readonly file?: DataFile
  readonly deletedRows: number
}

/**
 * Writes a bin's rows as one file, without those that are deleted, and holds the file against its inputs before anybody lists it. Memory:
 * a bit for each row of the files that have deletes, and a few pages.
 * @throws PseudolakeError `gate/failed` when the new file is not what its inputs make it; `input/*`, `table/invalid`, `storage/*`
 */
export async function mergeBin(bin: Bin, work: BinWork): Promise<MergedBin> {
  const { storage, metadata, replaced, createdBy, path, signal, nulled, struck } = work
  const deleted = await deletedRows(bin.files, storage, struck, signal)
  const nulls = new Map<number, number | undefined>()
  let before = 0
  async function* parts(): AsyncGenerator<MergePart> {
    for (const [i, file] of bin.files.entries()) {
      const opened = await openMergeable(storage, file, metadata, replaced, signal)
      if (opened === 'schema' || opened.print !== bin.print)
        throw new PseudolakeError('storage/changed', `${file.path} is no longer the file that was planned with`, {
          location: file.path,
        })
      addNulls(opened.file, nulls)
      const rows = deleted[i]
      const nulledAt = nulled && positionsOf(opened.plan, nulled)
      yield {
        ...opened,
        ...(rows && { isKept: (row: number) => !rows.has(row) }),
        ...(nulledAt && { nulled: nulledAt }),
      }
      before += file.bytes
    }
  }
  const location = storageLocation(path)
  const written = await mergeFiles(parts(), {
    storage,
    writer: await storage.write(location),
    createdBy,
    ...(signal && { signal }),
    onProgress: () => work.onProgress(before),
  })
  work.onProgress(bin.bytes)
  const gone = deleted.reduce((sum, rows) => sum + (rows?.count ?? 0), 0)
  const expected = bin.files.reduce((sum, { rows }) => sum + rows, 0) - gone
  if (!written) {
    if (expected !== 0) throw failed(path, `has no rows, its inputs ${expected}`)
    return { deletedRows: gone }
  }
  try {
    await requireSame(storage, written, expected, gone === 0 ? unedited(nulls, nulled) : undefined, signal)
    await work.inspect?.(location)
  } catch (error) {
    await storage.delete(location)
    throw error
  }
  const schema = currentSchema(metadata)
  const modes = metricsModes(schema, metadata.properties, sortedBy(metadata))
  return { file: dataFileFrom(written, schema, modes, path), deletedRows: gone }
}

/** By position of the column in the output. */
function positionsOf({ columns }: RewritePlan, nulled: Nulled) {
  return new Map(
    columns.flatMap(({ leaf }, i) => {
      const isNulled = nulled.get(leaf.fieldId ?? -1)
      return isNulled ? [[i, isNulled] as const] : []
    }),
  )
}

function unedited(nulls: ReadonlyMap<number, number | undefined>, nulled: Nulled = new Map()) {
  return new Map([...nulls].filter(([id]) => !nulled.has(id)))
}

/** Deleted rows of each file; undefined where it has none. */
async function deletedRows(
  files: readonly BinFile[],
  storage: Storage,
  struck: ReadonlyMap<string, Positions>,
  signal: AbortSignal | undefined,
): Promise<(Positions | undefined)[]> {
  const numbers = new Map(files.map(({ path }, i) => [storageLocation(path), i]))
  const deletes = new Map(files.flatMap((file) => file.deletes.map((each) => [each.path, each])))
  const found = files.map(({ path }) => struck.get(path))
  for (const file of deletes.values()) {
    const isAbout = files.map((each) => each.deletes.some(({ path }) => path === file.path))
    const numberOf = (location: string) => {
      const number = numbers.get(location) ?? -1
      return isAbout[number] ? number : -1
    }
    const take = (number: number, position: number) => {
      found[number] ??= new Positions((files[number] as BinFile).rows)
      found[number].add(position)
    }
    await readPositionDeletes(storage, file, { numberOf, take }, signal)
  }
  return found
}

/** Nulls of each column over the files, by field id; undefined where one does not say. */
function addNulls(file: ParquetFile, nulls: Map<number, number | undefined>): void {
  for (const { column, fieldId = -1 } of file.leaves)
    for (const { columns } of file.rowGroups) {
      const said = columns[column]?.statistics?.nulls
      const sum = nulls.has(fieldId) ? nulls.get(fieldId) : 0
      nulls.set(fieldId, said === undefined || sum === undefined ? undefined : sum + said)
    }
}

/** The file as a reader finds it, against what it was made of. */
async function requireSame(
  storage: Storage,
  written: WrittenFile,
  rows: number,
  nulls: ReadonlyMap<number, number | undefined> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { location } = written
  const file = await openParquet(storage, await storage.stat(location), signal ? { signal } : {})
  if (file.object.bytes !== written.bytes) throw failed(location, 'has another size than was written')
  if (file.rows !== rows) throw failed(location, `has ${file.rows} rows, its inputs ${rows}`)
  const found = new Map<number, number | undefined>()
  addNulls(file, found)
  for (const [id, count] of found) {
    const expected = nulls?.get(id)
    if (count !== undefined && expected !== undefined && count !== expected)
      throw failed(location, `field ${id} has ${count} nulls, its inputs ${expected}`)
  }
}

function failed(location: string, what: string): PseudolakeError {
  return new PseudolakeError('gate/failed', `${location}: ${what}`, { location })
}
