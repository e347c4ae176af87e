import { readContainer, writeContainer } from '../avro/container.ts'
import type { AvroSchema } from '../avro/types.ts'
import { PseudolakeError } from '../core/errors.ts'
import { fieldGetter, fieldSchema, itemSchema, listOf, optional, required } from './avro-fields.ts'

/** Manifest lists: one file per snapshot that names its manifests (Iceberg specification, "Manifest Lists"). Pure. */

export interface ManifestFile {
  readonly path: string
  readonly bytes: number
  readonly specId: number
  readonly content: 'data' | 'deletes'
  readonly sequenceNumber: number
  /** Least data sequence number among the live entries. */
  readonly minSequenceNumber: number
  readonly addedSnapshotId: bigint
  readonly addedFiles: number
  readonly existingFiles: number
  readonly deletedFiles: number
  readonly addedRows: number
  readonly existingRows: number
  readonly deletedRows: number
  readonly partitions?: readonly PartitionSummary[]
  readonly keyMetadata?: Uint8Array
}

export interface PartitionSummary {
  readonly containsNull: boolean
  readonly containsNan?: boolean
  readonly lowerBound?: Uint8Array
  readonly upperBound?: Uint8Array
}

const SCHEMA: AvroSchema = {
  type: 'record',
  name: 'manifest_file',
  fields: [
    required(500, 'manifest_path', 'string'),
    required(501, 'manifest_length', 'long'),
    required(502, 'partition_spec_id', 'int'),
    required(517, 'content', 'int'),
    required(515, 'sequence_number', 'long'),
    required(516, 'min_sequence_number', 'long'),
    required(503, 'added_snapshot_id', 'long'),
    required(504, 'added_files_count', 'int'),
    required(505, 'existing_files_count', 'int'),
    required(506, 'deleted_files_count', 'int'),
    required(512, 'added_rows_count', 'long'),
    required(513, 'existing_rows_count', 'long'),
    required(514, 'deleted_rows_count', 'long'),
    optional(
      507,
      'partitions',
      listOf(508, {
        type: 'record',
        name: 'r508',
        fields: [
          required(509, 'contains_null', 'boolean'),
          optional(518, 'contains_nan', 'boolean'),
          optional(510, 'lower_bound', 'bytes'),
          optional(511, 'upper_bound', 'bytes'),
        ],
      }),
    ),
    optional(519, 'key_metadata', 'bytes'),
  ],
}

export interface ManifestListOf {
  readonly snapshotId: bigint
  readonly parentSnapshotId: bigint | undefined
  readonly sequenceNumber: number
  readonly manifests: readonly ManifestFile[]
}

export function writeManifestList({
  snapshotId,
  parentSnapshotId,
  sequenceNumber,
  manifests,
}: ManifestListOf): Uint8Array {
  return writeContainer({
    schema: SCHEMA,
    // Not in the specification; Iceberg's own library writes them, and some readers look.
    metadata: {
      'snapshot-id': snapshotId.toString(),
      'parent-snapshot-id': parentSnapshotId?.toString() ?? 'null',
      'sequence-number': sequenceNumber.toString(),
      'format-version': '2',
    },
    records: manifests.map(recordOf),
  })
}

function recordOf(manifest: ManifestFile) {
  return {
    manifest_path: manifest.path,
    manifest_length: BigInt(manifest.bytes),
    partition_spec_id: manifest.specId,
    content: manifest.content === 'data' ? 0 : 1,
    sequence_number: BigInt(manifest.sequenceNumber),
    min_sequence_number: BigInt(manifest.minSequenceNumber),
    added_snapshot_id: manifest.addedSnapshotId,
    added_files_count: manifest.addedFiles,
    existing_files_count: manifest.existingFiles,
    deleted_files_count: manifest.deletedFiles,
    added_rows_count: BigInt(manifest.addedRows),
    existing_rows_count: BigInt(manifest.existingRows),
    deleted_rows_count: BigInt(manifest.deletedRows),
    partitions:
      manifest.partitions?.map((summary) => ({
        contains_null: summary.containsNull,
        contains_nan: summary.containsNan ?? null,
        lower_bound: bufferOrNull(summary.lowerBound),
        upper_bound: bufferOrNull(summary.upperBound),
      })) ?? null,
    key_metadata: bufferOrNull(manifest.keyMetadata),
  }
}

/**
 * The manifests of a list, of any writer and of format versions 1 to 3; what version 1 lacks has the values the specification gives it.
 * @throws PseudolakeError `table/invalid` when a field is missing that no default stands for
 */
export function* readManifestList(bytes: Uint8Array, location: string): Generator<ManifestFile, void, undefined> {
  const container = readContainer(bytes, location)
  const get = fieldGetter(container.schema)
  const getSummary = fieldGetter(itemSchema(fieldSchema(container.schema, 507)))

  for (const record of container.records()) {
    const integer = (id: number, missing?: number): number => {
      const value = get(record, id) ?? missing
      if (value === undefined)
        throw new PseudolakeError('table/invalid', `${location}: an entry lacks field ${id}`, { location, field: id })
      return Number(value)
    }
    const path = get(record, 500)
    const snapshot = get(record, 503)
    if (typeof path !== 'string')
      throw new PseudolakeError('table/invalid', `${location}: an entry lacks field 500`, { location, field: 500 })
    const partitions = get(record, 507) as unknown[] | undefined
    const keyMetadata = get(record, 519) as Uint8Array | undefined
    yield {
      path,
      bytes: integer(501),
      specId: integer(502, 0),
      content: integer(517, 0) === 1 ? 'deletes' : 'data',
      sequenceNumber: integer(515, 0),
      minSequenceNumber: integer(516, 0),
      addedSnapshotId: typeof snapshot === 'bigint' ? snapshot : BigInt((snapshot as number | undefined) ?? 0),
      addedFiles: integer(504),
      existingFiles: integer(505),
      deletedFiles: integer(506),
      addedRows: integer(512),
      existingRows: integer(513),
      deletedRows: integer(514),
      ...(partitions === undefined
        ? {}
        : { partitions: partitions.map((summary) => summaryFrom(summary, getSummary)) }),
      ...(keyMetadata === undefined ? {} : { keyMetadata }),
    }
  }
}

function summaryFrom(record: unknown, get: (record: unknown, id: number) => unknown): PartitionSummary {
  const nan = get(record, 518) as boolean | undefined
  const lower = get(record, 510) as Uint8Array | undefined
  const upper = get(record, 511) as Uint8Array | undefined
  return {
    containsNull: get(record, 509) === true,
    ...(nan === undefined ? {} : { containsNan: nan }),
    ...(lower === undefined ? {} : { lowerBound: lower }),
    ...(upper === undefined ? {} : { upperBound: upper }),
  }
}

// avsc takes Buffers only.
function bufferOrNull(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
