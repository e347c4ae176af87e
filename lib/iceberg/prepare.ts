import type { Storage } from '../storage/storage.ts'
import type { DataFile } from './data-file.ts'
import { storageLocation } from './locations.ts'
import { type ManifestOf, manifestFileOf, writeManifest } from './manifest.ts'
import type { ManifestFile } from './manifest-list.ts'
import type { PartitionSpec } from './metadata.ts'
import type { Schema } from './types.ts'

/** What a commit writes once, before its first try: the manifests of the files it adds. */

/** Entries are about a kilobyte; a manifest stays below Iceberg's target of 8 MB. */
export const ENTRIES_PER_MANIFEST = 8000

export interface NewFiles {
  readonly schema: Schema
  readonly spec: PartitionSpec
  readonly files: readonly DataFile[]
  readonly snapshotId: bigint
  /** Data sequence number of the files. @default the one that the commit gets */
  readonly dataSequence?: number
}

/** Manifests that are written, to be listed with whatever sequence number the commit gets. */
export interface PreparedManifests {
  listed(sequenceNumber: number): ManifestFile[]
}

/**
 * @param nameOf location of the n-th manifest, as the table spells it
 * @param written takes each location before it is written
 */
export async function prepareManifests(
  storage: Storage,
  { schema, spec, files, snapshotId, dataSequence }: NewFiles,
  nameOf: (n: number) => string,
  written: string[],
): Promise<PreparedManifests> {
  const manifests: { of: ManifestOf; path: string; bytes: number }[] = []
  for (let start = 0; start < files.length; start += ENTRIES_PER_MANIFEST) {
    const entries = files.slice(start, start + ENTRIES_PER_MANIFEST).map((file) => ({
      status: 'added' as const,
      snapshotId,
      sequenceNumber: dataSequence,
      fileSequenceNumber: undefined,
      file,
    }))
    const of: ManifestOf = { schema, spec, content: 'data', entries }
    const bytes = writeManifest(of)
    const path = nameOf(manifests.length)
    written.push(path)
    await storage.create(storageLocation(path), bytes)
    manifests.push({ of, path, bytes: bytes.length })
  }
  return {
    listed: (sequenceNumber) =>
      manifests.map(({ of, path, bytes }) => manifestFileOf(of, { path, bytes }, snapshotId, sequenceNumber)),
  }
}
