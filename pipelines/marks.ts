/**
 * What a table remembers of a job (design: docs/architecture.md, "The table is the truth").
 *
 * The mark is one small table property, changed in the same metadata swap as the data. It names the job's epoch and its ledger: immutable
 * files outside the table, each a delta with a link to the one before, which say per input what came of it. Nothing here is a lock: a
 * commit goes through only on the mark it was planned from, so a second or a paused runner can't double anything.
 */
import { createHash } from 'node:crypto'
import { PseudolakeError } from '../lib/core/errors.ts'
import type { Storage, StoredObject } from '../lib/storage/storage.ts'

const MARK_VERSION = 1
const LEDGER_VERSION = 1

export interface LedgerRef {
  readonly location: string
  /** SHA-256 of the file, hex. */
  readonly sha256: string
}

export interface Mark {
  readonly version: typeof MARK_VERSION
  readonly epoch: number
  readonly run: string
  /** Hex; ties the snapshot to the mark. */
  readonly digest: string
  readonly ledger: LedgerRef
}

export interface LedgerEntry {
  /** Salted hash of the input's location. */
  readonly input: string
  readonly bytes: number
  /** ETag, or inode, size and mtime-ns. */
  readonly version: string
  readonly rows: number
  /** Names of its output files, below the table's data folder. */
  readonly files: readonly string[]
  /** Its rows were in the table already: nobody knows in which files. */
  readonly adopted?: true
}

export interface Ledger {
  /** Keeps the hashes of one job from being looked up in a table of known paths; random, made once per job. */
  readonly salt: string
  readonly entries: ReadonlyMap<string, LedgerEntry>
}

export function markProperty(job: string): string {
  return `pseudolake.job.${job}`
}

/** @throws PseudolakeError `table/mark-unreadable` for a mark of a newer version or another form */
export function readMark(properties: Readonly<Record<string, string>>, job: string): Mark | undefined {
  const text = properties[markProperty(job)]
  if (text === undefined) return undefined
  try {
    const mark = JSON.parse(text) as Mark
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
    },
  )
}

export function hashInput(salt: string, location: string): string {
  return createHash('sha256').update(salt).update('\0').update(location).digest('hex').slice(0, 32)
}

/**
 * Follows the ledger's links from the newest delta to the first; later deltas win.
 * @throws PseudolakeError `table/mark-unreadable` when a file is gone or is not what the mark says
 */
export async function readLedger(storage: Storage, mark: Mark): Promise<Ledger> {
  const entries = new Map<string, LedgerEntry>()
  let salt: string | undefined
  for (let ref: LedgerRef | undefined = mark.ledger; ref; ) {
    const lines: string[] = (await readDelta(storage, ref)).split('\n')
    const header = JSON.parse(lines[0] ?? '') as { version: number; salt: string; previous?: LedgerRef }
    if (header.version !== LEDGER_VERSION)
      throw unreadable(ref.location, `is of version ${header.version}, not ${LEDGER_VERSION}`)
    salt ??= header.salt
    for (const line of lines.slice(1)) {
      if (line === '') continue
      const entry = JSON.parse(line) as LedgerEntry
      if (!entries.has(entry.input)) entries.set(entry.input, entry)
    }
    ref = header.previous
  }
  return { salt: salt ?? '', entries }
}

async function readDelta(storage: Storage, ref: LedgerRef): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = await storage.read(ref.location)
  } catch (error) {
    throw unreadable(ref.location, 'cannot be read', error)
  }
  if (sha256(bytes) !== ref.sha256) throw unreadable(ref.location, 'is not the file that the mark names')
  return new TextDecoder().decode(bytes)
}

/** Writes one delta under a name of its own; a run that fails later leaves it unnamed and harmless. */
export async function writeLedger(
  storage: Storage,
  location: string,
  delta: { salt: string; previous: LedgerRef | undefined; entries: readonly LedgerEntry[] },
): Promise<LedgerRef> {
  const header = { version: LEDGER_VERSION, salt: delta.salt, previous: delta.previous }
  const bytes = new TextEncoder().encode(
    `${[header, ...delta.entries].map((line) => JSON.stringify(line)).join('\n')}\n`,
  )
  await storage.create(location, bytes)
  return { location, sha256: sha256(bytes) }
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
  mark: Mark,
  job: string,
  snapshots: readonly MarkedSnapshot[],
  current: bigint | number | undefined,
) {
  const byId = new Map(snapshots.map((snapshot) => [String(snapshot.id), snapshot]))
  let id = current
  while (id !== undefined) {
    const snapshot = byId.get(String(id))
    if (!snapshot) return 'expired'
    if (snapshot.summary['pseudolake.job'] === job) {
      const epoch = Number(snapshot.summary['pseudolake.epoch'])
      if (epoch === mark.epoch && snapshot.summary['pseudolake.digest'] === mark.digest) return 'found'
      if (epoch <= mark.epoch) break
    }
    id = snapshot.parent
  }
  throw new PseudolakeError(
    'table/mark-unreadable',
    `the table was rolled back behind epoch ${mark.epoch} of job ${job}: its inputs are marked as done, and their rows are not in the table`,
    {
      job,
      epoch: mark.epoch,
      hint: 'Roll the table forward again, or write to a new table; nothing was read or written.',
    },
  )
}

export function compareInput(entry: LedgerEntry | undefined, object: StoredObject): 'new' | 'same' | 'changed' {
  if (!entry) return 'new'
  return entry.bytes === object.bytes && entry.version === object.version ? 'same' : 'changed'
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function unreadable(location: string, problem: string, cause?: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/mark-unreadable',
    `ledger ${location} ${problem}`,
    { location },
    cause === undefined ? {} : { cause },
  )
}
