import { PseudolakeError } from '../core/errors.ts'
import type { Storage } from '../storage/storage.ts'
import type { DataFile } from './data-file.ts'
import { storageLocation } from './locations.ts'
import { type ManifestEntry, readManifest } from './manifest.ts'
import { type ManifestFile, readManifestList } from './manifest-list.ts'
import { currentSnapshot, type Snapshot, snapshotById, type TableMetadata } from './metadata.ts'

/** What a snapshot is made of (Iceberg specification, "Scan Planning"). */

export interface PlannedFile {
  readonly file: DataFile
  /** Data sequence number: deletes of lower ones do not touch the file. */
  readonly sequenceNumber: number
  /** Delete files whose rows may be about this file; a reader that ignores them shows deleted rows. */
  readonly deletes: readonly DataFile[]
}

/**
 * The live data files of a snapshot, the current one by default; none for a table without snapshots. Manifests are read one after the other as
 * the caller goes on; only delete files, which are few, are held.
 * @throws PseudolakeError `table/not-found` when there is no such snapshot; `table/invalid`; `storage/not-found` when a manifest is gone
 */
export async function* planFiles(
  storage: Storage,
  metadata: TableMetadata,
  snapshotId?: bigint,
): AsyncGenerator<PlannedFile, void, undefined> {
  const snapshot = snapshotId === undefined ? currentSnapshot(metadata) : snapshotById(metadata, snapshotId)
  if (!snapshot) {
    if (snapshotId === undefined) return
    throw new PseudolakeError('table/not-found', `the table has no snapshot ${snapshotId}`)
  }
  const manifests = await manifestsOf(storage, snapshot)

  const deletes: { entry: ManifestEntry; manifest: ManifestFile }[] = []
  for (const manifest of manifests)
    if (manifest.content === 'deletes')
      for await (const entry of liveEntries(storage, manifest)) deletes.push({ entry, manifest })

  for (const manifest of manifests) {
    if (manifest.content !== 'data') continue
    const partitioned =
      (metadata['partition-specs'].find((spec) => spec['spec-id'] === manifest.specId)?.fields.length ?? 0) > 0
    for await (const { file, sequenceNumber } of liveEntries(storage, manifest)) {
      const applicable = deletes.filter(({ entry, manifest: { specId } }) => {
        const unpartitionedDelete = entry.file.partition.size === 0
        const samePartition = specId === manifest.specId && (!partitioned || equalPartitions(entry.file, file))
        return applies(entry, file, sequenceNumber as number, samePartition, unpartitionedDelete)
      })
      yield { file, sequenceNumber: sequenceNumber as number, deletes: applicable.map(({ entry }) => entry.file) }
    }
  }
}

function applies(
  { file: deletes, sequenceNumber = 0 }: ManifestEntry,
  data: DataFile,
  dataSequence: number,
  samePartition: boolean,
  unpartitionedDelete: boolean,
): boolean {
  if (deletes.content === 'equality-deletes')
    return dataSequence < sequenceNumber && (samePartition || unpartitionedDelete)
  if (dataSequence > sequenceNumber || !samePartition) return false
  if (deletes.referencedDataFile !== undefined) return deletes.referencedDataFile === data.path
  return mayName(deletes, data.path)
}

/** Reserved field id of `file_path` in position-delete files. */
const DELETE_FILE_PATH = 2147483546

/** Bounds of the paths that a position-delete file names, where it has them. Upper bounds may be cut and raised: compared as bytes. */
function mayName(deletes: DataFile, path: string): boolean {
  const bytes = Buffer.from(path)
  const lower = deletes.lowerBounds?.get(DELETE_FILE_PATH)
  const upper = deletes.upperBounds?.get(DELETE_FILE_PATH)
  return !(lower && Buffer.compare(bytes, lower) < 0) && !(upper && Buffer.compare(bytes, upper) > 0)
}

function equalPartitions(a: DataFile, b: DataFile): boolean {
  return partitionKey(a) === partitionKey(b)
}

function partitionKey({ partition }: DataFile): string {
  return JSON.stringify([...partition], (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
}

/** @throws PseudolakeError `table/unsupported` for a version 1 snapshot without a manifest list */
export async function manifestsOf(storage: Storage, snapshot: Snapshot): Promise<ManifestFile[]> {
  const list = snapshot['manifest-list']
  if (list === undefined)
    throw new PseudolakeError(
      'table/unsupported',
      `snapshot ${snapshot['snapshot-id']} names its manifests without a list, as only very old writers do`,
    )
  return [...readManifestList(await storage.read(storageLocation(list)), list)]
}

/** @throws PseudolakeError `table/invalid` when the manifest is shorter than its list says: cut between blocks it would look whole */
export async function* liveEntries(
  storage: Storage,
  manifest: ManifestFile,
): AsyncGenerator<ManifestEntry, void, undefined> {
  const bytes = await storage.read(storageLocation(manifest.path))
  if (bytes.length < manifest.bytes)
    throw new PseudolakeError(
      'table/invalid',
      `${manifest.path}: expected ${manifest.bytes} bytes, got ${bytes.length}`,
      {
        location: manifest.path,
      },
    )
  for (const entry of readManifest(bytes, manifest)) if (entry.status !== 'deleted') yield entry
}
