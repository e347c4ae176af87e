/** Files under a table's folder, and under its ledgers', that nothing reaches. */
import { versionOf } from '../../lib/iceberg/catalogs/metadata-versions.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'
import type { Findings } from './findings.ts'
import type { LocationSet } from './location-set.ts'
import { epochOf, folderOf } from './marks.ts'

/** Younger files may belong to a run that has not committed yet; nobody takes them away. */
export const IN_FLIGHT_MS = 3 * 24 * 3_600_000

export interface OrphanChecks {
  readonly storage: Storage
  readonly findings: Findings
  readonly reached: LocationSet
  /** Milliseconds since 1970. */
  readonly now: number
  readonly signal: AbortSignal | undefined
}

/**
 * @param table without slash at the end
 * @param version of the newest metadata file where they are numbered: earlier ones are history, whatever the log still names
 */
export async function findTableOrphans(
  table: string,
  version: number | undefined,
  checks: OrphanChecks,
): Promise<{ earlierMetadata: number }> {
  let earlierMetadata = 0
  const metadata = `${table}/metadata/`
  for await (const object of checks.storage.list(`${table}/`)) {
    checks.signal?.throwIfAborted()
    const { location } = object
    if (checks.reached.has(checkedBy(location))) continue
    if (folderOf(location) === metadata.slice(0, -1)) {
      const name = checkedBy(location).slice(metadata.length)
      if (name === 'version-hint.text') continue
      const own = versionOf(name)
      if (own !== undefined && version !== undefined && own <= version) {
        earlierMetadata++
        continue
      }
    }
    tell(object, 'nothing of the table names it', checks)
  }
  return { earlierMetadata }
}

/**
 * @param root folder of all ledgers of the table, without slash at the end
 * @param folders the jobs' folders with the least epoch that is still read; earlier ledgers are history
 */
export async function findLedgerOrphans(
  root: string,
  folders: ReadonlyMap<string, number>,
  checks: OrphanChecks,
): Promise<{ earlierLedgers: number }> {
  let earlierLedgers = 0
  for await (const object of checks.storage.list(`${root}/`)) {
    checks.signal?.throwIfAborted()
    const { location } = object
    if (checks.reached.has(location)) continue
    const needed = folders.get(folderOf(location))
    const epoch = epochOf(location)
    if (needed !== undefined && epoch > 0 && epoch < needed) earlierLedgers++
    else tell(object, 'no mark names it', checks)
  }
  return { earlierLedgers }
}

/** Hadoop's file system on a disk keeps a checksum `.NAME.crc` beside each file: it goes with the file. */
function checkedBy(location: string): string {
  return location.replace(/\/\.([^/]+)\.crc$/, '/$1')
}

function tell({ location, bytes, modified }: StoredObject, why: string, { findings, now }: OrphanChecks): void {
  const young = now - modified < IN_FLIGHT_MS
  findings.add({
    kind: 'orphan',
    location,
    message: young ? `${why}; younger than three days, so a run may be about to publish it` : why,
    bytes,
    ...(young && { maybe_in_flight: true }),
  })
}
