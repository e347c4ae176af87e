/**
 * The values that some columns have in each row of a file, as bytes that are equal where the values are: null equal to null, a number to
 * itself whatever the width it was written in, NaN to NaN, and -0 not to 0, as Iceberg's own library has it.
 */
import { PseudolakeError } from '../core/errors.ts'
import { decodeData, decodeDictionary, type RawValues } from '../parquet/decode.ts'
import type { ColumnChunk } from '../parquet/footer.ts'
import type { ParquetFile } from '../parquet/open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from '../parquet/page.ts'
import { rangeReader } from '../parquet/ranges.ts'
import type { LeafNode } from '../parquet/schema.ts'
import type { Storage } from '../storage/storage.ts'
import { type Primitive, primitive } from './types.ts'

/** A column at the top of the table's schema. */
export interface KeyField {
  readonly id: number
  readonly type: Primitive
}

type Family = 'integer' | 'floating' | 'boolean' | 'decimal' | 'bytes'

export interface KeyColumn {
  readonly family: Family
  /** Undefined where the file lacks the column: it is null then. */
  readonly leaf: LeafNode | undefined
}

/** @returns undefined where the file has one of them in a way that cannot be compared, or has columns without field ids */
export function keyColumns({ leaves }: ParquetFile, fields: readonly KeyField[]): readonly KeyColumn[] | undefined {
  if (leaves.some(({ fieldId }) => fieldId === undefined)) return undefined
  const columns: KeyColumn[] = []
  for (const { id, type } of fields) {
    const leaf = leaves.find(({ fieldId }) => fieldId === id)
    const family = familyOf(type)
    if (leaf && !holds(leaf, type, family)) return undefined
    columns.push({ family, leaf })
  }
  return columns
}

function familyOf({ kind }: Primitive): Family {
  switch (kind) {
    case 'boolean':
    case 'decimal':
      return kind
    case 'float':
    case 'double':
      return 'floating'
    case 'string':
    case 'binary':
    case 'fixed':
    case 'uuid':
      return 'bytes'
    default:
      return 'integer'
  }
}

function holds({ physical, logical, path, maxRepetitionLevel, typeLength }: LeafNode, type: Primitive, family: Family) {
  if (path.length > 1 || maxRepetitionLevel > 0) return false
  switch (family) {
    case 'boolean':
      return physical === 'BOOLEAN'
    case 'floating':
      return (physical === 'FLOAT' || physical === 'DOUBLE') && logical === undefined
    case 'decimal':
      return logical?.type === 'decimal' && type.kind === 'decimal' && logical.scale === type.scale
    case 'integer': {
      if (physical !== 'INT32' && physical !== 'INT64') return false
      if (logical?.type === 'integer') return logical.signed && (type.kind === 'int' || type.kind === 'long')
      if (type.kind === 'time') return logical?.type === 'time' && logical.unit === 'micros'
      if (type.kind === 'timestamp' || type.kind === 'timestamptz')
        return logical?.type === 'timestamp' && logical.unit === 'micros'
      return logical === undefined || logical.type === type.kind
    }
    case 'bytes': {
      if (type.kind === 'string' || type.kind === 'binary') return physical === 'BYTE_ARRAY'
      return physical === 'FIXED_LEN_BYTE_ARRAY' && typeLength === (type.kind === 'fixed' ? type.length : 16)
    }
  }
}

/** @returns undefined for a type that has no values to compare, as nested ones */
export function keyField(id: number, type: unknown): KeyField | undefined {
  const known = typeof type === 'string' ? primitive(type) : undefined
  return known && { id, type: known }
}

/** The bytes of one row's values; each says how long it is, so that no two rows that differ look alike. */
export class RowKey {
  bytes = Buffer.allocUnsafe(256)
  length = 0

  null(): void {
    this.#room(1)
    this.bytes[this.length++] = 0
  }

  add(family: Family, values: RawValues, i: number): void {
    const value = values[i] as boolean | number | bigint | Uint8Array
    switch (family) {
      case 'boolean':
        this.#room(1)
        this.bytes[this.length++] = value ? 2 : 1
        return
      case 'integer':
        this.#room(9)
        this.bytes[this.length] = 1
        this.bytes.writeBigInt64LE(BigInt(value as number | bigint), this.length + 1)
        this.length += 9
        return
      case 'floating':
        this.#room(9)
        this.bytes[this.length] = 1
        this.bytes.writeDoubleLE(Number.isNaN(value) ? Number.NaN : (value as number), this.length + 1)
        this.length += 9
        return
      case 'decimal':
        this.#bytes(typeof value === 'object' ? minimal(value) : minimal(bigEndian(BigInt(value))))
        return
      case 'bytes':
        this.#bytes(value as Uint8Array)
    }
  }

  #bytes(value: Uint8Array): void {
    this.#room(5 + value.length)
    this.bytes[this.length] = 1
    this.bytes.writeUInt32LE(value.length, this.length + 1)
    this.bytes.set(value, this.length + 5)
    this.length += 5 + value.length
  }

  #room(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const bytes = Buffer.allocUnsafe(2 * (this.length + more))
    bytes.set(this.bytes.subarray(0, this.length))
    this.bytes = bytes
  }
}

function bigEndian(value: bigint): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

const ZERO = Uint8Array.of(0)

/** Two's complement without the bytes in front that only repeat the sign. Some writers have no byte at all for 0. */
function minimal(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return ZERO
  let from = 0
  while (from + 1 < bytes.length) {
    const [byte, next] = [bytes[from] as number, bytes[from + 1] as number]
    if (!(byte === 0 && next < 0x80) && !(byte === 0xff && next >= 0x80)) break
    from++
  }
  return bytes.subarray(from)
}

/** Entries of a dictionary, with room for what a caller knows of each. */
export interface Entries {
  readonly values: RawValues
  /** NaN where nothing is known. */
  readonly known: Float64Array
}

/** Rows of one column, page by page. */
class Cursor {
  /** Rows of the page that are left. */
  left = 0
  readonly #column: KeyColumn
  readonly #pages: AsyncGenerator<Page, void, undefined> | undefined
  readonly #chunk: ColumnChunk | undefined
  #entries: Entries | undefined
  #definition: Uint8Array | undefined
  #indices: Int32Array | undefined
  #values: RawValues = []
  #row = 0
  #present = 0

  constructor(storage: Storage, file: ParquetFile, column: KeyColumn, rowGroup: number, signal?: AbortSignal) {
    this.#column = column
    const { leaf } = column
    const group = file.rowGroups[rowGroup]
    if (!leaf) {
      this.left = group?.rows ?? 0
      return
    }
    const { location } = file.object
    const chunk = group?.columns[leaf.column]
    if (!chunk)
      throw new PseudolakeError('input/corrupt', `${location}: row group ${rowGroup} lacks a column`, { location })
    this.#chunk = chunk
    const source = rangeReader(storage, file.object, [[chunk.start, chunk.end]], signal)
    this.#pages = readPages(source, chunk, { location, column: leaf.path, rowGroup }, signal ? { signal } : {})
  }

  /** @returns false where there are no more rows */
  async load(): Promise<boolean> {
    const { leaf } = this.#column
    while (this.left === 0) {
      const next = await this.#pages?.next()
      if (!next || next.done || !leaf || !this.#chunk) return false
      const page = next.value
      const { codec } = this.#chunk
      if (page.header.type === PAGE.DICTIONARY) {
        const values = decodeDictionary(page as Page<DictionaryHeader>, leaf, codec)
        this.#entries = { values: copied(values), known: new Float64Array(values.length).fill(Number.NaN) }
        continue
      }
      const decoded = decodeData(page as Page<DataHeader>, leaf, codec, this.#entries?.values.length)
      this.#definition = decoded.definition
      this.#indices = decoded.indices
      this.#values = decoded.values ?? []
      this.#row = 0
      this.#present = 0
      this.left = decoded.count
    }
    return true
  }

  async end(): Promise<void> {
    await this.#pages?.return()
  }

  /** The dictionary, where the next row's value is in it. */
  get entries(): Entries | undefined {
    return this.#indices && !this.#isNull() ? this.#entries : undefined
  }

  /** Of the next row's value in the dictionary. */
  get entry(): number {
    return this.#indices?.[this.#present] as number
  }

  addTo(key: RowKey): void {
    const { family } = this.#column
    if (this.#isNull()) key.null()
    else if (this.#indices) key.add(family, this.#entries?.values as RawValues, this.entry)
    else key.add(family, this.#values, this.#present)
  }

  next(): void {
    if (!this.#isNull()) this.#present++
    this.#row++
    this.left--
  }

  #isNull(): boolean {
    const { leaf } = this.#column
    return !leaf || (this.#definition !== undefined && this.#definition[this.#row] !== leaf.maxDefinitionLevel)
  }
}

/** A page's bytes are valid until the next one is asked for; a dictionary is needed longer. */
function copied(values: RawValues): RawValues {
  if (ArrayBuffer.isView(values)) return values.slice()
  return Array.isArray(values) && typeof values[0] === 'object'
    ? (values as readonly Uint8Array[]).map((value) => value.slice())
    : values
}

/**
 * Each row of a row group, in order. `visit` is called with a function that makes the row's key, and with the dictionary's entry where the one
 * column's value is in a dictionary; it returns false to end it. Memory: a page and a dictionary of each column.
 * @returns false where it was ended
 */
export async function visitRows(
  storage: Storage,
  file: ParquetFile,
  columns: readonly KeyColumn[],
  rowGroup: number,
  visit: (row: number, keyOf: () => RowKey, entries: Entries | undefined, entry: number) => boolean,
  signal?: AbortSignal,
): Promise<boolean> {
  const rows = file.rowGroups[rowGroup]?.rows ?? 0
  const cursors = columns.map((column) => new Cursor(storage, file, column, rowGroup, signal))
  const [single] = cursors.length === 1 ? cursors : []
  const key = new RowKey()
  const keyOf = () => {
    key.length = 0
    for (const cursor of cursors) cursor.addTo(key)
    return key
  }
  try {
    for (let row = 0; row < rows; ) {
      for (const cursor of cursors)
        if (!(await cursor.load())) {
          const { location } = file.object
          throw new PseudolakeError('input/corrupt', `${location}: row group ${rowGroup} has fewer values than rows`, {
            location,
          })
        }
      const until = row + Math.min(rows - row, ...cursors.map(({ left }) => left))
      for (; row < until; row++) {
        const entries = single?.entries
        if (!visit(row, keyOf, entries, entries ? (single as Cursor).entry : -1)) return false
        for (const cursor of cursors) cursor.next()
      }
    }
    return true
  } finally {
    for (const cursor of cursors) await cursor.end()
  }
}
