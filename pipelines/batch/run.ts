/**
 * A batch run: lists what is new, and publishes it in steps. docs/architecture.md has the order and its reasons.
 * Nothing is written before every file of a step was opened and found to fit; nothing is visible before its step's one commit.
 */
import pLimit from 'p-limit'
import type { Client } from '../../lib/client/compose.ts'
import type { Clock } from '../../lib/core/clock.ts'
import { type ErrorContext, PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { countsOnlyProperty, dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { requireWritable } from '../../lib/iceberg/operations/writable.ts'
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { pinOf, pinProperty, readApproved, readPins, writeApproved, writePin } from '../pins.ts'
import { cacheBytes } from '../service.ts'
import { rewriteFile } from './file.ts'
import { identify, type Pinned } from './identities.ts'
import { type InputFile, listInputs } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { type Progress, planProgress } from './ledger.ts'
import type { BatchEvent, BatchReport } from './report.ts'
import { approvedOf, requireApproved, requireSame, type Shape, shapeOf } from './shape.ts'
import { steps } from './step.ts'

export interface BatchOutside {
  readonly storage: Storage
  readonly catalog: Catalog
  /** The client of the configured service; connected when there is work. */
  readonly connect: () => Promise<Client>
  readonly clock: Clock
  readonly random: () => number
  readonly uuid: () => string
  /** Names the run and its files: `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  /** For the footers of data files: `pseudolake version X (build Y)`. */
  readonly createdBy: string
  /** What the caller typed, for errors that print the command that resolves them. */
  readonly command: string
  readonly usage: () => { readonly cpuSeconds: number; readonly peakRssBytes: number }
  readonly signal: AbortSignal
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

interface First {
  readonly shape: Shape
  readonly location: string
}

interface Step {
  readonly inputs: readonly InputFile[]
  readonly shape: Shape
}

class BatchRun {
  readonly #job: BatchJob
  readonly #outside: BatchOutside
  readonly #options: BatchOptions
  readonly #ident: { readonly database: string; readonly name: string }
  readonly #started: number
  readonly #notes: string[] = []
  #client: Client | undefined
  #table: TableState | undefined
  /** Of the table, or of the one that the first commit will make. */
  #tableUuid = ''
  #commits = 0
  #rows = 0
  #files = 0
  #bytesIn = 0
  #bytesOut = 0
  #doneBytes = 0
  #first: First | undefined
  #pinned: readonly Pinned[] | undefined

  constructor(job: BatchJob, outside: BatchOutside, options: BatchOptions) {
    this.#job = job
    this.#outside = outside
    this.#options = options
    this.#ident = { database: job.database, name: job.table }
    this.#started = outside.clock.now()
  }

  async run(): Promise<BatchReport> {
    const { storage, signal, onEvent } = this.#outside
    this.#table = await this.#load()
    this.#tableUuid = this.#table?.metadata['table-uuid'] ?? this.#outside.uuid()
    const inputs = await listInputs(storage, this.#job.input, this.#job.hive)
    const progress = await planProgress(this.#job, this.#table?.metadata, inputs, storage, this.#options, this.#outside)
    this.#notes.push(...progress.notes)
    const bytes = progress.todo.reduce((sum, input) => sum + input.object.bytes, 0)
    onEvent?.({ type: 'listed', files: progress.todo.length, skipped: progress.done, bytes })
    const { max_files: maxFiles, max_bytes: maxBytes } = this.#job.settings.commit
    for (const inputs of steps(progress.todo, { maxFiles, maxBytes })) {
      signal.throwIfAborted()
      await this.#publish(await this.#open(inputs), progress)
    }
    // Every run asks which key the service has: one that finds nothing new must still notice that it is another.
    if (this.#pinned === undefined && this.#table) await this.#identify(this.#pinnedColumns(this.#table.metadata))
    if (progress.adopting) await this.#commit([], progress, [])
    return this.#report(progress)
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  /** The error with what a caller needs to know beside it: what was published before. */
  explained(error: unknown): unknown {
    if (this.#outside.signal.aborted && !(error instanceof PseudolakeError && error.code !== 'run/interrupted'))
      return new PseudolakeError(
        'run/interrupted',
        `the run was told to stop; ${this.#commits} commits stand`,
        this.#outcome(),
      )
    if (!(error instanceof PseudolakeError)) return error
    return new PseudolakeError(
      error.code,
      error.message,
      { ...error.context, ...this.#outcome() },
      { cause: error.cause },
    )
  }

  #outcome(): ErrorContext {
    return { outcome: this.#commits === 0 ? 'nothing-published' : 'partly-published' }
  }

  async #load(): Promise<TableState | undefined> {
    try {
      const table = await this.#outside.catalog.load(this.#ident)
      requireWritable(table.metadata)
      return table
    } catch (error) {
      if (!(error instanceof PseudolakeError && error.code === 'table/not-found') || this.#job.create === 'never')
        throw error
      return undefined
    }
  }

  /** Opens every file of a step and has each checked, before anything is written. */
  async #open(inputs: readonly InputFile[]): Promise<Step> {
    const { storage, signal } = this.#outside
    const metadata = this.#table?.metadata
    const approved = metadata && readApproved(metadata.properties)
    const limit = pLimit(OPEN_AT_ONCE)
    const shapes = inputs.map((input) =>
      limit(async () => {
        const file = await openParquet(storage, input.object, { signal })
        return { input, shape: shapeOf(file, input, this.#job, approved) }
      }),
    )
    for (const opened of await settled(shapes)) {
      const { location } = opened.input.object
      this.#first ??= { shape: opened.shape, location }
      requireSame(this.#first.shape, this.#first.location, opened.shape, location)
    }
    const { shape } = this.#first as First
    if (approved) requireApproved(approved, approvedOf(shape))
    // Throws where the files do not fit the table.
    if (metadata) fieldIdsFor(shape.output.root, currentSchema(metadata))
    return { inputs, shape }
  }

  async #publish({ inputs, shape }: Step, progress: Progress): Promise<void> {
    const { storage, catalog, runId, signal, createdBy, onEvent } = this.#outside
    this.#pinned ??= await this.#identify(shape.replaced)
    const { client } = this.#client as Client
    const schema = this.#table ? currentSchema(this.#table.metadata) : shape.schema
    const location = this.#table?.metadata.location ?? (await catalog.newTableLocation(this.#ident))
    const written: { input: InputFile; file: DataFile | undefined; rows: number }[] = []
    const outputs: string[] = []
    try {
      for (const input of inputs) {
        signal.throwIfAborted()
        const output = `${location}/data/${runId}-${String(this.#files + written.length).padStart(5, '0')}.parquet`
        outputs.push(output)
        const file = await openParquet(storage, input.object, { signal })
        const approved = this.#table && readApproved(this.#table.metadata.properties)
        const own = shapeOf(file, input, this.#job, approved)
        const result = await rewriteFile({
          storage,
          file,
          input,
          shape: own,
          pinned: this.#pinned,
          client,
          // Of this file's own paths: what is inside a list is called `element` by one writer and `item` by another.
          fieldIds: fieldIdsFor(own.output.root, schema),
          output,
          createdBy,
          gatherBytes: cacheBytes(this.#job.settings) * GATHER_SHARE,
          signal,
          onProgress: ({ rows, bytes }) =>
            onEvent?.({
              type: 'progress',
              bytes: this.#doneBytes + bytes,
              files: this.#files + written.length,
              rows: this.#rows + rows,
            }),
        })
        if ((result?.rows ?? 0) !== file.rows)
          throw new PseudolakeError('gate/failed', `${output} has ${result?.rows ?? 0} rows, its input ${file.rows}`, {
            location: output,
            rows: result?.rows ?? 0,
            expected: file.rows,
          })
        const modes = metricsModes(schema, this.#properties(shape))
        written.push({ input, file: result && dataFileFrom(result, schema, modes), rows: file.rows })
        this.#doneBytes += input.object.bytes
      }
      await this.#commit(written, progress, this.#removed(inputs, progress, location), shape, schema)
    } catch (error) {
      // After an unknown outcome the files may be in the table: whoever deletes them then destroys it.
      if (!(error instanceof PseudolakeError && error.code === 'table/commit-unknown'))
        await Promise.all(outputs.map((output) => storage.delete(output).catch(() => {})))
      throw error
    }
    onEvent?.({ type: 'committed', files: inputs.length, rows: this.#rows, epoch: progress.mark?.epoch ?? 0 })
  }

  async #identify(columns: Shape['replaced']): Promise<readonly Pinned[]> {
    this.#client ??= await this.#outside.connect()
    return identify(columns, this.#table?.metadata.properties ?? {}, this.#client.client, {
      allowKeyChange: this.#options.allowKeyChange ?? false,
      command: this.#outside.command,
      signal: this.#outside.signal,
    })
  }

  /** The rules whose columns the table has pins for, without a file to look at. */
  #pinnedColumns({ properties }: TableMetadata): Shape['replaced'] {
    return readPins(properties).flatMap(({ column, pin }) => {
      const rule = this.#job.columns.find(({ name, mode }) => mode !== 'drop' && name === pin.from)
      return rule ? [{ rule, column }] : []
    })
  }

  /** Data files whose inputs come again with other content, where the job says that they replace what was there. */
  #removed(inputs: readonly InputFile[], progress: Progress, location: string): string[] {
    return inputs.flatMap((input) => progress.replaced(input).map((name) => `${location}/data/${name}`))
  }

  /** Properties that the table has after this run: pins, the approved columns, and no bounds for replaced columns. */
  #properties(shape: Shape): Record<string, string> {
    const properties: Record<string, string> = {
      ...this.#table?.metadata.properties,
      ...writeApproved(approvedOf(shape)),
    }
    for (const { rule, column, identity } of this.#pinned ?? []) {
      properties[pinProperty(column)] = writePin(pinOf(rule, identity))
      const [name, value] = countsOnlyProperty(column.split('.'))
      properties[name] = value
    }
    return properties
  }

  async #commit(
    written: readonly { input: InputFile; file: DataFile | undefined; rows: number }[],
    progress: Progress,
    removed: readonly string[],
    shape?: Shape,
    schema?: Schema,
  ): Promise<void> {
    const { catalog, clock, random, uuid, runId, signal } = this.#outside
    const planned = progress.mark
    const mark = await progress.advance(
      this.#tableUuid,
      runId,
      written.map(({ input, file, rows }) => ({
        input,
        rows,
        files: file ? [file.path.slice(file.path.lastIndexOf('/') + 1)] : [],
      })),
    )
    const before = this.#table?.metadata.properties ?? {}
    const wanted = { ...(shape ? this.#properties(shape) : before), [progress.property]: JSON.stringify(mark) }
    const changed = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => before[name] !== value))
    const files = written.flatMap(({ file }) => file ?? [])
    const change = {
      files,
      schema: schema ?? currentSchema((this.#table as TableState).metadata),
      runId,
      ...(this.#table ? { setProperties: changed } : { create: { properties: changed, uuid: this.#tableUuid } }),
      summary: {
        'pseudolake.job': this.#job.name,
        'pseudolake.epoch': String(mark.epoch),
        'pseudolake.digest': mark.digest,
      },
      check: (metadata: TableMetadata | undefined) => progress.requireUnchanged(metadata, planned),
    }
    const context = { clock, random, uuid, signal }
    const result =
      removed.length > 0
        ? await overwriteFiles(catalog, this.#ident, { ...change, remove: removed }, context)
        : await appendFiles(catalog, this.#ident, change, context)
    this.#table = result.table
    progress.committed(mark)
    if (result.upgraded) this.#notes.push('the table was of format version 1 and is of version 2 now')
    this.#commits++
    this.#files += written.length
    this.#rows += written.reduce((sum, { rows }) => sum + rows, 0)
    this.#bytesIn += written.reduce((sum, { input }) => sum + input.object.bytes, 0)
    this.#bytesOut += files.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  async #report(progress: Progress): Promise<BatchReport> {
    const { clock, usage, runId, catalog } = this.#outside
    const stats = this.#client?.stats()
    const { cpuSeconds, peakRssBytes } = usage()
    const metadata = this.#table?.metadata
    return {
      job: this.#job.name,
      run_id: runId,
      status: this.#commits === 0 ? 'nothing-to-do' : 'done',
      rows: this.#rows,
      files: this.#files,
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
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
      seconds: (clock.now() - this.#started) / 1000,
      cpu_seconds: cpuSeconds,
      peak_rss_bytes: peakRssBytes,
      table: `${this.#job.database}.${this.#job.table}`,
      location: metadata?.location ?? (await catalog.newTableLocation(this.#ident)),
      snapshot_id: metadata?.['current-snapshot-id']?.toString() ?? null,
      columns: this.#first?.shape.columns ?? [],
      notes: this.#notes,
    }
  }
}

/** Footers in memory at a time. */
const OPEN_AT_ONCE = 8
/** Of the client's cache: it forgets by halves, so what is gathered must fit in one of them. */
const GATHER_SHARE = 0.45

/** Waits for all, so that no work goes on behind a failure's back, then throws the first failure in order. */
async function settled<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
