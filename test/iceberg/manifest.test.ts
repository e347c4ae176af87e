import avro from 'avsc'
import { expect, test } from 'vitest'
import { readContainer, writeContainer } from '../../lib/avro/container.ts'
import type { AvroField, AvroObject } from '../../lib/avro/types.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { type ManifestEntry, manifestFileOf, readManifest, writeManifest } from '../../lib/iceberg/manifest.ts'
import { type ManifestFile, readManifestList, writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import { namedFile, SIMPLE } from './tables.ts'

const SPEC = { 'spec-id': 0, fields: [] }
const BIG = 9007199254740993n

const FILE: DataFile = {
  ...namedFile('/t/data/a.parquet', 3),
  columnSizes: new Map([[1, 40]]),
  valueCounts: new Map([[1, 3]]),
  nullCounts: new Map([[1, 0]]),
  nanCounts: new Map([[1, 0]]),
  lowerBounds: new Map([[1, Buffer.from([1])]]),
  upperBounds: new Map([[1, Buffer.from([9])]]),
  keyMetadata: Buffer.from('k'),
  splitOffsets: [4, 90],
  equalityIds: [1],
  sortOrderId: 0,
  referencedDataFile: '/t/data/b.parquet',
}
const ADDED: ManifestEntry = {
  status: 'added',
  snapshotId: BIG,
  sequenceNumber: undefined,
  fileSequenceNumber: undefined,
  file: FILE,
}
const LISTED: ManifestFile = {
  path: '/t/metadata/m0.avro',
  bytes: 5000,
  specId: 0,
  content: 'data',
  sequenceNumber: 7,
  minSequenceNumber: 3,
  addedSnapshotId: BIG,
  addedFiles: 1,
  existingFiles: 2,
  deletedFiles: 3,
  addedRows: 10,
  existingRows: 20,
  deletedRows: 30,
  partitions: [{ containsNull: true, containsNan: false, lowerBound: Buffer.from([1]), upperBound: Buffer.from([2]) }],
  keyMetadata: Buffer.from('secret key id'),
}

test('a manifest has the header keys, field ids and types that readers need', () => {
  const file = readContainer(writeManifest({ schema: SIMPLE, spec: SPEC, content: 'data', entries: [ADDED] }), 'm')
  expect(Object.fromEntries(file.metadata)).toMatchObject({
    schema: JSON.stringify(SIMPLE),
    'schema-id': '0',
    'partition-spec': '[]',
    'partition-spec-id': '0',
    'format-version': '2',
    content: 'data',
  })
  expect(shape(file.schema as AvroObject)).toEqual(
    '0 status int, 1? snapshot_id long, 3? sequence_number long, 4? file_sequence_number long, 2 data_file {134 content int, ' +
      '100 file_path string, 101 file_format string, 102 partition {}, 103 record_count long, 104 file_size_in_bytes long, ' +
      '108? column_sizes map{117 key int, 118 value long}, 109? value_counts map{119 key int, 120 value long}, ' +
      '110? null_value_counts map{121 key int, 122 value long}, 137? nan_value_counts map{138 key int, 139 value long}, ' +
      '125? lower_bounds map{126 key int, 127 value bytes}, 128? upper_bounds map{129 key int, 130 value bytes}, ' +
      '131? key_metadata bytes, 132? split_offsets [133 long], 135? equality_ids [136 int], 140? sort_order_id int, ' +
      '143? referenced_data_file string}',
  )
})

test('a manifest list has the header keys, field ids and types that readers need', () => {
  const list = { snapshotId: BIG, parentSnapshotId: undefined, sequenceNumber: 7, manifests: [LISTED] }
  const file = readContainer(writeManifestList(list), 'l')
  expect(Object.fromEntries(file.metadata)).toMatchObject({
    'snapshot-id': '9007199254740993',
    'parent-snapshot-id': 'null',
    'sequence-number': '7',
    'format-version': '2',
  })
  expect(shape(file.schema as AvroObject)).toEqual(
    '500 manifest_path string, 501 manifest_length long, 502 partition_spec_id int, 517 content int, 515 sequence_number long, ' +
      '516 min_sequence_number long, 503 added_snapshot_id long, 504 added_files_count int, 505 existing_files_count int, ' +
      '506 deleted_files_count int, 512 added_rows_count long, 513 existing_rows_count long, 514 deleted_rows_count long, ' +
      '507? partitions [508 {509 contains_null boolean, 518? contains_nan boolean, 510? lower_bound bytes, 511? upper_bound bytes}], ' +
      '519? key_metadata bytes',
  )
})

test('an entry of a list is copied whole, key metadata and partition bounds too', () => {
  const write = (manifests: readonly ManifestFile[]) =>
    writeManifestList({ snapshotId: 1n, parentSnapshotId: BIG, sequenceNumber: 8, manifests })
  expect([...readManifestList(write([LISTED]), 'l')]).toEqual([LISTED])
  const { partitions: _, keyMetadata: __, ...plain } = { ...LISTED, content: 'deletes' as const }
  expect([...readManifestList(write([plain]), 'l')]).toEqual([plain])
})

test('lists are read by field id: the names of older writers, in another order, count the same', () => {
  const fields: AvroField[] = [
    { name: 'added_data_files_count', type: ['null', 'int'], default: null, 'field-id': 504 },
    { name: 'existing_data_files_count', type: ['null', 'int'], default: null, 'field-id': 505 },
    { name: 'deleted_data_files_count', type: ['null', 'int'], default: null, 'field-id': 506 },
    { name: 'path', type: 'string', 'field-id': 500 },
    { name: 'manifest_length', type: 'long', 'field-id': 501 },
    { name: 'partition_spec_id', type: 'int', 'field-id': 502 },
    { name: 'added_snapshot_id', type: ['null', 'long'], default: null, 'field-id': 503 },
    { name: 'added_rows_count', type: ['null', 'long'], default: null, 'field-id': 512 },
    { name: 'existing_rows_count', type: ['null', 'long'], default: null, 'field-id': 513 },
    { name: 'deleted_rows_count', type: ['null', 'long'], default: null, 'field-id': 514 },
  ]
  const record = {
    added_data_files_count: 4,
    existing_data_files_count: 5,
    deleted_data_files_count: 6,
    path: '/m',
    manifest_length: 9n,
    partition_spec_id: 0,
    added_snapshot_id: BIG,
    added_rows_count: 40n,
    existing_rows_count: 50n,
    deleted_rows_count: 60n,
  }
  const bytes = (names: AvroField[]) =>
    writeContainer({
      schema: { type: 'record', name: 'manifest_file', fields: names },
      metadata: {},
      records: [record],
    })
  // Without content and sequence numbers, as version 1 has it: data, from before there were any.
  expect([...readManifestList(bytes(fields), 'l')]).toEqual([
    {
      path: '/m',
      bytes: 9,
      specId: 0,
      content: 'data',
      sequenceNumber: 0,
      minSequenceNumber: 0,
      addedSnapshotId: BIG,
      addedFiles: 4,
      existingFiles: 5,
      deletedFiles: 6,
      addedRows: 40,
      existingRows: 50,
      deletedRows: 60,
    },
  ])
  // A count that is not there is not a count of 0: a manifest taken for empty is a manifest lost.
  const without = fields.map((field) => (field['field-id'] === 504 ? { name: field.name, type: field.type } : field))
  expect(() => [...readManifestList(bytes(without), '/t/l.avro')]).toThrow(/\/t\/l.avro: an entry lacks field 504/)
})

test('new entries inherit their sequence numbers, and an entry’s metrics come back as they were', () => {
  const bytes = writeManifest({ schema: SIMPLE, spec: SPEC, content: 'data', entries: [ADDED] })
  const [entry] = [...readManifest(bytes, LISTED)]
  expect(entry).toEqual({ ...ADDED, sequenceNumber: 7, fileSequenceNumber: 7, file: FILE })
})

test('entries that are not new keep their numbers, and cannot be written without', () => {
  const old: ManifestEntry = { ...ADDED, status: 'existing', sequenceNumber: 2, fileSequenceNumber: 1 }
  const bytes = writeManifest({ schema: SIMPLE, spec: SPEC, content: 'data', entries: [old] })
  expect([...readManifest(bytes, LISTED)]).toEqual([old])
  const unnumbered = { ...old, sequenceNumber: undefined }
  expect(() => writeManifest({ schema: SIMPLE, spec: SPEC, content: 'data', entries: [unnumbered] })).toThrow(
    /needs its sequence numbers/,
  )
})

test('what a list says of a manifest is counted from its entries', () => {
  const old = { ...ADDED, sequenceNumber: 2, fileSequenceNumber: 1 }
  const entries: ManifestEntry[] = [
    ADDED,
    { ...old, status: 'existing' },
    { ...old, status: 'deleted', sequenceNumber: 1 },
  ]
  const manifest = { schema: SIMPLE, spec: SPEC, content: 'data', entries } as const
  expect(manifestFileOf(manifest, { path: '/m', bytes: 5 }, BIG, 9)).toMatchObject({
    sequenceNumber: 9,
    // Of the live entries only.
    minSequenceNumber: 2,
    addedFiles: 1,
    existingFiles: 1,
    deletedFiles: 1,
    addedRows: 3,
    existingRows: 3,
    deletedRows: 3,
  })
})

test('the int-keyed maps are arrays of pairs to every Avro reader', async () => {
  const bytes = writeManifest({ schema: SIMPLE, spec: SPEC, content: 'data', entries: [{ ...ADDED, snapshotId: 5n }] })
  const decoder = new avro.streams.BlockDecoder()
  const found: { data_file: { column_sizes: unknown } }[] = []
  decoder.on('data', (record) => found.push(record))
  decoder.end(Buffer.from(bytes))
  await new Promise((resolve, reject) => decoder.on('end', resolve).on('error', reject))
  expect(JSON.parse(JSON.stringify(found[0]?.data_file.column_sizes))).toEqual([{ key: 1, value: 40 }])
})

/** `id? name type` of every field, in order: `?` for a nullable one with default null. */
function shape(schema: AvroObject): string {
  return (schema.fields ?? [])
    .map((field) => {
      const optional = Array.isArray(field.type) && field.type[0] === 'null' && field.default === null
      const type = Array.isArray(field.type) ? field.type[1] : field.type
      return `${field['field-id']}${optional ? '?' : ''} ${field.name} ${typeShape(type as AvroObject | string)}`
    })
    .join(', ')
}

function typeShape(type: AvroObject | string): string {
  if (typeof type === 'string') return type
  if (type.type === 'record') return `{${shape(type)}}`
  const items = typeShape(type.items as AvroObject | string)
  return type.logicalType === 'map' ? `map${items}` : `[${type['element-id']} ${items}]`
}
