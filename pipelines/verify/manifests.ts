/** Metadata down to the data files: everything that a table's snapshots reach, each manifest read once. */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { LocationSet } from '../../lib/iceberg/location-set.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { readManifest } from '../../lib/iceberg/manifest.ts'
import { type ManifestFile, readManifestList } from '../../lib/iceberg/manifest-list.ts'
import { currentSnapshot, type Snapshot, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Finding, Findings } from './findings.ts'

/** What was reached, by where Storage finds it. */
export interface Reached {
  /** Everything: metadata, lists, manifests, data and delete files, statistics. */
  readonly files: LocationSet
  /** Data files of the current snapshot. */
  readonly live: LocationSet
  /** Data files that a snapshot says it removed. */
  readonly removed: LocationSet
  readonly counts: {
    metadata: number
    manifest_lists: number
    manifests: number
    data_files: number
    delete_files: number
  }
}

export function nothingReached(): Reached {
  return {
    files: new LocationSet(),
    live: new LocationSet(),
    removed: new LocationSet(),
    counts: { metadata: 0, manifest_lists: 0, manifests: 0, data_files: 0, delete_files: 0 },
  }
}

export interface WalkOptions {
  readonly storage: Storage
  readonly metadata: TableMetadata
  readonly reached: Reached
  readonly findings: Findings
  readonly notes: string[]
  readonly signal: AbortSignal | undefined
}

/** Every data and delete file once, those of the current snapshot first. */
export async function* reachableFiles(options: WalkOptions): AsyncGenerator<DataFile, void, undefined> {
  const { metadata, reached, signal } = options
  const current = currentSnapshot(metadata)
  const others = metadata.snapshots.filter((snapshot) => snapshot !== current)
  for (const snapshot of current ? [current, ...others] : others) {
    signal?.throwIfAborted()
    for (const manifest of (await manifestsOf(snapshot, options)) ?? []) {
      const location = storageLocation(manifest.path)
      if (!reached.files.add(location)) continue
      reached.counts.manifests++
      for await (const file of liveFilesOf(manifest, location, options)) {
        const path = storageLocation(file.path)
        if (snapshot === current && file.content === 'data' && !reached.live.add(path))
          options.findings.add({
            kind: 'listed-twice',
            location: path,
            message: 'the current snapshot has the file twice',
          })
        if (!reached.files.add(path)) continue
        reached.counts[file.content === 'data' ? 'data_files' : 'delete_files']++
        yield file
      }
    }
  }
}

async function manifestsOf(snapshot: Snapshot, options: WalkOptions): Promise<readonly ManifestFile[] | undefined> {
  const { storage, reached, findings, notes } = options
  const list = snapshot['manifest-list']
  if (list === undefined) {
    notes.push(
      `snapshot ${snapshot['snapshot-id']} has no manifest list, as only very old writers leave it: its files were not looked at`,
    )
    return undefined
  }
  const location = storageLocation(list)
  reached.files.add(location)
  reached.counts.manifest_lists++
  const manifests = await told(findings, location, 'manifest list', async () => [
    ...readManifestList(await storage.read(location), list),
  ])
  if (manifests) checkSummary(snapshot, manifests, (finding) => findings.add({ location, ...finding }))
  return manifests
}

/** A snapshot's totals, where it has them, against the counts of its list, which are held against the manifests. */
function checkSummary(
  snapshot: Snapshot,
  manifests: readonly ManifestFile[],
  add: (finding: Omit<Finding, 'location'>) => void,
): void {
  const data = manifests.filter(({ content }) => content === 'data')
  const deletes = manifests.filter(({ content }) => content === 'deletes')
  const rows = (of: readonly ManifestFile[]) => of.reduce((sum, each) => sum + each.addedRows + each.existingRows, 0)
  const files = (of: readonly ManifestFile[]) => of.reduce((sum, each) => sum + each.addedFiles + each.existingFiles, 0)
  for (const [name, found] of [
    ['total-records', rows(data)],
    ['total-data-files', files(data)],
    ['total-delete-files', files(deletes)],
  ] as const) {
    const said = snapshot.summary[name]
    if (said !== undefined && said !== String(found))
      add({
        kind: 'summary-counts',
        message: `snapshot ${snapshot['snapshot-id']}: ${name} is ${said}, its manifests hold ${found}`,
      })
  }
}

/** Decoded as they are asked for: a manifest may have tens of thousands. */
async function* liveFilesOf(
  manifest: ManifestFile,
  location: string,
  { storage, reached, findings }: WalkOptions,
): AsyncGenerator<DataFile, void, undefined> {
  const bytes = await told(findings, location, 'manifest', () => storage.read(location))
  if (!bytes) return
  if (bytes.length !== manifest.bytes)
    findings.add({
      kind: 'size-differs',
      location,
      message: `has ${bytes.length} bytes, its list says ${manifest.bytes}`,
    })
  const counted = { existing: { files: 0, rows: 0 }, added: { files: 0, rows: 0 }, deleted: { files: 0, rows: 0 } }
  const entries = readManifest(bytes, manifest)
  for (;;) {
    const next = await told(findings, location, 'manifest', async () => entries.next())
    if (!next) return
    if (next.done) break
    const { status, file } = next.value
    counted[status].files++
    counted[status].rows += file.rows
    if (status === 'deleted') reached.removed.add(storageLocation(file.path))
    else yield file
  }
  for (const [status, files, rows] of [
    ['added', manifest.addedFiles, manifest.addedRows],
    ['existing', manifest.existingFiles, manifest.existingRows],
    ['deleted', manifest.deletedFiles, manifest.deletedRows],
  ] as const)
    if (counted[status].files !== files || counted[status].rows !== rows)
      findings.add({
        kind: 'manifest-counts',
        location,
        message: `${counted[status].files} ${status} files with ${counted[status].rows} rows, its list says ${files} with ${rows}`,
      })
}

/** Runs `read`; what is gone or broken becomes a finding, and nothing is returned. */
async function told<T>(
  findings: Findings,
  location: string,
  what: string,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found'))
      findings.add({ kind: 'missing-file', location, message: `the ${what} is not there` })
    else if (isPseudolakeError(error, 'table/invalid', 'table/unsupported'))
      findings.add({ kind: 'unreadable', location, message: error.message })
    else throw error
    return undefined
  }
}
