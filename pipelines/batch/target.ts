/** The table that a run writes to, whether it is there already or the first commit will make it. */
import pLimit from 'p-limit'
import type { Clock } from '../../lib/core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { countsOnlyProperty } from '../../lib/iceberg/metrics.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { boundSnapshots } from '../../lib/iceberg/operations/bound-snapshots.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { requireWritable } from '../../lib/iceberg/operations/writable.ts'
import { grownSchema } from '../../lib/iceberg/parquet-schema.ts'
import { highestFieldId } from '../../lib/iceberg/schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { SchemaNode } from '../../lib/parquet/schema.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { FILES_PROPERTY, type Mark, type MarkHead, readMark } from '../marks.ts'
import { type Approved, pinOf, pinProperty, readApproved, writeApproved, writePin } from '../pins.ts'
import { keptForMarks } from '../tables/keep.ts'
import type { Pinned } from './identities.ts'
import type { BatchJob } from './job.ts'
import { requireApart } from './overlap.ts'
import { isOpen, PlainFolder } from './plain/folder.ts'
import { newIntent } from './plain/intent.ts'
import type { Written } from './totals.ts'

const LOOKED_AT_ONCE = 16

export interface TargetOutside {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly random: () => number
  readonly uuid: () => string
  readonly signal: AbortSignal
}

export interface Change {
  readonly runId: string
  /** Of the files; the new table's where there is none. */
  readonly schema: Schema
  readonly files: readonly DataFile[]
  /** Where the files are that do not have their names yet, one for each. */
  readonly from?: readonly string[]
  /** Paths of data files that go in the same snapshot. */
  readonly removed: readonly string[]
  /** Those of the files that an earlier run had made: another run's end may take them away. @default none */
  readonly takenOver?: readonly string[]
  /** Table properties as they are to be; equal ones are left alone. */
  readonly properties: Readonly<Record<string, string>>
  /** Into a folder of plain files goes a batch job's alone. */
  readonly mark: Mark | MarkHead
  /** Of the snapshot, beside what marks are told by. */
  readonly summary?: Readonly<Record<string, string>>
  /** Throws where the table is no longer what the change was planned for. */
  readonly check: (metadata: TableMetadata | undefined) => void
}

export class Target {
  /** Of the table, or of the one that the first commit makes: ledgers are filed under it before. */
  uuid: string
  /** Where the table is or will be; the folder of plain files. */
  readonly location: string
  /** Folder of files in the making, and what their names end with. */
  readonly making: { readonly folder: string; readonly suffix: string }
  /** Folder of published files. */
  readonly files: string
  /** Things to know that are no errors. */
  readonly notes: string[] = []
  readonly #plain: PlainFolder | undefined
  readonly #job: BatchJob
  readonly #outside: TargetOutside
  #state: TableState | undefined

  private constructor(job: BatchJob, outside: TargetOutside, state: TableState | undefined, location: string) {
    this.#job = job
    this.#outside = outside
    this.#state = state
    this.uuid = state?.metadata['table-uuid'] || outside.uuid()
    this.location = job.plain ?? location
    this.#plain = job.plain === undefined ? undefined : new PlainFolder(outside.catalog.storage, job.plain, job.name)
    this.making = this.#plain
      ? { folder: this.#plain.making, suffix: '.part' }
      : { folder: `${location}/data`, suffix: '' }
    this.files = job.plain ?? `${location}/data`
  }

  /** @throws PseudolakeError `table/not-found` (where it may not be created), `table/unsupported`, `table/invalid`, `config/overlap` */
  static async open(job: BatchJob, outside: TargetOutside): Promise<Target> {
    const state = await load(job, outside.catalog)
    const location = state?.metadata.location ?? (await outside.catalog.newTableLocation(identOf(job)))
    // An existing table keeps its own, and so does one of a catalog that says where its tables are.
    requireApart(
      { input: job.input, output: job.plain ?? storageLocation(location), state: job.state },
      job.plain !== undefined,
    )
    const target = new Target(job, outside, state, location)
    if (!state) await target.#plain?.requireNoTable()
    return target
  }

  /**
   * Before anything is planned: finishes, or takes back, what an earlier run of the job left unfinished in a folder of plain files; of a table
   * what readers of others go by, which a run that finds nothing to do would not touch.
   * @throws PseudolakeError `table/*`, `storage/*`
   */
  async recover(): Promise<void> {
    const plain = this.#plain
    if (!plain) {
      await this.#outside.catalog.settle?.(identOf(this.#job))
      return
    }
    for (const unfinished of await plain.unfinished()) {
      const { intent } = unfinished
      const { epoch } = intent.mark
      // The marks of before the intent was found say nothing about it: another run may have set some since, and be at this very step.
      await this.#reload()
      if (!isOpen(intent, this.metadata) || !(await plain.canFinish(unfinished))) {
        // What cannot be finished now may have been since, and a later step have taken some of its files away.
        await this.#reload()
        await plain.settle(unfinished, this.metadata)
        this.notes.push(`what an earlier run had begun of epoch ${epoch} was taken back`)
        continue
      }
      // Ledgers are filed under it.
      if (!this.#state) this.uuid = intent.uuid
      const { run: runId, schema, properties, mark, planned } = intent
      await plain.place(unfinished)
      await this.#commit({
        runId,
        schema,
        files: intent.files,
        removed: intent.removed,
        properties: { ...this.properties, ...properties },
        mark,
        check: (metadata) => requireMark(metadata, intent.job, planned, epoch),
      })
      await plain.end(unfinished, this.#outside.clock.wall())
      this.notes.push(`what an earlier run had begun of epoch ${epoch} was finished: ${intent.files.length} files`)
    }
    const foreign = this.metadata ? 0 : await plain.foreign()
    if (foreign > 0)
      this.notes.push(`the folder has ${foreign} Parquet files that are not this job’s; they are left as they are`)
  }

  async #reload(): Promise<void> {
    this.#state = await load(this.#job, this.#outside.catalog)
    if (this.#state) this.uuid = this.#state.metadata['table-uuid']
  }

  /**
   * The data files as they will be called; of the same names where a table lists them.
   * @param mark that they will be published with
   */
  named(written: readonly Written[], mark: Pick<Mark, 'epoch'>): Written[] {
    const plain = this.#plain
    if (!plain) return written.slice()
    return written.map(({ input, rows, files }) => ({
      input,
      rows,
      files: files.map((file, piece) => ({
        ...file,
        path: plain.finalLocation(mark, this.uuid, input.object.location, piece, files.length),
      })),
    }))
  }

  /** Whether the first commit makes the database too, which is a folder where the catalog has no word for it. */
  async lacksDatabase(storage: Storage): Promise<boolean> {
    const { catalog } = this.#outside
    const { database, warehouse } = this.#job
    if (this.#plain) return false
    if (catalog.hasDatabase) return !(await catalog.hasDatabase(database))
    for await (const _ of storage.list(`${warehouse}/${database}/`)) return false
    return true
  }

  /** Undefined until the table is there. */
  get metadata(): TableMetadata | undefined {
    return this.#state?.metadata
  }

  get properties(): Readonly<Record<string, string>> {
    return this.metadata?.properties ?? {}
  }

  /** What the table was approved for at its first run. */
  get approved(): Approved | undefined {
    return readApproved(this.properties)
  }

  /** The table's schema, or the fresh one that it will be made with. */
  schemaFor(fresh: Schema): Schema {
    return this.metadata ? currentSchema(this.metadata) : fresh
  }

  /** The table's schema with what files of these shapes have more. */
  grownFor(roots: readonly (readonly SchemaNode[])[]): Schema {
    const metadata = this.metadata as TableMetadata
    const schemaId = Math.max(...metadata.schemas.map((schema) => schema['schema-id'])) + 1
    let grown = currentSchema(metadata)
    let lastColumnId = metadata['last-column-id']
    for (const root of roots) {
      grown = grownSchema(root, grown, { lastColumnId, schemaId })
      lastColumnId = Math.max(lastColumnId, highestFieldId(grown))
    }
    return grown
  }

  /** The properties that the table has after a run: pins, the approved columns, and no bounds for replaced columns. */
  propertiesFor(approved: Approved | undefined, pinned: readonly Pinned[]): Record<string, string> {
    const properties: Record<string, string> = { ...this.properties, ...(approved && writeApproved(approved)) }
    if (this.#plain) properties[FILES_PROPERTY] = this.files
    for (const { rule, column, identity } of pinned) {
      properties[pinProperty(column)] = writePin(pinOf(rule, identity))
      const [name, value] = countsOnlyProperty(column.split('.'))
      properties[name] = value
    }
    return properties
  }

  /**
   * Publishes a change in one commit.
   * @returns whether it made a table of format version 1 one of version 2
   * @throws PseudolakeError `table/conflict`, `table/commit-unknown`, `table/files-gone`, and what `change.check` throws
   */
  async publish(change: Change): Promise<{ upgraded: boolean }> {
    return this.#plain ? this.#publishPlain(this.#plain, change) : this.#commit(change)
  }

  async #publishPlain(plain: PlainFolder, change: Change): Promise<{ upgraded: boolean }> {
    const { runId, schema, files, removed, properties } = change
    const mark = change.mark as Mark
    const now = await load(this.#job, this.#outside.catalog)
    change.check(now?.metadata)
    const planned = now && readMark(now.metadata.properties, this.#job.name)?.digest
    const declared = await plain.declare(
      newIntent({
        job: this.#job.name,
        uuid: this.uuid,
        run: runId,
        ...(planned !== undefined && { planned }),
        mark,
        schema,
        properties,
        files,
        from: change.from ?? [],
        removed,
      }),
    )
    await plain.place(declared)
    try {
      // They have other names by now.
      const done = await this.#commit({ ...change, takenOver: [] })
      await plain.end(declared, this.#outside.clock.wall())
      return done
    } catch (error) {
      // Somebody else was first: nothing of this step may stay, but what they finished of it.
      if (isPseudolakeError(error, 'table/mark-changed', 'table/changed', 'table/conflict'))
        await plain.settle(declared, (await load(this.#job, this.#outside.catalog))?.metadata)
      throw error
    }
  }

  async #commit(change: Change): Promise<{ upgraded: boolean }> {
    const { catalog, clock, random, uuid, signal } = this.#outside
    const { mark, removed, runId, schema, files, takenOver = [] } = change
    const before = this.#state?.metadata
    const properties = Object.fromEntries(
      Object.entries(change.properties).filter(([name, value]) => before?.properties[name] !== value),
    )
    const options = {
      files,
      schema,
      runId,
      ...(before && schema['schema-id'] !== before['current-schema-id'] && { growsFrom: before['current-schema-id'] }),
      ...(before ? { setProperties: properties } : { create: { properties, uuid: this.uuid } }),
      summary: {
        'pseudolake.job': this.#job.name,
        'pseudolake.epoch': String(mark.epoch),
        'pseudolake.digest': mark.digest,
        ...change.summary,
      },
      check: async (metadata: TableMetadata | undefined) => {
        change.check(metadata)
        this.#requireSame(before, metadata, Object.keys(change.properties))
        const limit = pLimit(LOOKED_AT_ONCE)
        await Promise.all(takenOver.map((path) => limit(() => catalog.storage.stat(storageLocation(path)))))
      },
    }
    const context = { clock, random, uuid, signal }
    const ident = identOf(this.#job)
    const result =
      removed.length > 0
        ? await overwriteFiles(catalog, ident, { ...options, remove: removed }, context)
        : await appendFiles(catalog, ident, options, context)
    this.#state = await boundSnapshots(catalog, ident, result.table, { keep: keptForMarks, runId }, context)
    return { upgraded: result.upgraded }
  }

  /** Rows may come and go while a run works; the table itself, its pins and what it was approved for may not. */
  #requireSame(before: TableMetadata | undefined, now: TableMetadata | undefined, names: readonly string[]): void {
    if (now && now['table-uuid'] !== '' && now['table-uuid'] !== this.uuid) {
      const what = before ? 'was replaced by another one' : 'was made by somebody else'
      throw new PseudolakeError('table/changed', `${this.location}: the table ${what} while the run was at work`, {
        location: this.location,
      })
    }
    const changed = names.find(
      (name) =>
        !/^pseudolake\.(?:job|stream|replay)\./.test(name) &&
        before &&
        before.properties[name] !== now?.properties[name],
    )
    if (changed !== undefined)
      throw new PseudolakeError(
        'table/changed',
        `${this.location}: property ${changed} changed while the run was at work`,
        {
          location: this.location,
          property: changed,
        },
      )
  }
}

function requireMark(
  metadata: TableMetadata | undefined,
  job: string,
  planned: string | undefined,
  epoch: number,
): void {
  const found = metadata && readMark(metadata.properties, job)
  if (found?.digest === planned) return
  throw new PseudolakeError(
    'table/mark-changed',
    `job ${job} is at epoch ${found?.epoch ?? 0}, and epoch ${epoch} was to be finished`,
    { job, epoch: found?.epoch ?? 0, planned: epoch - 1 },
  )
}

function identOf(job: BatchJob) {
  return { database: job.database, name: job.table }
}

async function load(job: BatchJob, catalog: Catalog): Promise<TableState | undefined> {
  try {
    const state = await catalog.load(identOf(job))
    requireWritable(state.metadata)
    return state
  } catch (error) {
    if (isPseudolakeError(error, 'table/not-found') && job.create !== 'never') return undefined
    throw error
  }
}
