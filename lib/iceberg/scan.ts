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
  /** Its partition, spec included: equality deletes of another one do not touch the file. */
  readonly scope: string
  /** Delete files whose rows may be about this file; a reader that ignores them shows deleted rows. */
  readonly deletes: readonly PlannedDelete[]
}

/**
 * Position deletes hold for the files that they name, of their sequence number or a lower one; equality deletes for rows of files of a lower
 * one and of the same partition (specification, "Scan Planning").
 */
export interface PlannedDelete extends DataFile {
  readonly sequenceNumber: number
  /** The one partition that equality deletes are about; undefined where it is the whole table. */
  readonly scope: string | undefined
}

/** Reserved field ids of position-delete files. */
export const DELETE_FILE_PATH = 2147483546
export const DELETE_POS = 2147483545

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

  const isEverywhere = everywhere(metadata)
  const deletes: { readonly file: PlannedDelete; readonly scope: string }[] = []
  for (const manifest of manifests)
    if (manifest.content === 'deletes')
      for await (const { file, sequenceNumber = 0 } of liveEntries(storage, manifest)) {
        const scope = scopeOf(manifest, file)
        const everyone = isEverywhere(manifest, file)
        deletes.push({ file: { ...file, sequenceNumber, scope: everyone ? undefined : scope }, scope })
      }

  for (const manifest of manifests) {
    if (manifest.content !== 'data') continue
    for await (const { file, sequenceNumber = 0 } of liveEntries(storage, manifest)) {
      const scope = scopeOf(manifest, file)
      const applicable = deletes.filter((each) => applies(each.file, file, sequenceNumber, each.scope === scope))
      yield { file, sequenceNumber, scope, deletes: applicable.map((each) => each.file) }
    }
  }
}

/**
 * Whether equality deletes are about the whole table. A spec whose fields were all dropped partitions nothing, though its files have values
 * (null) for them. Pure.
 */
export function everywhere(metadata: TableMetadata): (manifest: ManifestFile, file: DataFile) => boolean {
  const specs = metadata['partition-specs'].filter(({ fields }) =>
    fields.every(({ transform }) => transform === 'void'),
  )
  const unpartitioned = new Set(specs.map((spec) => spec['spec-id']))
  return ({ specId }, { partition }) => partition.size === 0 || unpartitioned.has(specId)
}

/** Whether a delete file's rows may be about a data file. Pure. */
export function applies(
  deletes: PlannedDelete,
  data: Pick<DataFile, 'path'>,
  dataSequence: number,
  samePartition: boolean,
): boolean {
  if (deletes.content === 'equality-deletes')
    return dataSequence < deletes.sequenceNumber && (samePartition || deletes.scope === undefined)
  if (dataSequence > deletes.sequenceNumber || !samePartition) return false
  if (deletes.referencedDataFile !== undefined) return deletes.referencedDataFile === data.path
  return mayName(deletes, data.path)
}

/** Bounds of the paths that a position-delete file names, where it has them. Upper bounds may be cut and raised: compared as bytes. */
function mayName(deletes: DataFile, path: string): boolean {
  const bytes = Buffer.from(path)
  const lower = deletes.lowerBounds?.get(DELETE_FILE_PATH)
  const upper = deletes.upperBounds?.get(DELETE_FILE_PATH)
  return !(lower && Buffer.compare(bytes, lower) < 0) && !(upper && Buffer.compare(bytes, upper) > 0)
}

function scopeOf({ specId }: ManifestFile, { partition }: DataFile): string {
  if (partition.size === 0) return String(specId)
  const values = JSON.stringify([...partition], (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
  return `${specId} ${values}`
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
