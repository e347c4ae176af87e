import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Kinesis, StoredRecord } from '../../lib/kinesis/kinesis.ts'
import { memoryKinesis } from '../../lib/kinesis/memory.ts'
import { requestsOf } from '../../lib/kinesis/put.ts'
import { produce } from '../../producer/index.ts'
import { pseudolake, start } from '../helpers/cli.ts'
import { virtualClock } from '../helpers/kinesis/clock.ts'
import { type KinesisFake, kinesisFake } from '../helpers/kinesis/fake.ts'

const RECORD =
  /^\{"dept_id": "[0-9]", "vin": "(?:0|[1-9][0-9]{0,7})", "example_ts": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"\}$/

async function stored(kinesis: Kinesis, stream = 's'): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for (const { id } of await kinesis.shards(stream)) {
    let iterator = await kinesis.iterator(stream, id, 'TRIM_HORIZON')
    while (iterator !== undefined) {
      const answer = await kinesis.records(iterator, 10_000)
      if (answer === 'expired' || answer.records.length === 0) break
      records.push(...answer.records)
      iterator = answer.next
    }
  }
  return records
}

const texts = (records: readonly StoredRecord[]) => records.map(({ data }) => Buffer.from(data).toString())

function memory(shards = 3) {
  const clock = virtualClock()
  const kinesis = memoryKinesis({ clock })
  kinesis.createStream('s', shards)
  return { clock, kinesis, random: () => 0.5 }
}

async function fakeStream(): Promise<KinesisFake> {
  const fake = await kinesisFake()
  fake.memory.createStream('s', 4)
  return fake
}

/** Waits pass fifty times as quickly. */
function hurried(): Clock {
  const clock = systemClock()
  return { ...clock, sleep: (ms, signal) => clock.sleep(ms / 50, signal) }
}

test('records are those of the reference’s producer: JSON of three texts, no newline, a UUID in hex as the key', async () => {
  const context = memory()
  const result = await produce({ stream: 's', batch: 7, threads: 3, records: 500 }, context)
  expect(result).toMatchObject({ status: 'done', stream: 's', records: 500, resent: 0, perhaps_twice: 0 })
  const records = await stored(context.kinesis)
  expect(records).toHaveLength(500)
  for (const text of texts(records)) expect(text).toMatch(RECORD)
  const keys = new Set(records.map(({ partitionKey }) => partitionKey))
  expect(keys.size).toBe(500)
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  const rows = texts(records).map((text) => JSON.parse(text) as Record<string, string>)
  expect(new Set(rows.map(({ dept_id }) => dept_id)).size).toBe(10)
  expect(Math.max(...rows.map(({ vin }) => Number(vin)))).toBeGreaterThan(30_000_000)
})

test('a seed makes the same records again, whatever the batches; another one makes others', async () => {
  const run = async (seed: number, batch: number, threads: number) => {
    const context = memory()
    await produce({ stream: 's', batch, threads, records: 100, seed, distinct: 50 }, context)
    const records = await stored(context.kinesis)
    return records.map(({ partitionKey, data }) => `${partitionKey} ${Buffer.from(data)}`).toSorted()
  }
  const once = await run(7, 10, 1)
  expect(await run(7, 33, 4)).toEqual(once)
  expect(await run(8, 10, 1)).not.toEqual(once)
  expect(new Set(once.map((text) => JSON.parse(text.slice(33)).vin)).size).toBeLessThanOrEqual(50)
})

test('a rate is kept, over all threads', async () => {
  const context = memory()
  const result = await produce({ stream: 's', batch: 50, threads: 8, records: 6000, rate: 1000 }, context)
  expect(result.records_per_second).toBeGreaterThan(950)
  expect(result.records_per_second).toBeLessThan(1050)
  expect(result.records_per_minute).toBe(Math.round((6000 / result.seconds) * 60))
  const slow = await produce({ stream: 's', batch: 500, threads: 2, records: 30, rate: 3 }, context)
  expect(slow.seconds).toBeGreaterThan(8)
})

test('of a request only what failed is sent again', async () => {
  const fake = await fakeStream()
  let asked = 0
  fake.chance = (action) => (action === 'PutRecords' && asked++ % 2 === 0 ? 'partial' : undefined)
  const context = { kinesis: fake.kinesis(), clock: hurried(), random: Math.random }
  const result = await produce({ stream: 's', batch: 90, threads: 1, records: 900, seed: 1 }, context)
  expect(result).toMatchObject({ records: 900, perhaps_twice: 0 })
  expect(result.resent).toBe(300)
  const records = texts(await stored(fake.memory))
  expect(records).toHaveLength(900)
  expect(new Set(records).size).toBe(900)
})

test('throttled and broken requests are sent again; a lost answer is the only way to a record twice, and is told', async () => {
  const fake = await fakeStream()
  fake.fault('PutRecords', 'ProvisionedThroughputExceededException', 3)
  fake.fault('PutRecords', '500')
  fake.fault('PutRecords', 'lost')
  fake.fault('PutRecords', 'reset')
  const context = { kinesis: fake.kinesis(), clock: hurried(), random: Math.random }
  const result = await produce({ stream: 's', batch: 10, threads: 1, records: 50, seed: 1 }, context)
  expect(result).toMatchObject({ records: 50, resent: 60, perhaps_twice: 30 })
  const records = texts(await stored(fake.memory))
  expect(records).toHaveLength(60)
  expect(new Set(records).size).toBe(50)
})

test('who is refused for longer than the budget is told how many records are in the stream', async () => {
  const { kinesis, ...context } = memory()
  let asked = 0
  const refusing: Kinesis = {
    ...kinesis,
    put: async (stream, records) => {
      if (asked++ < 2) return kinesis.put(stream, records)
      throw new PseudolakeError('kinesis/throttled', 'said by the test')
    },
  }
  await expect(
    produce({ stream: 's', batch: 10, threads: 1, records: 50 }, { ...context, kinesis: refusing }),
  ).rejects.toMatchObject({ code: 'kinesis/throttled', context: { records: 20, outcome: 'partly-published' } })
  expect(context.clock.now()).toBeGreaterThanOrEqual(120_000)
})

test('told to stop, it puts nothing more and waits for what is under way', async () => {
  const { kinesis, ...context } = memory()
  const stop = new AbortController()
  let acknowledged = 0
  const slow: Kinesis = {
    ...kinesis,
    put: async (stream, records) => {
      const results = await kinesis.put(stream, records)
      if (acknowledged > 100) stop.abort()
      await context.clock.sleep(50)
      acknowledged += records.length
      return results
    },
  }
  const options = { stream: 's', batch: 10, threads: 4 }
  const result = await produce(options, { ...context, kinesis: slow, signal: stop.signal })
  expect(result.records).toBe(acknowledged)
  expect(await stored(kinesis)).toHaveLength(acknowledged)
  await expect(
    produce({ ...options, records: 10_000 }, { ...context, kinesis: slow, signal: stop.signal }),
  ).rejects.toMatchObject({ code: 'run/interrupted' })
})

test('requests hold at most 500 records and 5 MiB, keys included', () => {
  const small = Array.from({ length: 1201 }, (_, i) => ({ partitionKey: String(i), data: Buffer.alloc(10) }))
  expect(requestsOf(small).map(({ length }) => length)).toEqual([500, 500, 201])
  const large = Array.from({ length: 11 }, () => ({
    partitionKey: 'k'.repeat(256),
    data: Buffer.alloc(1024 * 1024 - 256),
  }))
  expect(requestsOf(large).map(({ length }) => length)).toEqual([5, 5, 1])
  expect(() => requestsOf([{ partitionKey: 'k', data: Buffer.alloc(5 * 1024 * 1024) }])).toThrow(/record 0/)
  expect(requestsOf([])).toEqual([])
})

test.each([
  [{ stream: 's p' }],
  [{ batch: 0 }],
  [{ threads: 0 }],
  [{ threads: 1.5 }],
  [{ rate: 0 }],
  [{ records: 0 }],
  [{ distinct: 0 }],
  [{ distinct: 2 ** 33 }],
  [{ seed: -1 }],
])('refuses %o before anything is put', async (odd) => {
  const context = memory()
  const options = { stream: 's', batch: 1, threads: 1, records: 1, ...odd }
  await expect(produce(options, context)).rejects.toMatchObject({ code: 'options/invalid' })
  expect(await stored(context.kinesis)).toEqual([])
})

test('by the command line: the reference’s arguments, records a second and a minute, a summary at the end', async () => {
  const fake = await fakeStream()
  const env = fake.env
  const words = ['produce', 's', '1200', '2', '--records', '3000', '--seed', '5']
  const ended = await pseudolake([...words, '--json'], { env })
  expect(ended.code, ended.stderr).toBe(0)
  expect(JSON.parse(ended.stdout)).toMatchObject({ status: 'done', stream: 's', records: 3000, requests: 8, seed: 5 })
  expect(await stored(fake.memory)).toHaveLength(3000)
  expect(new Set(fake.calls)).toEqual(new Set(['PutRecords']))
  const { AWS_ENDPOINT_URL: url = '', AWS_REGION: _, ...keys } = env
  const spoken = await pseudolake(
    ['produce', 's', '10', '1', '--records', '20', '--endpoint-url', url, '--region', 'eu-west-1'],
    { env: keys },
  )
  expect(spoken.stdout).toMatch(/^20 records \(.*\) in .* s: [0-9,]+ a second, [0-9,]+ a minute\n$/)
  expect(spoken.stderr).toMatch(/^produce: 20 records, [0-9,]+ records a second, [0-9,]+ a minute\n$/)
  const failed = await pseudolake(['produce', 'nowhere', '10', '1', '--json'], { env })
  expect(failed.code).toBe(2)
  expect(JSON.parse(failed.stdout)).toMatchObject({
    status: 'failed',
    error: { code: 'kinesis/not-found', outcome: 'nothing-published' },
  })
})

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(`${signal} ends it with all that was put acknowledged, and a summary that counts it`, async () => {
    const fake = await fakeStream()
    const running = start(['produce', 's', '20', '4', '--rate', '400', '--json', '--quiet'], { env: fake.env })
    while (fake.calls.length < 10) await new Promise((resolve) => setTimeout(resolve, 20))
    running.child.kill(signal)
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    const summary = JSON.parse(stdout.trim().split('\n').at(-1) as string)
    expect(summary).toMatchObject({ status: 'done', perhaps_twice: 0 })
    expect(await stored(fake.memory)).toHaveLength(summary.records)
  })

test('SIGINT before all records of --records are put has the status of one that was stopped', async () => {
  const fake = await fakeStream()
  const running = start(['produce', 's', '5', '1', '--rate', '50', '--records', '100000', '--json'], { env: fake.env })
  while (fake.calls.length < 3) await new Promise((resolve) => setTimeout(resolve, 20))
  running.child.kill('SIGINT')
  const { code, stdout } = await running.ended
  expect(code).toBe(130)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'run/interrupted', outcome: 'partly-published' } })
})
