/**
 * The time in which one consumer owns a stream: from the commit that makes it the owner to its end, or to the commit of another one.
 *
 * What is read between two commits is a batch: its rows are in data files that no snapshot names, its positions nowhere but here. One commit
 * publishes both; whatever fails before it, or leaves it open whether it happened, is answered by the table's mark alone, with which the
 * next session begins. So nothing here is repaired: a session that fails is dropped, with all that it holds.
 */
import type { Client } from '../../lib/client/compose.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { MAX_SNAPSHOTS } from '../../lib/iceberg/catalogs/metadata-files.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { type Consumer, openConsumer } from '../../lib/kinesis/consumer.ts'
import { advance, firstPositions, type Position, type Positions } from '../../lib/kinesis/positions.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import type { Batch } from '../../lib/kinesis/shard-reader.ts'
import { targetFileBytes } from '../batch/csv/target-size.ts'
import type { Gate } from '../batch/gate/gate.ts'
import { identify, type Pinned } from '../batch/identities.ts'
import type { Replacers } from '../batch/replacer.ts'
import { approvedOf, requireApproved } from '../batch/shape.ts'
import { Target } from '../batch/target.ts'
import type { Timings } from '../batch/timings.ts'
import type { FinishedFile } from '../batch/unpublished.ts'
import { STREAM_SUMMARY } from '../marks.ts'
import type { Approved } from '../pins.ts'
import { parseRecord } from './decode.ts'
import { DEDUPE_CONSTANT, type Dedupe } from './dedupe.ts'
import { COLUMNS_HINT, columnsOf, knownFields, type StreamColumns } from './fields.ts'
import { inferFields, inferType } from './infer.ts'
import type { StreamJob } from './job.ts'
import {
  makeStreamMark,
  markText,
  requireStreamMark,
  type StreamMark,
  type StreamState,
  streamProperty,
} from './mark.ts'
import { inShapesOrder, shownName } from './names.ts'
import type { StreamOptions, StreamOutside } from './outside.ts'
import type { Sealing } from './quarantine/sealing.ts'
import { type Caution, type RefusedTexts, refusedTexts } from './refused.ts'
import type { CommitEvent, ShardCounts } from './report.ts'
import { ruledFields } from './ruled.ts'
import type { RecordField } from './schema.ts'
import { type Counts, noCounts } from './totals.ts'
import { BadRecord } from './values.ts'
import { RowsWriter } from './writer.ts'

/** Records between two looks at whether what is held is enough for a page or a row group. */
const STEP = 256
/** Records whose values are asked for together, where they are looked at before they become rows. */
const LOOK_RECORDS = 2048
/** How long to wait for records before a stop or a due commit is looked for again. */
const LOOK_MS = 250
/** Records that show what the fields are. */
const SAMPLE = 1000
/** A shard that has ended holds its children up until that is committed. */
const END_MS = 5000
/** Of the memory that a run may use, what records may take that wait for their turn. */
const READ_SHARE = 1 / 16
/** A table made for a stream keeps so many snapshots: each commit writes all of them. */
const STREAM_SNAPSHOTS = '200'
/** Positions that move though nothing comes are committed so often, or when an eighth of the retention is over. */
const QUIET_MS = 3_600_000

/** What sessions of one run have in common. */
export interface SessionShared {
  readonly client: Client
  readonly replacers: Replacers
  readonly gate: Gate
  readonly timings: Timings
  readonly sealing: Sealing | undefined
  readonly dedupe: Dedupe | undefined
  readonly caution: Caution
  /** Not aborted by the wish to stop: what was read is to be committed. */
  readonly signal: AbortSignal
  readonly onCommit: (event: CommitEvent, counts: Counts) => void
  readonly onNote: (message: string) => void
  readonly onIgnoredField: (name: string) => void
}

export class Session {
  readonly target: Target
  readonly consumer: Consumer
  /** Read, and not committed. */
  pending: Counts = noCounts()
  mark: StreamMark
  readonly #job: StreamJob
  readonly #outside: StreamOutside
  readonly #options: StreamOptions
  readonly #shared: SessionShared
  #positions: Positions
  #fields: readonly RecordField[] | undefined
  #columns: StreamColumns | undefined
  #schema: Schema | undefined
  #approved: Approved | undefined
  #pinned: readonly Pinned[]
  #writer: RowsWriter | undefined
  /** Of this batch, of writers that had fewer columns. */
  #finished: FinishedFile[] = []
  readonly #newFields = new Set<string>()
  /** Of the records that were looked at last, where they are. */
  #refused: RefusedTexts = new Map()
  #probe: StreamColumns | undefined
  /** A commit of which it is not known that it did not happen: its files must stay. */
  #mayStand = false
  #bytes = 0
  #began: number | undefined
  /** Records since the last commit, those that were being taken when it failed included. */
  #taken = false
  #dueMs: number
  #ended = false
  #moved = false
  #lastCommitMs: number

  private constructor(
    job: StreamJob,
    outside: StreamOutside,
    options: StreamOptions,
    shared: SessionShared,
    begun: Begun,
  ) {
    this.#job = job
    this.#outside = outside
    this.#options = options
    this.#shared = shared
    this.target = begun.target
    this.consumer = begun.consumer
    this.mark = begun.mark
    this.#positions = begun.mark.positions
    this.#pinned = begun.pinned
    const now = outside.clock.now()
    this.#lastCommitMs = now
    this.#dueMs = now + job.settings.commit.every
  }

  /**
   * Becomes the owner: commits the next epoch, unless the table's mark is this run's own.
   * @param owned epoch up to which this run was the owner and goes on being it: it takes nothing over
   * @throws PseudolakeError `table/mark-changed` where another one is or was first; `table/*`, `kinesis/*`, `service/*`
   */
  static async begin(
    job: StreamJob,
    outside: StreamOutside,
    options: StreamOptions,
    shared: SessionShared,
    owned?: number,
  ): Promise<Session> {
    const { kinesis, clock, random, signal } = outside
    const target = await Target.open(job.table, { ...outside, signal: shared.signal })
    const { mark, expired } = target.metadata
      ? requireStreamMark(target.metadata, job.name, outside.resetCommand)
      : { mark: undefined, expired: false }
    if (owned !== undefined && mark?.run !== outside.runId) throw markChanged(job.name, mark, owned + 1)
    if (expired) shared.onNote('the snapshot of the last commit is expired; the mark alone says where to go on')
    const positions = mark?.positions ?? (await firstOf(job, outside))
    const consumer = await openConsumer({
      kinesis,
      stream: outside.streamName,
      positions,
      clock,
      random,
      maxBytes: job.table.settings.limits.memory_mb * 2 ** 20 * READ_SHARE,
      ...outside.consumer,
    })
    try {
      const fields = knownFields(job.schema, mark?.fields)
      const first = columnsOf(job, fields ?? [])
      const pinned = await identify(first.shape.replaced, target.properties, shared.client.client, {
        allowKeyChange: options.allowKeyChange ?? false,
        command: outside.command,
        signal,
      })
      const state = { positions, fields, quarantine: mark?.quarantine, dedupe: mark?.dedupe ?? [] }
      await shared.dedupe?.load(mark?.dedupe ?? [], await secretOf(shared, pinned[0], signal))
      const begun = { target, consumer, pinned, mark: mark ?? makeStreamMark(0, '', state) }
      const session = new Session(job, outside, options, shared, begun)
      if (fields) session.#use(fields, first, mark?.fields)
      else session.#schema = target.schemaFor(first.shape.schema)
      if (mark?.run !== outside.runId) await session.#publish([], mark, state)
      return session
    } catch (error) {
      await consumer.close()
      throw error
    }
  }

  get epoch(): number {
    return this.mark.epoch
  }

  /** Whether there is something that is to be committed soon. */
  get holds(): boolean {
    return this.#taken || this.#ended
  }

  shards(): ShardCounts {
    return this.consumer.stats().shards
  }

  /**
   * Reads and commits until it is told to stop, has caught up where that is its end, or has enough.
   * @param limit records that may still be taken, of as many as are pending
   * @throws PseudolakeError `table/mark-changed` once another one owns the stream; what reading, writing and committing throw
   */
  async run(limit: (pending: number) => number): Promise<'caught-up' | 'enough' | 'interrupted'> {
    const { clock, signal } = this.#outside
    const { untilCaughtUp = false } = this.#options
    for (;;) {
      this.#shared.signal.throwIfAborted()
      if (signal.aborted) {
        await this.#commitPending()
        return 'interrupted'
      }
      const wait = Math.min(LOOK_MS, Math.max(0, this.#dueMs - clock.now()))
      const batch = await this.consumer.next(wait)
      if (batch && (await this.#take(batch, limit(this.pending.records)))) {
        await this.#commitPending()
        return 'enough'
      }
      if (this.#isDue() || (untilCaughtUp && !batch && this.#ended)) await this.#commitPending(true)
      if (!untilCaughtUp || batch || !this.consumer.caughtUp()) continue
      await this.#commitPending()
      // What the commit of a shard's end lets begin may have more.
      if (this.consumer.caughtUp()) return 'caught-up'
    }
  }

  /** Drops what is held, but not the files of a commit that may have happened. */
  async drop(): Promise<void> {
    await this.consumer.close()
    if (this.#mayStand) return
    try {
      await this.#writer?.abort()
      for (const { file } of this.#finished) await this.#outside.storage.delete(file.location)
    } catch (error) {
      // What cannot be removed now is an orphan; what failed before is what the caller must hear of.
      if (!(error instanceof PseudolakeError)) throw error
    }
  }

  /** @returns whether that is as much as was asked for */
  async #take(batch: Batch, most: number): Promise<boolean> {
    const { records, shard, position, bytes } = batch
    this.#began ??= this.#outside.clock.now()
    this.#taken ||= records.length > 0
    if (!this.#columns && records.length > 0) await this.#infer(records)
    let until = records.length
    if (most <= until) until = cutAfter(records, most)
    for (let i = 0; i < until; i++) {
      if (i % LOOK_RECORDS === 0) await this.#lookAt(records.slice(i, Math.min(until, i + LOOK_RECORDS)))
      try {
        await this.#record(records[i] as StreamRecord)
      } catch (error) {
        if (!(error instanceof StopHere)) throw error
        await this.#stop(batch, i, error.because)
      }
      if (i % STEP === STEP - 1 || i === until - 1) {
        await this.#writer?.advance()
        await this.#shared.sealing?.advance()
      }
    }
    this.pending.records += until
    this.#bytes += bytes
    const whole = until === records.length
    if (until > 0 || whole)
      this.#positions = advance(this.#positions, shard, whole ? position : this.#before(batch, until))
    this.#moved = true
    if (whole && batch.end) {
      this.#ended = true
      this.#dueMs = Math.min(this.#dueMs, this.#outside.clock.now() + END_MS)
    }
    return most <= records.length
  }

  /** After a value was refused: which values of records will be, before they become rows. */
  async #lookAt(records: readonly StreamRecord[]): Promise<void> {
    this.#refused = new Map()
    if (!this.#shared.caution.on || !this.#fields) return
    this.#probe ??= columnsOf(this.#job, this.#fields)
    const { client, signal } = this.#shared
    const most = this.#job.settings.limits.max_identifiers
    this.#refused = await refusedTexts(records, this.#probe, {
      ...{ client: client.client, pinned: this.#pinned, most, signal },
    })
  }

  /** The position in front of a batch's i-th record. */
  #before({ shard, records }: Batch, i: number): Position {
    const { since } = this.#positions.shards.get(shard) ?? { since: this.#outside.clock.wall() }
    const last = records[i - 1]
    if (!last) throw new PseudolakeError('internal/bug', 'no record to stop behind', {})
    return { sequence: last.sequence, sub: last.sub, since }
  }

  /** Commits what comes before a record that ends the run, and ends it. */
  async #stop(batch: Batch, i: number, because: PseudolakeError): Promise<never> {
    const { records, shard } = batch
    // Not inside of an aggregate: its first records are read again, and their rows must not be there.
    if (records[i - 1]?.sequence === records[i]?.sequence) throw because
    this.pending.records += i
    if (i > 0) this.#positions = advance(this.#positions, shard, this.#before(batch, i))
    await this.#commitPending()
    throw because
  }

  async #record(record: StreamRecord): Promise<void> {
    const { dedupe, sealing } = this.#shared
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
        this.pending.duplicates++
      }
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      if (!sealing) throw new StopHere(badRecord(record, error))
      if (!sealing.add(record, error.reason)) throw new StopHere(tooMany(record, error))
      this.pending.quarantined++
      if (error.reason === 'refused') this.pending.refused++
    }
  }

  /** Fields out of the first records that have some. */
  async #infer(records: readonly StreamRecord[]): Promise<void> {
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
    const fields = inferFields(sample, ruledFields(this.#job.table.columns))
    try {
      this.#use(fields, undefined, undefined)
    } catch (error) {
      if (!isPseudolakeError(error, 'input/column-missing')) throw error
      const hint =
        'The first records show it otherwise than the rule has it: declare `schema`, or write `element` where a list is.'
      throw new PseudolakeError(error.code, error.message, { ...error.context, hint }, { cause: error.cause })
    }
  }

  /** The columns of a set of fields, and the table's schema with them. */
  #use(
    fields: readonly RecordField[],
    made: StreamColumns | undefined,
    marked: readonly RecordField[] | undefined,
  ): void {
    const columns = columnsOf(this.#job, fields, {
      onNewField: (name) => this.#onNewField(name),
      ...(this.#shared.caution.on && { refuses: (path, text) => this.#refused.get(path)?.has(text) === true }),
    })
    this.#probe = undefined
    const { shape } = made ?? columns
    const now = approvedOf(shape)
    this.#approved = this.target.approved ? requireApproved(this.target.approved, now, 'add', COLUMNS_HINT) : now
    const grows = this.target.metadata && JSON.stringify(marked) !== JSON.stringify(fields)
    this.#schema = grows
      ? inShapesOrder(this.target.grownFor([shape.output.root]), shape.schema, this.target.metadata as TableMetadata)
      : this.target.schemaFor(shape.schema)
    this.#fields = fields
    this.#columns = columns
    this.#writer = this.#newWriter(columns, this.#schema)
  }

  #newWriter(columns: StreamColumns, schema: Schema): RowsWriter {
    const { replacers, gate, timings, signal } = this.#shared
    const { runId, createdBy, storage, uuid } = this.#outside
    const number = String(this.mark.epoch + 1).padStart(8, '0')
    return new RowsWriter({
      ...{ columns, schema, pinned: this.#pinned, storage, replacers, gate, timings, signal, createdBy },
      targetBytes: targetFileBytes(this.target.properties),
      output: `${this.target.making.folder}/${runId}-${number}-${uuid().slice(0, 8)}`,
    })
  }

  #onNewField(name: string): void {
    if (this.#job.newFields === 'ignore') this.#shared.onIgnoredField(name)
    else this.#newFields.add(name)
  }

  /** A record has fields that no other had: from it on there are more columns, or no more records. */
  async #grow(record: StreamRecord): Promise<void> {
    const names = [...this.#newFields]
    this.#newFields.clear()
    if (this.#job.newFields === 'fail')
      throw new StopHere(
        new PseudolakeError(
          'table/schema-changed',
          `${placeOf(record)} has a field ${shownName(names[0] as string)}that is not in the schema, and new_fields is fail`,
          {
            shard: record.shard,
            sequence: record.sequence,
            hint: 'Set new_fields to add (copied, as a new column) or to ignore, or write to a new table.',
          },
        ),
      )
    const parsed = parseRecord(record.data)
    const added = names.map((name): RecordField => ({ name, type: inferType(parsed[name]) }))
    if (this.#writer) this.#finished.push(...(await this.#writer.finish(this.#shared.client.client)))
    const rows = this.#writer?.rows ?? 0
    this.pending.rows += rows
    const before = this.#fields ?? []
    this.#use([...before, ...added], undefined, before)
  }

  #isDue(): boolean {
    const { commit } = this.#job.settings
    const { clock } = this.#outside
    const rows = (this.#writer?.rows ?? 0) + this.pending.rows
    if (rows >= commit.max_rows || this.#bytes >= commit.max_bytes) return true
    if (clock.now() < this.#dueMs) return false
    if (this.#hasMore()) return true
    this.#dueMs = clock.now() + commit.every
    const quietMs = Math.min(QUIET_MS, this.consumer.description.retentionMs / 8)
    return this.#moved && clock.now() - this.#lastCommitMs > quietMs
  }

  #hasMore(): boolean {
    return this.pending.records > 0 || this.#ended
  }

  /** @param quiet also where nothing but positions have moved */
  async #commitPending(quiet = false): Promise<void> {
    if (!this.#hasMore() && !(quiet && this.#moved)) return
    const { client, timings, sealing, dedupe } = this.#shared
    const files = this.#writer ? await this.#writer.finish(client.client) : []
    const rows = (this.#writer?.rows ?? 0) + this.pending.rows
    const all = [...this.#finished, ...files]
    if (all.length > 0) await timings.time('key check', () => this.#checkKeys())
    const state: StreamState = {
      positions: this.consumer.pruned(this.#positions),
      fields: this.#fields,
      quarantine: sealing ? await sealing.finish(this.mark.quarantine, this.target.uuid) : this.mark.quarantine,
      dedupe: dedupe ? await dedupe.save(this.mark.dedupe, this.target.uuid, this.mark.epoch + 1) : this.mark.dedupe,
    }
    const before = this.mark.dedupe
    await this.consumer.confirm()
    await timings.time('commit', () => this.#publish(all, this.mark, state))
    sealing?.committed()
    this.#shared.caution.committed(this.pending.refused)
    await dedupe?.committed(before, state.dedupe)
    const counts = { ...this.pending, rows, commits: 1 }
    const event = this.#event(counts, all)
    this.pending = noCounts()
    this.#finished = []
    this.#bytes = 0
    this.#began = undefined
    this.#taken = false
    this.#ended = false
    this.#moved = false
    // Somebody else may have given the table a column meanwhile.
    this.#schema = this.target.schemaFor(this.#schema as Schema)
    if (this.#columns) this.#writer = this.#newWriter(this.#columns, this.#schema)
    this.#shared.onCommit(event, counts)
  }

  /** A service whose key was changed meanwhile has made pseudonyms that join with nothing. */
  async #checkKeys(): Promise<void> {
    const { allowKeyChange = false } = this.#options
    const columns = this.#pinned.map(({ rule, column }) => ({ rule, column }))
    await identify(columns, this.target.properties, this.#shared.client.client, {
      allowKeyChange,
      command: this.#outside.command,
      signal: this.#shared.signal,
    })
  }

  async #publish(files: readonly FinishedFile[], planned: StreamMark | undefined, state: StreamState): Promise<void> {
    const { runId, clock } = this.#outside
    const { name } = this.#job
    const epoch = (planned?.epoch ?? 0) + 1
    const mark = makeStreamMark(epoch, runId, state)
    const schema = this.#schema as Schema
    const all = this.target.propertiesFor(this.#approved, this.#pinned)
    const own = this.target.metadata ? onlyOurs(all) : { [MAX_SNAPSHOTS]: STREAM_SNAPSHOTS, ...all }
    const modes = metricsModes(schema, { ...this.target.properties, ...own })
    this.#mayStand = true
    await this.target
      .publish({
        runId,
        schema,
        files: files.map(({ file }) => dataFileFrom(file, schema, modes)),
        removed: [],
        properties: { ...own, [streamProperty(name)]: markText(mark) },
        mark,
        summary: { [STREAM_SUMMARY]: name },
        check: (metadata) => this.#requireMark(metadata, planned),
      })
      .catch((error: unknown) => {
        this.#mayStand = !isPseudolakeError(error) || isPseudolakeError(error, 'table/commit-unknown', 'internal/bug')
        throw error
      })
    this.#mayStand = false
    this.mark = mark
    this.#lastCommitMs = clock.now()
    this.#dueMs = clock.now() + this.#job.settings.commit.every
    this.#positions = state.positions
    this.consumer.committed(state.positions)
  }

  #requireMark(metadata: TableMetadata | undefined, planned: StreamMark | undefined): void {
    const { name } = this.#job
    const found = metadata && requireStreamMark(metadata, name, this.#outside.resetCommand).mark
    if (found?.digest !== planned?.digest) throw markChanged(name, found, (planned?.epoch ?? 0) + 1)
  }

  #event(counts: Counts, files: readonly FinishedFile[]): CommitEvent {
    const lag = [...this.consumer.lag()].filter(([, ms]) => ms > 0)
    const { throttled, shards } = this.consumer.stats()
    const { clock } = this.#outside
    return {
      event: 'commit',
      epoch: this.mark.epoch,
      snapshot_id: this.target.metadata?.['current-snapshot-id']?.toString() ?? null,
      records: counts.records,
      rows: counts.rows,
      quarantined: counts.quarantined,
      duplicates: counts.duplicates,
      files: files.length,
      bytes: files.reduce((sum, { file }) => sum + file.bytes, 0),
      seconds: (clock.now() - (this.#began ?? clock.now())) / 1000,
      lag_ms: Math.max(0, ...lag.map(([, ms]) => ms)),
      lag: Object.fromEntries(lag),
      shards: this.mark.positions.shards.size,
      shard_states: shards,
      throttled,
    }
  }
}

interface Begun {
  readonly target: Target
  readonly consumer: Consumer
  readonly mark: StreamMark
  readonly pinned: readonly Pinned[]
}

/** A record at which a run ends once what comes before it is committed. */
class StopHere extends Error {
  readonly because: PseudolakeError

  constructor(because: PseudolakeError) {
    super(because.message)
    this.because = because
  }
}

async function firstOf(job: StreamJob, { kinesis, streamName, clock, signal }: StreamOutside): Promise<Positions> {
  const description = await kinesis.describe(streamName, signal)
  return firstPositions(description, await kinesis.shards(streamName, signal), job.start, clock.wall())
}

function markChanged(job: string, found: StreamMark | undefined, epoch: number): PseudolakeError {
  return new PseudolakeError(
    'table/mark-changed',
    `stream job ${job} is at epoch ${found?.epoch ?? 0}, and epoch ${epoch} was to be committed: another consumer owns it`,
    { job, epoch: found?.epoch ?? 0, run: found?.run ?? '' },
  )
}

/** How many of the first records are enough: never a part of an aggregate, whose records share their sequence number. */
function cutAfter(records: readonly StreamRecord[], most: number): number {
  let end = Math.max(0, most)
  while (end > 0 && end < records.length && records[end]?.sequence === records[end - 1]?.sequence) end++
  return end
}

/** Properties that a stream is answerable for: what others set meanwhile is their own. */
function onlyOurs(properties: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(properties).filter(([name]) =>
      /^(?:pseudolake\.column|write\.metadata\.metrics\.column\.)/.test(name),
    ),
  )
}

function placeOf({ shard, sequence, sub }: StreamRecord): string {
  return `${shard}, record ${sequence}${sub === 0 ? '' : `.${sub}`}:`
}

/** What nobody has who cannot ask the service, and stays the same for as long as the table's key does. */
async function secretOf({ client }: SessionShared, pinned: Pinned | undefined, signal: AbortSignal): Promise<string> {
  const { values } = await client.client.call({
    direction: 'pseudonymize',
    values: [DEDUPE_CONSTANT],
    domain: pinned?.rule.domain ?? 'default',
    deterministic: true,
    signal,
    ...(pinned?.identity.key !== undefined && { key: pinned.identity.key }),
  })
  return values[0] as string
}

function tooMany({ shard, sequence }: StreamRecord, { reason }: BadRecord): PseudolakeError {
  return new PseudolakeError(
    'stream/too-many-bad',
    `quarantine.max_records are sealed already, and there is one more in ${shard}: ${reason}`,
    { shard, sequence, reason },
  )
}

function badRecord(record: StreamRecord, { reason, field }: BadRecord): PseudolakeError {
  const { shard, sequence, sub } = record
  const name = shownName(field ?? '').trimEnd()
  const where = name === '' ? '' : `, field ${name}`
  return new PseudolakeError(
    'stream/bad-record',
    `${placeOf(record)} ${record.data.length} bytes, ${reason}${where}; what comes before it is committed, nothing after it`,
    { shard, sequence, sub, reason, length: record.data.length },
  )
}
