/**
 * A batch run: lists what is new, and publishes it in steps. docs/architecture.md has the order and its reasons.
 * Nothing is written before every file of a step was opened and found to fit; nothing is visible before its step's one commit.
 */
import type { Client } from '../../lib/client/compose.ts'
import { type ErrorContext, isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { pinsAndApproved } from '../pins.ts'
import { type Choice, chooseInputs } from './choose.ts'
import { targetFileBytes } from './csv/target-size.ts'
import { withoutFolders } from './details.ts'
import { Finishing, type StepTable } from './finishing.ts'
import type { Gate } from './gate/gate.ts'
import { gateWith } from './gate/open.ts'
import { identify, newColumns, type Pinned, pinnedColumns } from './identities.ts'
import { inOrder } from './in-order.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { ledgerFolder, type Progress, planProgress } from './ledger.ts'
import { type First, openStep } from './open-step.ts'
import { allOverwritten, type Overwritten, overwrittenCommits, overwrittenNote } from './overwritten.ts'
import type { BatchPlan } from './plan/document.ts'
import { planKeys } from './plan/key-check.ts'
import { Outline } from './plan/outline.ts'
import { type Prices, shippedPrices } from './plan/prices.ts'
import { planWork } from './plan/work.ts'
import { publishedFiles } from './published-files.ts'
import type { BatchEvent, BatchReport } from './report.ts'
import { reportOf } from './reported.ts'
import { Runner, type ThreadLimits } from './runner.ts'
import type { Shape } from './shape.ts'
import { steps } from './step.ts'
import { Target, type TargetOutside } from './target.ts'
import { Timings } from './timings.ts'
import { Totals, type Written } from './totals.ts'
import { digestOf, finishedFiles, Unpublished } from './unpublished.ts'
import { filesGoneHint, newTableHint } from './way-on.ts'

export interface BatchOutside extends TargetOutside {
  readonly storage: Storage
  /** The client of the configured service; connected when there is work. */
  readonly connect: () => Promise<Client>
  /** Names the run and its files: `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  /** For the footers of data files: `pseudolake version X (build Y)`. */
  readonly createdBy: string
  /** What the caller typed, for errors that print the command that resolves them. */
  readonly command: string
  /** Where there are several files, and it pays. @default none */
  readonly threads?: ThreadLimits
  readonly usage: () => { readonly cpuSeconds: number; readonly peakRssBytes: number }
  readonly onEvent?: (event: BatchEvent) => void
}

export interface BatchOptions extends Choice {
  /** Goes on although the service makes other pseudonyms than the table's. @default false */
  readonly allowKeyChange?: boolean
  /** For a table that has rows and no mark of a job: inputs present now are done (`all`) or to be read (`none`). */
  readonly adopt?: 'all' | 'none'
  /** At most so many inputs; the next run goes on. */
  readonly maxFiles?: number
  /** Plans the run first, by these prices and rates, so that its report can hold the plan against what came of it. */
  readonly plan?: Prices
  /** For the plan that a run makes of footers as it goes, where it is not planned first. @default those that are shipped */
  readonly prices?: Prices
}

/**
 * @throws PseudolakeError of the table in lib/core/errors.ts; its `context.outcome` says what of the run was published
 */
export async function runBatch(job: BatchJob, outside: BatchOutside, options: BatchOptions = {}): Promise<BatchReport> {
  const run = new BatchRun(job, outside, options)
  try {
    return await run.run()
  } catch (error) {
    // The gate's report says more than an error could.
    if (isPseudolakeError(error, 'gate/failed')) return run.report()
    outside.onEvent?.({ type: 'failed', report: run.report() })
    throw run.explained(error)
  } finally {
    await run.close()
  }
}

/**
 * What a run would do. Writes nothing; asks the service nothing but which key it has, and goes on with a note where it is not reached.
 * @throws PseudolakeError what the run would throw before it writes
 */
export async function planBatch(
  job: BatchJob,
  outside: BatchOutside,
  options: BatchOptions & { readonly plan: Prices },
): Promise<BatchPlan> {
  const run = new BatchRun(job, outside, options)
  try {
    return await run.plan(options.plan)
  } catch (error) {
    throw run.explained(error)
  }
}

class BatchRun {
  readonly #job: BatchJob
  readonly #outside: BatchOutside
  readonly #options: BatchOptions
  readonly #started: number
  readonly #notes: string[] = []
  #client: Client | undefined
  #runner: Runner | undefined
  #unpublished: Unpublished | undefined
  #pinned: readonly Pinned[] | undefined
  #first: First | undefined
  #commits = 0
  #advanced = false
  readonly #published = new Totals()
  readonly #finishing: Finishing
  #target: Target | undefined
  #progress: Progress | undefined
  #plan: BatchPlan | undefined
  #outline: Outline | undefined
  readonly #snapshots: string[] = []
  readonly #timings: Timings
  readonly #seed: number
  readonly #gate: Gate

  constructor(job: BatchJob, outside: BatchOutside, options: BatchOptions) {
    this.#job = job
    this.#outside = outside
    this.#options = options
    this.#started = outside.clock.now()
    this.#timings = new Timings(outside.clock)
    this.#seed = outside.random() * 2 ** 32
    this.#gate = gateWith(job, { ...outside, seed: this.#seed })
    this.#finishing = new Finishing(job, outside, this.#gate, ({ rows, bytes, files }) => {
      this.#timings.moment({ bytes, rows, requests: this.#client?.stats().requests ?? 0 })
      outside.onEvent?.({ type: 'progress', bytes, files, rows })
    })
  }

  async plan(prices: Prices): Promise<BatchPlan> {
    const { storage, signal, clock, connect, command } = this.#outside
    const { target, progress } = await this.#list(false)
    const known = pinnedColumns(this.#job, target.properties)
    const columns = known.length > 0 ? known : newColumns(this.#job)
    const allowKeyChange = this.#options.allowKeyChange ?? false
    const newTable = newTableHint(this.#job, command)
    const asked = { allowKeyChange, command, newTable, signal, clock }
    const keys = await planKeys(columns, target.properties, connect, asked)
    const lost = (await this.#overwritten(target, progress.mark?.epoch ?? 0)).map(overwrittenNote)
    const notes = [...this.#notes, ...lost, ...(keys.note === undefined ? [] : [keys.note])]
    const { pinned, status: keyCheck } = keys
    return planWork({
      job: this.#job,
      target,
      progress,
      storage,
      signal,
      command,
      prices,
      pinned,
      keyCheck,
      notes,
    })
  }

  /** @param writes whether what an earlier run left may be put in order */
  async #list(writes: boolean): Promise<{ readonly target: Target; readonly progress: Progress }> {
    const { storage, onEvent } = this.#outside
    const target = await Target.open(this.#job, this.#outside)
    this.#target = target
    if (writes) await target.recover()
    this.#notes.push(...target.notes)
    const { inputs, notes } = chooseInputs(this.#job, storage, this.#options)
    const planned = planProgress(this.#job, target.metadata, inputs, storage, this.#options, this.#outside)
    const progress = await planned.catch(async (error: unknown) => {
      if (!isPseudolakeError(error, 'table/no-mark')) throw error
      const lost = await this.#overwritten(target, 0)
      throw lost.length > 0 ? allOverwritten(lost, target.location, this.#outside.command) : error
    })
    this.#progress = progress
    this.#notes.push(...notes(), ...progress.notes)
    const bytes = progress.todoBytes ?? totalBytes(progress.todo())
    onEvent?.({ type: 'listed', files: progress.todoFiles, skipped: progress.done, bytes })
    return { target, progress }
  }

  get #listFolder(): string {
    return `${this.#job.state}/unpublished/${this.#job.database}.${this.#job.table}/${this.#job.name}`
  }

  /** @param isUnpublished by what the list says, where it was not read before */
  async #overwritten(
    target: Target,
    epoch: number,
    isUnpublished?: (location: string) => boolean,
  ): Promise<Overwritten[]> {
    if (!target.metadata || this.#job.plain) return []
    const { storage } = this.#outside
    let listed: Promise<ReadonlySet<string>> | undefined
    const isListed = async (location: string) => {
      listed ??= finishedFiles(storage, this.#listFolder)
      return (await listed).has(location)
    }
    return overwrittenCommits({
      metadata: target.metadata,
      storage,
      ledgers: ledgerFolder(this.#job, target.uuid),
      epoch,
      data: target.files,
      isUnpublished: isUnpublished ?? isListed,
    })
  }

  async run(): Promise<BatchReport> {
    const { storage, signal, command } = this.#outside
    const { target, progress } = await this.#timings.time('list', () => this.#list(true))
    const { plan: prices } = this.#options
    const work = { job: this.#job, target, progress, storage, signal, command, pinned: [], notes: [] }
    if (prices)
      this.#plan = await this.#timings.time('plan', () => planWork({ ...work, prices, keyCheck: 'not-asked' }))
    else this.#outline = new Outline(this.#job, target)
    const { max_files: maxFiles, max_bytes: maxBytes } = this.#job.settings.commit
    const listed = this.#listFolder
    const unpublished = await Unpublished.open(storage, listed, this.#outside.runId, this.#outside.uuid(), (files) =>
      publishedFiles(storage, target, progress, files),
    )
    this.#unpublished = unpublished
    const lost = await this.#overwritten(target, progress.mark?.epoch ?? 0, (file) => unpublished.has(file))
    this.#notes.push(...lost.map(overwrittenNote))
    for (const step of steps(progress.todo(), { maxFiles, maxBytes })) {
      signal.throwIfAborted()
      await this.#step(step, target, progress, unpublished)
    }
    if (this.#commits > 0)
      await unpublished.clean(target.making.folder, target.uuid, (table) => ledgerFolder(this.#job, table))
    // Every run asks which key the service has: one that finds nothing new must still notice that it is another.
    if (this.#pinned === undefined && target.metadata)
      await this.#identify(pinnedColumns(this.#job, target.properties), target)
    if (progress.adopting && target.metadata)
      await this.#publish([], [], target.properties, currentSchema(target.metadata), target, progress)
    return this.report()
  }

  async close(): Promise<void> {
    // The ledger of a table that did not come to be is found by the sign of its run.
    if (!this.#advanced || this.#target?.metadata) await this.#unpublished?.end()
    await this.#runner?.close()
    await this.#client?.close()
  }

  /** Of the columns that rules are about. */
  get #names(): readonly string[] {
    return this.#job.columns.map(({ name }) => name)
  }

  /** The error with what a caller needs to know beside it: what was published before. */
  explained(error: unknown): unknown {
    const outcome: ErrorContext = { outcome: this.#commits === 0 ? 'nothing-published' : 'partly-published' }
    if (this.#outside.signal.aborted && !isPseudolakeError(error))
      return new PseudolakeError('run/interrupted', `the run was told to stop; ${this.#commits} commits stand`, outcome)
    if (!isPseudolakeError(error)) return error
    // Plain files may have been put there before the step failed.
    const begun = error.context.outcome === 'partly-published' ? { outcome: error.context.outcome } : outcome
    const hint = error.code === 'table/files-gone' && { hint: filesGoneHint(this.#outside.command) }
    const context = { ...hint, ...error.context, ...begun }
    return withoutFolders(new PseudolakeError(error.code, error.message, context, { cause: error.cause }), this.#names)
  }

  async #step(
    inputs: readonly InputFile[],
    target: Target,
    progress: Progress,
    unpublished: Unpublished,
  ): Promise<void> {
    const { onEvent } = this.#outside
    const { first, schema, approved, replaced, only } = await this.#timings.time('open', () =>
      openStep(inputs, this.#first, this.#job, target, this.#outside, (...opened) =>
        this.#outline ? this.#outline.add(...opened) : Promise.resolve(),
      ),
    )
    this.#first = first
    const known = new Set(this.#pinned?.map(({ column }) => column))
    const pinned =
      this.#pinned && replaced.every(({ column }) => known.has(column))
        ? this.#pinned
        : await this.#identify(replaced, target)
    const properties = target.propertiesFor(approved, pinned)
    const table: StepTable = {
      target,
      schema,
      properties,
      pinned,
      unpublished,
      // Keys are in it by the pins, columns and their fate by what was approved.
      digest: digestOf([this.#outside.createdBy, target.location, schema, pinsAndApproved(properties)]),
    }
    await unpublished.begin(target.uuid)
    const runner = this.#runnerFor(this.#client as Client)
    const { createdBy } = this.#outside
    const targetBytes = targetFileBytes(properties)
    const inputBytes = this.#inputBytes(progress, inputs)
    const own = { targetBytes, ...(inputBytes !== undefined && { inputBytes }) }
    const step = { job: this.#job, approved: target.approved, schema, pinned, createdBy, ...own }
    const values = this.#plan?.distinct.values ?? this.#outline?.distinct ?? Number.POSITIVE_INFINITY
    const atOnce = await runner.begin(step, inputs, values, only)
    const written = await this.#timings.time('rewrite', () =>
      inOrder(
        inputs,
        atOnce,
        (input, i) => this.#finishing.finish(input, this.#published.files + i, table, runner),
        () => runner.stop(),
      ),
    )
    // Data files of inputs that come again with other content, where the job says that they take their place.
    const removed = inputs.flatMap((input) => progress.replaced(input)).map((name) => `${target.files}/${name}`)
    await this.#timings.time('gate', () => this.#gate.step(this.#client?.client))
    await this.#publish(written, removed, properties, schema, target, progress)
    onEvent?.({ type: 'committed', files: inputs.length, rows: this.#published.rows, epoch: progress.mark?.epoch ?? 0 })
  }

  /** As many bytes of inputs as come into one data file, where the job says how many files there are to be. */
  #inputBytes(progress: Progress, step: readonly InputFile[]): number | undefined {
    const { files } = this.#job.settings.output
    return files === undefined ? undefined : Math.ceil((progress.todoBytes ?? totalBytes(step)) / files)
  }

  #runnerFor(client: Client): Runner {
    const { storage, signal, threads } = this.#outside
    const rest = { job: this.#job, timings: this.#timings, gate: this.#gate, seed: this.#seed }
    this.#runner ??= new Runner({ client, storage, signal, threads, ...rest })
    return this.#runner
  }

  async #identify(columns: Shape['replaced'], target: Target): Promise<readonly Pinned[]> {
    return this.#timings.time('key check', async () => {
      this.#client ??= await this.#outside.connect()
      this.#pinned = await identify(columns, target.properties, this.#client.client, {
        allowKeyChange: this.#options.allowKeyChange ?? false,
        command: this.#outside.command,
        newTable: newTableHint(this.#job, this.#outside.command),
        signal: this.#outside.signal,
      })
      return this.#pinned
    })
  }

  async #publish(
    written: readonly Written[],
    removed: readonly string[],
    properties: Readonly<Record<string, string>>,
    schema: Schema,
    target: Target,
    progress: Progress,
  ): Promise<void> {
    const { runId } = this.#outside
    const planned = progress.mark
    const named = target.named(written, { epoch: (planned?.epoch ?? 0) + 1 })
    const done = named.map(({ input, files, rows }) => ({
      input,
      rows,
      files: files.map(({ path }) => nameOf(path)),
    }))
    this.#advanced = true
    const mark = await this.#timings.time('commit', () => progress.advance(target.uuid, runId, done))
    const change = {
      runId,
      schema,
      files: named.flatMap(({ files }) => files),
      from: written.flatMap(({ files }) => files.map(({ path }) => path)),
      removed,
      takenOver: [...this.#finishing.foreign],
      properties: { ...properties, [progress.property]: JSON.stringify(mark) },
      mark,
      check: (metadata: TableMetadata | undefined) => progress.requireUnchanged(metadata, planned),
    }
    const { upgraded } = await this.#timings.time('commit', () => target.publish(change))
    progress.committed(mark)
    this.#finishing.foreign.clear()
    this.#commits++
    this.#snapshots.push(String(target.metadata?.['current-snapshot-id'] ?? ''))
    this.#published.add(named)
    if (upgraded) this.#notes.push('the table was of format version 1 and is of version 2 now')
  }

  /** What there is to say until now; a run that fails has a report too. */
  report(): BatchReport {
    const { clock, usage, runId, createdBy } = this.#outside
    const seconds = (clock.now() - this.#started) / 1000
    return reportOf({
      job: this.#job,
      runId,
      createdBy,
      started: clock.wall() - seconds * 1000,
      seconds,
      usage: usage(),
      target: this.#target,
      skipped: this.#progress?.done ?? 0,
      client: this.#client?.stats(),
      exact: this.#runner?.exact ?? true,
      published: this.#published,
      commits: this.#commits,
      snapshots: this.#snapshots,
      columns: this.#first?.shape.columns ?? [],
      pinned: this.#pinned ?? [],
      gate: this.#gate.report(),
      notes: [...this.#notes, ...this.#finishing.notes],
      phases: this.#timings.phases(),
      moments: this.#timings.moments(),
      plan: this.#plan ?? this.#outline?.plan(this.#options.prices ?? shippedPrices()),
      planned: this.#plan ? 'dictionaries' : 'footers',
    })
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function totalBytes(inputs: Iterable<InputFile>): number {
  let bytes = 0
  for (const { object } of inputs) bytes += object.bytes
  return bytes
}
