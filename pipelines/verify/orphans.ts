/** Files under a table's folder, and under its ledgers', that nothing reaches. */
import type { TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import type { LocationSet } from '../../lib/iceberg/location-set.ts'
import { IN_FLIGHT_MS, lyingFiles } from '../../lib/iceberg/operations/lying-files.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'
import { type LedgerRoots, lyingLedgers, type Waiting } from '../tables/ledgers.ts'
import type { Findings } from './findings.ts'

export interface OrphanChecks {
  readonly storage: Storage
  readonly findings: Findings
  readonly reached: LocationSet
  readonly waiting: Waiting
  /** Milliseconds since 1970. */
  readonly now: number
  readonly signal: AbortSignal | undefined
}

export async function findTableOrphans(state: TableState, checks: OrphanChecks): Promise<{ earlierMetadata: number }> {
  let earlierMetadata = 0
  for await (const object of lyingFiles(checks.storage, state, checks.reached, checks.signal)) {
    if (object.kind === 'earlier-metadata') earlierMetadata++
    else tell(object, 'nothing of the table names it', checks)
  }
  return { earlierMetadata }
}

/** @param folders the jobs' folders with the least epoch that is still read; earlier ledgers are history */
export async function findLedgerOrphans(
  roots: LedgerRoots,
  folders: ReadonlyMap<string, number>,
  checks: OrphanChecks,
): Promise<{ earlierLedgers: number }> {
  let earlierLedgers = 0
  const { storage, reached, signal } = checks
  for await (const object of lyingLedgers(storage, roots, { reached, folders }, signal)) {
    if (object.kind === 'earlier-ledger') earlierLedgers++
    else tell(object, 'no mark names it', checks)
  }
  return { earlierLedgers }
}

function tell(
  { location, bytes, modified }: StoredObject,
  why: string,
  { findings, now, waiting }: OrphanChecks,
): void {
  const young = now - modified < IN_FLIGHT_MS
  const needed = !young && waiting.has(location)
  findings.add({
    kind: 'orphan',
    location,
    message: young
      ? `${why}; younger than three days, so a run may be about to publish it`
      : needed
        ? `${why}; its run has not ended, or has left it for the job’s next run, which publishes or removes it`
        : why,
    bytes,
    ...((young || needed) && { maybe_in_flight: true }),
  })
}
