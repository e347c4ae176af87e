/** What a table remembers of its jobs, held against the table: marks, their ledgers, and the files that those name. */
import { isPseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { isHeader, type LedgerRef, readLedgerFile } from '../ledger-file.ts'
import { LedgerIndex } from '../ledger-index.ts'
import { checkAncestry, dataFolder, type Mark, markProperty, readMark } from '../marks.ts'
import { epochOf, folderOf } from '../tables/ledgers.ts'
import type { Findings } from './findings.ts'
import type { Reached } from './manifests.ts'

const MARK_PREFIX = markProperty('')

export interface JobSummary {
  readonly job: string
  readonly epoch: number
  readonly ledger_files: number
  readonly inputs: number
  /** Data files that its ledger names and the current snapshot has. */
  readonly files_in_table: number
  /** Those that a snapshot says it removed: compacted, replaced or deleted. */
  readonly files_removed: number
  /** Those that are gone and may have been removed by snapshots that are expired. */
  readonly files_unknown: number
}

export interface MarkChecks {
  readonly storage: Storage
  readonly metadata: TableMetadata
  readonly reached: Reached
  readonly findings: Findings
  readonly notes: string[]
  readonly signal: AbortSignal | undefined
}

export interface CheckedMarks {
  readonly jobs: readonly JobSummary[]
  /** Folders of ledgers, with the epoch below which no ledger is needed any more. */
  readonly folders: ReadonlyMap<string, number>
}

/** Needs everything that the snapshots reach in `reached`; adds the ledgers to it. */
export async function checkMarks(checks: MarkChecks): Promise<CheckedMarks> {
  const { metadata, findings, notes, signal } = checks
  const jobs: JobSummary[] = []
  const folders = new Map<string, number>()
  for (const property of Object.keys(metadata.properties).sort()) {
    if (!property.startsWith(MARK_PREFIX)) continue
    signal?.throwIfAborted()
    const job = property.slice(MARK_PREFIX.length)
    let mark: Mark | undefined
    try {
      mark = readMark(metadata.properties, job)
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      findings.add({ kind: 'mark', location: property, message: error.message })
    }
    if (!mark) continue
    const expired = ancestryOf(mark, job, checks)
    if (expired) notes.push(`job ${job}: the snapshot of its last commit is expired; its mark alone says what is done`)
    jobs.push(await checkLedger(mark, job, checks, folders))
  }
  return { jobs, folders }
}

/** @returns whether the chain of snapshots ends before the mark’s */
function ancestryOf(mark: Mark, job: string, { metadata, findings }: MarkChecks): boolean {
  const snapshots = metadata.snapshots.map((snapshot) => ({
    id: snapshot['snapshot-id'],
    parent: snapshot['parent-snapshot-id'],
    summary: snapshot.summary,
  }))
  try {
    return checkAncestry(mark, job, snapshots, metadata['current-snapshot-id']) === 'expired'
  } catch (error) {
    if (!isPseudolakeError(error)) throw error
    findings.add({ kind: 'rolled-back', location: markProperty(job), message: error.message })
    return false
  }
}

async function checkLedger(
  mark: Mark,
  job: string,
  { storage, metadata, reached, findings, signal }: MarkChecks,
  folders: Map<string, number>,
): Promise<JobSummary> {
  const counts = { ledger_files: 0, inputs: 0, files_in_table: 0, files_removed: 0, files_unknown: 0 }
  const data = `${dataFolder(metadata)}/`
  const whole = isWhole(metadata)
  const seen = new LedgerIndex()
  let ref: LedgerRef | undefined = mark.ledger
  while (ref) {
    signal?.throwIfAborted()
    const { location }: LedgerRef = ref
    reached.files.add(location)
    counts.ledger_files++
    folders.set(folderOf(location), epochOf(location))
    let previous: LedgerRef | undefined
    try {
      for await (const value of readLedgerFile(storage, ref)) {
        if (isHeader(value)) previous = value.previous
        // Of an input's several entries the newest counts: what it replaced is gone on purpose.
        else if (seen.add(value)) {
          counts.inputs++
          for (const name of value.files) place(`${data}${name}`, location)
        }
      }
    } catch (error) {
      if (!isPseudolakeError(error, 'table/mark-unreadable')) throw error
      findings.add({ kind: 'ledger', location, message: error.message })
      break
    }
    ref = previous
  }
  return { job, epoch: mark.epoch, ...counts }

  function place(file: string, ledger: string): void {
    if (reached.live.has(file)) counts.files_in_table++
    else if (reached.removed.has(file)) counts.files_removed++
    else if (!whole) counts.files_unknown++
    else
      findings.add({
        kind: 'ledger-file-gone',
        location: file,
        message: `ledger ${ledger} names it, the current snapshot has it not, and no snapshot removed it`,
      })
  }
}

/** Whether every snapshot since the table's first is still there to say what it removed. */
function isWhole({ snapshots, 'current-snapshot-id': current }: TableMetadata): boolean {
  const byId = new Map(snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  const seen = new Set<bigint>()
  for (let id = current; id !== undefined; ) {
    const snapshot = byId.get(id)
    if (!snapshot || seen.has(id)) return false
    seen.add(id)
    id = snapshot['parent-snapshot-id']
  }
  return true
}
