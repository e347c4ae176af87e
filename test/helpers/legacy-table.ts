/**
 * A table as the reference's job left it: format version 1, manifests by the names that Iceberg 0.13 gave their fields, no pin and no mark,
 * and the pseudonym of a text in the place of missing values. Data files are DuckDB's.
 */
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeContainer } from '../../lib/avro/container.ts'
import type { AvroSchema } from '../../lib/avro/types.ts'
import { stringifyJson } from '../../lib/core/json.ts'
import { duckdb } from './lake.ts'

const FIELDS = ['dept_id', 's_vin', 'example_ts'].map((name, i) => ({
  id: i + 1,
  name,
  required: false,
  type: 'string',
}))
const SNAPSHOT = 8_123_456_789_012_345_678n

const field = (id: number, name: string, type: unknown, optional = false) => ({
  name,
  type: optional ? ['null', type] : type,
  ...(optional && { default: null }),
  'field-id': id,
})

const ENTRY = {
  type: 'record',
  name: 'manifest_entry',
  fields: [
    field(0, 'status', 'int'),
    field(1, 'snapshot_id', 'long', true),
    field(2, 'data_file', {
      type: 'record',
      name: 'r2',
      fields: [
        field(100, 'file_path', 'string'),
        field(101, 'file_format', 'string'),
        field(102, 'partition', { type: 'record', name: 'r102', fields: [] }),
        field(103, 'record_count', 'long'),
        field(104, 'file_size_in_bytes', 'long'),
        field(105, 'block_size_in_bytes', 'long'),
      ],
    }),
  ],
} as unknown as AvroSchema

const LIST = {
  type: 'record',
  name: 'manifest_file',
  fields: [
    field(500, 'manifest_path', 'string'),
    field(501, 'manifest_length', 'long'),
    field(502, 'partition_spec_id', 'int'),
    field(503, 'added_snapshot_id', 'long', true),
    field(504, 'added_data_files_count', 'int', true),
    field(505, 'existing_data_files_count', 'int', true),
    field(506, 'deleted_data_files_count', 'int', true),
    field(512, 'added_rows_count', 'long', true),
    field(513, 'existing_rows_count', 'long', true),
    field(514, 'deleted_rows_count', 'long', true),
  ],
} as unknown as AvroSchema

/** @param selects of the three columns, one for each data file; `rows` as each gives */
export async function legacyTable(
  location: string,
  files: readonly { readonly select: string; readonly rows: number }[],
): Promise<void> {
  mkdirSync(join(location, 'data'), { recursive: true })
  mkdirSync(join(location, 'metadata'), { recursive: true })
  const entries = []
  for (const [i, { select, rows }] of files.entries()) {
    const path = join(location, 'data', `0000${i}-0-legacy-00001.parquet`)
    await duckdb(`copy (${select}) to '${path}' (format parquet, field_ids {dept_id: 1, s_vin: 2, example_ts: 3})`)
    const size = BigInt(statSync(path).size)
    entries.push({
      status: 1,
      snapshot_id: SNAPSHOT,
      data_file: {
        file_path: path,
        file_format: 'PARQUET',
        partition: {},
        record_count: BigInt(rows),
        file_size_in_bytes: size,
        block_size_in_bytes: 67_108_864n,
      },
    })
  }
  const schema = { type: 'struct', 'schema-id': 0, fields: FIELDS }
  const manifest = join(location, 'metadata', 'legacy-m0.avro')
  const bytes = writeContainer({
    schema: ENTRY,
    metadata: {
      schema: stringifyJson(schema),
      'partition-spec': '[]',
      'partition-spec-id': '0',
      'format-version': '1',
    },
    records: entries,
  })
  writeFileSync(manifest, bytes)
  const list = join(location, 'metadata', `snap-${SNAPSHOT}-1-legacy.avro`)
  const rows = BigInt(files.reduce((sum, file) => sum + file.rows, 0))
  writeFileSync(
    list,
    writeContainer({
      schema: LIST,
      metadata: { 'snapshot-id': String(SNAPSHOT), 'parent-snapshot-id': 'null', 'format-version': '1' },
      records: [
        {
          manifest_path: manifest,
          manifest_length: BigInt(bytes.length),
          partition_spec_id: 0,
          added_snapshot_id: SNAPSHOT,
          added_data_files_count: files.length,
          existing_data_files_count: 0,
          deleted_data_files_count: 0,
          added_rows_count: rows,
          existing_rows_count: 0n,
          deleted_rows_count: 0n,
        },
      ],
    }),
  )
  const at = 1_695_700_000_000
  writeFileSync(
    join(location, 'metadata', 'v1.metadata.json'),
    stringifyJson({
      'format-version': 1,
      'table-uuid': '5a2ae9f6-0c1c-4a3f-9d2c-3f1f0f4d5c11',
      location,
      'last-updated-ms': at,
      'last-column-id': 3,
      schema,
      'current-schema-id': 0,
      schemas: [schema],
      'partition-spec': [],
      'default-spec-id': 0,
      'partition-specs': [{ 'spec-id': 0, fields: [] }],
      'last-partition-id': 999,
      'default-sort-order-id': 0,
      'sort-orders': [{ 'order-id': 0, fields: [] }],
      properties: { owner: 'hadoop' },
      'current-snapshot-id': SNAPSHOT,
      snapshots: [
        {
          'snapshot-id': SNAPSHOT,
          'timestamp-ms': at,
          summary: { operation: 'append', 'total-records': String(rows), 'total-data-files': String(files.length) },
          'manifest-list': list,
          'schema-id': 0,
        },
      ],
      'snapshot-log': [{ 'timestamp-ms': at, 'snapshot-id': SNAPSHOT }],
      'metadata-log': [],
    }),
  )
  writeFileSync(join(location, 'metadata', 'version-hint.text'), '1')
}
