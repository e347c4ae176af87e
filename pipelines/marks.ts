/**
 * What a table remembers of a job (design: docs/architecture.md, "The table is the truth").
 *
 * The mark is one small table property, changed in the same metadata swap as the data. It names the job's epoch and its ledger: immutable
 * files outside the table, each a delta with a link to the one before, which say per input what came of it. Nothing here is a lock: a
 * commit goes through only on the mark it was planned from, so a second or a paused runner can't double anything.
 */
import { createHash, hash } from 'node:crypto'
import { PseudolakeError } from '../lib/core/errors.ts'
import { storageLocation } from '../lib/iceberg/locations.ts'
import type { TableMetadata } from '../lib/iceberg/metadata.ts'
import type { LedgerRef } from './ledger-file.ts'

const MARK_VERSION = 1

/** What marks of all kinds have: a batch job's names its ledger, a stream's has its positions (stream/mark.ts). */
export interface MarkHead {
  readonly epoch: number
  readonly run: string
  /** Hex; ties the snapshot to the mark. */
  readonly digest: string
}

/** In the summary of a stream's snapshots: a batch job of the same name has a mark of its own. */
export const STREAM_SUMMARY = 'pseudolake.stream'

export interface Mark extends MarkHead {
  readonly version: typeof MARK_VERSION
  readonly ledger: LedgerRef
}

/** Of what a later version has written: only that one knows what it says. */
export const NEWER_HINT = 'Use the version of pseudolake that wrote it, or a later one.'

/** In the place of a mark that can't be read: what comes next has a later epoch than any before. */
export const NO_MARK: Mark = {
  version: MARK_VERSION,
  epoch: 0,
  run: '',
  digest: '',
  ledger: { location: '', sha256: '' },
}

export function markProperty(job: string): string {
  return `pseudolake.job.${job}`
}

/** @throws PseudolakeError `table/mark-unreadable` for a mark of a newer version or another form */
export function readMark(properties: Readonly<Record<string, string>>, job: string): Mark | undefined {
  const text = properties[markProperty(job)]
  if (text === undefined) return undefined
  let newer = false
  try {
    const mark = JSON.parse(text) as Mark
    newer = mark.version > MARK_VERSION
    if (mark.version === MARK_VERSION && Number.isSafeInteger(mark.epoch) && typeof mark.ledger.location === 'string')
      return mark
  } catch {
    // Falls through: not JSON is as unreadable as another version.
  }
  throw new PseudolakeError(
    'table/mark-unreadable',
    `property ${markProperty(job)} is not a mark that this version reads`,
    {
      property: markProperty(job),
      expectedVersion: MARK_VERSION,
      ...(newer && { newer, hint: NEWER_HINT }),
    },
  )
}

/** Where the data files are, where that is not below the table: the folder of plain files that it keeps the marks of. */
export const FILES_PROPERTY = 'pseudolake.files'

/** Folder of a table's data files, as ledgers name them. */
export function dataFolder({ location, properties }: Pick<TableMetadata, 'location' | 'properties'>): string {
  return properties[FILES_PROPERTY] ?? `${storageLocation(location)}/data`
}

export function hashInput(salt: string, location: string): string {
  return hash('sha256', `${salt}\0${location}`).slice(0, 32)
}

export function makeMark(epoch: number, run: string, ledger: LedgerRef): Mark {
  const digest = createHash('sha256').update(`${epoch}\0${run}\0${ledger.sha256}`).digest('hex').slice(0, 32)
  return { version: MARK_VERSION, epoch, run, digest, ledger }
}

export interface MarkedSnapshot {
  readonly id: bigint | number
  readonly parent?: bigint | number | undefined
  readonly summary: Readonly<Record<string, string>>
}

/**
 * Walks from the current snapshot to the one that set the mark. A table that was rolled back behind its mark would have the same inputs
 * skipped though their rows are gone, or processed twice: neither is ours to choose.
 * @returns 'found', or 'expired' when expiry took the chain's end away (then the mark is all there is, and it is enough)
 * @throws PseudolakeError `table/mark-unreadable` when the table was rolled back
 */
export function checkAncestry(
  mark: MarkHead,
  job: string,
  snapshots: readonly MarkedSnapshot[],
  current: bigint | number | undefined,
  kind: 'batch' | 'stream' = 'batch',
) {
  const byId = new Map(snapshots.map((snapshot) => [String(snapshot.id), snapshot]))
  const isOurs = ({ summary }: MarkedSnapshot) =>
    summary['pseudolake.job'] === job && (summary[STREAM_SUMMARY] !== undefined) === (kind === 'stream')
  const setTheMark = (snapshot: MarkedSnapshot) =>
    isOurs(snapshot) &&
    Number(snapshot.summary['pseudolake.epoch']) === mark.epoch &&
    snapshot.summary['pseudolake.digest'] === mark.digest
  let id = current
  while (id !== undefined) {
    const snapshot = byId.get(String(id))
    if (!snapshot) {
      // The chain is cut, but the snapshot that set the mark is there: then it is no ancestor, and its rows are not in the table.
      if (snapshots.some(setTheMark)) break
      return 'expired'
    }
    if (setTheMark(snapshot)) return 'found'
    if (isOurs(snapshot) && Number(snapshot.summary['pseudolake.epoch']) <= mark.epoch) break
    id = snapshot.parent
  }
  throw new PseudolakeError(
    'table/mark-unreadable',
    `the table was rolled back behind epoch ${mark.epoch} of job ${job}: its ${kind === 'stream' ? 'records' : 'inputs'} are marked as done, and their rows are not in the table`,
    {
      job,
      epoch: mark.epoch,
      hint: 'Roll the table forward again, or write to a new table; nothing was read or written.',
    },
  )
}
