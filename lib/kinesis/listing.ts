/**
 * The stream as it was looked at last: whether it is still the one that the positions are of, its shards, and which of them may be read. It is
 * looked at again after a while, at once after a shard's end, and soon while children that an answer has named are not in the list.
 */
import type { Clock } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'
import type { Kinesis, Shard, StreamDescription } from './kinesis.ts'
import { lostShards, prunedPositions, type Readable, readableShards } from './lineage.ts'
import type { Failing, Patience } from './patience.ts'
import { identityOf, isEnd, type Positions, sameStream } from './positions.ts'

/** A list that lags behind a reshard is looked at once more before a shard that is missing in it is one that is lost. */
const LOST_AGAIN_MS = 5_000
/** Until children that an answer has named are looked for in the list again. */
const CHILDREN_AGAIN_MS = 1_000
const OPEN_ATTEMPTS = 6

export interface ListingOptions {
  readonly kinesis: Kinesis
  readonly stream: string
  readonly positions: Positions
  readonly clock: Clock
  readonly resyncMs: number
  readonly patience: Patience
  readonly closing: AbortSignal
  /** There may be shards that can begin. */
  readonly onLook: () => void
}

export class Listing {
  description!: StreamDescription
  /** As listed last. */
  shards: readonly Shard[] = []
  /** Of the clock: when it is to be looked at again. */
  dueMs = 0
  /** Read to their ends here, whether that is committed or not. */
  readonly ended = new Set<string>()
  readonly #options: ListingOptions
  readonly #failing: Failing = { failures: 0, failingSinceMs: undefined }
  #committed: Positions
  /** A shard has ended since the last look at the list. */
  #stale = false
  /** Children that answers have named, and the list has not yet. */
  readonly #expected = new Set<string>()
  #check: Promise<void> | undefined
  #nextCheck: Promise<void> | undefined

  constructor(options: ListingOptions) {
    this.#options = options
    this.#committed = options.positions
  }

  /** The first look. @throws PseudolakeError `kinesis/*` */
  async open(): Promise<void> {
    const { clock, resyncMs, patience, closing } = this.#options
    for (;;)
      try {
        await this.#look()
        patience.recovered(this.#failing)
        this.dueMs = clock.now() + resyncMs
        return
      } catch (error) {
        patience.excuse(this.#failing, error)
        // Somebody waits for the start: an endpoint that nobody answers at is told soon.
        if (this.#failing.failures === OPEN_ATTEMPTS) throw error
        await clock.sleep(patience.backoff(this.#failing), closing)
      }
  }

  /** A further look; says when the next one is due. @throws PseudolakeError what ends the reading: `kinesis/*` */
  async lookAgain(): Promise<void> {
    const { clock, resyncMs, patience } = this.#options
    const stale = this.#stale
    this.#stale = false
    try {
      await this.#look()
      patience.recovered(this.#failing)
      const againMs = this.#stale ? 0 : this.#expected.size > 0 ? CHILDREN_AGAIN_MS : resyncMs
      this.dueMs = clock.now() + againMs
    } catch (error) {
      this.#stale ||= stale
      patience.excuse(this.#failing, error)
      this.dueMs = clock.now() + patience.backoff(this.#failing)
    }
  }

  /** Whether the stream is the one that the positions are of. Waits out what may pass. @throws PseudolakeError `kinesis/*` */
  async confirm(): Promise<void> {
    const { clock, patience, closing } = this.#options
    const failing: Failing = { failures: 0, failingSinceMs: undefined }
    for (;;)
      try {
        return await this.confirmed()
      } catch (error) {
        if (closing.aborted) throw error
        patience.excuse(failing, error)
        await clock.sleep(patience.backoff(failing), closing)
      }
  }

  /** One look at the stream for all who wait for one; it begins after the call. */
  confirmed(): Promise<void> {
    this.#nextCheck ??= (this.#check ?? Promise.resolve())
      .catch(() => undefined)
      .then(async () => {
        this.#check = this.#nextCheck
        this.#nextCheck = undefined
        await this.#describe()
      })
    return this.#nextCheck
  }

  /** What is final from now on. */
  committed(positions: Positions): void {
    this.#committed = positions
  }

  pruned(positions: Positions): Positions {
    return prunedPositions(this.shards, positions)
  }

  /** Shards whose parents are done, and that are not. */
  readable(): Readable[] {
    const { clock } = this.#options
    return readableShards(this.shards, this.#committed, clock.wall()).filter(({ shard }) => !this.ended.has(shard.id))
  }

  /** A shard was read to its end. @param children as far as they are known */
  end(shard: string, children: readonly string[]): void {
    this.ended.add(shard)
    this.#stale = true
    for (const child of children) this.#expected.add(child)
    this.dueMs = this.#options.clock.now()
  }

  /** Whether nothing is known of that the list does not have. */
  get complete(): boolean {
    return !this.#stale && this.#expected.size === 0
  }

  isDone(id: string): boolean {
    return this.ended.has(id) || isEnd(this.#committed.shards.get(id))
  }

  /** Asks whether a shard is closed. One that is listed no more is. */
  async isClosed(id: string): Promise<boolean> {
    const { kinesis, stream, closing } = this.#options
    const listed = await kinesis.shards(stream, closing)
    return listed.find((shard) => shard.id === id)?.closed ?? true
  }

  /** The stream and its shards as they are now. */
  async #look(): Promise<void> {
    const { kinesis, stream, clock, closing, onLook } = this.#options
    const description = await this.#describe()
    let listed = await kinesis.shards(stream, closing)
    if (this.#lost(listed).length > 0) {
      await clock.sleep(LOST_AGAIN_MS, closing)
      listed = await kinesis.shards(stream, closing)
      const [shard] = this.#lost(listed)
      if (shard !== undefined)
        throw new PseudolakeError(
          'kinesis/trimmed',
          `${shard}: it was not read to its end, and is listed no more: what it held has expired`,
          { shard, stream },
        )
    }
    this.description = description
    this.shards = listed
    for (const { id } of listed) this.#expected.delete(id)
    onLook()
  }

  async #describe(): Promise<StreamDescription> {
    const { kinesis, stream, closing } = this.#options
    const description = await kinesis.describe(stream, closing)
    if (!sameStream(identityOf(description), this.#committed.stream) || description.status === 'DELETING')
      throw changed(description, this.#committed)
    return description
  }

  #lost(listed: readonly Shard[]): string[] {
    return lostShards(listed, this.#committed).filter((id) => !this.ended.has(id))
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
