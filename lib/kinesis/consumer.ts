/**
 * Reads a stream: its shards side by side, each in its order, parents before children, no more than it was given room for.
 *
 * One pool of requests serves all shards, whether one or five hundred: whichever has been due longest is asked next. An answer is read when there
 * is room for what it is, and waits in its connection until then; a consumer that is not asked for batches stops reading.
 *
 * It keeps nothing and decides nothing about what is done: positions come in, batches with the positions after them go out, and `committed`
 * says how far that is final. Children are begun only behind parents whose ends are committed (lineage.ts).
 */
import { Bell } from './bell.ts'
import type { StreamDescription } from './kinesis.ts'
import { Listing } from './listing.ts'
import { type ConsumerOptions, type ConsumerSettings, consumerSettings } from './options.ts'
import { nextAfter } from './pace.ts'
import { Patience } from './patience.ts'
import type { Positions } from './positions.ts'
import { Readers } from './readers.ts'
import { Room } from './room.ts'
import type { Batch, ShardReader } from './shard-reader.ts'

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
  readonly #settings: ConsumerSettings
  readonly #closing = new AbortController()
  readonly #patience: Patience
  readonly #listing: Listing
  readonly #room: Room
  readonly #readers: Readers
  #requests = 0
  /** Of the clock: when a shard's last batch was handed on. */
  readonly #handedAt = new Map<string, number>()
  /** For the loop that starts requests. */
  readonly #wake: Bell
  /** For who waits for a batch. */
  readonly #arrived: Bell
  #running: Promise<void> | undefined
  #failure: unknown
  #closed = false
  readonly #counts = { records: 0, dropped: 0, bytes: 0, answers: 0, expiredIterators: 0 }

  constructor(options: ConsumerOptions) {
    const settings = consumerSettings(options)
    const { kinesis, stream, limit, foreignAggregates, clock, random, pace, outageMs, maxBytes } = settings
    const closing = this.#closing.signal
    this.#settings = settings
    this.#patience = new Patience({ clock, random, pace, outageMs, closing })
    this.#listing = new Listing({ ...settings, patience: this.#patience, closing, onLook: () => this.#begin() })
    this.#room = new Room(maxBytes, closing)
    this.#readers = new Readers({
      ...{ kinesis, stream, limit, foreignAggregates },
      retentionMs: () => this.description.retentionMs,
      wall: () => clock.wall(),
      isClosed: (id) => this.#listing.isClosed(id),
      confirmStream: () => this.#listing.confirmed(),
      room: (id, bytes) => this.#room.enter(id, bytes),
    })
    this.#wake = new Bell(clock)
    this.#arrived = new Bell(clock)
  }

  open(): Promise<void> {
    return this.#listing.open()
  }

  get description(): StreamDescription {
    return this.#listing.description
  }

  async next(waitMs = Number.POSITIVE_INFINITY): Promise<Batch | undefined> {
    const { clock } = this.#settings
    this.#running ??= this.#run()
    const until = clock.now() + waitMs
    for (;;) {
      if (this.#closed) return undefined
      const batch = this.#room.take()
      if (batch) {
        this.#wake.ring()
        return batch
      }
      if (this.#failure !== undefined) throw this.#failure
      const left = until - clock.now()
      if (left <= 0) return undefined
      await this.#arrived.wait(left)
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    for (;;) {
      const batch = await this.next()
      if (batch === undefined) return
      yield batch
    }
  }

  confirm(): Promise<void> {
    return this.#listing.confirm()
  }

  committed(positions: Positions): void {
    this.#listing.committed(positions)
    this.#begin()
    this.#wake.ring()
  }

  pruned(positions: Positions): Positions {
    return this.#listing.pruned(positions)
  }

  caughtUp(): boolean {
    const { shards, complete } = this.#listing
    return (
      this.#room.waiting.length === 0 &&
      complete &&
      shards.every(({ id }) => this.#listing.isDone(id) || this.#readers.get(id)?.idle === true)
    )
  }

  lag(): ReadonlyMap<string, number> {
    return this.#readers.lag(this.#room.waiting, this.#settings.clock.now())
  }

  stats(): ConsumerStats {
    const { throttled, failed } = this.#patience
    const { shards, ended } = this.#listing
    const waiting = shards.filter(({ id }) => !this.#listing.isDone(id) && !this.#readers.get(id)).length
    return {
      ...this.#counts,
      throttled,
      failed,
      shards: { reading: this.#readers.size, waiting, ended: ended.size },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#closing.abort()
    this.#room.admit()
    this.#wake.ring()
    this.#arrived.ring()
    await this.#running
  }

  /** Starts what is due and has room, then waits for time to pass or for something to happen. */
  async #run(): Promise<void> {
    const { clock } = this.#settings
    const { signal } = this.#closing
    const flying = new Set<Promise<void>>()
    const fly = (work: Promise<void>) => {
      const flight = work
        .catch((error: unknown) => this.#fail(error))
        .finally(() => {
          flying.delete(flight)
          this.#wake.ring()
        })
      flying.add(flight)
    }
    let looking = false
    while (!signal.aborted && this.#failure === undefined) {
      if (!looking && clock.now() >= this.#listing.dueMs) {
        looking = true
        fly(
          this.#listing.lookAgain().finally(() => {
            this.#arrived.ring()
            looking = false
          }),
        )
      }
      while (this.#hasRoom()) {
        const reader = this.#readers.due(clock.now())
        if (!reader) break
        this.#requests++
        reader.reading = true
        fly(this.#read(reader))
      }
      await this.#wake.wait(this.#untilDue(looking))
    }
    this.#closing.abort()
    this.#room.admit()
    await Promise.all(flying)
    this.#arrived.ring()
  }

  #hasRoom(): boolean {
    return this.#requests < this.#settings.maxRequests && this.#room.free
  }

  /** Milliseconds until something is due that there is room for; what else happens wakes the loop. */
  #untilDue(looking: boolean): number {
    const listing = looking ? Number.POSITIVE_INFINITY : this.#listing.dueMs
    const reader = this.#hasRoom() ? this.#readers.nextDueMs() : Number.POSITIVE_INFINITY
    return Math.min(listing, reader) - this.#settings.clock.now()
  }

  async #read(reader: ShardReader): Promise<void> {
    const { clock, idleBatchMs } = this.#settings
    const { id } = reader.shard
    try {
      const step = await reader.step(this.#closing.signal)
      this.#patience.recovered(reader)
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
      reader.dueMs = now + nextAfter({ bytes: batch.bytes, more }, this.#patience.pace)
      if (batch.end) {
        this.#readers.end(id)
        this.#listing.end(id, children)
      }
      const quiet = batch.records.length === 0 && !batch.end
      if (quiet && now - (this.#handedAt.get(id) ?? Number.NEGATIVE_INFINITY) < idleBatchMs) return
      this.#handedAt.set(id, now)
      this.#counts.records += batch.records.length
      this.#room.put(batch, now)
    } catch (error) {
      this.#patience.excuse(reader, error)
      reader.dueMs = clock.now() + this.#patience.backoff(reader)
    } finally {
      reader.reading = false
      this.#requests--
      this.#room.leave(id)
      this.#arrived.ring()
    }
  }

  /** Readers of shards that may be read now and are not. */
  #begin(): void {
    this.#readers.begin(this.#listing.readable(), this.#settings.clock.now())
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.#closing.abort()
  }
}
