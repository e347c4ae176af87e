/**
 * A table of format version 1 as Iceberg 0.13 left it, the version that EMR 6.6 has: metadata with the single `schema` and `partition-spec`
 * beside the lists, manifest lists with the old names (`added_data_files_count` …) and no content or sequence numbers, manifests with
 * `block_size_in_bytes`. Written here field by field (Iceberg's V1Metadata of that time), since no writer of today makes them.
 */
import { writeContainer } from '../../lib/avro/container.ts'
import type { AvroField, AvroSchema } from '../../lib/avro/types.ts'
import { stringifyJson } from '../../lib/core/json.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { Storage } from '../../lib/storage/storage.ts'

const SNAPSHOT = 3051729675574597004n

/** @returns the location of its metadata file */
export async function writeV1Table(
  storage: Storage,
  location: string,
  schema: Schema,
  files: readonly DataFile[],
): Promise<string> {
  const manifest = `${location}/metadata/4f1e-m0.avro`
  const list = `${location}/metadata/snap-${SNAPSHOT}-1-4f1e.avro`
  const rows = files.reduce((sum, file) => sum + file.rows, 0)
  const manifestBytes = writeContainer({
    schema: ENTRY,
    metadata: {
      schema: stringifyJson(schema),
      'partition-spec': '[]',
      'partition-spec-id': '0',
      'format-version': '1',
    },
    records: files.map((file) => ({
      status: 1,
      snapshot_id: SNAPSHOT,
      data_file: {
        file_path: file.path,
        file_format: 'PARQUET',
        partition: {},
        record_count: BigInt(file.rows),
        file_size_in_bytes: BigInt(file.bytes),
        block_size_in_bytes: 67_108_864n,
        column_sizes: null,
        value_counts: null,
        null_value_counts: null,
        nan_value_counts: null,
        lower_bounds: null,
        upper_bounds: null,
        key_metadata: null,
        split_offsets: [4n],
        sort_order_id: 0,
      },
    })),
  })
  await storage.create(storageLocation(manifest), manifestBytes)
  const listBytes = writeContainer({
    schema: LIST,
    metadata: { 'snapshot-id': String(SNAPSHOT), 'parent-snapshot-id': 'null', 'format-version': '1' },
    records: [
      {
        manifest_path: manifest,
        manifest_length: BigInt(manifestBytes.length),
        partition_spec_id: 0,
        added_snapshot_id: SNAPSHOT,
        added_data_files_count: files.length,
        existing_data_files_count: 0,
        deleted_data_files_count: 0,
        partitions: [],
        added_rows_count: BigInt(rows),
        existing_rows_count: 0n,
        deleted_rows_count: 0n,
      },
    ],
  })
  await storage.create(storageLocation(list), listBytes)
  const { 'schema-id': _, ...plain } = schema
  const metadata = {
    'format-version': 1,
    'table-uuid': 'f79c3e09-677c-4bbd-a479-3f349cb785e7',
    location,
    'last-updated-ms': 1_646_000_000_000,
    'last-column-id': Math.max(...schema.fields.map(({ id }) => id)),
    schema: plain,
    'current-schema-id': 0,
    schemas: [schema],
    'partition-spec': [],
    'default-spec-id': 0,
    'partition-specs': [{ 'spec-id': 0, fields: [] }],
    'last-partition-id': 999,
    'default-sort-order-id': 0,
    'sort-orders': [{ 'order-id': 0, fields: [] }],
    properties: { owner: 'hadoop', 'write.object-storage.enabled': 'false' },
    'current-snapshot-id': SNAPSHOT,
    snapshots: [
      {
        'snapshot-id': SNAPSHOT,
        'timestamp-ms': 1_646_000_000_000,
        summary: {
          operation: 'append',
          'spark.app.id': 'application_1646_0001',
          'added-data-files': String(files.length),
          'added-records': String(rows),
          'total-records': String(rows),
          'total-data-files': String(files.length),
          'total-delete-files': '0',
          'total-position-deletes': '0',
          'total-equality-deletes': '0',
        },
        'manifest-list': list,
        'schema-id': 0,
      },
    ],
    'snapshot-log': [{ 'timestamp-ms': 1_646_000_000_000, 'snapshot-id': SNAPSHOT }],
    'metadata-log': [],
  }
  const metadataLocation = `${location}/metadata/00001-1d5a1f5c-0f5b-4bbf-a1c5-9f6f5f7f5b1f.metadata.json`
  await storage.create(storageLocation(metadataLocation), new TextEncoder().encode(stringifyJson(metadata)))
  return metadataLocation
}

const field = (id: number, name: string, type: AvroSchema): AvroField => ({ name, type, 'field-id': id })
const optional = (id: number, name: string, type: AvroSchema): AvroField => ({
  ...field(id, name, ['null', type]),
  default: null,
})
const intMap = (keyId: number, valueId: number, value: AvroSchema): AvroSchema => ({
  type: 'array',
  logicalType: 'map',
  items: {
    type: 'record',
    name: `k${keyId}_v${valueId}`,
    fields: [field(keyId, 'key', 'int'), field(valueId, 'value', value)],
  },
})

const ENTRY: AvroSchema = {
  type: 'record',
  name: 'manifest_entry',
  fields: [
    field(0, 'status', 'int'),
    field(1, 'snapshot_id', 'long'),
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
        optional(108, 'column_sizes', intMap(117, 118, 'long')),
        optional(109, 'value_counts', intMap(119, 120, 'long')),
        optional(110, 'null_value_counts', intMap(121, 122, 'long')),
        optional(137, 'nan_value_counts', intMap(138, 139, 'long')),
        optional(125, 'lower_bounds', intMap(126, 127, 'bytes')),
        optional(128, 'upper_bounds', intMap(129, 130, 'bytes')),
        optional(131, 'key_metadata', 'bytes'),
        optional(132, 'split_offsets', { type: 'array', items: 'long', 'element-id': 133 }),
        optional(140, 'sort_order_id', 'int'),
      ],
    }),
  ],
}

const LIST: AvroSchema = {
  type: 'record',
  name: 'manifest_file',
  fields: [
    field(500, 'manifest_path', 'string'),
    field(501, 'manifest_length', 'long'),
    field(502, 'partition_spec_id', 'int'),
    optional(503, 'added_snapshot_id', 'long'),
    optional(504, 'added_data_files_count', 'int'),
    optional(505, 'existing_data_files_count', 'int'),
    optional(506, 'deleted_data_files_count', 'int'),
    optional(507, 'partitions', {
      type: 'array',
      'element-id': 508,
      items: {
        type: 'record',
        name: 'r508',
        fields: [
          field(509, 'contains_null', 'boolean'),
          optional(518, 'contains_nan', 'boolean'),
          optional(510, 'lower_bound', 'bytes'),
          optional(511, 'upper_bound', 'bytes'),
        ],
      },
    }),
    optional(512, 'added_rows_count', 'long'),
    optional(513, 'existing_rows_count', 'long'),
    optional(514, 'deleted_rows_count', 'long'),
  ],
}
