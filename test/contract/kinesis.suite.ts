import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { openConsumer } from '../../lib/kinesis/consumer.ts'
import { hashOf } from '../../lib/kinesis/deaggregate.ts'
import type { Kinesis, ReadFrom, StoredRecord } from '../../lib/kinesis/kinesis.ts'
import { advance, firstPositions } from '../../lib/kinesis/positions.ts'
import { compareSequences, isSequence } from '../../lib/kinesis/records.ts'
import type { Presence } from '../helpers/interop.ts'
import type { StreamAdmin } from '../helpers/kinesis/servers.ts'

const DAY_MS = 86_400_000

/**
 * What everything that is asked as Kinesis must do.
 * @param presence of what stands behind it; where it is missing all are skipped, or fail where it must be there
 * @param iteratorsOutlive whether an iterator of a stream reads the one that was made in its place: why a consumer confirms the stream
 */
export function kinesisContract(
  name: string,
  open: () => Promise<{ kinesis: Kinesis; admin: StreamAdmin }>,
  {
    presence = { there: true },
    iteratorsOutlive = false,
  }: { readonly presence?: Presence; readonly iteratorsOutlive?: boolean } = {},
): void {
  describe(`kinesis contract: ${name}`, { timeout: 30_000 }, () => {
    beforeEach((context) => {
      if (presence.there) return
      if (process.env.PSEUDOLAKE_REQUIRE_INTEROP === '1') throw new Error(presence.reason)
      context.skip(presence.reason)
    })

    async function stream(shards: number) {
      const { kinesis, admin } = await open()
      const name = `s-${randomUUID()}`
      await admin.create(name, shards)
      onTestFinished(() => admin.remove(name).catch(() => undefined))
      return { kinesis, admin, name }
    }

    test('a stream is described, and one that is not there is told as such', async () => {
      const { kinesis, name } = await stream(1)
      const told = await kinesis.describe(name)
      expect(told).toMatchObject({ name, status: 'ACTIVE', retentionMs: DAY_MS })
      expect(told.arn).toMatch(new RegExp(`^arn:aws:kinesis:.*:stream/${name}$`))
      expect(Math.abs(told.createdMs - Date.now())).toBeLessThan(60_000)
      expect(await kinesis.describe(name)).toEqual(told)
      const asks = [
        () => kinesis.describe('nowhere'),
        () => kinesis.shards('nowhere'),
        () => kinesis.put('nowhere', [record('k', 'd')]),
      ]
      for (const ask of asks) await expect(ask()).rejects.toMatchObject({ code: 'kinesis/not-found' })
    })

    test('its shards share all keys among them', async () => {
      const { kinesis, name } = await stream(5)
      const shards = await kinesis.shards(name)
      let next = 0n
      for (const { hashKeys, closed, parents } of shards.toSorted((a, b) =>
        a.hashKeys.from < b.hashKeys.from ? -1 : 1,
      )) {
        expect([hashKeys.from, closed, parents]).toEqual([next, false, []])
        next = hashKeys.to + 1n
      }
      expect(next).toBe(2n ** 128n)
    })

    test('records come back as they were put, from the shard of their keys and in their order', async () => {
      const { kinesis, name } = await stream(3)
      const put = Array.from({ length: 120 }, (_, i) => ({
        partitionKey: ['k', 'schlüssel', '鍵 "'][i % 3] + String(i % 7),
        data: Buffer.from([i, 0, 255 - i, ...Buffer.from(`"${i}"`)]),
      }))
      const results = await kinesis.put(name, put)
      expect(results).toHaveLength(put.length)
      const shards = await kinesis.shards(name)
      for (const { id, hashKeys } of shards) {
        const here = put.filter(({ partitionKey }) => {
          const hash = hashOf(partitionKey)
          return hash >= hashKeys.from && hash <= hashKeys.to
        })
        const { records, ended } = await readAll(kinesis, name, id, 'TRIM_HORIZON')
        expect(ended).toBe(false)
        expect(records.map(({ partitionKey, data }) => ({ partitionKey, data: [...data] }))).toEqual(
          here.map(({ partitionKey, data }) => ({ partitionKey, data: [...data] })),
        )
        const told = put.flatMap((one, i) => (here.includes(one) ? [results[i]] : []))
        expect(told).toEqual(records.map(({ sequence }) => ({ shard: id, sequence })))
        expectOrder(records)
        for (const { arrivalMs } of records) expect(Math.abs(arrivalMs - Date.now())).toBeLessThan(60_000)
      }
    })

    test('reading goes on after a record, at a time, and with what comes from now on; a limit cuts nothing off', async () => {
      const { kinesis, name } = await stream(1)
      const [shard] = await kinesis.shards(name)
      const id = shard?.id as string
      await kinesis.put(name, numbered(0, 10))
      const all = (await readAll(kinesis, name, id, 'TRIM_HORIZON', 3)).records
      expect(numbers(all)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      const after = { after: all[6]?.sequence as string }
      expect(numbers((await readAll(kinesis, name, id, after)).records)).toEqual([7, 8, 9])
      expect(numbers((await readAll(kinesis, name, id, { at: Date.now() - 3_600_000 })).records)).toHaveLength(10)
      const latest = (await kinesis.iterator(name, id, 'LATEST')) as string
      // Arrival times of some are whole seconds.
      await new Promise((resolve) => setTimeout(resolve, 1100))
      const between = Date.now()
      await new Promise((resolve) => setTimeout(resolve, 1100))
      await kinesis.put(name, numbered(10, 5))
      const later = await kinesis.records(latest, 100)
      expect(later === 'expired' ? later : numbers(later.records)).toEqual([10, 11, 12, 13, 14])
      expect(numbers((await readAll(kinesis, name, id, { at: between })).records)).toEqual([10, 11, 12, 13, 14])
    })

    test('a split closes a shard, which then has an end; a merge has two parents', async () => {
      const { kinesis, admin, name } = await stream(1)
      const [parent] = await kinesis.shards(name)
      if (parent === undefined) throw new Error('no shard')
      await kinesis.put(name, numbered(0, 20))
      await admin.split(name, parent.id, parent.hashKeys)
      await kinesis.put(name, numbered(20, 40))
      const split = await kinesis.shards(name)
      expect(split.map(({ id, closed, parents }) => [id === parent.id, closed, parents])).toEqual([
        [true, true, []],
        [false, false, [parent.id]],
        [false, false, [parent.id]],
      ])
      const old = await readAll(kinesis, name, parent.id, 'TRIM_HORIZON', 7)
      expect([numbers(old.records).length, old.ended]).toEqual([20, true])
      const [, left, right] = split.map(({ id }) => id) as [string, string, string]
      const young = await Promise.all([left, right].map((id) => readAll(kinesis, name, id, 'TRIM_HORIZON')))
      expect(young.flatMap(({ records }) => numbers(records)).toSorted((a, b) => a - b)).toEqual(range(20, 40))
      await admin.merge(name, left, right)
      const merged = (await kinesis.shards(name)).find(({ closed }) => !closed)
      expect(merged?.parents.toSorted()).toEqual([left, right].toSorted())
    })

    test('a stream made anew has another time of creation', async () => {
      const { kinesis, admin, name } = await stream(1)
      const before = await kinesis.describe(name)
      const [shard] = await kinesis.shards(name)
      await kinesis.put(name, numbered(0, 3))
      const iterator = (await kinesis.iterator(name, shard?.id as string, 'TRIM_HORIZON')) as string
      await admin.remove(name)
      // Some tell whole seconds.
      await new Promise((resolve) => setTimeout(resolve, 1100))
      await admin.create(name, 1)
      await kinesis.put(name, numbered(3, 3))
      expect((await kinesis.describe(name)).createdMs).toBeGreaterThan(before.createdMs)
      const answer = await kinesis.records(iterator, 10).catch((error: { code: string }) => error.code)
      if (typeof answer === 'string') expect(answer).toMatch(/^(?:expired|kinesis\/)/)
      else expect(numbers(answer.records)).toEqual(iteratorsOutlive ? [3, 4, 5] : [])
    })

    test('a consumer reads all, once and by key in order, while shards split and merge', async () => {
      const { kinesis, admin, name } = await stream(2)
      let positions = firstPositions(
        await kinesis.describe(name),
        await kinesis.shards(name),
        'TRIM_HORIZON',
        Date.now(),
      )
      const pace = { busyMs: 5, idleMs: 20 }
      const outside = { clock: systemClock(), random: Math.random, resyncMs: 100 }
      const consumer = await openConsumer({ kinesis, stream: name, positions, pace, limit: 50, ...outside })
      onTestFinished(() => consumer.close())
      const rows: string[] = []
      const putting = (async () => {
        await kinesis.put(name, numbered(0, 300))
        for (let round = 1; round < 4; round++) {
          const open = (await kinesis.shards(name)).filter(({ closed }) => !closed)
          const [first, second] = open.toSorted((a, b) => (a.hashKeys.from < b.hashKeys.from ? -1 : 1))
          if (first === undefined || second === undefined) throw new Error('no open shards')
          if (round === 2) await admin.merge(name, first.id, second.id)
          else await admin.split(name, first.id, first.hashKeys)
          await kinesis.put(name, numbered(300 * round, 300))
        }
        return true
      })()
      let put = false
      void putting.then((done) => {
        put = done
      })
      while (!put || !consumer.caughtUp()) {
        const batch = await consumer.next(50)
        if (batch === undefined) continue
        rows.push(...batch.records.map(({ data }) => Buffer.from(data).toString()))
        positions = consumer.pruned(advance(positions, batch.shard, batch.position))
        consumer.committed(positions)
      }
      await putting
      expect(rows.map((row) => Number(row.split(' ')[1])).toSorted((a, b) => a - b)).toEqual(range(0, 1200))
      const last = new Map<string, number>()
      for (const row of rows) {
        const [key = '', number] = row.split(' ')
        expect(Number(number)).toBeGreaterThan(last.get(key) ?? -1)
        last.set(key, Number(number))
      }
    })
  })
}

const record = (partitionKey: string, text: string) => ({ partitionKey, data: Buffer.from(text) })
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
const numbered = (from: number, count: number) => range(from, count).map((i) => record(`k${i % 17}`, `k${i % 17} ${i}`))
const numbers = (records: readonly StoredRecord[]) =>
  records.map(({ data }) => Number(Buffer.from(data).toString().split(' ')[1]))

function expectOrder(records: readonly StoredRecord[]): void {
  for (const [i, { sequence }] of records.entries()) {
    expect(isSequence(sequence)).toBe(true)
    if (i > 0) expect(compareSequences(records[i - 1]?.sequence as string, sequence)).toBeLessThan(0)
  }
}

/** Until the shard's end, or three answers in a row are empty. */
async function readAll(kinesis: Kinesis, stream: string, shard: string, from: ReadFrom, limit = 1000) {
  let iterator = await kinesis.iterator(stream, shard, from)
  const records: StoredRecord[] = []
  for (let empty = 0; iterator !== undefined && empty < 3; ) {
    const answer = await kinesis.records(iterator, limit)
    if (answer === 'expired') throw new Error('expired at once')
    expect(answer.records.length).toBeLessThanOrEqual(limit)
    records.push(...answer.records)
    empty = answer.records.length === 0 ? empty + 1 : 0
    iterator = answer.next
  }
  return { records, ended: iterator === undefined }
}
