/**
 * A batch run: lists what is new, and publishes it in steps. docs/architecture.md has the order and its reasons.
 * Nothing is written before every file of a step was opened and found to fit; nothing is visible before its step's one commit.
 */
import type { Client } from '../../lib/client/compose.ts'
import { type ErrorContext, isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { type Approved, readPins } from '../pins.ts'
import { cacheBytes } from '../service.ts'
import { rewriteFile } from './file.ts'
import { identify, type Pinned } from './identities.ts'
import { type InputFile, listInputs } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { type Progress, planProgress } from './ledger.ts'
import { type First, openStep } from './open-step.ts'
import type { BatchEvent, BatchReport } from './report.ts'
import { approvedOf, type Shape, shapeOf } from './shape.ts'
import { steps } from './step.ts'
import { Target, type TargetOutside } from './target.ts'

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
  readonly usage: () => { readonly cpuSeconds: number; readonly peakRssBytes: number }
  readonly onEvent?: (event: BatchEvent) => void
}

export interface BatchOptions {
  /** Goes on although the service makes other pseudonyms than the table's. @default false */
  readonly allowKeyChange?: boolean
  /** For a table that has rows and no mark of a job: inputs present now are done (`all`) or to be read (`none`). */
  readonly adopt?: 'all' | 'none'
}

/**
 * @throws PseudolakeError of the table in lib/core/errors.ts; its `context.outcome` says what of the run was published
 */
export async function runBatch(job: BatchJob, outside: BatchOutside, options: BatchOptions = {}): Promise<BatchReport> {
  const run = new BatchRun(job, outside, options)
  try {
    return await run.run()
  } catch (error) {
    throw run.explained(error)
  } finally {
    await run.close()
  }
}

/** An input that was rewritten, and the data file that came of it; none of one without rows. */
interface Written {
  readonly input: InputFile
  readonly rows: number
  readonly file: DataFile | undefined
}

/** Of the client's cache: it forgets by halves, so what is gathered must fit in one of them. */
const GATHER_SHARE = 0.45

class BatchRun {
  readonly #job: BatchJob
  readonly #outside: BatchOutside
  readonly #options: BatchOptions
  readonly #started: number
  readonly #notes: string[] = []
  #client: Client | undefined
  #pinned: readonly Pinned[] | undefined
  #first: First | undefined
  #commits = 0
  #published: Written[] = []
  #bytesRead = 0

  constructor(job: BatchJob, outside: BatchOutside, options: BatchOptions) {
    this.#job = job
    this.#outside = outside
    this.#options = options
    this.#started = outside.clock.now()
  }

  async run(): Promise<BatchReport> {
    const { storage, signal, onEvent } = this.#outside
    const target = await Target.open(this.#job, this.#outside)
    const inputs = await listInputs(storage, this.#job.input, this.#job.hive)
    const progress = await planProgress(this.#job, target.metadata, inputs, storage, this.#options, this.#outside)
    this.#notes.push(...progress.notes)
    onEvent?.({ type: 'listed', files: progress.todo.length, skipped: progress.done, bytes: totalBytes(progress.todo) })
    const { max_files: maxFiles, max_bytes: maxBytes } = this.#job.settings.commit
    for (const step of steps(progress.todo, { maxFiles, maxBytes })) {
      signal.throwIfAborted()
      await this.#step(step, target, progress)
    }
    // Every run asks which key the service has: one that finds nothing new must still notice that it is another.
    if (this.#pinned === undefined && target.metadata)
      await this.#identify(pinnedColumns(this.#job, target.properties), target)
    if (progress.adopting && target.metadata)
      await this.#publish([], [], target.properties, currentSchema(target.metadata), target, progress)
    return this.#report(target, progress)
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  /** The error with what a caller needs to know beside it: what was published before. */
  explained(error: unknown): unknown {
    const outcome: ErrorContext = { outcome: this.#commits === 0 ? 'nothing-published' : 'partly-published' }
    if (this.#outside.signal.aborted && !isPseudolakeError(error))
      return new PseudolakeError('run/interrupted', `the run was told to stop; ${this.#commits} commits stand`, outcome)
    if (!isPseudolakeError(error)) return error
    return new PseudolakeError(error.code, error.message, { ...error.context, ...outcome }, { cause: error.cause })
  }

  async #step(inputs: readonly InputFile[], target: Target, progress: Progress): Promise<void> {
    const { storage, onEvent } = this.#outside
    this.#first = await openStep(inputs, this.#first, this.#job, target, this.#outside)
    const { shape } = this.#first
    const pinned = this.#pinned ?? (await this.#identify(shape.replaced, target))
    const schema = target.schemaFor(shape.schema)
    const properties = target.propertiesFor(approvedOf(shape), pinned)
    const outputs: string[] = []
    try {
      const written: Written[] = []
      for (const input of inputs) {
        const number = String(this.#published.length + written.length).padStart(5, '0')
        const output = `${target.location}/data/${this.#outside.runId}-${number}.parquet`
        outputs.push(output)
        written.push(
          await this.#rewrite(input, output, { schema, properties, pinned, approved: target.approved }, written),
        )
        this.#bytesRead += input.object.bytes
      }
      // Data files of inputs that come again with other content, where the job says that they take their place.
      const removed = inputs
        .flatMap((input) => progress.replaced(input))
        .map((name) => `${target.location}/data/${name}`)
      await this.#publish(written, removed, properties, schema, target, progress)
    } catch (error) {
      // After an unknown outcome the files may be in the table: whoever deletes them then destroys it.
      if (!isPseudolakeError(error, 'table/commit-unknown'))
        await Promise.all(outputs.map((output) => storage.delete(output).catch(() => {})))
      throw error
    }
    onEvent?.({ type: 'committed', files: inputs.length, rows: this.#rows(), epoch: progress.mark?.epoch ?? 0 })
  }

  async #rewrite(
    input: InputFile,
    output: string,
    table: {
      readonly schema: Schema
      readonly properties: Readonly<Record<string, string>>
      readonly pinned: readonly Pinned[]
      readonly approved: Approved | undefined
    },
    before: readonly Written[],
  ): Promise<Written> {
    const { storage, signal, createdBy, onEvent } = this.#outside
    signal.throwIfAborted()
    const file = await openParquet(storage, input.object, { signal })
    const shape = shapeOf(file, input, this.#job, table.approved)
    const result = await rewriteFile({
      storage,
      file,
      input,
      shape,
      pinned: table.pinned,
      client: (this.#client as Client).client,
      // Of this file's own paths: what is inside a list is called `element` by one writer and `item` by another.
      fieldIds: fieldIdsFor(shape.output.root, table.schema),
      output,
      createdBy,
      gatherBytes: cacheBytes(this.#job.settings) * GATHER_SHARE,
      signal,
      onProgress: ({ rows, bytes }) =>
        onEvent?.({
          type: 'progress',
          bytes: this.#bytesRead + bytes,
          files: this.#published.length + before.length,
          rows: this.#rows() + sumRows(before) + rows,
        }),
    })
    if ((result?.rows ?? 0) !== file.rows)
      throw new PseudolakeError('gate/failed', `${output} has ${result?.rows ?? 0} rows, its input ${file.rows}`, {
        location: output,
        rows: result?.rows ?? 0,
        expected: file.rows,
      })
    const modes = metricsModes(table.schema, table.properties)
    return { input, rows: file.rows, file: result && dataFileFrom(result, table.schema, modes) }
  }

  async #identify(columns: Shape['replaced'], target: Target): Promise<readonly Pinned[]> {
    this.#client ??= await this.#outside.connect()
    this.#pinned = await identify(columns, target.properties, this.#client.client, {
      allowKeyChange: this.#options.allowKeyChange ?? false,
      command: this.#outside.command,
      signal: this.#outside.signal,
    })
    return this.#pinned
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
    const done = written.map(({ input, file, rows }) => ({ input, rows, files: file ? [nameOf(file.path)] : [] }))
    const mark = await progress.advance(target.uuid, runId, done)
    const { upgraded } = await target.publish({
      runId,
      schema,
      files: written.flatMap(({ file }) => file ?? []),
      removed,
      properties: { ...properties, [progress.property]: JSON.stringify(mark) },
      mark,
      check: (metadata) => progress.requireUnchanged(metadata, planned),
    })
    progress.committed(mark)
    this.#commits++
    this.#published.push(...written)
    if (upgraded) this.#notes.push('the table was of format version 1 and is of version 2 now')
  }

  #rows(): number {
    return sumRows(this.#published)
  }

  #report(target: Target, progress: Progress): BatchReport {
    const { clock, usage, runId } = this.#outside
    const stats = this.#client?.stats()
    const { cpuSeconds, peakRssBytes } = usage()
    return {
      job: this.#job.name,
      run_id: runId,
      status: this.#commits === 0 ? 'nothing-to-do' : 'done',
      rows: this.#rows(),
      files: this.#published.length,
      skipped_files: progress.done,
      commits: this.#commits,
      distinct: stats?.distinct ?? 0,
      distinct_exact: (stats?.evicted ?? 0) === 0,
      service: {
        requests: stats?.requests ?? 0,
        identifiers: stats?.identifiers ?? 0,
        retries: stats?.retries ?? 0,
        throttled: stats?.throttled ?? 0,
      },
      bytes_in: totalBytes(this.#published.map(({ input }) => input)),
      bytes_out: this.#published.reduce((sum, { file }) => sum + (file?.bytes ?? 0), 0),
      seconds: (clock.now() - this.#started) / 1000,
      cpu_seconds: cpuSeconds,
      peak_rss_bytes: peakRssBytes,
      table: `${this.#job.database}.${this.#job.table}`,
      location: target.location,
      snapshot_id: target.metadata?.['current-snapshot-id']?.toString() ?? null,
      columns: this.#first?.shape.columns ?? [],
      notes: this.#notes,
    }
  }
}

/** The rules whose columns the table has pins for, without a file to look at. */
function pinnedColumns(job: BatchJob, properties: TableMetadata['properties']): Shape['replaced'] {
  return readPins(properties).flatMap(({ column, pin }) => {
    const rule = job.columns.find(({ name, mode }) => mode !== 'drop' && name === pin.from)
    return rule ? [{ rule, column }] : []
  })
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function sumRows(written: readonly Written[]): number {
  return written.reduce((sum, { rows }) => sum + rows, 0)
}

function totalBytes(inputs: readonly InputFile[]): number {
  return inputs.reduce((sum, { object }) => sum + object.bytes, 0)
}
