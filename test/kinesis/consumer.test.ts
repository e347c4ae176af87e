import { expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import { bytes, drain, firstTable, open, put, readAll, stage, type Table, texts } from './reading.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** No gap, no duplicate, and each key in the order in which it was put. */
function expectWhole({ rows }: Table, count: number): void {
  const seen = new Map<string, number>()
  const numbers = texts(rows).map((text) => {
    const [key = '', number] = text.split(' ')
    expect(Number(number)).toBeGreaterThan(seen.get(key) ?? -1)
    seen.set(key, Number(number))
    return Number(number)
  })
  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
}

/** `next` with one method in the place of its own. */
function before(next: Kinesis, own: Partial<Kinesis>): Kinesis {
  return { ...next, ...own }
}

const refusal = (code: ConstructorParameters<typeof PseudolakeError>[0]) =>
  new PseudolakeError(code, 'said by the test')

test('all records of all shards come once, those of a key in their order', async () => {
  const on = stage(4)
  await put(on, 1000)
  const table = await readAll(on, await firstTable(on), { limit: 7 })
  expectWhole(table, 1000)
})

test('a restart goes on after what was committed, wherever it was stopped', async () => {
  const on = stage(3)
  await put(on, 300)
  const table = await firstTable(on)
  for (let run = 0; run < 40; run++) {
    const consumer = await open(on, table, { limit: 5 })
    // What was handed out, and is not committed, comes again.
    const lost = { rows: [], positions: table.positions }
    for (let i = 0; i < run % 4; i++) await consumer.next(500)
    await consumer.close()
    expect(lost.positions).toBe(table.positions)
    const again = await open(on, table, { limit: 5 })
    const batch = await again.next(5000)
    if (batch) {
      table.rows.push(...batch.records)
      table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(batch.shard, batch.position) }
    }
    await again.close()
  }
  expectWhole(await readAll(on, table), 300)
})

for (const end of ['with-records', 'after-records'] as const)
  test(`splits and merges in mid-run: parents first, children from their oldest record (end of shard ${end})`, async () => {
    const on = stage(2, { end })
    const table = await firstTable(on, 'LATEST')
    const consumer = await open(on, table, { limit: 3 })
    await put(on, 100)
    const [left, right] = on.memory.split('s', 'shardId-000000000000')
    await put(on, 100, 100)
    await drain(consumer, table)
    const [, second] = on.memory.split('s', right)
    const merged = on.memory.merge('s', second, 'shardId-000000000001')
    expect(left).toBe('shardId-000000000002')
    await put(on, 100, 200)
    on.clock.advance(61_000)
    await consumer.next(100).then((batch) => {
      if (batch === undefined) return
      table.rows.push(...batch.records)
      table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(batch.shard, batch.position) }
      consumer.committed(table.positions)
    })
    await drain(consumer, table)
    expectWhole(table, 300)
    expect(table.positions.shards.get('shardId-000000000000')).toMatchObject({ end: true })
    expect(table.positions.shards.get(merged)).toMatchObject({ sequence: expect.stringMatching(/^[0-9]{56}$/) })
  })

test('a child is not begun before the end of each parent is committed', async () => {
  const on = stage(2)
  await put(on, 50)
  const child = on.memory.merge('s', 'shardId-000000000000', 'shardId-000000000001')
  await put(on, 50, 50)
  const table = await firstTable(on)
  const consumer = await open(on, table)
  const ends: string[] = []
  for (let i = 0; i < 2; i++) {
    const batch = await consumer.next()
    expect(batch?.end).toBe(true)
    expect(batch?.shard).not.toBe(child)
    ends.push(batch?.shard as string)
    table.rows.push(...(batch?.records ?? []))
    if (batch)
      table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(batch.shard, batch.position) }
  }
  expect(ends.toSorted()).toEqual(['shardId-000000000000', 'shardId-000000000001'])
  expect(await consumer.next(5 * 60_000)).toBeUndefined()
  expect(consumer.caughtUp()).toBe(false)
  consumer.committed(table.positions)
  await drain(consumer, table)
  expectWhole(table, 100)
})

test('an expired iterator goes on after the last record that was handed out', async () => {
  const on = stage(1)
  const table = await firstTable(on)
  const consumer = await open(on, table, { limit: 10 })
  await put(on, 30)
  const first = await consumer.next()
  expect(first?.records).toHaveLength(10)
  table.rows.push(...(first?.records ?? []))
  on.clock.advance(6 * 60_000)
  await drain(consumer, table)
  expectWhole(table, 30)
  expect(consumer.stats().expiredIterators).toBeGreaterThan(0)
})

test('throttling slows down, however long it lasts, and loses nothing', async () => {
  const on = stage(2)
  await put(on, 40)
  let asked = 0
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      if (asked++ < 300) throw refusal('kinesis/throttled')
      return on.memory.records(...words)
    },
  })
  const table = await firstTable(on)
  const consumer = await open(on, table)
  await drain(consumer, table)
  expectWhole(table, 40)
  expect(consumer.stats().throttled).toBe(300)
  // 300 refusals at the full wait are the better part of an hour; at no wait they are no time at all.
  expect(on.clock.now()).toBeGreaterThan(5 * 60_000)
})

test('an outage of minutes is waited out, a longer one is an error', async () => {
  const on = stage(1)
  await put(on, 10)
  const table = await firstTable(on)
  let until = on.clock.now() + 5 * 60_000
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      if (on.clock.now() < until) throw refusal('kinesis/unavailable')
      return on.memory.records(...words)
    },
  })
  const consumer = await open(on, table)
  await drain(consumer, table)
  expectWhole(table, 10)
  expect(consumer.stats().failed).toBeGreaterThan(5)
  until = Number.POSITIVE_INFINITY
  await expect(consumer.next()).rejects.toMatchObject({ code: 'kinesis/unavailable' })
})

test('a refusal that stands ends the reading, after what was read before it', async () => {
  const on = stage(1)
  await put(on, 10)
  let asked = 0
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      if (asked++ > 0) throw refusal('kinesis/denied')
      return on.memory.records(...words)
    },
  })
  const consumer = await open(on, await firstTable(on))
  await on.clock.sleep(0)
  expect((await consumer.next())?.records).toHaveLength(10)
  await expect(consumer.next()).rejects.toMatchObject({ code: 'kinesis/denied' })
})

test('a null iterator of an open shard is no end of it', async () => {
  const on = stage(1)
  await put(on, 20)
  let odd = 2
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      const answer = await on.memory.records(...words)
      return answer !== 'expired' && odd-- > 0 ? { ...answer, next: undefined } : answer
    },
  })
  expectWhole(await readAll(on, await firstTable(on)), 20)
})

test('a position older than the retention is refused, and so is a shard that is gone', async () => {
  const on = stage(2)
  await put(on, 100)
  const table = await readAll(on, await firstTable(on))
  on.clock.advance(DAY_MS - HOUR_MS)
  await put(on, 10, 100)
  // Within the retention nothing is lost.
  await readAll(on, { ...table })
  on.clock.advance(2 * HOUR_MS)
  const late = await open(on, table)
  await expect(late.next()).rejects.toMatchObject({ code: 'kinesis/trimmed' })

  const other = stage(2)
  await put(other, 10)
  const old = await readAll(other, await firstTable(other))
  other.memory.split('s', 'shardId-000000000000')
  other.memory.trim('s', Number.POSITIVE_INFINITY)
  await expect(open(other, old)).rejects.toMatchObject({ code: 'kinesis/trimmed' })
})

test('a position where no records come, and the tip is a retention away, is refused', async () => {
  const on = stage(1)
  await put(on, 10)
  const table = await readAll(on, await firstTable(on))
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      const answer = await on.memory.records(...words)
      return answer === 'expired' ? answer : { ...answer, records: [], behindMs: DAY_MS }
    },
  })
  const consumer = await open(on, table)
  await expect(consumer.next()).rejects.toMatchObject({ code: 'kinesis/trimmed' })
})

test('a shard in which nothing comes keeps a young position', async () => {
  const on = stage(1)
  await put(on, 1)
  const table = await firstTable(on)
  const consumer = await open(on, table)
  for (let hour = 0; hour < 30; hour++) {
    on.clock.advance(HOUR_MS)
    await drain(consumer, table)
    const batch = await consumer.next(5000)
    if (batch)
      table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(batch.shard, batch.position) }
  }
  await consumer.close()
  await put(on, 1, 1)
  expectWhole(await readAll(on, table), 2)
})

test('a stream that was deleted and made anew is refused, at the start and while it is read', async () => {
  const on = stage(1)
  await put(on, 5)
  const table = await readAll(on, await firstTable(on))
  const consumer = await open(on, table)
  on.memory.deleteStream('s')
  on.clock.advance(1000)
  on.memory.createStream('s', 1)
  await put(on, 5)
  await expect(open(on, table)).rejects.toMatchObject({ code: 'kinesis/stream-changed' })
  await expect(
    (async () => {
      for (;;) if (await consumer.next()) expect.unreachable('a record of the new stream')
    })(),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^kinesis\/(stream-changed|refused)$/) })
})

test('before a commit the stream is confirmed: an outage is waited out, a stream made anew is refused', async () => {
  const on = stage(1)
  await put(on, 5)
  let failing = 0
  on.kinesis = before(on.memory, {
    describe: async (...words) => {
      if (failing-- > 0) throw refusal('kinesis/unavailable')
      return on.memory.describe(...words)
    },
  })
  const consumer = await open(on, await firstTable(on))
  await consumer.next()
  failing = 5
  await consumer.confirm()
  expect(failing).toBeLessThan(0)
  on.memory.deleteStream('s')
  on.clock.advance(1000)
  on.memory.createStream('s', 1)
  await expect(consumer.confirm()).rejects.toMatchObject({ code: 'kinesis/stream-changed' })
})

test('LATEST begins with what comes after the first start, also where that is read much later', async () => {
  const on = stage(2)
  await put(on, 20)
  on.memory.split('s', 'shardId-000000000001')
  on.clock.advance(1000)
  const table = await firstTable(on, 'LATEST')
  on.clock.advance(1000)
  await put(on, 20, 20)
  on.clock.advance(HOUR_MS)
  await readAll(on, table)
  expect(texts(table.rows).every((text) => Number(text.split(' ')[1]) >= 20)).toBe(true)
  expect(table.rows).toHaveLength(20)
})

test('a start at a time takes what arrived at or after it', async () => {
  const on = stage(1)
  const arrival = on.clock.wall()
  for (let i = 0; i < 10; i++)
    on.memory.append('s', 'shardId-000000000000', {
      partitionKey: 'k',
      data: bytes(`k ${i}`),
      arrivalMs: arrival + i * 1000,
    })
  const table = await readAll(on, await firstTable(on, { at: arrival + 4000 }))
  expect(texts(table.rows)).toEqual(['k 4', 'k 5', 'k 6', 'k 7', 'k 8', 'k 9'])
})

test('no more is read than there is room for, and who takes nothing stops the reading', async () => {
  const on = stage(8)
  const answer = { bytes: 0 }
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      const got = await on.memory.records(...words)
      if (got !== 'expired') answer.bytes += got.bytes
      return got
    },
  })
  for (let i = 0; i < 100; i++)
    await on.memory.put('s', [{ partitionKey: `k${i}`, data: Buffer.alloc(1_000_000, `k${i % 10} ${i} `) }])
  const table = await firstTable(on)
  const consumer = await open(on, table, { maxBytes: 26_000_000 })
  const first = await consumer.next()
  expect(first).toBeDefined()
  for (let i = 0; i < 200; i++) await on.clock.sleep(100)
  // One answer of ten million bytes, and what was handed out.
  expect(answer.bytes).toBeLessThanOrEqual(21_000_000)
  table.rows.push(...(first?.records ?? []))
  if (first)
    table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(first.shard, first.position) }
  await drain(consumer, table)
  expect(table.rows).toHaveLength(100)
})

test('a close lets go of answers that wait for room', async () => {
  const on = stage(4)
  for (let i = 0; i < 40; i++) await on.memory.put('s', [{ partitionKey: `k${i}`, data: Buffer.alloc(1_000_000) }])
  const consumer = await open(on, await firstTable(on), { maxBytes: 1_000_000 })
  expect((await consumer.next())?.records.length).toBeGreaterThan(0)
  for (let i = 0; i < 50; i++) await on.clock.sleep(100)
  await consumer.close()
  expect(await consumer.next()).toBeUndefined()
})

test('an answer of ten MiB is followed by five seconds without a request', async () => {
  const on = stage(1)
  const asked: number[] = []
  on.kinesis = before(on.memory, {
    records: (...words) => {
      asked.push(on.clock.now())
      return on.memory.records(...words)
    },
  })
  for (let i = 0; i < 25; i++)
    on.memory.append('s', 'shardId-000000000000', { partitionKey: '', data: Buffer.alloc(1024 * 1024) })
  await readAll(on, await firstTable(on))
  expect((asked[1] as number) - (asked[0] as number)).toBeGreaterThanOrEqual(5000)
  expect((asked[2] as number) - (asked[1] as number)).toBeGreaterThanOrEqual(5000)
})

test('five hundred shards are all read, by no more requests at a time than are allowed', async () => {
  const on = stage(500)
  await put(on, 50)
  for (let i = 0; i < 500; i++)
    on.memory.append('s', `shardId-${String(i).padStart(12, '0')}`, {
      partitionKey: 'x',
      data: bytes(`x${i} ${50 + i}`),
    })
  let [flying, most] = [0, 0]
  on.kinesis = before(on.memory, {
    records: async (...words) => {
      most = Math.max(most, ++flying)
      await on.clock.sleep(10)
      flying--
      return on.memory.records(...words)
    },
  })
  const table = await readAll(on, await firstTable(on), { maxRequests: 4 })
  expectWhole(table, 550)
  expect(most).toBe(4)
})

test('close ends a wait, and what was not handed out is read again from what was committed', async () => {
  const on = stage(1)
  const table = await firstTable(on)
  const consumer = await open(on, table)
  const waiting = consumer.next()
  while (await Promise.race([waiting.then(() => false), on.clock.sleep(1).then(() => !consumer.caughtUp())]));
  await consumer.close()
  await waiting
  expect(await consumer.next()).toBeUndefined()
  await put(on, 3)
  expectWhole(await readAll(on, table), 3)
})

test('a shard that is not read any more falls behind, and catches up when it is', async () => {
  const on = stage(1)
  await put(on, 10)
  const table = await firstTable(on)
  // Room for one answer: reading waits until it was taken.
  const consumer = await open(on, table, { maxBytes: 1 })
  await consumer.next(500)
  await put(on, 10, 10)
  while ((await consumer.next(500)) === undefined);
  await put(on, 10, 20)
  for (let i = 0; i < 5; i++) await on.clock.sleep(2000)
  expect(furthest(consumer)).toBe(0)
  await on.clock.sleep(90_000)
  expect(furthest(consumer)).toBeGreaterThanOrEqual(90_000)
  await drain(consumer, table)
  expect(furthest(consumer)).toBe(0)
})

test('records that nobody takes are behind, though the shard has nothing more', async () => {
  const on = stage(1)
  const table = await firstTable(on)
  const consumer = await open(on, table)
  await consumer.next(5000)
  await put(on, 10)
  await on.clock.sleep(90_000)
  expect(furthest(consumer)).toBeGreaterThanOrEqual(80_000)
  await drain(consumer, table)
  expect([table.rows.length, furthest(consumer)]).toEqual([10, 0])
})

test('a shard that refuses from the start is behind for as long as it does, also when reading was given up', async () => {
  const on = stage(1)
  on.kinesis = before(on.memory, {
    records: async () => {
      throw refusal('kinesis/throttled')
    },
  })
  const consumer = await open(on, await firstTable(on))
  await consumer.next(300_000)
  expect(furthest(consumer)).toBeGreaterThanOrEqual(300_000)
  await consumer.close()
  on.clock.advance(300_000)
  expect(furthest(consumer)).toBeGreaterThanOrEqual(600_000)
})

const furthest = (consumer: Awaited<ReturnType<typeof open>>) => Math.max(0, ...consumer.lag().values())
