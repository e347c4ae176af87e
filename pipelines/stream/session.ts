/**
 * The time in which one consumer owns a stream: from the commit that makes it the owner to its end, or to the commit of another one.
 *
 * What is read between two commits is a batch: its rows are in data files that no snapshot names, its positions nowhere but here. One commit
 * publishes both; whatever fails before it, or leaves it open whether it happened, is answered by the table's mark alone, with which the
 * next session begins. So nothing here is repaired: a session that fails is dropped, with all that it holds.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type Consumer, openConsumer } from '../../lib/kinesis/consumer.ts'
import { advance, firstPositions, type Position, type Positions } from '../../lib/kinesis/positions.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import type { Batch } from '../../lib/kinesis/shard-reader.ts'
import { identify, type Pinned } from '../batch/identities.ts'
import { Target } from '../batch/target.ts'
import type { FinishedFile } from '../batch/unpublished.ts'
import { dedupeSecret } from './dedupe.ts'
import { Due } from './due.ts'
import { columnsOf, knownFields } from './fields.ts'
import type { StreamJob } from './job.ts'
import { makeStreamMark, requireStreamMark, type StreamMark, type StreamState } from './mark.ts'
import type { StreamOptions, StreamOutside } from './outside.ts'
import { markChanged, Publisher } from './publisher.ts'
import type { CommitEvent, ShardCounts } from './report.ts'
import { type KnownFields, Rows } from './rows.ts'
import type { SessionShared } from './shared.ts'
import type { Counts } from './totals.ts'

/** How long to wait for records before a stop or a due commit is looked for again. */
const LOOK_MS = 250
/** Of the memory that a run may use, what records may take that wait for their turn. */
const READ_SHARE = 1 / 16

export class Session {
  readonly target: Target
  readonly consumer: Consumer
  mark: StreamMark
  readonly #outside: StreamOutside
  readonly #options: StreamOptions
  readonly #shared: SessionShared
  readonly #pinned: readonly Pinned[]
  readonly #publisher: Publisher
  readonly #rows: Rows
  readonly #due: Due
  #positions: Positions

  private constructor(
    job: StreamJob,
    outside: StreamOutside,
    options: StreamOptions,
    shared: SessionShared,
    begun: Begun,
  ) {
    const { target, consumer, mark, pinned } = begun
    this.#outside = outside
    this.#options = options
    this.#shared = shared
    this.target = target
    this.consumer = consumer
    this.mark = mark
    this.#positions = mark.positions
    this.#pinned = pinned
    this.#publisher = new Publisher(target, job, outside)
    const epoch = () => this.mark.epoch + 1
    this.#rows = new Rows({ job, outside, shared, target, pinned, epoch }, begun)
    this.#due = new Due(job.settings.commit, outside.clock)
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
      await shared.dedupe?.load(mark?.dedupe ?? [], await dedupeSecret(shared.client.client, pinned[0], signal))
      const known = { fields, first, marked: mark?.fields }
      const begun = { target, consumer, pinned, mark: mark ?? makeStreamMark(0, '', state), ...known }
      const session = new Session(job, outside, options, shared, begun)
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

  /** Read, and not committed. */
  get pending(): Readonly<Counts> {
    return this.#rows.counts
  }

  /** Whether there is something that is to be committed soon. */
  get holds(): boolean {
    return this.#due.taken || this.#due.ended
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
      const wait = Math.min(LOOK_MS, Math.max(0, this.#due.atMs - clock.now()))
      const batch = await this.consumer.next(wait)
      if (batch && (await this.#take(batch, limit(this.pending.records)))) {
        await this.#commitPending()
        return 'enough'
      }
      const due = this.#due.isDue(this.#rows.count, this.pending.records, this.consumer.description.retentionMs)
      if (due || (untilCaughtUp && !batch && this.#due.ended)) await this.#commitPending(true)
      if (!untilCaughtUp || batch || !this.consumer.caughtUp()) continue
      await this.#commitPending()
      // What the commit of a shard's end lets begin may have more.
      if (this.consumer.caughtUp()) return 'caught-up'
    }
  }

  /** Drops what is held, but not the files of a commit that may have happened. */
  async drop(): Promise<void> {
    await this.consumer.close()
    if (this.#publisher.mayStand) return
    try {
      await this.#rows.drop()
    } catch (error) {
      // What cannot be removed now is an orphan; what failed before is what the caller must hear of.
      if (!(error instanceof PseudolakeError)) throw error
    }
  }

  /** @returns whether that is as much as was asked for */
  async #take(batch: Batch, most: number): Promise<boolean> {
    const { records } = batch
    this.#due.begin(batch)
    await this.#rows.infer(records)
    const until = most <= records.length ? cutAfter(records, most) : records.length
    const whole = until === records.length
    const stop = await this.#rows.add(whole ? records : records.slice(0, until))
    if (stop) {
      // Not inside of an aggregate: its first records are read again, and their rows must not be there.
      if (records[stop.at - 1]?.sequence === records[stop.at]?.sequence) throw stop.because
      this.#taken(batch, stop.at)
      await this.#commitPending()
      throw stop.because
    }
    this.#taken(batch, until)
    this.#due.end(batch, whole)
    return most <= records.length
  }

  /** The first records of a batch are rows, sealed, or dropped. */
  #taken({ records, shard, position }: Batch, count: number): void {
    this.#rows.counts.records += count
    const whole = count === records.length
    if (count === 0 && !whole) return
    this.#positions = advance(this.#positions, shard, whole ? position : this.#behind(shard, records[count - 1]))
  }

  #behind(shard: string, last: StreamRecord | undefined): Position {
    if (!last) throw new PseudolakeError('internal/bug', 'no record to stop behind', {})
    const { since } = this.#positions.shards.get(shard) ?? { since: this.#outside.clock.wall() }
    return { sequence: last.sequence, sub: last.sub, since }
  }

  /** @param quiet also where nothing but positions have moved */
  async #commitPending(quiet = false): Promise<void> {
    const { ended, moved } = this.#due
    if (this.pending.records === 0 && !ended && !(quiet && moved)) return
    const { timings, sealing, dedupe, caution, onCommit } = this.#shared
    const files = await this.#rows.finish()
    if (files.length > 0) await timings.time('key check', () => this.#checkKeys())
    const before = this.mark
    const state: StreamState = {
      positions: this.consumer.pruned(this.#positions),
      fields: this.#rows.fields,
      quarantine: sealing ? await sealing.finish(before.quarantine, this.target.uuid) : before.quarantine,
      dedupe: dedupe ? await dedupe.save(before.dedupe, this.target.uuid, before.epoch + 1) : before.dedupe,
    }
    await this.consumer.confirm()
    await timings.time('commit', () => this.#publish(files, before, state))
    sealing?.committed()
    caution.committed(this.pending.refused)
    await dedupe?.committed(before.dedupe, state.dedupe)
    const counts = { ...this.pending, rows: this.#rows.count, commits: 1 }
    const event = this.#event(counts, files)
    this.#due.reset()
    this.#rows.committed()
    onCommit(event, counts)
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
    const { schema, approved } = this.#rows
    this.mark = await this.#publisher.publish(planned, state, { schema, approved, pinned: this.#pinned, files })
    this.#due.published()
    this.#positions = state.positions
    this.consumer.committed(state.positions)
  }

  #event(counts: Counts, files: readonly FinishedFile[]): CommitEvent {
    const lag = [...this.consumer.lag()].filter(([, ms]) => ms > 0)
    const { throttled, shards } = this.consumer.stats()
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
      seconds: this.#due.seconds,
      lag_ms: Math.max(0, ...lag.map(([, ms]) => ms)),
      lag: Object.fromEntries(lag),
      shards: this.mark.positions.shards.size,
      shard_states: shards,
      throttled,
    }
  }
}

interface Begun extends KnownFields {
  readonly target: Target
  readonly consumer: Consumer
  readonly mark: StreamMark
  readonly pinned: readonly Pinned[]
}

async function firstOf(job: StreamJob, { kinesis, streamName, clock, signal }: StreamOutside): Promise<Positions> {
  const description = await kinesis.describe(streamName, signal)
  return firstPositions(description, await kinesis.shards(streamName, signal), job.start, clock.wall())
}

/** How many of the first records are enough: never a part of an aggregate, whose records share their sequence number. */
function cutAfter(records: readonly StreamRecord[], most: number): number {
  let end = Math.max(0, most)
  while (end > 0 && end < records.length && records[end]?.sequence === records[end - 1]?.sequence) end++
  return end
}
