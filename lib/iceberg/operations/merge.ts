import type { Storage } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'
import { type ManifestEntry, type ManifestOf, manifestFileOf, writeManifest } from '../manifest.ts'
import type { ManifestFile } from '../manifest-list.ts'
import { currentSchema, type PartitionSpec, type TableMetadata } from '../metadata.ts'
import { ENTRIES_PER_MANIFEST } from '../prepare.ts'
import { liveEntries } from '../scan.ts'
import type { Carrying } from './snapshot.ts'

/**
 * Keeps the number of manifests down, so that planning a scan of a table with a year of small commits does not read thousands of files
 * (properties `commit.manifest.*` and `commit.manifest-merge.enabled`, as Iceberg's own library has them).
 */

const DEFAULT_MIN_COUNT = 100
const DEFAULT_TARGET_BYTES = 8 * 1024 * 1024

/** Manifests to be written as one; a group of one stays as it is. */
export type Group = readonly ManifestFile[]

/**
 * Which manifests go together, the newest first as lists have them. Nothing is merged before there are `min-count-to-merge` data manifests;
 * then groups are filled from the oldest on, so full ones never change again, and the newest waits until it has that many itself. Pure.
 */
export function mergeGroups(metadata: TableMetadata, manifests: readonly ManifestFile[]): Group[] {
  const { properties } = metadata
  const minCount = positive(properties['commit.manifest.min-count-to-merge'], DEFAULT_MIN_COUNT)
  const targetBytes = positive(properties['commit.manifest.target-size-bytes'], DEFAULT_TARGET_BYTES)
  const unpartitioned = new Set(
    metadata['partition-specs'].filter(({ fields }) => fields.length === 0).map((spec) => spec['spec-id']),
  )
  // Encrypted manifests cannot be read, and manifests of deletes and of other specs never go together with these.
  const mergeable = (manifest: ManifestFile) =>
    manifest.content === 'data' && manifest.keyMetadata === undefined && unpartitioned.has(manifest.specId)
  const alone = (list: readonly ManifestFile[]) => list.map((manifest) => [manifest])
  if (properties['commit.manifest-merge.enabled'] === 'false' || manifests.filter(mergeable).length < minCount)
    return alone(manifests)

  const groups: ManifestFile[][] = []
  const open = new Map<number, { group: ManifestFile[]; bytes: number; files: number }>()
  for (const manifest of manifests.toReversed()) {
    const files = manifest.addedFiles + manifest.existingFiles
    const last = open.get(manifest.specId)
    if (!mergeable(manifest)) groups.unshift([manifest])
    else if (last && last.bytes + manifest.bytes <= targetBytes && last.files + files <= ENTRIES_PER_MANIFEST) {
      last.group.unshift(manifest)
      last.bytes += manifest.bytes
      last.files += files
    } else {
      const group = [manifest]
      groups.unshift(group)
      open.set(manifest.specId, { group, bytes: manifest.bytes, files })
    }
  }
  const newest = new Set<Group>([...open.values()].map(({ group }) => group))
  // A manifest that is half full already is worth writing again only with many others: else each commit would write it for a few more entries.
  const cheap = (group: Group) => !newest.has(group) && group.every(({ bytes }) => bytes <= targetBytes / 2)
  return groups.flatMap((group) => (group.length >= minCount || cheap(group) ? [group] : alone(group)))
}

/** One manifest for a group that was merged once, whichever try lists it. */
export interface Merged {
  listed(sequenceNumber: number): ManifestFile
}

/**
 * Writes the live entries of a group as one manifest. Each keeps the snapshot and the sequence numbers it has: they say which deletes apply.
 * @param name of the manifest within this commit
 */
export async function mergeGroup(
  storage: Storage,
  group: Group,
  { metadata, snapshotId, nameOf, written }: Omit<Carrying, 'manifests' | 'sequenceNumber'>,
  name: string,
): Promise<Merged> {
  const entries: ManifestEntry[] = []
  for (const manifest of group)
    for await (const entry of liveEntries(storage, manifest)) entries.push({ ...entry, status: 'existing' })
  const spec = metadata['partition-specs'].find((each) => each['spec-id'] === group[0]?.specId) as PartitionSpec
  const of: ManifestOf = { schema: currentSchema(metadata), spec, content: 'data', entries }
  const bytes = writeManifest(of)
  const path = nameOf(name)
  written.push(path)
  await storage.create(storageLocation(path), bytes)
  return { listed: (sequenceNumber) => manifestFileOf(of, { path, bytes: bytes.length }, snapshotId, sequenceNumber) }
}

function positive(text: string | undefined, missing: number): number {
  const value = Number(text)
  return text !== undefined && Number.isSafeInteger(value) && value > 0 ? value : missing
}
