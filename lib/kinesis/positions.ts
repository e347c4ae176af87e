/**
 * How far each shard of a stream has been read: what a consumer commits together with the rows. Pure.
 *
 * The map belongs to one stream, told by ARN and time of creation: a stream that was deleted and made anew has other records under the same
 * name, and sequence numbers that may be lower (apache/iceberg issues 12357 and 15293 tell of records that were dropped for that).
 *
 * Each position carries `since`: all that arrived in the shard before that time is behind the position. A record is lost at the earliest when
 * the stream's retention has passed after it, so a position whose `since` is older than that can't be gone on from (`isTrimmed`). Kinesis itself
 * does not reliably tell: reports differ between no records, an error, and a silent start at the oldest record.
 */
import { createHash } from 'node:crypto'
import { PseudolakeError } from '../core/errors.ts'
import type { Shard, StreamDescription } from './kinesis.ts'
import { compareSequences, isSequence } from './records.ts'

/** A place in a shard. */
export type Position =
  /** After the record, with all of the aggregate that it is in: a position is never inside of one. */
  | { readonly sequence: string; readonly sub: number; readonly since: number }
  /** Where a shard begins that has not been read: its oldest record, or the first that arrived at or after a time (ms since 1970). */
  | { readonly at: 'TRIM_HORIZON' | number; readonly since: number }
  /** SHARD_END: a closed shard, read to its last record. */
  | { readonly end: true; readonly since: number }

/** The stream that positions are of. */
export interface StreamIdentity {
  readonly arn: string
  /** Milliseconds since 1970. */
  readonly createdMs: number
}

export interface Positions {
  readonly stream: StreamIdentity
  readonly shards: ReadonlyMap<string, Position>
}

/** Where a consumer begins that has no positions. */
export type Start = 'TRIM_HORIZON' | 'LATEST' | { readonly at: number }

/**
 * The positions of a first start, of every shard that there is now: to be committed before anything is read, so that a second start goes on
 * where the first one wanted to. A shard that appears later begins at its oldest record, whatever `start` says: it is where records went
 * between a reshard and its discovery.
 * @param nowMs LATEST means this time
 */
export function firstPositions(
  stream: StreamDescription,
  shards: readonly Shard[],
  start: Start,
  nowMs: number,
): Positions {
  const at = start === 'TRIM_HORIZON' ? start : start === 'LATEST' ? nowMs : start.at
  return {
    stream: identityOf(stream),
    shards: new Map(shards.map(({ id }) => [id, { at, since: nowMs }])),
  }
}

export function identityOf({ arn, createdMs }: StreamDescription): StreamIdentity {
  return { arn, createdMs }
}

export function sameStream(a: StreamIdentity, b: StreamIdentity): boolean {
  return a.arn === b.arn && a.createdMs === b.createdMs
}

/**
 * Positions after a batch.
 * @throws PseudolakeError `internal/bug` where the shard would go back
 */
export function advance(positions: Positions, shard: string, to: Position): Positions {
  const from = positions.shards.get(shard)
  if (from !== undefined && comparePositions(from, to) > 0)
    throw new PseudolakeError('internal/bug', `${shard}: a position would go back`, { shard })
  return { ...positions, shards: new Map(positions.shards).set(shard, to) }
}

/** Orders two places in one shard: below 0 where `a` comes first. Of two at one place the one of the older `since` comes first. */
export function comparePositions(a: Position, b: Position): number {
  const rank = rankOf(a) - rankOf(b)
  if (rank !== 0) return rank
  if ('sequence' in a && 'sequence' in b) {
    const order = compareSequences(a.sequence, b.sequence) || a.sub - b.sub
    if (order !== 0) return order
  }
  if ('at' in a && 'at' in b) {
    const order = timeOf(a.at) - timeOf(b.at)
    if (order !== 0) return order
  }
  return a.since - b.since
}

function rankOf(position: Position): number {
  return 'at' in position ? 0 : 'sequence' in position ? 1 : 2
}

function timeOf(at: 'TRIM_HORIZON' | number): number {
  return at === 'TRIM_HORIZON' ? 0 : at
}

export function isEnd(position: Position | undefined): boolean {
  return position !== undefined && 'end' in position
}

/** Whether records after a position may be gone before they were read. */
export function isTrimmed(position: Position, retentionMs: number, nowMs: number): boolean {
  return !('end' in position) && position.since + retentionMs < nowMs
}

const VERSION = 1

/** The one text of positions: JSON, shards in the order of their ids; equal positions have equal texts. */
export function positionsText({ stream, shards }: Positions): string {
  const ids = [...shards.keys()].sort()
  const entries = ids.map((id) => `${JSON.stringify(id)}:${positionText(shards.get(id) as Position)}`)
  const { arn, createdMs } = stream
  return `{"version":${VERSION},"stream":{"arn":${JSON.stringify(arn)},"created":${createdMs}},"shards":{${entries.join(',')}}}`
}

function positionText(position: Position): string {
  const { since } = position
  if ('end' in position) return JSON.stringify({ end: true, since })
  if ('at' in position) return JSON.stringify({ at: position.at, since })
  return JSON.stringify({ sequence: position.sequence, sub: position.sub, since })
}

/** SHA-256 of the text, in hex: for a snapshot's summary, beside the property that holds the text. */
export function positionsDigest(positions: Positions): string {
  return createHash('sha256').update(positionsText(positions)).digest('hex')
}

/**
 * Positions from their text.
 * @throws PseudolakeError `table/mark-unreadable`: what can't be read is never taken for none
 */
export function parsePositions(text: string): Positions {
  const parsed = jsonOf(text)
  if (!isObject(parsed)) throw unreadable('no JSON object')
  if (typeof parsed.version !== 'number' || parsed.version > VERSION)
    throw unreadable('of a newer version of pseudolake, which is needed to go on')
  const { stream, shards } = parsed
  if (!isObject(stream) || typeof stream.arn !== 'string' || !isTime(stream.created)) throw unreadable('no stream')
  if (!isObject(shards)) throw unreadable('no shards')
  const read = new Map<string, Position>()
  for (const [id, value] of Object.entries(shards)) {
    const position = positionOf(value)
    if (position === undefined) throw unreadable(`no position of ${/^[\w.-]{1,128}$/.test(id) ? id : 'a shard'}`)
    read.set(id, position)
  }
  return { stream: { arn: stream.arn, createdMs: stream.created }, shards: read }
}

function positionOf(value: unknown): Position | undefined {
  if (!isObject(value) || !isTime(value.since)) return undefined
  const { since, sequence, sub, at } = value
  if (value.end === true) return { end: true, since }
  if (at === 'TRIM_HORIZON' || isTime(at)) return { at, since }
  if (isSequence(sequence) && Number.isSafeInteger(sub) && (sub as number) >= 0)
    return { sequence, sub: sub as number, since }
  return undefined
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unreadable(what: string): PseudolakeError {
  return new PseudolakeError('table/mark-unreadable', `stream positions can’t be read: ${what}`)
}
