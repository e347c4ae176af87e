/**
 * Commits of a job that were acknowledged and are not in the table any more: somebody who sends no version (a lock manager of its own, a
 * restored catalog) has put an older state over them. The job's mark went with it, so their inputs are read again, as if they had never been;
 * what tells of them is their ledger, of a later epoch than the mark, beside files that no run has listed as unpublished.
 */
import { createHash } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { liveEntries, manifestsOf } from '../../lib/iceberg/scan.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { isHeader, readLedgerFile } from '../ledger-file.ts'

export interface OverwrittenOptions {
  readonly metadata: TableMetadata
  readonly storage: Storage
  /** Of the job's ledgers (`ledgerFolder`). */
  readonly ledgers: string
  /** Of the table's mark; 0 where it has none. */
  readonly epoch: number
  /** Folder of the data files. */
  readonly data: string
  /** Whether a data file is one that a run has finished and not published. */
  readonly isUnpublished: (location: string) => boolean | Promise<boolean>
}

export interface Overwritten {
  readonly epoch: number
  readonly run: string
  readonly inputs: number
  readonly rows: number
  /** Inputs that commits before it had adopted, and whose mark went too: their rows were in the table before any of them. */
  readonly adopted: number
}

/** One request for a job whose mark is the newest. @throws PseudolakeError `storage/*` but for what is gone meanwhile */
export async function overwrittenCommits(options: OverwrittenOptions): Promise<Overwritten[]> {
  const { storage, ledgers } = options
  const found: (Overwritten & { readonly file: string })[] = []
  let adopted = 0
  for (let epoch = options.epoch + 1; ; epoch++) {
    const prefix = `${ledgers}/${epochText(epoch)}-`
    const before = found.length
    let fileless: number | undefined
    for await (const { location } of storage.list(prefix)) {
      const run = /^([^/]+)\.jsonl$/.exec(location.slice(prefix.length))?.[1]
      const one = run === undefined ? undefined : await looked(options, location)
      if (run === undefined || !one) continue
      const { file, inputs, rows } = one
      if (file === undefined) fileless = Math.max(fileless ?? 0, one.adopted)
      else found.push({ epoch, run, inputs, rows, file, adopted })
    }
    if (found.length > before) continue
    // A commit that only adopted inputs has no data file: whether it came to be, the ones after it tell.
    if (fileless === undefined) break
    adopted += fileless
  }
  if (found.length === 0) return []
  // Where only the mark was taken out of the table, its rows are there.
  const there = await inSomeSnapshot(options, new Set(found.map(({ file }) => file)))
  return found.flatMap(({ file, ...one }) => (there.has(file) ? [] : [one]))
}

/** Which of some data files the table has, or had. */
async function inSomeSnapshot(
  { storage, metadata }: OverwrittenOptions,
  files: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  const seen = new Set<string>()
  for (const snapshot of metadata.snapshots)
    try {
      for (const manifest of await manifestsOf(storage, snapshot)) {
        if (seen.has(manifest.path)) continue
        seen.add(manifest.path)
        for await (const { file } of liveEntries(storage, manifest)) if (files.has(file.path)) found.add(file.path)
      }
    } catch (error) {
      // Of an old snapshot whose manifests somebody has removed, or that has no list of them, nothing is known.
      if (!isPseudolakeError(error, 'storage/not-found', 'table/unsupported')) throw error
    }
  return found
}

/** As ledgers are named. */
export function epochText(epoch: number): string {
  return String(epoch).padStart(8, '0')
}

/** Undefined for the ledger of a commit that never was; without a file for one that added none. */
async function looked(
  { storage, data, isUnpublished }: OverwrittenOptions,
  location: string,
): Promise<{ inputs: number; adopted: number; rows: number; file: string | undefined } | undefined> {
  try {
    const sha256 = createHash('sha256')
      .update(await storage.read(location))
      .digest('hex')
    let [inputs, adopted, rows] = [0, 0, 0]
    let file: string | undefined
    for await (const value of readLedgerFile(storage, { location, sha256 })) {
      if (isHeader(value)) continue
      inputs++
      if (value.adopted) adopted++
      rows += value.rows
      file ??= value.files[0]
    }
    if (file === undefined) return { inputs, adopted, rows, file }
    // A run that failed, was killed or is at work lists what it finished; one whose commit was acknowledged has struck it off.
    if (await isUnpublished(`${data}/${file}`)) return undefined
    await storage.stat(`${data}/${file}`)
    return { inputs, adopted, rows, file: `${data}/${file}` }
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found', 'table/mark-unreadable')) return undefined
    throw error
  }
}

/** For the report. */
export function overwrittenNote({ epoch, run, inputs, rows }: Overwritten): string {
  const of = inputs === 1 ? 'its input is' : `its ${inputs} inputs are`
  return `epoch ${epoch} of this job (run ${run}, ${rows} rows) was committed and is not in the table any more: a writer that sends no version has put an older state over it; ${of} read again, and its data files are left for table expire --orphans`
}

/** For a table in which nothing of the job is left: that there are rows in it says nothing about the job's inputs. */
export function allOverwritten(commits: readonly Overwritten[], location: string, command: string): PseudolakeError {
  const [first] = commits as readonly [Overwritten]
  const rows = commits.reduce((sum, commit) => sum + commit.rows, 0)
  const { adopted } = first
  const again = `To read all inputs present now, and so put its rows in again: ${command} --adopt none`
  const others = `The job had adopted ${adopted} inputs before, whose rows are there: write their locations into a file, run ${command} --adopt all --inputs-from FILE, then ${command}, which puts the rows of all others in again`
  const which = commits.length === 1 ? `epoch ${first.epoch}` : `epochs ${first.epoch} to ${commits.at(-1)?.epoch}`
  return new PseudolakeError(
    'table/commit-overwritten',
    `${location} has rows and no mark of this job, whose ${which} (run ${first.run}, ${rows} rows in all) had been committed to it: a writer that sends no version has put an older state over that`,
    {
      location,
      epoch: first.epoch,
      run: first.run,
      commits: commits.length,
      rows,
      adopted,
      hint: `What was committed is not in the table any more. ${adopted > 0 ? others : again}`,
    },
  )
}
