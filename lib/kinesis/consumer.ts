/**
 * Reads a stream: its shards side by side, each in its order, parents before children, no more than it was given room for.
 *
 * One pool of requests serves all shards, whether one or five hundred: whichever has been due longest is asked next. An answer is read when there
 * is room for what it is, and waits in its connection until then; a consumer that is not asked for batches stops reading.
 *
 * It keeps nothing and decides nothing about what is done: positions come in, batches with the positions after them go out, and `committed`
 * says how far that is final. Children are begun only behind parents whose ends are committed (lineage.ts).
 */
import type { Clock } from '../core/clock.ts'
import { isPseudolakeError, PseudolakeError } from '../core/errors.ts'
import type { ForeignAggregates } from './deaggregate.ts'
import { type Kinesis, MAX_GET_RECORDS, type Shard, type StreamDescription } from './kinesis.ts'
import { lostShards, prunedPositions, readableShards } from './lineage.ts'
import { backoff, DEFAULT_PACE, nextAfter, type Pace } from './pace.ts'
import { identityOf, isEnd, type Positions, sameStream } from './positions.ts'
import { type Batch, ShardReader } from './shard-reader.ts'

export interface ConsumerOptions {
  readonly kinesis: Kinesis
  /** Name of the stream. */
  readonly stream: string
  /** As committed: `firstPositions` for a first start. */
  readonly positions: Positions
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /**
   * Bytes of answers that are held or being read, with what reading takes (`READING` times their length). One answer is read however little this is.
   * @default 67_108_864
   */
  readonly maxBytes?: number
  /** Requests at a time. @default 16 */
  readonly maxRequests?: number
  /** Records a request asks for. @default 10_000 */
  readonly limit?: number
  /** @default 'keep' */
  readonly foreignAggregates?: ForeignAggregates
  readonly pace?: Partial<Pace>
  /** Between two looks for new shards; after a shard's end it looks at once. @default 60_000 */
  readonly resyncMs?: number
  /** How long requests may fail for other reasons than throttling before that is an error. @default 600_000 */
  readonly outageMs?: number
  /** How often a shard in which nothing comes hands out an empty batch, so that its position stays young. @default 60_000 */
  readonly idleBatchMs?: number
}

export interface ConsumerStats {
  /** Records handed out, after de-aggregation. */
  readonly records: number
  /** Records of aggregates that were dropped as another shard's. */
  readonly dropped: number
  /** Bytes of data and keys read. */
  readonly bytes: number
  /** GetRecords that were answered. */
  readonly answers: number
  /** Requests that were refused as too many. */
  readonly throttled: number
  /** Requests that failed otherwise and were sent again. */
  readonly failed: number
  readonly expiredIterators: number
  /** Shards that are being read, that wait for their parents, and that have ended since the start. */
  readonly shards: { readonly reading: number; readonly waiting: number; readonly ended: number }
}

export interface Consumer extends AsyncIterable<Batch> {
  /**
   * The next batch of any shard.
   * @param waitMs how long to wait for one; undefined then. @default for ever
   * @returns undefined also when it was closed
   * @throws PseudolakeError what ended the reading, once all batches before it are handed out: `kinesis/*`
   */
  next(waitMs?: number): Promise<Batch | undefined>
  /**
   * Asks whether the stream is still the one that the positions are of: to be called before what was handed out is committed. A stream can be
   * deleted and made anew at any moment, and iterators of the old one may go on in the new one. Waits out throttling and outages as reads do.
   * @throws PseudolakeError `kinesis/stream-changed`, `kinesis/*`
   */
  confirm(): Promise<void>
  /** Tells what is final: of shards whose ends are in it, children begin. */
  committed(positions: Positions): void
  /** Without finished shards that are needed no more: for what is to be committed. */
  pruned(positions: Positions): Positions
  /** Whether all batches are handed out and every shard had nothing more when it was asked last. */
  caughtUp(): boolean
  /**
   * Milliseconds behind the tip by shard, of those that have answered. One that has not for a while, or whose records nobody takes, is behind since
   * then: that reading fails or is held up must not look like nothing to read. Goes on after `close`.
   */
  lag(): ReadonlyMap<string, number>
  stats(): ConsumerStats
  readonly description: StreamDescription
  /** Ends requests in flight; batches that were not handed out are gone, and are read again from what was committed. */
  close(): Promise<void>
}

/** What an object a record and its texts take, about. */
const RECORD_BYTES = 200
/** How often an answer is there while it is read: as bytes, as text, in the texts of its records and as their data, some of it already let go. */
const READING = 2.5
/** A list that lags behind a reshard is looked at once more before a shard that is missing in it is one that is lost. */
const LOST_AGAIN_MS = 5_000
/** Until children that an answer has named are looked for in the list again. */
const CHILDREN_AGAIN_MS = 1_000
const OPEN_ATTEMPTS = 6
/** After so long without an answer, or with records that wait, a shard counts as behind since then. */
const SILENT_MS = 10_000

const DEFAULTS = {
  maxBytes: 64 * 1024 * 1024,
  maxRequests: 16,
  limit: MAX_GET_RECORDS,
  foreignAggregates: 'keep' as ForeignAggregates,
  resyncMs: 60_000,
  outageMs: 600_000,
  idleBatchMs: 60_000,
}

/**
 * Looks at the stream and begins to read with the first `next`.
 * @throws PseudolakeError `kinesis/stream-changed`, `kinesis/trimmed`, `kinesis/*`; `options/invalid`
 */
export async function openConsumer(options: ConsumerOptions): Promise<Consumer> {
  const consumer = new StreamConsumer(options)
  await consumer.open()
  return consumer
}

class StreamConsumer implements Consumer {
  description!: StreamDescription
  readonly #options: Readonly<ConsumerOptions & typeof DEFAULTS>
  readonly #pace: Pace
  readonly #closing = new AbortController()
  #listed: readonly Shard[] = []
  #committed: Positions
  readonly #readers = new Map<string, ShardReader>()
  /** Read to their ends here, whether that is committed or not. */
  readonly #ended = new Set<string>()
  readonly #ready: { readonly batch: Batch; readonly held: number; readonly sinceMs: number }[] = []
  /** Bytes of `#ready`. */
  #held = 0
  #reading = 0
  /** Bytes of answers that are being read, by shard. */
  readonly #admitted = new Map<string, number>()
  readonly #atTheDoor: { readonly shard: string; readonly bytes: number; readonly enter: () => void }[] = []
  #running: Promise<void> | undefined
  #failure: unknown
  #closed = false
  #wake = () => {}
  #arrived = () => {}
  #resync = { dueMs: 0, failures: 0, failingSinceMs: undefined as number | undefined }
  /** A shard has ended since the last look at the list. */
  #stale = false
  /** Children that answers have named, and the list has not yet. */
  readonly #expected = new Set<string>()
  #check: Promise<void> | undefined
  #nextCheck: Promise<void> | undefined
  readonly #handedAt = new Map<string, number>()
  readonly #counts = { records: 0, dropped: 0, bytes: 0, answers: 0, throttled: 0, failed: 0, expiredIterators: 0 }

  constructor(options: ConsumerOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#pace = { ...DEFAULT_PACE, ...options.pace }
    this.#committed = options.positions
    check('maxBytes', this.#options.maxBytes, 1)
    check('maxRequests', this.#options.maxRequests, 1)
    check('limit', this.#options.limit, 1, MAX_GET_RECORDS)
  }

  async open(): Promise<void> {
    const { clock, resyncMs, random } = this.#options
    for (;;)
      try {
        await this.#look()
        this.#recovered(this.#resync)
        this.#resync.dueMs = clock.now() + resyncMs
        return
      } catch (error) {
        this.#excuse(this.#resync, error)
        // Somebody waits for the start: an endpoint that nobody answers at is told soon.
        if (this.#resync.failures === OPEN_ATTEMPTS) throw error
        await clock.sleep(backoff(this.#resync.failures, this.#pace, random), this.#closing.signal)
      }
  }

  async next(waitMs = Number.POSITIVE_INFINITY): Promise<Batch | undefined> {
    const { clock } = this.#options
    this.#running ??= this.#run()
    const until = clock.now() + waitMs
    for (;;) {
      if (this.#closed) return undefined
      const first = this.#ready.shift()
      if (first) {
        this.#held -= first.held
        this.#admit()
        this.#wake()
        return first.batch
      }
      if (this.#failure !== undefined) throw this.#failure
      const left = until - clock.now()
      if (left <= 0) return undefined
      await this.#pause((arrived) => {
        this.#arrived = arrived
      }, left)
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    for (;;) {
      const batch = await this.next()
      if (batch === undefined) return
      yield batch
    }
  }

  async confirm(): Promise<void> {
    const { clock, random } = this.#options
    const state = { failures: 0, failingSinceMs: undefined }
    for (;;)
      try {
        return await this.#confirmed()
      } catch (error) {
        if (this.#closing.signal.aborted) throw error
        this.#excuse(state, error)
        await clock.sleep(backoff(state.failures, this.#pace, random), this.#closing.signal)
      }
  }

  /** One look at the stream for all who wait for one; it begins after the call. */
  #confirmed(): Promise<void> {
    this.#nextCheck ??= (this.#check ?? Promise.resolve())
      .catch(() => undefined)
      .then(async () => {
        this.#check = this.#nextCheck
        this.#nextCheck = undefined
        await this.#describe()
      })
    return this.#nextCheck
  }

  committed(positions: Positions): void {
    this.#committed = positions
    this.#begin()
    this.#wake()
  }

  pruned(positions: Positions): Positions {
    return prunedPositions(this.#listed, positions)
  }

  caughtUp(): boolean {
    return (
      this.#ready.length === 0 &&
      !this.#stale &&
      this.#expected.size === 0 &&
      this.#listed.every(({ id }) => this.#isDone(id) || this.#readers.get(id)?.idle === true)
    )
  }

  lag(): ReadonlyMap<string, number> {
    const lag = new Map<string, number>()
    const now = this.#options.clock.now()
    const sees = (id: string, behindMs: number | undefined, sinceMs: number) => {
      const silentMs = now - sinceMs
      if (silentMs >= SILENT_MS) lag.set(id, Math.max(lag.get(id) ?? 0, Math.round((behindMs ?? 0) + silentMs)))
      else if (behindMs !== undefined && !lag.has(id)) lag.set(id, behindMs)
    }
    for (const [id, { behindMs, heardMs }] of this.#readers) sees(id, behindMs, heardMs)
    for (const { batch, sinceMs } of this.#ready) sees(batch.shard, batch.behindMs, sinceMs)
    return lag
  }

  stats(): ConsumerStats {
    const reading = this.#readers.size
    const waiting = this.#listed.filter(({ id }) => !this.#isDone(id) && !this.#readers.has(id)).length
    return { ...this.#counts, shards: { reading, waiting, ended: this.#ended.size } }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#closing.abort()
    this.#admit()
    this.#wake()
    this.#arrived()
    await this.#running
  }

  /** Starts what is due and has room, then waits for time to pass or for something to happen. */
  async #run(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#closing
    const flying = new Set<Promise<void>>()
    const fly = (work: Promise<void>) => {
      const flight = work
        .catch((error: unknown) => this.#fail(error))
        .finally(() => {
          flying.delete(flight)
          this.#wake()
        })
      flying.add(flight)
    }
    let looking = false
    while (!signal.aborted && this.#failure === undefined) {
      if (!looking && clock.now() >= this.#resync.dueMs) {
        looking = true
        fly(
          this.#lookAgain().finally(() => {
            looking = false
          }),
        )
      }
      for (let reader = this.#dueReader(); reader !== undefined && this.#hasRoom(); reader = this.#dueReader()) {
        this.#reading++
        reader.reading = true
        fly(this.#read(reader))
      }
      await this.#pause((wake) => {
        this.#wake = wake
      }, this.#untilDue(looking))
    }
    this.#closing.abort()
    this.#admit()
    await Promise.all(flying)
    this.#arrived()
  }

  #hasRoom(): boolean {
    const { maxRequests, maxBytes } = this.#options
    return this.#reading < maxRequests && this.#atTheDoor.length === 0 && this.#held + sum(this.#admitted) < maxBytes
  }

  /** Resolves when an answer of so many bytes may be read, in the order in which they came. */
  #room(shard: string, bytes: number): Promise<void> {
    return new Promise((enter) => {
      this.#atTheDoor.push({ shard, bytes: bytes * READING, enter })
      this.#admit()
    })
  }

  #admit(): void {
    for (let first = this.#atTheDoor[0]; first !== undefined; first = this.#atTheDoor[0]) {
      const taken = this.#held + sum(this.#admitted)
      if (taken > 0 && taken + first.bytes > this.#options.maxBytes && !this.#closing.signal.aborted) return
      this.#atTheDoor.shift()
      this.#admitted.set(first.shard, first.bytes)
      first.enter()
    }
  }

  /** Of the shards that may be asked now, the one that has been due longest. */
  #dueReader(): ShardReader | undefined {
    const now = this.#options.clock.now()
    let due: ShardReader | undefined
    for (const reader of this.#readers.values())
      if (!reader.reading && reader.dueMs <= now && (due === undefined || reader.dueMs < due.dueMs)) due = reader
    return due
  }

  /** Milliseconds until something is due that there is room for; what else happens wakes the loop. */
  #untilDue(looking: boolean): number {
    let next = looking ? Number.POSITIVE_INFINITY : this.#resync.dueMs
    if (this.#hasRoom())
      for (const { reading, dueMs } of this.#readers.values()) if (!reading && dueMs < next) next = dueMs
    return next - this.#options.clock.now()
  }

  async #read(reader: ShardReader): Promise<void> {
    const { clock, idleBatchMs } = this.#options
    const { id } = reader.shard
    try {
      const step = await reader.step(this.#closing.signal)
      this.#recovered(reader)
      if (step === 'expired') {
        this.#counts.expiredIterators++
        reader.dueMs = clock.now()
        return
      }
      const { batch, dropped, more, children } = step
      this.#counts.answers++
      this.#counts.dropped += dropped
      this.#counts.bytes += batch.bytes
      const now = clock.now()
      reader.heardMs = now
      reader.dueMs = now + nextAfter({ bytes: batch.bytes, more }, this.#pace)
      if (batch.end) {
        this.#readers.delete(id)
        this.#ended.add(id)
        this.#stale = true
        for (const child of children) this.#expected.add(child)
        this.#resync.dueMs = now
      }
      const quiet = batch.records.length === 0 && !batch.end
      if (quiet && now - (this.#handedAt.get(id) ?? Number.NEGATIVE_INFINITY) < idleBatchMs) return
      this.#handedAt.set(id, now)
      this.#counts.records += batch.records.length
      const held = batch.bytes + batch.records.length * RECORD_BYTES
      this.#held += held
      this.#ready.push({ batch, held, sinceMs: now })
    } catch (error) {
      this.#excuse(reader, error)
      reader.dueMs = clock.now() + backoff(reader.failures, this.#pace, this.#options.random)
    } finally {
      reader.reading = false
      this.#reading--
      this.#admitted.delete(id)
      this.#admit()
      this.#arrived()
    }
  }

  async #lookAgain(): Promise<void> {
    const { clock, resyncMs, random } = this.#options
    const stale = this.#stale
    this.#stale = false
    try {
      await this.#look()
      this.#recovered(this.#resync)
      const againMs = this.#stale ? 0 : this.#expected.size > 0 ? CHILDREN_AGAIN_MS : resyncMs
      this.#resync.dueMs = clock.now() + againMs
    } catch (error) {
      this.#stale ||= stale
      this.#excuse(this.#resync, error)
      this.#resync.dueMs = clock.now() + backoff(this.#resync.failures, this.#pace, random)
    } finally {
      this.#arrived()
    }
  }

  /** The stream and its shards as they are now; begins those that may be read. */
  async #look(): Promise<void> {
    const { kinesis, stream, clock } = this.#options
    const { signal } = this.#closing
    const description = await this.#describe()
    let listed = await kinesis.shards(stream, signal)
    if (this.#lost(listed).length > 0) {
      await clock.sleep(LOST_AGAIN_MS, signal)
      listed = await kinesis.shards(stream, signal)
      const [shard] = this.#lost(listed)
      if (shard !== undefined)
        throw new PseudolakeError(
          'kinesis/trimmed',
          `${shard}: it was not read to its end, and is listed no more: what it held has expired`,
          { shard, stream },
        )
    }
    this.description = description
    this.#listed = listed
    for (const { id } of listed) this.#expected.delete(id)
    this.#begin()
  }

  async #describe(): Promise<StreamDescription> {
    const { kinesis, stream } = this.#options
    const description = await kinesis.describe(stream, this.#closing.signal)
    if (!sameStream(identityOf(description), this.#committed.stream) || description.status === 'DELETING')
      throw changed(description, this.#committed)
    return description
  }

  #lost(listed: readonly Shard[]): string[] {
    return lostShards(listed, this.#committed).filter((id) => !this.#ended.has(id))
  }

  #isDone(id: string): boolean {
    return this.#ended.has(id) || isEnd(this.#committed.shards.get(id))
  }

  #begin(): void {
    const { kinesis, stream, limit, clock, foreignAggregates } = this.#options
    for (const { shard, from } of readableShards(this.#listed, this.#committed, clock.wall())) {
      if (this.#readers.has(shard.id) || this.#ended.has(shard.id)) continue
      const reader = new ShardReader({
        kinesis,
        stream,
        shard,
        from,
        limit,
        foreignAggregates,
        retentionMs: () => this.description.retentionMs,
        wall: () => clock.wall(),
        isClosed: (id) => this.#isClosed(id),
        confirmStream: () => this.#confirmed(),
        room: (id, bytes) => this.#room(id, bytes),
      })
      reader.dueMs = clock.now()
      reader.heardMs = reader.dueMs
      this.#readers.set(shard.id, reader)
    }
  }

  async #isClosed(id: string): Promise<boolean> {
    const { kinesis, stream } = this.#options
    const listed = await kinesis.shards(stream, this.#closing.signal)
    return listed.find((shard) => shard.id === id)?.closed ?? true
  }

  #recovered(what: { failures: number; failingSinceMs: number | undefined }): void {
    what.failures = 0
    what.failingSinceMs = undefined
  }

  /** Counts a failure that may pass; throws one that may not, or has lasted too long. Throttling may last as long as it does. */
  #excuse(what: { failures: number; failingSinceMs: number | undefined }, error: unknown): void {
    if (this.#closing.signal.aborted) return
    if (!isPseudolakeError(error) || !error.retryable) throw error
    what.failures++
    if (isPseudolakeError(error, 'kinesis/throttled')) {
      this.#counts.throttled++
      return
    }
    this.#counts.failed++
    const now = this.#options.clock.now()
    what.failingSinceMs ??= now
    if (now - what.failingSinceMs > this.#options.outageMs) throw error
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.#closing.abort()
  }

  /** Waits until what `set` was given is called, or some time has passed. */
  async #pause(set: (done: () => void) => void, ms: number): Promise<void> {
    if (ms <= 0) return
    const woken = new AbortController()
    const called = new Promise<void>((resolve) => {
      set(() => {
        woken.abort()
        resolve()
      })
    })
    if (ms === Number.POSITIVE_INFINITY) return called
    await Promise.race([called, this.#options.clock.sleep(ms, woken.signal).catch(() => undefined)])
  }
}

function changed(now: StreamDescription, { stream }: Positions): PseudolakeError {
  const then = new Date(stream.createdMs).toISOString()
  if (now.status === 'DELETING')
    return new PseudolakeError('kinesis/stream-changed', `${now.arn} is being deleted`, { stream: now.arn })
  const what =
    now.arn === stream.arn
      ? `made anew at ${new Date(now.createdMs).toISOString()}; the positions are of the one made at ${then}`
      : `not ${stream.arn}, which the positions are of`
  return new PseudolakeError('kinesis/stream-changed', `${now.arn} is ${what}`, { stream: now.arn })
}

function sum(numbers: ReadonlyMap<string, number>): number {
  let all = 0
  for (const each of numbers.values()) all += each
  return all
}

function check(option: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new PseudolakeError('options/invalid', `${option}: expected an integer of at least ${min}, got ${value}`, {
      option,
    })
}
