import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deaggregate, hashOf } from '../../lib/kinesis/deaggregate.ts'
import type { Shard } from '../../lib/kinesis/kinesis.ts'
import type { StreamRecord } from '../../lib/kinesis/records.ts'
import { aggregate, type UserRecord } from '../helpers/kinesis/aggregate.ts'
import { drain, firstTable, open, readAll, stage, texts } from './reading.ts'

const ALL: Shard = { id: 'a', parents: [], closed: false, hashKeys: { from: 0n, to: 2n ** 128n - 1n } }
const stored = (data: Uint8Array) => ({ sequence: '7', arrivalMs: 5, partitionKey: 'outer', data })

function taken(data: Uint8Array, shard = ALL, foreign: 'keep' | 'drop' = 'keep') {
  const into: StreamRecord[] = []
  const dropped = deaggregate(stored(data), shard, foreign, into)
  return { dropped, records: into }
}

const userRecord: fc.Arbitrary<UserRecord> = fc.record(
  {
    partitionKey: fc.string({ minLength: 1, unit: 'grapheme' }),
    explicitHashKey: fc.bigInt(0n, 2n ** 128n - 1n).map(String),
    data: fc.uint8Array({ maxLength: 300 }),
  },
  { requiredKeys: ['partitionKey', 'data'] },
)

test('an aggregate’s records come in their order, with their own keys, one sequence number and an index', () => {
  fc.assert(
    fc.property(fc.array(userRecord, { minLength: 1, maxLength: 200 }), (users) => {
      const { records } = taken(aggregate(users))
      expect(records.map(({ sub, sequence, arrivalMs, shard }) => [sub, sequence, arrivalMs, shard])).toEqual(
        users.map((_, i) => [i, '7', 5, 'a']),
      )
      expect(records.map(({ partitionKey, data }) => [partitionKey, [...data]])).toEqual(
        users.map(({ partitionKey, data }) => [partitionKey, [...data]]),
      )
    }),
    { numRuns: 50 },
  )
})

/** The frame around any message: magic number and digest. */
function signed(message: Uint8Array): Buffer {
  const digest = createHash('md5').update(message).digest()
  return Buffer.concat([Buffer.from('f3899ac2', 'hex'), message, digest])
}

test('the wire format is the one that is described: two records by hand', () => {
  // Field 1: "k"; twice field 3: a record with key index 0 and one byte of data; an unknown field 4 at the end of the first.
  const message = Buffer.from('0a016b' + '1a0808001a01612201ff' + '1a0508001a0162', 'hex')
  expect(texts(taken(signed(message)).records)).toEqual(['a', 'b'])
  const own = aggregate([
    { partitionKey: 'k', data: Buffer.from('a') },
    { partitionKey: 'l', data: Buffer.from('b') },
  ])
  expect(own.subarray(4, -16).toString('hex')).toBe('0a016b' + '0a016c' + '1a0508001a0161' + '1a0508011a0162')
})

test('a wrong digest, a cut or an altered message make a plain record, and nothing is lost of it', () => {
  const whole = aggregate([
    { partitionKey: 'k', data: Buffer.from('one') },
    { partitionKey: 'l', data: Buffer.from('two') },
  ])
  for (let at = 0; at < whole.length; at++) {
    const altered = Uint8Array.from(whole)
    altered[at] = (altered[at] as number) ^ 0x11
    expect(taken(altered).records.map(({ partitionKey, data }) => [partitionKey, [...data]])).toEqual([
      ['outer', [...altered]],
    ])
    expect(taken(whole.subarray(0, at)).records.map(({ data }) => data.length)).toEqual([at])
  }
})

test('chance makes no aggregate, whatever follows the magic number and a right digest', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (message) => {
      const { records } = taken(signed(message))
      expect(records.length).toBeGreaterThan(0)
    }),
    { numRuns: 500 },
  )
})

test('an aggregate with another shard’s record is kept whole, or dropped whole where that is asked for', () => {
  const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`)
  const middle = 2n ** 127n
  const low: Shard = { ...ALL, hashKeys: { from: 0n, to: middle - 1n } }
  const users = (hits: (hash: bigint) => boolean) =>
    keys.filter((key) => hits(hashOf(key))).map((partitionKey) => ({ partitionKey, data: Buffer.from(partitionKey) }))
  const own = users((hash) => hash < middle)
  const mixed = users(() => true)
  expect(taken(aggregate(own), low, 'drop')).toMatchObject({ dropped: 0, records: { length: own.length } })
  expect(taken(aggregate(mixed), low, 'drop')).toEqual({ dropped: 100, records: [] })
  expect(taken(aggregate(mixed), low, 'keep')).toMatchObject({ dropped: 0, records: { length: 100 } })
  // The explicit hash key decides, not the partition key.
  const explicit = [
    { partitionKey: own[0]?.partitionKey as string, explicitHashKey: String(middle), data: Buffer.from('x') },
  ]
  expect(taken(aggregate(explicit), low, 'drop').dropped).toBe(1)
  expect(taken(Buffer.from('plain'), low, 'drop').records).toHaveLength(1)
})

test('a consumer never cuts inside an aggregate, whatever its limit and wherever it is stopped', async () => {
  const on = stage(1)
  const expected: string[] = []
  for (let i = 0; i < 30; i++) {
    const users = Array.from({ length: 1 + (i % 7) }, (_, sub) => ({
      partitionKey: `k${sub}`,
      data: Buffer.from(`${i}.${sub}`),
    }))
    expected.push(...users.map(({ data }) => data.toString()))
    on.memory.append('s', 'shardId-000000000000', { partitionKey: 'outer', data: aggregate(users) })
  }
  const table = await firstTable(on)
  for (let run = 0; run < 20; run++) {
    const consumer = await open(on, table, { limit: 1 })
    const batch = await consumer.next()
    if (batch?.records.length) {
      table.rows.push(...batch.records)
      table.positions = { ...table.positions, shards: new Map(table.positions.shards).set(batch.shard, batch.position) }
      const tail = batch.records.at(-1)
      expect(batch.position).toMatchObject({ sequence: tail?.sequence, sub: tail?.sub })
    }
    await consumer.close()
  }
  await readAll(on, table)
  expect(texts(table.rows)).toEqual(expected)
})

test('dropped records are counted, and reading goes on behind them', async () => {
  const on = stage(2)
  const users = Array.from({ length: 20 }, (_, i) => ({ partitionKey: `k${i}`, data: Buffer.from(`x ${i}`) }))
  on.memory.append('s', 'shardId-000000000000', { partitionKey: 'outer', data: aggregate(users) })
  on.memory.append('s', 'shardId-000000000000', { partitionKey: 'own', data: Buffer.from('plain') })
  const table = await firstTable(on)
  const consumer = await open(on, table, { foreignAggregates: 'drop', limit: 1 })
  await drain(consumer, table)
  expect(texts(table.rows)).toEqual(['plain'])
  expect(consumer.stats()).toMatchObject({ dropped: 20, records: 1 })
})
