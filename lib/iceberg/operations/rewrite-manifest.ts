import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { type ManifestEntry, manifestFileOf, writeManifest } from '../manifest.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { currentSchema, type PartitionSpec } from '../metadata.ts'
import { liveEntries } from '../scan.ts'
import type { Carrying } from './snapshot.ts'

/** A manifest that was written once, for whichever try lists it. */
export interface RewrittenManifest {
  listed(sequenceNumber: number): ManifestFile
  /** Without metrics: of a large commit there are many. */
  readonly removed: readonly DataFile[]
}

/**
 * The manifest without the files to remove, written anew; undefined when it names none of them. Entries keep their sequence numbers.
 * @param name of the manifest within this commit
 */
export async function rewriteManifest(
  storage: Storage,
  manifest: ManifestFile,
  remove: { has(path: string): boolean },
  { metadata, snapshotId, nameOf, written }: Omit<Carrying, 'manifests' | 'sequenceNumber'>,
  name: string,
): Promise<RewrittenManifest | undefined> {
  const entries: ManifestEntry[] = []
  const removed: DataFile[] = []
  for await (const entry of liveEntries(storage, manifest)) {
    const gone = remove.has(entry.file.path)
    if (gone) removed.push(withoutMetrics(entry.file))
    entries.push(gone ? { ...entry, status: 'deleted', snapshotId } : { ...entry, status: 'existing' })
  }
  if (removed.length === 0) return undefined

  const spec = metadata['partition-specs'].find((each) => each['spec-id'] === manifest.specId) as PartitionSpec
  if (spec.fields.length > 0)
    throw new PseudolakeError('table/unsupported', `${manifest.path}: files of a partitioned spec are not replaced`, {
      location: manifest.path,
    })
  const path = nameOf(name)
  const of = { schema: currentSchema(metadata), spec, content: manifest.content, entries }
  const bytes = writeManifest(of)
  written.push(path)
  await storage.create(storageLocation(path), bytes)
  // No entry is new, so none takes the number of the try.
  const as = manifestFileOf(of, { path, bytes: bytes.length }, snapshotId, Number.MAX_SAFE_INTEGER)
  return {
    listed: (sequenceNumber) => ({
      ...as,
      sequenceNumber,
      minSequenceNumber: Math.min(as.minSequenceNumber, sequenceNumber),
    }),
    removed,
  }
}

function withoutMetrics({ content, path, format, partition, rows, bytes }: DataFile): DataFile {
  return { content, path, format, partition, rows, bytes }
}
