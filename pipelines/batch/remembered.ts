/**
 * What the table remembers of a job, before its inputs are looked at; or that it is set aside, because it can't be followed and the caller has
 * said what the inputs present now are. A mark that is set aside still counts: the next commit must find it, and has a later epoch.
 */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { isHeader, type LedgerHeader, type LedgerRef, readChain } from '../ledger-file.ts'
import { LedgerIndex } from '../ledger-index.ts'
import { checkAncestry, type Mark, markProperty, NO_MARK, readMark } from '../marks.ts'

export interface Remembered {
  /** The mark that the next commit must find; `NO_MARK` of the highest epoch where its text is none. */
  readonly mark: Mark | undefined
  /** Newest file of the ledger that goes on; undefined where a new one begins. */
  readonly ledger: LedgerRef | undefined
  /** Tells which data files the job has published, set aside or not; undefined where that can't be read. */
  readonly published: LedgerRef | undefined
  /** The rows in the table are for the caller to account for. */
  readonly setAside: boolean
  readonly salt: string
  readonly index: LedgerIndex
  /** Files behind the newest one. */
  readonly depth: number
  readonly notes: readonly string[]
}

export interface RememberedOptions {
  readonly storage: Storage
  readonly uuid: () => string
  readonly adopt: 'all' | 'none' | undefined
  /** What the caller typed. */
  readonly command: string
}

/** @throws PseudolakeError `table/mark-unreadable`, with the commands that go on */
export async function remembered(
  metadata: TableMetadata | undefined,
  job: string,
  { storage, uuid, adopt, command }: RememberedOptions,
): Promise<Remembered> {
  let mark: Mark | undefined
  let readable: LedgerRef | undefined
  try {
    mark = metadata && readMark(metadata.properties, job)
    const ledger = await openLedger(storage, mark?.ledger)
    readable = mark?.ledger
    const notes = metadata && mark ? requireAncestor(metadata, mark, job) : []
    return {
      mark,
      ledger: mark?.ledger,
      published: mark?.ledger,
      setAside: false,
      salt: ledger.salt ?? uuid(),
      index: ledger.index,
      depth: ledger.depth,
      notes,
    }
  } catch (error) {
    // Another storage error says nothing about the mark, and what a newer version wrote is for that version to judge.
    if (!metadata || !isPseudolakeError(error, 'table/mark-unreadable') || error.context.newer === true) throw error
    if (adopt === undefined)
      throw new PseudolakeError(error.code, error.message, { ...error.context, hint: wayOn(error, command) }, error)
    return {
      mark: mark ?? { ...NO_MARK, epoch: highestEpoch(metadata, job) },
      ledger: undefined,
      published: readable,
      setAside: true,
      salt: uuid(),
      index: new LedgerIndex(),
      depth: 0,
      notes: [`the job’s mark was set aside by --adopt ${adopt}: ${error.message}`],
    }
  }
}

/** Whether the mark in the table is still the one that was planned from. @throws PseudolakeError `table/mark-unreadable` */
export function foundAgain(
  { properties }: Pick<TableMetadata, 'properties'>,
  job: string,
  planned: Mark | undefined,
  text: string | undefined,
): { readonly same: boolean; readonly epoch: number } {
  // One whose text is none has nothing but its text.
  if (planned?.digest === NO_MARK.digest && properties[markProperty(job)] === text)
    return { same: true, epoch: planned.epoch }
  const found = readMark(properties, job)
  return { same: found?.digest === planned?.digest, epoch: found?.epoch ?? 0 }
}

function requireAncestor(metadata: TableMetadata, mark: Mark, job: string): readonly string[] {
  const snapshots = metadata.snapshots.map((snapshot) => ({
    id: snapshot['snapshot-id'],
    parent: snapshot['parent-snapshot-id'],
    summary: snapshot.summary,
  }))
  return checkAncestry(mark, job, snapshots, metadata['current-snapshot-id']) === 'expired'
    ? ['snapshots were expired up to this job’s last one; its mark alone says what is done']
    : []
}

async function openLedger(storage: Storage, newest: LedgerRef | undefined) {
  const index = new LedgerIndex()
  let header: LedgerHeader | undefined
  if (newest)
    for await (const value of readChain(storage, newest)) {
      if (isHeader(value)) header ??= value
      else index.add(value)
    }
  return { salt: header?.salt, index, depth: header?.depth ?? 0 }
}

/** Later epochs are told from earlier ones by it, so it may not be given again. */
function highestEpoch({ snapshots }: TableMetadata, job: string): number {
  const epochs = snapshots.flatMap(({ summary }) =>
    summary?.['pseudolake.job'] === job ? [Number(summary['pseudolake.epoch'])] : [],
  )
  return Math.max(0, ...epochs.filter(Number.isSafeInteger))
}

function wayOn({ context }: PseudolakeError, command: string): string {
  const own = typeof context.hint === 'string' ? context.hint : 'Restore what is named.'
  return `${own} Or go on with the table as it is: if the inputs present now are in it: ${command} --adopt all. If all of them are to be read, whether their rows are there or not: ${command} --adopt none`
}
