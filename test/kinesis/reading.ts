/** A consumer of a stream in memory, and a table that remembers what it committed. */
import { onTestFinished } from 'vitest'
import type { Clock } from '../../lib/core/clock.ts'
import { type Consumer, openConsumer } from '../../lib/kinesis/consumer.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import { type MemoryKinesis, memoryKinesis } from '../../lib/kinesis/memory.ts'
import type { ConsumerOptions } from '../../lib/kinesis/options.ts'
import {
  advance,
  firstPositions,
  type Positions,
  parsePositions,
  positionsText,
  type Start,
} from '../../lib/kinesis/positions.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { virtualClock } from '../helpers/kinesis/clock.ts'

export interface Stage {
  readonly clock: Clock & { advance(ms: number): void }
  readonly memory: MemoryKinesis
  /** What the consumer asks: `memory`, unless a test puts something before it. */
  kinesis: Kinesis
}

export function stage(shards = 2, options: Partial<Parameters<typeof memoryKinesis>[0]> = {}): Stage {
  const clock = virtualClock()
  const memory = memoryKinesis({ clock, ...options })
  memory.createStream('s', shards)
  return { clock, memory, kinesis: memory }
}

/** As a pipeline that commits whenever it likes: rows and positions together. */
export interface Table {
  positions: Positions
  readonly rows: StreamRecord[]
}

export async function firstTable({ memory, clock }: Stage, start: Start = 'TRIM_HORIZON'): Promise<Table> {
  const positions = firstPositions(await memory.describe('s'), await memory.shards('s'), start, clock.wall())
  return { positions, rows: [] }
}

export async function open(on: Stage, table: Table, options: Partial<ConsumerOptions> = {}): Promise<Consumer> {
  const consumer = await openConsumer({
    kinesis: on.kinesis,
    stream: 's',
    // As from a table: what JSON does not keep is lost.
    positions: parsePositions(positionsText(table.positions)),
    clock: on.clock,
    random: () => 0.5,
    ...options,
  })
  onTestFinished(() => consumer.close())
  return consumer
}

/** Reads until all is caught up, and commits after every batch. */
export async function drain(consumer: Consumer, table: Table): Promise<void> {
  while (!consumer.caughtUp()) {
    const batch = await consumer.next(500)
    if (batch === undefined) continue
    table.rows.push(...batch.records)
    table.positions = consumer.pruned(advance(table.positions, batch.shard, batch.position))
    consumer.committed(table.positions)
  }
}

export async function readAll(on: Stage, table: Table, options: Partial<ConsumerOptions> = {}): Promise<Table> {
  const consumer = await open(on, table, options)
  await drain(consumer, table)
  await consumer.close()
  return table
}

export const bytes = (text: string) => Buffer.from(text)
export const texts = (records: readonly StreamRecord[]) => records.map(({ data }) => Buffer.from(data).toString())

/** Puts `count` records `from` …, with keys `k0` … `k9`, each a text of its key and number. */
export async function put({ memory }: Stage, count: number, from = 0): Promise<void> {
  for (let i = from; i < from + count; i++)
    await memory.put('s', [{ partitionKey: `k${i % 10}`, data: bytes(`k${i % 10} ${i}`) }])
}
