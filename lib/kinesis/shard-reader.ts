/** One shard, read answer by answer: from answers to batches and positions. What it is asked and when, the consumer decides. */
import { PseudolakeError } from '../core/errors.ts'
import { deaggregate, type ForeignAggregates } from './deaggregate.ts'
import type { Kinesis, ReadFrom, RecordsAnswer, Shard } from './kinesis.ts'
import { isTrimmed, type Position } from './positions.ts'
import type { StreamRecord } from './records.ts'

/** What one answer of a shard held: whole aggregates, in the shard's order. */
export interface Batch {
  /** Id of the shard. */
  readonly shard: string
  /** May be empty: then the position says until when the shard is known to have held nothing, or that it has ended. */
  readonly records: readonly StreamRecord[]
  /** After the batch. */
  readonly position: Position
  /** Set with a shard's last batch: its position is SHARD_END. */
  readonly end?: true
  /** How far the batch's end is behind the shard's tip, in milliseconds. */
  readonly behindMs: number
  /** Bytes of data and keys, as they were read. */
  readonly bytes: number
}

export interface ShardReaderOptions {
  readonly kinesis: Kinesis
  readonly stream: string
  readonly shard: Shard
  readonly from: Position
  readonly limit: number
  readonly foreignAggregates: ForeignAggregates
  readonly retentionMs: () => number
  /** Milliseconds since 1970. */
  readonly wall: () => number
  /** Whether a shard that an answer ends is closed; asked where the answer names no children. */
  readonly isClosed: (shard: string) => Promise<boolean>
  /** Throws where the stream, as it is from now on, is not the one that `from` is of. */
  readonly confirmStream: () => Promise<void>
  /** As in the port. */
  readonly room: (shard: string, bytes: number) => Promise<void>
}

/** A step's outcome besides its batch. */
export interface Step {
  readonly batch: Batch
  /** Records of dropped aggregates. */
  readonly dropped: number
  /** Whether the shard is known to hold more. */
  readonly more: boolean
  /** With the shard's end, as far as the answer names them. */
  readonly children: readonly string[]
}

/** How much of the retention must be left before a shard that began at its oldest record counts as one that keeps up. */
const SAFE_PART = 0.1

export class ShardReader {
  readonly shard: Shard
  /** Of the clock: when it may be asked again. */
  dueMs = 0
  /** Failed requests in a row, and when the first of them failed. */
  failures = 0
  failingSinceMs: number | undefined
  /** Of the last answer. */
  behindMs: number | undefined
  /** Of the clock: when it answered last, or began to be read. */
  heardMs = 0
  /** The last answer was empty, with nothing behind it. */
  idle = false
  reading = false
  /** After all that was handed on. */
  position: Position
  readonly #options: ShardReaderOptions
  #iterator: string | undefined
  /**
   * Whether an expired position is a loss. A first start at the oldest record reads where records expire all the time: that is what was
   * asked for, until it has come away from there once.
   */
  #guarded: boolean

  constructor(options: ShardReaderOptions) {
    this.#options = options
    this.shard = options.shard
    this.position = options.from
    this.#guarded = 'sequence' in options.from
  }

  /**
   * Asks once.
   * @returns 'expired' where the iterator was too old: the next step begins after the last record that was handed on
   * @throws PseudolakeError `kinesis/*`
   */
  async step(signal: AbortSignal): Promise<Step | 'expired'> {
    const { kinesis, stream, limit, confirmStream, room } = this.#options
    if (this.#iterator === undefined) {
      // Before it is asked: what an iterator at an expired record gives is not reliable.
      this.#refuseTrimmed(this.position)
      const iterator = await kinesis.iterator(stream, this.shard.id, readFrom(this.position), signal)
      if (iterator === undefined) throw this.#trimmed()
      // A stream made anew takes the old one's sequence numbers for its own.
      await confirmStream()
      this.#iterator = iterator
    }
    const answer = await kinesis.records(this.#iterator, limit, signal, (bytes) => room(this.shard.id, bytes))
    if (answer === 'expired') {
      this.#iterator = undefined
      return 'expired'
    }
    return this.#accept(answer)
  }

  async #accept(answer: RecordsAnswer): Promise<Step> {
    const { shard } = this
    const { foreignAggregates, limit, wall, retentionMs } = this.#options
    const { next, children, behindMs, bytes } = answer
    const now = wall()
    if (this.#guarded) {
      this.#refuseTrimmed(this.position)
      // Nothing to read, and as far behind as can be: the position lies where records have expired.
      if (answer.records.length === 0 && next !== undefined && behindMs >= retentionMs()) throw this.#trimmed()
    }
    const ended = next === undefined && (await this.#isEnd(answer))
    const records: StreamRecord[] = []
    let dropped = 0
    for (const stored of answer.records) dropped += deaggregate(stored, shard, foreignAggregates, records)
    const last = answer.records.at(-1)
    // A time that is surely not too late: arrivals are nearly in order, and what is left out of an answer arrived after what is in it.
    const seen = last === undefined ? (ended ? 0 : Math.floor(now - behindMs)) : Math.floor(last.arrivalMs)
    const since = Math.max(this.position.since, Math.min(seen, now))
    const tail = records.at(-1)
    const position: Position = ended
      ? { end: true, since }
      : last === undefined
        ? { ...this.position, since }
        : { sequence: last.sequence, sub: tail?.sequence === last.sequence ? tail.sub : 0, since }
    this.position = position
    this.#iterator = next
    this.#guarded ||= position.since + retentionMs() - now > retentionMs() * SAFE_PART
    this.behindMs = behindMs
    this.idle = last === undefined && behindMs === 0 && next !== undefined
    const batch: Batch = { shard: shard.id, records, position, behindMs, bytes, ...(ended && { end: true as const }) }
    return { batch, dropped, more: behindMs > 0 || answer.records.length === limit, children }
  }

  /**
   * Whether an answer without a next iterator is the shard's end. AWS names the children with it, and an answer that does not is odd (the KCL
   * asks again). Where nobody names children the end is believed when nothing came with it and the list says that the shard is closed; before
   * that, reading begins once more after what came.
   */
  async #isEnd({ records, children }: RecordsAnswer): Promise<boolean> {
    if (children.length > 0) return true
    const { id } = this.shard
    if (records.length > 0) return false
    if (await this.#options.isClosed(id)) return true
    this.#iterator = undefined
    throw new PseudolakeError('kinesis/unavailable', `${id}: an answer ended the shard, which is open`, {
      shard: id,
      reason: 'end of an open shard',
    })
  }

  #refuseTrimmed(position: Position): void {
    // A first start at a time or at the oldest record takes what there is; only its delay until now can have lost something.
    if (isTrimmed(position, this.#options.retentionMs(), this.#options.wall())) throw this.#trimmed()
  }

  #trimmed(): PseudolakeError {
    const { shard, position } = this
    const since = new Date(position.since).toISOString()
    return new PseudolakeError(
      'kinesis/trimmed',
      `${shard.id}: read until what arrived at ${since}, and records after that may have expired`,
      { shard: shard.id, since, retentionMs: this.#options.retentionMs() },
    )
  }
}

function readFrom(position: Position): ReadFrom {
  if ('sequence' in position) return { after: position.sequence }
  if ('at' in position) return position.at === 'TRIM_HORIZON' ? position.at : { at: position.at }
  throw new PseudolakeError('internal/bug', 'a shard that has ended was to be read')
}
