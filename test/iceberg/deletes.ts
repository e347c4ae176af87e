/** Row-level deletes as other engines leave them, for tests: position and equality deletes, committed as a snapshot of their own. */
import { parquetWriteBuffer } from 'hyparquet-writer'
import type { Catalog, TableIdentifier, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { manifestFileOf, writeManifest } from '../../lib/iceberg/manifest.ts'
import { writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import { currentSchema, currentSnapshot, defaultSpec } from '../../lib/iceberg/metadata.ts'
import { manifestsOf } from '../../lib/iceberg/scan.ts'
import { snapshotUpdates } from '../../lib/iceberg/updates.ts'

export type Deleted = readonly (readonly [path: string, position: number])[]

export async function positionDeletes(catalog: Catalog, location: string, deleted: Deleted): Promise<DataFile> {
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'file_path', data: deleted.map(([path]) => path) },
      { name: 'pos', data: deleted.map(([, position]) => BigInt(position)) },
    ],
    schema: [
      { name: 'root', num_children: 2 },
      {
        name: 'file_path',
        type: 'BYTE_ARRAY',
        converted_type: 'UTF8',
        repetition_type: 'REQUIRED',
        field_id: 2147483546,
      },
      { name: 'pos', type: 'INT64', repetition_type: 'REQUIRED', field_id: 2147483545 },
    ],
    rowGroupSize: 2,
  })
  await catalog.storage.create(location, new Uint8Array(buffer))
  return {
    content: 'position-deletes',
    path: location,
    format: 'PARQUET',
    partition: new Map(),
    rows: deleted.length,
    bytes: buffer.byteLength,
  }
}

export async function equalityDeletes(
  catalog: Catalog,
  location: string,
  values: readonly (number | string)[],
  field: { readonly id: number; readonly name: string } = { id: 1, name: 'id' },
): Promise<DataFile> {
  const { id, name } = field
  const texts = typeof values[0] === 'string'
  const buffer = parquetWriteBuffer({
    columnData: [{ name, data: texts ? [...values] : (values as number[]).map(BigInt) }],
    schema: [
      { name: 'root', num_children: 1 },
      {
        name,
        repetition_type: 'OPTIONAL',
        field_id: id,
        ...(texts ? { type: 'BYTE_ARRAY', converted_type: 'UTF8' } : { type: 'INT64' }),
      },
    ],
  })
  await catalog.storage.create(location, new Uint8Array(buffer))
  return {
    content: 'equality-deletes',
    path: location,
    format: 'PARQUET',
    partition: new Map(),
    rows: values.length,
    bytes: buffer.byteLength,
    equalityIds: [id],
  }
}

let commits = 0

/** Commits delete files, as a merge-on-read DELETE does. @param base what they were made for @default the table as it is */
export async function commitDeletes(
  catalog: Catalog,
  table: TableIdentifier,
  files: readonly DataFile[],
  base?: TableState,
): Promise<void> {
  base ??= await catalog.load(table)
  const { metadata } = base
  const parent = currentSnapshot(metadata)
  const snapshotId = BigInt(++commits + 4_000_000)
  const sequenceNumber = metadata['last-sequence-number'] + 1
  const of = {
    schema: currentSchema(metadata),
    spec: defaultSpec(metadata),
    content: 'deletes',
    entries: files.map((file) => ({
      status: 'added' as const,
      snapshotId,
      sequenceNumber: undefined,
      fileSequenceNumber: undefined,
      file,
    })),
  } as const
  const path = `${metadata.location}/metadata/deletes-${commits}-m0.avro`
  const bytes = writeManifest(of)
  await catalog.storage.create(path, bytes)
  const list = `${metadata.location}/metadata/snap-${snapshotId}-1-deletes.avro`
  const manifest = manifestFileOf(of, { path, bytes: bytes.length }, snapshotId, sequenceNumber)
  await catalog.storage.create(
    list,
    writeManifestList({
      snapshotId,
      parentSnapshotId: parent?.['snapshot-id'],
      sequenceNumber,
      manifests: [manifest, ...(parent ? await manifestsOf(catalog.storage, parent) : [])],
    }),
  )
  await catalog.commit(
    table,
    base,
    snapshotUpdates({
      'snapshot-id': snapshotId,
      ...(parent && { 'parent-snapshot-id': parent['snapshot-id'] }),
      'sequence-number': sequenceNumber,
      'timestamp-ms': Math.max(metadata['last-updated-ms'], parent?.['timestamp-ms'] ?? 0),
      'manifest-list': list,
      summary: { operation: 'delete' },
      'schema-id': metadata['current-schema-id'],
    }),
  )
}
