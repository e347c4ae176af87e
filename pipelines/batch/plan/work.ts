/** From the inputs that are to be read to the document of a plan. Reads footers, dictionaries and a bounded sample; writes nothing. */
import { setImmediate } from 'node:timers/promises'
import { currentSchema } from '../../../lib/iceberg/metadata.ts'
import { countsOnlyProperty } from '../../../lib/iceberg/metrics.ts'
import { fieldIdsFor } from '../../../lib/iceberg/parquet-schema.ts'
import { typeText } from '../../../lib/iceberg/types.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { WINDOW_BYTES } from '../../../lib/parquet/ranges.ts'
import { allInDictionary } from '../../../lib/parquet/scan.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { pinProperty, writeApproved } from '../../pins.ts'
import { isUnread } from '../csv/open.ts'
import { lookAtSample } from '../csv/sample.ts'
import type { Pinned } from '../identities.ts'
import type { InputFile } from '../inputs.ts'
import type { BatchJob } from '../job.ts'
import type { Progress } from '../ledger.ts'
import { CSV_SAMPLE_BYTES, openInput, withRowGroups } from '../open-input.ts'
import { approvedOf, requireApproved, requireSame, type Shape, shapeOf } from '../shape.ts'
import { steps } from '../step.ts'
import type { Target } from '../target.ts'
import { columnsHint, orWayOn } from '../way-on.ts'
import type { BatchPlan, Creates, PlannedService } from './document.ts'
import { lookInside } from './look.ts'
import type { Prices } from './prices.ts'
import { ReadAhead } from './read-ahead.ts'
import { Sums } from './sums.ts'

export interface PlanWork {
  readonly job: BatchJob
  readonly target: Target
  readonly progress: Pick<Progress, 'todo' | 'done' | 'property' | 'adopting' | 'todoFiles'>
  readonly storage: Storage
  readonly signal: AbortSignal
  /** What the caller typed, for errors that print the way on. */
  readonly command: string
  readonly prices: Prices
  /** What the key check found; empty where it was not made. */
  readonly pinned: readonly Pinned[]
  readonly keyCheck: PlannedService['key_check']
  readonly notes: readonly string[]
}

/** Of pages without a dictionary that a plan reads in all. */
const SAMPLE_BYTES = 64 << 20

/**
 * Files that are opened at once, while they are small: as footers grow with their files. Many where answers are late. Elsewhere few: what is
 * taken apart lives as long as the last of them, and what is more than V8's young generation takes is not given back for long.
 */
const TOGETHER = { late: 32, near: 8, maxBytes: 512 << 20 }
const SAMPLED_NOTE = `CSV: rows, nulls, values and sizes are guessed from the first ${CSV_SAMPLE_BYTES.plan >> 20} MiB of each file`
/** Of dictionaries that are read ahead. */
const AHEAD_BYTES = 16 << 20

/** @throws PseudolakeError what a run would throw before it writes: `input/*`, `config/invalid`, `table/schema-changed` */
export async function planWork(work: PlanWork): Promise<BatchPlan> {
  const { job, target, progress, storage, signal, pinned } = work
  const { commit } = job.settings
  const ahead = new ReadAhead(storage, job.settings.limits.max_concurrency, AHEAD_BYTES)
  const sums = new Sums(job, target, lookAtSample(lookInside(ahead.storage, signal, SAMPLE_BYTES)), pinned)
  const first = await eachFile(work, ahead, (file, input, shape) => sums.add(file, input, shape))

  let bytesIn = 0
  let stepCount = 0
  for (const step of steps(progress.todo(), { maxFiles: commit.max_files, maxBytes: commit.max_bytes })) {
    stepCount++
    for (const { object } of step) bytesIn += object.bytes
  }
  const { job: name, ...sum } = sums.plan(work.prices, work.keyCheck)
  return {
    job: name,
    status: progress.todoFiles === 0 && !progress.adopting ? 'nothing-to-do' : 'planned',
    ...sum,
    skipped_files: progress.done,
    bytes_in: bytesIn,
    steps: stepCount,
    creates: await createsOf(work, first, sums.dataFiles, stepCount || (progress.adopting ? 1 : 0)),
    notes: job.csv && progress.todoFiles > 0 ? [...work.notes, SAMPLED_NOTE] : work.notes,
  }
}

/** @returns the shape of the first file */
async function eachFile(
  { job, target, progress, storage, signal, command }: PlanWork,
  ahead: ReadAhead,
  visit: Sums['add'],
): Promise<Shape | undefined> {
  const { approved, metadata } = target
  const hint = columnsHint(job, command)
  let first: { readonly shape: Shape; readonly location: string } | undefined
  const maxFiles = storage.reads?.(job.input) ? TOGETHER.late : TOGETHER.near
  for (const some of steps(progress.todo(), { maxFiles, maxBytes: TOGETHER.maxBytes })) {
    // Where reads never wait, nothing else would come to its turn: neither a signal, nor who keeps the heap small (lib/core/heap.ts).
    await setImmediate()
    signal.throwIfAborted()
    ahead.forget()
    const opened = await Promise.allSettled(some.map((input) => openAhead(input, job, approved, ahead, signal)))
    for (const [i, input] of some.entries()) {
      const result = opened[i] as (typeof opened)[number]
      if (result.status === 'rejected') throw result.reason
      const { file, shape } = result.value
      const { location } = input.object
      if (approved && (!first || job.schemaChanges === 'add'))
        requireApproved(approved, approvedOf(shape), job.schemaChanges, hint)
      if (!first) {
        first = { shape, location }
        // Throws where the files do not fit the table.
        if (metadata) {
          const schema = job.schemaChanges === 'add' ? target.grownFor([shape.output.root]) : currentSchema(metadata)
          orWayOn(hint, () => fieldIdsFor(shape.output.root, schema))
        }
      }
      requireSame(first.shape, first.location, shape, location, metadata ? job.schemaChanges : 'fail')
      await visit(file, input, shape)
    }
  }
  return first?.shape
}

/** Opens a file, and begins to read the dictionaries that will be looked into. */
async function openAhead(
  input: InputFile,
  job: BatchJob,
  approved: Target['approved'],
  ahead: ReadAhead,
  signal: AbortSignal,
): Promise<{ readonly file: ParquetFile; readonly shape: Shape }> {
  const file = await openInput(input, job, { storage: job.csv ? ahead.storage : ahead.holding, signal })
  const shape = shapeOf(file, input, job, approved)
  const looked = { storage: ahead.storage, signal, bytes: CSV_SAMPLE_BYTES.plan }
  if (isUnread(file)) return { file: await withRowGroups(file, input, shape, job, looked), shape }
  for (const decision of shape.decisions) {
    if (decision.kind !== 'replace' || decision.rule.mode === 'random') continue
    for (const { columns } of file.rowGroups) {
      const chunk = columns[decision.leaf.column]
      if (!chunk || chunk.values === 0 || chunk.dictionaryPageOffset === undefined) continue
      // As much as the look into it asks for at first.
      const end = allInDictionary(chunk) ? chunk.dataPageOffset : Math.min(chunk.end, chunk.start + WINDOW_BYTES)
      ahead.start(input.object, [chunk.start, end])
    }
  }
  return { file, shape }
}

async function createsOf(
  { target, progress, storage }: PlanWork,
  first: Shape | undefined,
  dataFiles: number,
  snapshots: number,
): Promise<Creates> {
  const table = first !== undefined && target.metadata === undefined
  const properties = new Set<string>()
  if (first) {
    for (const name of Object.keys(writeApproved({}))) properties.add(name)
    for (const { column } of first.replaced) {
      properties.add(pinProperty(column))
      properties.add(countsOnlyProperty(column.split('.'))[0])
    }
  }
  if (snapshots > 0) properties.add(progress.property)
  return {
    table,
    database: table && (await target.lacksDatabase(storage)),
    columns: table ? (first?.schema.fields ?? []).map(({ name, type }) => ({ name, type: typeText(type) })) : [],
    properties: [...properties].filter((name) => target.properties[name] === undefined).sort(),
    data_files: dataFiles,
    snapshots,
  }
}
