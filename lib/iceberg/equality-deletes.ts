import pLimit from 'p-limit'
import { PseudolakeError } from '../core/errors.ts'
import { openParquet, type ParquetFile } from '../parquet/open.ts'
import type { Storage } from '../storage/storage.ts'
import { hashOf, KeyTable } from './key-table.ts'
import { storageLocation } from './locations.ts'
import { currentSchema, type TableMetadata } from './metadata.ts'
import { type KeyField, keyColumns, keyField, visitRows } from './row-keys.ts'
import type { PlannedDelete } from './scan.ts'

/**
 * Equality-delete files: rows of equal values in files that are older go (Iceberg specification, "Equality Delete Files"). Of unpartitioned
 * files only, to which each delete file without a partition applies.
 */

/** A data file that is asked about. */
export interface AskedFile {
  readonly path: string
  /** Of deletes only those of higher numbers apply. */
  readonly sequenceNumber: number
}

export interface EqualityOptions {
  /** What keys may take; where there are more, files are read several times. @default 64 MiB */
  readonly maxBytes?: number
  readonly signal?: AbortSignal
}

const DEFAULT_MAX_BYTES = 64 << 20
/** Files that are read at a time. */
const AT_ONCE = 2
/** Beyond this there is no point in going on: each is a pass over all files. */
const MOST_PARTS = 1 << 12

/** The columns of a delete file that say which rows go; undefined where these cannot be compared here, as nested ones. */
export function equalityFields(metadata: TableMetadata, ids: readonly number[] = []): readonly KeyField[] | undefined {
  // Of a column that was dropped, what the newest schema says that has it.
  const schemas = [...metadata.schemas, currentSchema(metadata)].reverse()
  const fields = ids
    .toSorted((a, b) => a - b)
    .map((id) => {
      const field = schemas.flatMap((schema) => schema.fields).find((each) => each.id === id)
      return field && keyField(id, field.type)
    })
  return fields.length > 0 && fields.every((field) => field !== undefined) ? fields : undefined
}

interface Group {
  readonly fields: readonly KeyField[]
  readonly deletes: readonly PlannedDelete[]
  readonly newest: number
  /** Keys are told apart by their hashes into so many parts, each of which has room. */
  parts: number
}

export class EqualityDeletes {
  readonly #storage: Storage
  readonly #groups: readonly Group[]
  readonly #maxBytes: number
  readonly #signal: AbortSignal | undefined
  #held: { readonly group: Group; readonly part: number; readonly parts: number; readonly table: KeyTable } | undefined

  /** @param deletes whose `equalityFields` are known, of no partition, in Parquet and not encrypted */
  constructor(
    storage: Storage,
    metadata: TableMetadata,
    deletes: readonly PlannedDelete[],
    { maxBytes = DEFAULT_MAX_BYTES, signal }: EqualityOptions = {},
  ) {
    this.#storage = storage
    this.#maxBytes = maxBytes
    this.#signal = signal
    const keyOf = ({ equalityIds = [] }: PlannedDelete) => equalityIds.toSorted((a, b) => a - b).join()
    this.#groups = [...Map.groupBy(deletes, keyOf).values()].map((group) => ({
      fields: equalityFields(metadata, group[0]?.equalityIds) ?? [],
      deletes: group,
      newest: Math.max(...group.map(({ sequenceNumber }) => sequenceNumber)),
      parts: 1,
    }))
  }

  /**
   * @param take called for each row that is deleted, by its position in the file, in any order and maybe more than once; returns false where
   *   the file is of no more interest
   * @returns numbers of the files whose columns cannot be compared: those without field ids, say
   * @throws PseudolakeError `table/invalid` for a delete file that lacks a column it should have; `input/*`, `storage/*`
   */
  async find(files: readonly AskedFile[], take: (file: number, row: number) => boolean): Promise<ReadonlySet<number>> {
    const done = new Set<number>()
    const unreadable = new Set<number>()
    const limit = pLimit(AT_ONCE)
    for (const group of this.#groups)
      for (let part = 0; part < group.parts; part++) {
        const asked = [...files.keys()].filter(
          (i) => (files[i] as AskedFile).sequenceNumber < group.newest && !done.has(i) && !unreadable.has(i),
        )
        if (asked.length === 0) break
        const before = group.parts
        const table = await this.#tableOf(group, part)
        // There are more parts than were thought: rows that were found in an earlier part are found again, which does no harm.
        if (group.parts !== before) part = 0
        await Promise.all(
          asked.map((i) =>
            limit(async () => {
              const { path, sequenceNumber } = files[i] as AskedFile
              const file = await this.#open(path)
              const columns = keyColumns(file, group.fields)
              if (!columns) unreadable.add(i)
              else if (!(await this.#visit(file, columns, group, part, table, sequenceNumber, (row) => take(i, row))))
                done.add(i)
            }),
          ),
        )
      }
    return unreadable
  }

  async #visit(
    file: ParquetFile,
    columns: Parameters<typeof visitRows>[2],
    { parts }: Group,
    part: number,
    table: KeyTable,
    sequenceNumber: number,
    take: (row: number) => boolean,
  ): Promise<boolean> {
    let start = 0
    for (const [rowGroup, { rows }] of file.rowGroups.entries()) {
      const goOn = await visitRows(
        this.#storage,
        file,
        columns,
        rowGroup,
        (row, keyOf, entries, entry) => {
          let newest = entries?.known[entry] ?? Number.NaN
          if (Number.isNaN(newest)) {
            const { bytes, length } = keyOf()
            const hash = hashOf(bytes, length)
            newest = partOf(hash, parts) === part ? table.sequenceOf(bytes, length, hash) : -1
            if (entries) entries.known[entry] = newest
          }
          return newest <= sequenceNumber || take(start + row)
        },
        this.#signal,
      )
      if (!goOn) return false
      start += rows
    }
    return true
  }

  /** Keys of a part. `group.parts` is more afterwards where one part has no room: then it is the first of those. */
  async #tableOf(group: Group, part: number): Promise<KeyTable> {
    const held = this.#held
    if (held && held.group === group && held.part === part && held.parts === group.parts) return held.table
    this.#held = undefined
    let wanted = part
    for (;;) {
      const table = new KeyTable(this.#maxBytes)
      if (await this.#fill(table, group, wanted)) {
        this.#held = { group, part: wanted, parts: group.parts, table }
        return table
      }
      group.parts *= 2
      wanted = 0
      if (group.parts > MOST_PARTS)
        throw new PseudolakeError('table/unsupported', 'there are more equality deletes than there is memory for', {
          hint: 'Compact the table with Spark first.',
        })
    }
  }

  async #fill(table: KeyTable, { fields, deletes, parts }: Group, part: number): Promise<boolean> {
    for (const { path, sequenceNumber } of deletes) {
      const file = await this.#open(path)
      const columns = keyColumns(file, fields)
      if (!columns || columns.some(({ leaf }) => leaf === undefined))
        throw new PseudolakeError(
          'table/invalid',
          `${file.object.location}: it lacks a column by which it deletes, or has it as another type`,
          { location: file.object.location },
        )
      for (const rowGroup of file.rowGroups.keys()) {
        const fits = await visitRows(
          this.#storage,
          file,
          columns,
          rowGroup,
          (_row, keyOf, entries, entry) => {
            if (entries?.known[entry] === sequenceNumber) return true
            if (entries) entries.known[entry] = sequenceNumber
            const { bytes, length } = keyOf()
            const hash = hashOf(bytes, length)
            return partOf(hash, parts) !== part || table.put(bytes, length, hash, sequenceNumber)
          },
          this.#signal,
        )
        if (!fits) return false
      }
    }
    return true
  }

  async #open(path: string): Promise<ParquetFile> {
    const signal = this.#signal
    const object = await this.#storage.stat(storageLocation(path))
    return openParquet(this.#storage, object, signal ? { signal } : {})
  }
}

/** By the highest bits: the table's slots go by the lowest. */
function partOf(hash: number, parts: number): number {
  return Math.floor((hash / 2 ** 32) * parts)
}
