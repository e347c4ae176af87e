/**
 * Records of a session become rows in data files that no snapshot names yet: by the fields that are known, which the first records show where
 * none are declared, and which later ones may add to. Those that can be no row are sealed, or end the run.
 */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { targetFileBytes } from '../batch/csv/target-size.ts'
import type { Pinned } from '../batch/identities.ts'
import { approvedOf, requireApproved } from '../batch/shape.ts'
import type { Target } from '../batch/target.ts'
import type { FinishedFile } from '../batch/unpublished.ts'
import type { Approved } from '../pins.ts'
import { parseRecord } from './decode.ts'
import { COLUMNS_HINT, columnsOf, type StreamColumns } from './fields.ts'
import { inferFields, inferType } from './infer.ts'
import type { StreamJob } from './job.ts'
import { inShapesOrder } from './names.ts'
import type { StreamOutside } from './outside.ts'
import { type RefusedTexts, refusedTexts } from './refused.ts'
import { ruledFields } from './ruled.ts'
import type { RecordField } from './schema.ts'
import type { SessionShared } from './shared.ts'
import { badRecord, StopHere, tooMany, unknownField } from './stops.ts'
import { type Counts, noCounts } from './totals.ts'
import { BadRecord } from './values.ts'
import { RowsWriter } from './writer.ts'

/** Records between two looks at whether what is held is enough for a page or a row group. */
const STEP = 256
/** Records whose values are asked for together, where they are looked at before they become rows. */
const LOOK_RECORDS = 2048
/** Records that show what the fields are. */
const SAMPLE = 1000

export interface RowsOptions {
  readonly job: StreamJob
  readonly outside: StreamOutside
  readonly shared: SessionShared
  readonly target: Target
  readonly pinned: readonly Pinned[]
  /** That the rows are going to be published with. */
  readonly epoch: () => number
}

/** What is known of the records before the first of them. */
export interface KnownFields {
  /** None where no record has shown any yet. */
  readonly fields: readonly RecordField[] | undefined
  readonly first: StreamColumns
  /** As the table's mark has them. */
  readonly marked: readonly RecordField[] | undefined
}

/** In front of which record it ends, of those that were given, and why. */
export interface Stop {
  readonly at: number
  readonly because: PseudolakeError
}

export class Rows {
  /** Of what is not committed. */
  counts: Counts = noCounts()
  /** Of a record; undefined until one has shown some, where none are declared. */
  fields: readonly RecordField[] | undefined
  approved: Approved | undefined
  /** The table's, or as it will be. */
  schema!: Schema
  readonly #options: RowsOptions
  #columns: StreamColumns | undefined
  #writer: RowsWriter | undefined
  /** Of this batch, of writers that had fewer columns. */
  #finished: FinishedFile[] = []
  readonly #newFields = new Set<string>()
  /** Of the records that were looked at last, where they are. */
  #refused: RefusedTexts = new Map()
  #probe: StreamColumns | undefined

  /**
   * @throws PseudolakeError `table/schema-changed`, `config/invalid` where the table was made for other columns
   */
  constructor(options: RowsOptions, { first, fields, marked }: KnownFields) {
    this.#options = options
    if (fields) this.#use(fields, first, marked)
    else this.schema = options.target.schemaFor(first.shape.schema)
  }

  /** Rows that are not published. */
  get count(): number {
    return (this.#writer?.rows ?? 0) + this.counts.rows
  }

  /**
   * Takes records in their order.
   * @returns where it stopped, if it did: records in front of that are taken
   * @throws PseudolakeError `service/*`, `storage/*`, `table/schema-changed`, `input/*`
   */
  async add(records: readonly StreamRecord[]): Promise<Stop | undefined> {
    for (let i = 0; i < records.length; i++) {
      if (i % LOOK_RECORDS === 0) await this.#lookAt(records.slice(i, i + LOOK_RECORDS))
      try {
        await this.#record(records[i] as StreamRecord)
      } catch (error) {
        if (!(error instanceof StopHere)) throw error
        return { at: i, because: error.because }
      }
      if (i % STEP === STEP - 1 || i === records.length - 1) {
        await this.#writer?.advance()
        await this.#options.shared.sealing?.advance()
      }
    }
    return undefined
  }

  /** Fields out of the first records that have some, where none are known. */
  async infer(records: readonly StreamRecord[]): Promise<void> {
    if (this.#columns || records.length === 0) return
    const sample: Record<string, unknown>[] = []
    for (const { data } of records.slice(0, SAMPLE)) {
      try {
        sample.push(parseRecord(data))
      } catch (error) {
        if (!(error instanceof BadRecord)) throw error
      }
    }
    if (sample.length === 0) return
    // A table that is there already has a text for what is pseudonymized.
    const fields = inferFields(sample, ruledFields(this.#options.job.table.columns))
    try {
      this.#use(fields, undefined, undefined)
    } catch (error) {
      if (!isPseudolakeError(error, 'input/column-missing')) throw error
      const hint =
        'The first records show it otherwise than the rule has it: declare `schema`, or write `element` where a list is.'
      throw new PseudolakeError(error.code, error.message, { ...error.context, hint }, { cause: error.cause })
    }
  }

  /** The columns of a set of fields, and the table's schema with them. @param marked fields that the table has columns of */
  #use(
    fields: readonly RecordField[],
    made: StreamColumns | undefined,
    marked: readonly RecordField[] | undefined,
  ): void {
    const { job, shared, target } = this.#options
    const columns = columnsOf(job, fields, {
      onNewField: (name) => this.#onNewField(name),
      ...(shared.caution.on && { refuses: (path, text) => this.#refused.get(path)?.has(text) === true }),
    })
    this.#probe = undefined
    const { shape } = made ?? columns
    const now = approvedOf(shape)
    this.approved = target.approved ? requireApproved(target.approved, now, 'add', () => COLUMNS_HINT) : now
    const grows = target.metadata && JSON.stringify(marked) !== JSON.stringify(fields)
    this.schema = grows
      ? inShapesOrder(target.grownFor([shape.output.root]), shape.schema, target.metadata as TableMetadata)
      : target.schemaFor(shape.schema)
    this.fields = fields
    this.#columns = columns
    this.#writer = this.#newWriter(columns)
  }

  /** @returns the data files of all rows until now, whole and looked at */
  async finish(): Promise<readonly FinishedFile[]> {
    const files = this.#writer ? await this.#writer.finish(this.#options.shared.client.client) : []
    return [...this.#finished, ...files]
  }

  /** What was finished is published: begins anew. */
  committed(): void {
    this.counts = noCounts()
    this.#finished = []
    // Somebody else may have given the table a column meanwhile.
    this.schema = this.#options.target.schemaFor(this.schema)
    if (this.#columns) this.#writer = this.#newWriter(this.#columns)
  }

  /** Nothing is left of the files. Not for files that a commit of unknown outcome may have. */
  async drop(): Promise<void> {
    await this.#writer?.abort()
    for (const { file } of this.#finished) await this.#options.outside.storage.delete(file.location)
  }

  /** After a value was refused: which values of records will be, before they become rows. */
  async #lookAt(records: readonly StreamRecord[]): Promise<void> {
    const { job, pinned, shared } = this.#options
    this.#refused = new Map()
    if (!shared.caution.on || !this.fields) return
    this.#probe ??= columnsOf(job, this.fields)
    const most = job.settings.limits.max_identifiers
    const { client, signal } = shared
    this.#refused = await refusedTexts(records, this.#probe, { client: client.client, pinned, most, signal })
  }

  async #record(record: StreamRecord): Promise<void> {
    const { dedupe, sealing } = this.#options.shared
    try {
      if (!this.#columns) {
        // Nothing was to be seen in any record yet.
        parseRecord(record.data)
        throw new PseudolakeError('internal/bug', 'a good record that showed no fields', {})
      }
      const { decoder } = this.#columns
      const parsed = decoder.add(record)
      if (this.#newFields.size > 0) {
        decoder.undo()
        await this.#grow(record)
        return await this.#record(record)
      }
      if (dedupe && !dedupe.see(parsed, record.arrivalMs)) {
        decoder.undo()
        this.counts.duplicates++
      }
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      if (!sealing) throw new StopHere(badRecord(record, error))
      if (!sealing.add(record, error.reason)) throw new StopHere(tooMany(record, error))
      this.counts.quarantined++
      if (error.reason === 'refused') this.counts.refused++
    }
  }

  #onNewField(name: string): void {
    const { job, shared } = this.#options
    if (job.newFields === 'ignore') shared.onIgnoredField(name)
    else this.#newFields.add(name)
  }

  /** A record has fields that no other had: from it on there are more columns, or no more records. */
  async #grow(record: StreamRecord): Promise<void> {
    const { job, shared } = this.#options
    const names = [...this.#newFields]
    this.#newFields.clear()
    if (job.newFields === 'fail') throw new StopHere(unknownField(record, names[0] as string))
    const parsed = parseRecord(record.data)
    const added = names.map((name): RecordField => ({ name, type: inferType(parsed[name]) }))
    if (this.#writer) this.#finished.push(...(await this.#writer.finish(shared.client.client)))
    const rows = this.#writer?.rows ?? 0
    this.counts.rows += rows
    const before = this.fields ?? []
    this.#use([...before, ...added], undefined, before)
  }

  #newWriter(columns: StreamColumns): RowsWriter {
    const { outside, shared, target, pinned, epoch } = this.#options
    const { replacers, gate, timings, signal } = shared
    const { runId, createdBy, storage, uuid } = outside
    const number = String(epoch()).padStart(8, '0')
    return new RowsWriter({
      ...{ columns, schema: this.schema, pinned, storage, replacers, gate, timings, signal, createdBy },
      targetBytes: targetFileBytes(target.properties),
      output: `${target.making.folder}/${runId}-${number}-${uuid().slice(0, 8)}`,
    })
  }
}
