/**
 * Streams in memory: for tests, demonstrations and programs that want no server. Sequence numbers have 56 digits, as those of Kinesis; shards
 * can be split, merged and trimmed, streams deleted and made anew. It refuses nothing as too much.
 */
import type { Clock } from '../core/clock.ts'
import { PseudolakeError } from '../core/errors.ts'
import { hashOf } from './deaggregate.ts'
import {
  type Kinesis,
  MAX_GET_BYTES,
  type NewRecord,
  type PutResult,
  type ReadFrom,
  type RecordsAnswer,
  type Shard,
  type StoredRecord,
  type StreamDescription,
} from './kinesis.ts'
import { compareSequences } from './records.ts'

export interface MemoryKinesisOptions {
  readonly clock: Clock
  /** How long an iterator is good for. @default 300_000 */
  readonly iteratorMs?: number
  /** Whether the end of a shard comes with its last records, as from AWS, or in an empty answer after them. @default 'with-records' */
  readonly end?: 'with-records' | 'after-records'
}

export interface MemoryKinesis extends Kinesis {
  /** @param options.retentionMs @default 86_400_000 */
  createStream(name: string, shards: number, options?: { readonly retentionMs?: number }): void
  deleteStream(name: string): void
  /** Closes a shard and opens two with a half of its keys each. @returns their ids */
  split(stream: string, shard: string): [string, string]
  /** Closes two neighbours and opens one with the keys of both. @returns its id */
  merge(stream: string, shard: string, adjacent: string): string
  /** Drops what arrived before a time, and closed shards that hold nothing then. */
  trim(stream: string, beforeMs: number): void
  /** As `put`, into one shard, with an arrival time of the caller's. @returns the sequence number */
  append(stream: string, shard: string, record: NewRecord & { readonly arrivalMs?: number }): string
}

interface MemoryShard extends Shard {
  closed: boolean
  children: string[]
  readonly records: StoredRecord[]
}

interface MemoryStream {
  readonly name: string
  readonly createdMs: number
  readonly retentionMs: number
  readonly shards: MemoryShard[]
}

const KEYS = 2n ** 128n
const FIRST_SEQUENCE = 4959n * 10n ** 52n
const DAY_MS = 86_400_000
const ITERATOR_MS = 300_000

export function memoryKinesis(options: MemoryKinesisOptions): MemoryKinesis {
  const { clock, iteratorMs = ITERATOR_MS, end = 'with-records' } = options
  const streams = new Map<string, MemoryStream>()
  let sequence = FIRST_SEQUENCE

  const streamOf = (name: string): MemoryStream => {
    const stream = streams.get(name)
    if (stream === undefined)
      throw new PseudolakeError('kinesis/not-found', `${name}: no such stream`, { stream: name })
    return stream
  }
  const shardOf = (stream: MemoryStream, id: string): MemoryShard => {
    const shard = stream.shards.find((one) => one.id === id)
    if (shard === undefined) throw refused('ResourceNotFoundException', `${id}: no such shard`)
    return shard
  }
  const addShard = (stream: MemoryStream, from: bigint, to: bigint, parents: string[]): MemoryShard => {
    const next = 1 + Math.max(-1, ...stream.shards.map(({ id }) => Number(id.slice(-12))))
    const id = `shardId-${String(next).padStart(12, '0')}`
    const shard: MemoryShard = { id, parents, hashKeys: { from, to }, closed: false, children: [], records: [] }
    stream.shards.push(shard)
    return shard
  }
  const close = (shard: MemoryShard, children: readonly MemoryShard[]) => {
    shard.closed = true
    shard.children = children.map(({ id }) => id)
  }
  const open = (shard: MemoryShard) => {
    if (shard.closed) throw refused('ResourceInUseException', `${shard.id}: it is closed`)
    return shard
  }
  const keep = (shard: MemoryShard, { partitionKey, data }: NewRecord, arrivalMs: number): string => {
    const text = String(++sequence)
    shard.records.push({ sequence: text, arrivalMs, partitionKey, data: Uint8Array.from(data) })
    return text
  }

  return {
    createStream(name, count, { retentionMs = DAY_MS } = {}) {
      if (streams.has(name)) throw refused('ResourceInUseException', `${name}: there is such a stream`)
      const stream = { name, createdMs: clock.wall(), retentionMs, shards: [] }
      const width = KEYS / BigInt(count)
      for (let i = 0n; i < count; i++)
        addShard(stream, i * width, i === BigInt(count) - 1n ? KEYS - 1n : (i + 1n) * width - 1n, [])
      streams.set(name, stream)
    },
    deleteStream(name) {
      streamOf(name)
      streams.delete(name)
    },
    split(name, id) {
      const stream = streamOf(name)
      const shard = open(shardOf(stream, id))
      const { from, to } = shard.hashKeys
      const middle = (from + to) / 2n
      const children = [addShard(stream, from, middle, [id]), addShard(stream, middle + 1n, to, [id])] as const
      close(shard, children)
      return [children[0].id, children[1].id]
    },
    merge(name, id, adjacent) {
      const stream = streamOf(name)
      const pair = [open(shardOf(stream, id)), open(shardOf(stream, adjacent))] as const
      const [low, high] = pair[0].hashKeys.from < pair[1].hashKeys.from ? pair : [pair[1], pair[0]]
      if (low.hashKeys.to + 1n !== high.hashKeys.from)
        throw refused('InvalidArgumentException', 'they are no neighbours')
      const child = addShard(stream, low.hashKeys.from, high.hashKeys.to, [id, adjacent])
      for (const shard of pair) close(shard, [child])
      return child.id
    },
    trim(name, beforeMs) {
      const { shards } = streamOf(name)
      for (const shard of [...shards]) {
        const kept = shard.records.findIndex(({ arrivalMs }) => arrivalMs >= beforeMs)
        shard.records.splice(0, kept === -1 ? shard.records.length : kept)
        if (shard.closed && shard.records.length === 0) shards.splice(shards.indexOf(shard), 1)
      }
    },
    append: (name, id, record) => keep(open(shardOf(streamOf(name), id)), record, record.arrivalMs ?? clock.wall()),

    async describe(name): Promise<StreamDescription> {
      const { createdMs, retentionMs } = streamOf(name)
      return {
        name,
        arn: `arn:aws:kinesis:eu-west-1:000000000000:stream/${name}`,
        createdMs,
        status: 'ACTIVE',
        retentionMs,
      }
    },
    async shards(name) {
      return streamOf(name).shards.map(({ id, parents, hashKeys, closed }) => ({ id, parents, hashKeys, closed }))
    },
    async iterator(name, id, from) {
      const stream = streamOf(name)
      const after = placeOf(shardOf(stream, id), from)
      return iteratorText({ stream: name, createdMs: stream.createdMs, shard: id, after, madeMs: clock.now() })
    },
    async records(text, limit, _, room): Promise<RecordsAnswer | 'expired'> {
      const { stream: name, createdMs, shard: id, after, madeMs } = readIterator(text)
      if (clock.now() - madeMs > iteratorMs) return 'expired'
      const stream = streamOf(name)
      if (stream.createdMs !== createdMs) throw refused('ResourceNotFoundException', `${name}: it was made anew`)
      const shard = shardOf(stream, id)
      const begin = indexAfter(shard.records, after)
      const records: StoredRecord[] = []
      let bytes = 0
      for (let i = begin; i < shard.records.length && records.length < limit; i++) {
        const record = shard.records[i] as StoredRecord
        const size = record.data.length + Buffer.byteLength(record.partitionKey)
        if (records.length > 0 && bytes + size > MAX_GET_BYTES) break
        bytes += size
        records.push(record)
      }
      await room?.(bytes)
      const last = records.at(-1)
      const rest = shard.records[begin + records.length]
      const ended = shard.closed && rest === undefined && (end === 'with-records' || records.length === 0)
      const next = { stream: name, createdMs, shard: id, after: last?.sequence ?? after, madeMs: clock.now() }
      return {
        records,
        next: ended ? undefined : iteratorText(next),
        behindMs: rest === undefined ? 0 : Math.max(1, clock.wall() - rest.arrivalMs),
        bytes,
        children: ended && end === 'with-records' ? shard.children : [],
      }
    },
    async put(name, records): Promise<readonly PutResult[]> {
      const stream = streamOf(name)
      return records.map((record) => {
        const hash = hashOf(record.partitionKey)
        const shard = stream.shards.find((one) => !one.closed && hash >= one.hashKeys.from && hash <= one.hashKeys.to)
        if (shard === undefined) return { error: 'InternalFailure' }
        return { shard: shard.id, sequence: keep(shard, record, clock.wall()) }
      })
    },
  }
}

/** The sequence number that reading begins after. */
function placeOf({ records }: MemoryShard, from: ReadFrom): string {
  if (from === 'TRIM_HORIZON') return '0'
  if (from === 'LATEST') return records.at(-1)?.sequence ?? '0'
  if ('after' in from) return from.after
  const first = records.findIndex(({ arrivalMs }) => arrivalMs >= from.at)
  return records[(first === -1 ? records.length : first) - 1]?.sequence ?? '0'
}

function indexAfter(records: readonly StoredRecord[], after: string): number {
  let [low, high] = [0, records.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareSequences((records[middle] as StoredRecord).sequence, after) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

interface Iterator {
  readonly stream: string
  readonly createdMs: number
  readonly shard: string
  readonly after: string
  readonly madeMs: number
}

function iteratorText(iterator: Iterator): string {
  return Buffer.from(JSON.stringify(iterator)).toString('base64')
}

function readIterator(text: string): Iterator {
  try {
    return JSON.parse(Buffer.from(text, 'base64').toString()) as Iterator
  } catch {
    throw refused('InvalidArgumentException', 'the iterator is none')
  }
}

function refused(reason: string, message: string): PseudolakeError {
  return new PseudolakeError('kinesis/refused', `${message} (${reason})`, { reason })
}
