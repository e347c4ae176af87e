/** What of the inputs is done, by the job's mark and ledger, and how a run moves the mark on. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { isHeader, type LedgerEntry, type LedgerRef, MAX_DEPTH, readChain, writeLedgerFile } from '../ledger-file.ts'
import { LedgerIndex } from '../ledger-index.ts'
import { hashInput, type Mark, makeMark, markProperty } from '../marks.ts'
import { InputList } from './input-list.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { epochText } from './overwritten.ts'
import { foundAgain, remembered } from './remembered.ts'
import { filesGoneHint, withSetting } from './way-on.ts'

export interface DoneInput {
  readonly input: InputFile
  readonly rows: number
  /** Names of data files. */
  readonly files: readonly string[]
}

export interface Progress {
  readonly property: string
  /** The mark that the next commit must find in the table. */
  readonly mark: Mark | undefined
  /** Inputs to do, by location; may be asked for more than once. */
  todo(): Iterable<InputFile>
  readonly todoFiles: number
  /** Undefined where --max-files cut the list. */
  readonly todoBytes: number | undefined
  /** Inputs that are done. */
  readonly done: number
  /** Whether a mark is to be set although nothing is to be read: what `--adopt` said must be known the next time. */
  readonly adopting: boolean
  readonly notes: readonly string[]
  /** Names of the data files that an input's new content takes the place of. */
  replaced(input: InputFile): readonly string[]
  /** Writes the ledger's next delta. Nobody reads it before a mark names it. */
  advance(tableUuid: string, run: string, done: readonly DoneInput[]): Promise<Mark>
  /** @throws PseudolakeError `table/mark-changed` */
  requireUnchanged(metadata: TableMetadata | undefined, planned: Mark | undefined): void
  committed(mark: Mark): void
  /** Names of every data file that the ledger tells of. */
  publishedNames(): AsyncIterable<string>
}

/**
 * Keeps what is to be done in memory, and of what is done as much as LedgerIndex does.
 * @param inputs in any order
 * @throws PseudolakeError `table/mark-unreadable`, `table/no-mark`, `input/changed`, `options/invalid`, and what reading `inputs` throws
 */
export async function planProgress(
  job: BatchJob,
  metadata: TableMetadata | undefined,
  inputs: AsyncIterable<InputFile>,
  storage: Storage,
  { adopt, maxFiles = Number.POSITIVE_INFINITY }: { readonly adopt?: 'all' | 'none'; readonly maxFiles?: number },
  { command, uuid }: { readonly command: string; readonly uuid: () => string },
): Promise<Progress> {
  const property = markProperty(job.name)
  // To read them all would be what the caller said not to do.
  if (adopt === 'all' && metadata === undefined) throw nothingToAdopt(job)
  const known = await remembered(metadata, job.name, { storage, uuid, adopt, command })
  const { mark: first, index, salt } = known
  const text = metadata?.properties[property]
  const notes = [...known.notes]
  const adopting = metadata !== undefined && (known.setAside || (!first && needsAdoption(metadata)))
  if (adopting && adopt === undefined)
    throw new PseudolakeError(
      'table/no-mark',
      `${metadata.location} has rows, and no job’s mark says which inputs they came from`,
      {
        location: metadata.location,
        hint: `If the inputs present now are in the table: ${command} --adopt all. If all of them are to be read: ${command} --adopt none`,
      },
    )
  const keyOf = ({ object }: InputFile) => ({
    input: hashInput(salt, object.location),
    bytes: object.bytes,
    version: object.version,
  })
  let total = 0
  const unlike = new InputList()
  const changed: InputFile[] = []
  for await (const input of inputs) {
    total++
    const state = index.stateOf(keyOf(input))
    if (state !== 'same') unlike.add(input)
    if (state === 'changed') changed.push(input)
  }
  unlike.sort()
  changed.sort(byLocation)
  if (changed.length > 0 && job.changed === 'fail')
    throw new PseudolakeError(
      'input/changed',
      `${changed.length} inputs that are done have other content now, the first is ${changed[0]?.object.location}`,
      { location: changed[0]?.object.location ?? '', inputs: changed.length, hint: changedHint(command) },
    )
  // Of the many entries only those of changed inputs are looked at again.
  const earlier =
    known.ledger && changed.length > 0
      ? await entriesOf(storage, known.ledger, new Set(changed.map((input) => keyOf(input).input)))
      : NONE
  const entryOf = (input: InputFile) => earlier.get(keyOf(input).input)
  const untold = changed.filter((input) => entryOf(input)?.adopted)
  if (untold.length > 0 && job.changed === 'replace')
    throw new PseudolakeError(
      'table/files-gone',
      `${untold.length} changed inputs were adopted, so nobody knows which rows are theirs; the first is ${untold[0]?.object.location}`,
      {
        location: untold[0]?.object.location ?? '',
        inputs: untold.length,
        hint: filesGoneHint(command),
      },
    )
  const adopted = adopting && adopt === 'all' ? unlike : new InputList()
  const open = adopting && adopt === 'all' ? new InputList() : unlike
  const later = Math.max(0, open.length - maxFiles)
  if (later > 0)
    notes.push(`${later} more ${later === 1 ? 'input is' : 'inputs are'} to be done: --max-files was reached`)
  let { mark, ledger, published, depth } = known

  return {
    property,
    get mark() {
      return mark
    },
    todo: () => open.take(maxFiles),
    todoFiles: open.length - later,
    todoBytes: later === 0 ? open.bytes : undefined,
    done: total - open.length,
    adopting: adopting && open.length === 0,
    notes,
    replaced(input) {
      const entry = job.changed === 'replace' ? entryOf(input) : undefined
      return entry?.files ?? []
    },
    async advance(tableUuid, run, done) {
      const epoch = (mark?.epoch ?? 0) + 1
      const entry = ({ input, rows, files }: DoneInput): LedgerEntry => {
        // What is appended does not end the earlier rows: a later `replace` must find them all.
        const kept = job.changed === 'append' ? entryOf(input) : undefined
        return {
          ...keyOf(input),
          rows: (kept?.rows ?? 0) + rows,
          files: [...(kept?.files ?? []), ...files],
          ...((adopted.length > 0 || kept?.adopted) && { adopted: true }),
        }
      }
      const entries = mapped(
        done.length > 0 ? done : mapped(adopted, (input) => ({ input, rows: 0, files: [] })),
        entry,
      )
      const name = `${epochText(epoch)}-${run}.jsonl`
      const location = `${ledgerFolder(job, tableUuid)}/${name}`
      depth = ledger && depth < MAX_DEPTH ? depth + 1 : 0
      const header = { salt, depth, ...(ledger && depth > 0 && { previous: ledger }) }
      const all = ledger && depth === 0 ? compacted(storage, entries, ledger) : entries
      return makeMark(epoch, run, await writeLedgerFile(storage, location, header, all))
    },
    requireUnchanged(now, planned) {
      const found = now && foundAgain(now, job.name, planned, text)
      if (found ? found.same : planned === undefined) return
      const epoch = found?.epoch ?? 0
      throw new PseudolakeError(
        'table/mark-changed',
        `job ${job.name} is at epoch ${epoch} in the table and was at ${planned?.epoch ?? 0} when this run was planned${epoch < (planned?.epoch ?? 0) ? OVERWRITTEN : ''}`,
        { job: job.name, epoch, planned: planned?.epoch ?? 0 },
      )
    },
    committed(next) {
      mark = next
      ledger = next.ledger
      published = next.ledger
    },
    async *publishedNames() {
      if (published) for await (const value of readChain(storage, published)) if (!isHeader(value)) yield* value.files
    },
  }
}

/** Where a job's ledgers are: under the table's UUID, so that a new table of an old name starts afresh. */
export function ledgerFolder(job: BatchJob, tableUuid: string): string {
  return `${job.state}/${tableUuid}/${job.name}`
}

/** One by one: of a million inputs their entries need not be in memory too. */
function* mapped<T, U>(items: Iterable<T>, change: (item: T) => U): Generator<U> {
  for (const item of items) yield change(item)
}

function byLocation(a: InputFile, b: InputFile): number {
  return a.object.location < b.object.location ? -1 : 1
}

const OVERWRITTEN = ': what was committed has been taken back, as a writer does that sends no version, or a rollback'

const NONE: ReadonlyMap<string, LedgerEntry> = new Map()

/** The newest entries of a few inputs. */
async function entriesOf(storage: Storage, newest: LedgerRef, inputs: ReadonlySet<string>) {
  const found = new Map<string, LedgerEntry>()
  for await (const value of readChain(storage, newest))
    if (!isHeader(value) && inputs.has(value.input) && !found.has(value.input)) found.set(value.input, value)
  return found
}

/** New entries and the newest one of every other input: a chain in one file. */
async function* compacted(storage: Storage, entries: Iterable<LedgerEntry>, newest: LedgerRef) {
  const seen = new LedgerIndex()
  for (const entry of entries) {
    seen.add(entry)
    yield entry
  }
  for await (const value of readChain(storage, newest)) if (!isHeader(value) && seen.add(value)) yield value
}

/** Rows whose origin nobody has written down. Where another job of ours has its mark, its rows are accounted for. */
function needsAdoption({ properties, snapshots, 'current-snapshot-id': current }: TableMetadata): boolean {
  if (Object.keys(properties).some((name) => name.startsWith(markProperty('')))) return false
  const summary = snapshots.find((snapshot) => snapshot['snapshot-id'] === current)?.summary
  return summary !== undefined && summary['total-records'] !== '0'
}

function nothingToAdopt({ plain, database, table }: BatchJob): PseudolakeError {
  const what = plain === undefined ? `there is no table ${database}.${table}` : `${plain} has no marks of a job`
  return new PseudolakeError('options/invalid', `--adopt all: ${what}, so no input can be said to be done`, {
    option: 'adopt',
    hint:
      plain === undefined
        ? 'Check output.table and output.warehouse; to make the table and read all inputs, run without --adopt.'
        : 'Of plain files nobody can tell which inputs are in them: move inputs that are done out of input.path, then run without --adopt, which reads all that are there and notes them.',
  })
}

function changedHint(command: string): string {
  return `To add the new content: ${withSetting(command, 'input.changed=append')}; to put it in the place of the old rows: ${withSetting(command, 'input.changed=replace')}`
}
