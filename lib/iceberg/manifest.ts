import { readContainer, writeContainer } from '../avro/container.ts'
import type { AvroSchema } from '../avro/types.ts'
import { PseudolakeError } from '../core/errors.ts'
import { stringifyJson } from '../core/json.ts'
import { fieldGetter, fieldIds, fieldSchema, intMapOf, itemSchema, listOf, optional, required } from './avro-fields.ts'
import type { DataFile } from './data-file.ts'
import type { ManifestFile } from './manifest-list.ts'
import type { PartitionSpec } from './metadata.ts'
import type { Schema } from './types.ts'

/** Manifests: files that list data files or delete files (Iceberg specification, "Manifests"). Pure. */

export interface ManifestEntry {
  readonly status: 'existing' | 'added' | 'deleted'
  readonly snapshotId: bigint
  /** Data sequence number: which deletes apply. Undefined in an added entry: the snapshot's own, once it has one; rows that were put together are older. */
  readonly sequenceNumber: number | undefined
  /** Sequence number of the snapshot that added the file. */
  readonly fileSequenceNumber: number | undefined
  readonly file: DataFile
}

const STATUS = ['existing', 'added', 'deleted'] as const
const CONTENT = ['data', 'position-deletes', 'equality-deletes'] as const

const SCHEMA: AvroSchema = {
  type: 'record',
  name: 'manifest_entry',
  fields: [
    required(0, 'status', 'int'),
    optional(1, 'snapshot_id', 'long'),
    optional(3, 'sequence_number', 'long'),
    optional(4, 'file_sequence_number', 'long'),
    required(2, 'data_file', {
      type: 'record',
      name: 'r2',
      fields: [
        required(134, 'content', 'int'),
        required(100, 'file_path', 'string'),
        required(101, 'file_format', 'string'),
        required(102, 'partition', { type: 'record', name: 'r102', fields: [] } as never),
        required(103, 'record_count', 'long'),
        required(104, 'file_size_in_bytes', 'long'),
        optional(108, 'column_sizes', intMapOf(117, 118, 'long')),
        optional(109, 'value_counts', intMapOf(119, 120, 'long')),
        optional(110, 'null_value_counts', intMapOf(121, 122, 'long')),
        optional(137, 'nan_value_counts', intMapOf(138, 139, 'long')),
        optional(125, 'lower_bounds', intMapOf(126, 127, 'bytes')),
        optional(128, 'upper_bounds', intMapOf(129, 130, 'bytes')),
        optional(131, 'key_metadata', 'bytes'),
        optional(132, 'split_offsets', listOf(133, 'long')),
        optional(135, 'equality_ids', listOf(136, 'int')),
        optional(140, 'sort_order_id', 'int'),
        optional(143, 'referenced_data_file', 'string'),
      ],
    }),
  ],
}

export interface ManifestOf {
  readonly schema: Schema
  /** Unpartitioned. */
  readonly spec: PartitionSpec
  readonly content: 'data' | 'deletes'
  readonly entries: readonly ManifestEntry[]
}

/**
 * The bytes of a manifest of an unpartitioned spec. Added entries leave their sequence numbers to be inherited, so the file is written once
 * however often its commit is tried; the others must say theirs, as only added ones inherit.
 */
export function writeManifest({ schema, spec, content, entries }: ManifestOf): Uint8Array {
  if (spec.fields.length > 0)
    throw new PseudolakeError('internal/bug', 'manifests of partitioned specs are not written')
  return writeContainer({
    schema: SCHEMA,
    metadata: {
      schema: stringifyJson(schema),
      'schema-id': String(schema['schema-id']),
      // The fields only, not the spec object.
      'partition-spec': stringifyJson(spec.fields),
      'partition-spec-id': String(spec['spec-id']),
      'format-version': '2',
      content,
    },
    records: entries.map(entryRecord),
  })
}

function entryRecord({ status, snapshotId, sequenceNumber, fileSequenceNumber, file }: ManifestEntry) {
  if (status !== 'added' && (sequenceNumber === undefined || fileSequenceNumber === undefined))
    throw new PseudolakeError('internal/bug', 'an entry that is not new needs its sequence numbers')
  return {
    status: STATUS.indexOf(status),
    snapshot_id: snapshotId,
    sequence_number: sequenceNumber === undefined ? null : BigInt(sequenceNumber),
    file_sequence_number: fileSequenceNumber === undefined ? null : BigInt(fileSequenceNumber),
    data_file: {
      content: CONTENT.indexOf(file.content),
      file_path: file.path,
      file_format: file.format,
      partition: {},
      record_count: BigInt(file.rows),
      file_size_in_bytes: BigInt(file.bytes),
      column_sizes: pairs(file.columnSizes, BigInt),
      value_counts: pairs(file.valueCounts, BigInt),
      null_value_counts: pairs(file.nullCounts, BigInt),
      nan_value_counts: pairs(file.nanCounts, BigInt),
      lower_bounds: pairs(file.lowerBounds, buffer),
      upper_bounds: pairs(file.upperBounds, buffer),
      key_metadata: file.keyMetadata === undefined ? null : buffer(file.keyMetadata),
      split_offsets: file.splitOffsets?.map(BigInt) ?? null,
      equality_ids: file.equalityIds ?? null,
      sort_order_id: file.sortOrderId ?? null,
      referenced_data_file: file.referencedDataFile ?? null,
    },
  }
}

function pairs<V, A>(map: ReadonlyMap<number, V> | undefined, encode: (value: V) => A) {
  return map === undefined ? null : Array.from(map, ([key, value]) => ({ key, value: encode(value) }))
}

// avsc takes Buffers only.
const buffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** What the manifest list says of a manifest that was just written. @param sequenceNumber of the snapshot that lists it */
export function manifestFileOf(
  manifest: ManifestOf,
  written: { readonly path: string; readonly bytes: number },
  snapshotId: bigint,
  sequenceNumber: number,
): ManifestFile {
  const counted = { existing: { files: 0, rows: 0 }, added: { files: 0, rows: 0 }, deleted: { files: 0, rows: 0 } }
  let minSequenceNumber = sequenceNumber
  for (const entry of manifest.entries) {
    counted[entry.status].files++
    counted[entry.status].rows += entry.file.rows
    if (entry.status !== 'deleted')
      minSequenceNumber = Math.min(minSequenceNumber, entry.sequenceNumber ?? sequenceNumber)
  }
  return {
    path: written.path,
    bytes: written.bytes,
    specId: manifest.spec['spec-id'],
    content: manifest.content,
    sequenceNumber,
    minSequenceNumber,
    addedSnapshotId: snapshotId,
    addedFiles: counted.added.files,
    existingFiles: counted.existing.files,
    deletedFiles: counted.deleted.files,
    addedRows: counted.added.rows,
    existingRows: counted.existing.rows,
    deletedRows: counted.deleted.rows,
    partitions: [],
  }
}

/**
 * The entries of a manifest of any writer, decoded as they are asked for. What an entry inherits from its list is filled in
 * (specification, "Sequence Number Inheritance"; a version 1 entry counts as 0).
 * @throws PseudolakeError `table/invalid`
 */
export function* readManifest(bytes: Uint8Array, manifest: ManifestFile): Generator<ManifestEntry, void, undefined> {
  const location = manifest.path
  const container = readContainer(bytes, location)
  const fileSchema = fieldSchema(container.schema, 2)
  if (fileSchema === undefined)
    throw new PseudolakeError('table/invalid', `${location}: entries have no field 2 (data_file)`, { location })
  const get = fieldGetter(container.schema)
  const fileFrom = dataFileReader(fileSchema, location)

  for (const record of container.records()) {
    const status = STATUS[Number(get(record, 0))]
    if (status === undefined)
      throw new PseudolakeError('table/invalid', `${location}: an entry has no known status`, { location })
    // Only an added entry inherits; a number that an old one lacks cannot be known.
    const inherited = status === 'added' || manifest.sequenceNumber === 0 ? manifest.sequenceNumber : undefined
    const sequence = get(record, 3) ?? inherited
    const fileSequence = get(record, 4) ?? inherited
    if (sequence === undefined)
      throw new PseudolakeError('table/invalid', `${location}: an ${status} entry lacks field 3`, {
        location,
        field: 3,
      })
    yield {
      status,
      snapshotId: BigInt((get(record, 1) as bigint | undefined) ?? manifest.addedSnapshotId),
      sequenceNumber: Number(sequence),
      fileSequenceNumber: Number(fileSequence ?? sequence),
      file: fileFrom(get(record, 2)),
    }
  }
}

function dataFileReader(schema: AvroSchema, location: string): (record: unknown) => DataFile {
  const get = fieldGetter(schema)
  const partitionSchema = fieldSchema(schema, 102) ?? 'null'
  const getPartition = fieldGetter(partitionSchema)
  const partitionIds = fieldIds(partitionSchema)
  const map = <V>(mapId: number, keyId: number, valueId: number, decode: (value: unknown) => V) => {
    const getPair = fieldGetter(itemSchema(fieldSchema(schema, mapId)))
    return (record: unknown): ReadonlyMap<number, V> | undefined => {
      const array = get(record, mapId) as unknown[] | undefined
      return array && new Map(array.map((pair) => [Number(getPair(pair, keyId)), decode(getPair(pair, valueId))]))
    }
  }
  const maps = {
    columnSizes: map(108, 117, 118, Number),
    valueCounts: map(109, 119, 120, Number),
    nullCounts: map(110, 121, 122, Number),
    nanCounts: map(137, 138, 139, Number),
    lowerBounds: map(125, 126, 127, (value) => value as Uint8Array),
    upperBounds: map(128, 129, 130, (value) => value as Uint8Array),
  }

  return (record) => {
    const must = (id: number): unknown => {
      const value = get(record, id)
      if (value === undefined)
        throw new PseudolakeError('table/invalid', `${location}: a file lacks field ${id}`, { location, field: id })
      return value
    }
    const content = CONTENT[Number(get(record, 134) ?? 0)]
    if (content === undefined)
      throw new PseudolakeError('table/invalid', `${location}: a file has no known content`, { location })
    const partition = get(record, 102)
    return withoutUndefined({
      content,
      path: must(100) as string,
      format: must(101) as string,
      partition: new Map(partitionIds.map((id) => [id, getPartition(partition, id)])),
      rows: Number(must(103)),
      bytes: Number(must(104)),
      ...Object.fromEntries(Object.entries(maps).map(([name, read]) => [name, read(record)])),
      keyMetadata: get(record, 131),
      splitOffsets: (get(record, 132) as bigint[] | undefined)?.map(Number),
      equalityIds: get(record, 135),
      sortOrderId: get(record, 140),
      referencedDataFile: get(record, 143),
    }) as unknown as DataFile
  }
}

function withoutUndefined(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
