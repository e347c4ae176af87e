import { parquetMetadata, type SchemaElement } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { currentSchema } from '../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { LogicalType, PhysicalType } from '../../lib/parquet/schema.ts'
import type { WrittenColumn, WrittenFile } from '../../lib/parquet/written.ts'
import type { Storage } from '../../lib/storage/storage.ts'

/** Data files for tests, by somebody else's Parquet writer. */

export interface TestColumn {
  readonly name: string
  readonly fieldId: number
  readonly physical: PhysicalType
  readonly logical?: LogicalType
  readonly typeLength?: number
  readonly replaced?: boolean
  /** As hyparquet-writer takes them for the physical type. */
  readonly values: readonly unknown[]
  /** Least and greatest value in PLAIN form. */
  readonly bounds?: readonly [Uint8Array, Uint8Array]
}

/** `id: long, name: string` with ids 1 and 2: enough for most tests. */
export const SIMPLE: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    { id: 1, name: 'id', required: false, type: 'long' },
    { id: 2, name: 'name', required: false, type: 'string' },
  ],
}

export function simpleColumns(ids: readonly number[], options: { replaced?: boolean } = {}): TestColumn[] {
  const names = ids.map((id) => `name ${id}`)
  const sorted = [...names].sort()
  return [
    {
      name: 'id',
      fieldId: 1,
      physical: 'INT64',
      values: ids.map(BigInt),
      bounds: [int64(Math.min(...ids)), int64(Math.max(...ids))],
    },
    {
      name: 'name',
      fieldId: 2,
      physical: 'BYTE_ARRAY',
      logical: { type: 'string' },
      values: names,
      bounds: [utf8(sorted[0] as string), utf8(sorted.at(-1) as string)],
      ...options,
    },
  ]
}

/** Writes a Parquet file with field ids, every column optional. */
export async function writeData(
  storage: Storage,
  location: string,
  columns: readonly TestColumn[],
  rowGroupSize?: number,
): Promise<WrittenFile> {
  const rows = columns[0]?.values.length ?? 0
  const schema: SchemaElement[] = [
    { name: 'root', num_children: columns.length },
    ...columns.map((column) => elementOf(column)),
  ]
  const buffer = parquetWriteBuffer({
    columnData: columns.map(({ name, values }) => ({ name, data: values as never })),
    schema,
    ...(rowGroupSize === undefined ? {} : { rowGroupSize }),
  })
  await storage.create(location, new Uint8Array(buffer))
  const footer = parquetMetadata(buffer)
  return {
    location,
    bytes: buffer.byteLength,
    rows,
    splitOffsets: footer.row_groups.map((group) => {
      const chunk = group.columns[0]?.meta_data
      return Number(chunk?.dictionary_page_offset ?? chunk?.data_page_offset)
    }),
    columns: columns.map(
      ({ name, fieldId, physical, logical, values, bounds, replaced = false }, i): WrittenColumn => ({
        path: [name],
        fieldId,
        physical,
        ...(logical ? { logical } : {}),
        repeated: false,
        replaced,
        bytes: footer.row_groups.reduce((sum, g) => sum + Number(g.columns[i]?.meta_data?.total_compressed_size), 0),
        values: values.length,
        nulls: values.filter((value) => value === null).length,
        ...(bounds ? { min: bounds[0], max: bounds[1] } : {}),
      }),
    ),
  }
}

/** A data file of `SIMPLE` below `location`, ready to be appended. */
export async function simpleFile(
  storage: Storage,
  table: string,
  name: string,
  ids: readonly number[],
): Promise<DataFile> {
  const file = await writeData(storage, `${table}/data/${name}.parquet`, simpleColumns(ids))
  return dataFileFrom(file, SIMPLE, metricsModes(SIMPLE, {}))
}

/** A data file that is only talked about: for tests that never read rows. */
export function namedFile(path: string, rows = 1): DataFile {
  return { content: 'data', path, format: 'PARQUET', partition: new Map(), rows, bytes: 100 }
}

export function columnNames(metadata: TableMetadata): string[] {
  return currentSchema(metadata).fields.map(({ name }) => name)
}

function elementOf({ name, fieldId, physical, logical, typeLength }: TestColumn): SchemaElement {
  const element: Record<string, unknown> = { name, type: physical, repetition_type: 'OPTIONAL', field_id: fieldId }
  if (typeLength !== undefined) element.type_length = typeLength
  switch (logical?.type) {
    case 'string':
      element.converted_type = 'UTF8'
      break
    case 'date':
      element.converted_type = 'DATE'
      break
    case 'decimal':
      Object.assign(element, { converted_type: 'DECIMAL', precision: logical.precision, scale: logical.scale })
      break
    case 'timestamp':
      element.logical_type = { type: 'TIMESTAMP', isAdjustedToUTC: logical.utc, unit: 'MICROS' }
      break
    case 'time':
      element.logical_type = { type: 'TIME', isAdjustedToUTC: logical.utc, unit: 'MICROS' }
      break
    case 'uuid':
      element.logical_type = { type: 'UUID' }
      break
  }
  return element as unknown as SchemaElement
}

export const utf8 = (text: string) => new TextEncoder().encode(text)

export function int64(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true)
  return bytes
}
