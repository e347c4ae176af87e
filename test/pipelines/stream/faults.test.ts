/** What goes wrong around a consumer: whatever it is, no record is missing in the table, and none is there twice. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { systemClock } from '../../../lib/core/clock.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { Catalog } from '../../../lib/iceberg/catalogs/catalog.ts'
import { setProperties } from '../../../lib/iceberg/operations/set-properties.ts'
import { localStorage } from '../../../lib/storage/local.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { readStreamMark } from '../../../pipelines/stream/mark.ts'
import { resetPositions, showPositions } from '../../../pipelines/stream/positions.ts'
import { background, type Stage, stage, until } from './stage.ts'

const TABLE = { database: 'db', name: 't' }
const context = { clock: systemClock(), random: Math.random, uuid: () => crypto.randomUUID() }
const records = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ vin: `V${(from + i) % 50}`, n: from + i }))

async function expectExactly(on: Stage, count: number): Promise<void> {
  expect(await on.query('select count(*), count(distinct n), min(n), max(n) from t')).toEqual([
    [String(count), String(count), '0', String(count - 1)],
  ])
}

/** A catalog whose n-th commit (from 1) goes another way. */
function strange(
  catalog: Catalog,
  how: (nth: number, commit: () => ReturnType<Catalog['commit']>) => ReturnType<Catalog['commit']>,
): Catalog {
  let nth = 0
  return { ...catalog, commit: (...given) => how(++nth, () => catalog.commit(...given)) }
}

const FAST = { commit: { every: '100ms' }, heartbeat: { every: '50ms', takeover_after: '400ms' } }

test('a commit whose answer was lost is found in the table, and not done twice', async () => {
  const on = await stage()
  await on.put(records(0, 300))
  const catalog = strange(on.catalog, async (nth, commit) => {
    const done = await commit()
    if (nth === 2) throw new PseudolakeError('table/commit-unknown', 'the answer was lost', {})
    return done
  })
  expect(await on.run({}, { catalog })).toMatchObject({ rows: 300, commits: 1 })
  await on.put(records(300, 400))
  await on.run()
  await expectExactly(on, 400)
})

test('a commit of which nobody knows is settled by the table’s mark, whether it happened or not', async () => {
  for (const happened of [true, false]) {
    const on = await stage()
    await on.put(records(0, 300))
    let blind = false
    const catalog = strange(on.catalog, async (nth, commit) => {
      if (nth !== 2) return commit()
      if (happened) await commit()
      blind = true
      setTimeout(() => {
        blind = false
      }, 1500)
      throw new PseudolakeError('table/commit-unknown', 'nobody knows', {})
    })
    const load = async (...given: Parameters<Catalog['load']>) => {
      if (blind) throw new PseudolakeError('storage/failed', 'the catalog is away', {})
      return on.catalog.load(...given)
    }
    const { run, events } = on.prepare({}, { catalog: { ...catalog, load } })
    await run.run()
    expect(events.map(({ event }) => event)).toContain('retry')
    await expectExactly(on, 300)
  }
}, 30_000)

test('somebody else’s commits in between are no reason to stop', async () => {
  const on = await stage()
  await on.put(records(0, 300))
  const catalog = strange(on.catalog, async (nth, commit) => {
    if (nth === 2) await setProperties(on.catalog, TABLE, { set: { theirs: 'x' } }, context)
    return commit()
  })
  expect(await on.run({}, { catalog })).toMatchObject({ rows: 300 })
  await expectExactly(on, 300)
  expect((await on.metadata()).properties).toMatchObject({ theirs: 'x' })
})

test('a storage that fails for a while is waited for', async () => {
  const on = await stage()
  await on.put(records(0, 300))
  let failures = 0
  const under = localStorage()
  const storage: Storage = {
    ...under,
    write: async (location) => {
      if (location.includes('/data/') && failures++ < 3) throw new PseudolakeError('storage/failed', 'away', {})
      return under.write(location)
    },
  }
  const { run, events } = on.prepare({}, { storage, catalog: on.catalog })
  await run.run()
  expect(events.filter(({ event }) => event === 'retry')).toHaveLength(3)
  await expectExactly(on, 300)
}, 30_000)

test('a service that is away for a while holds the reading up, and loses nothing', async () => {
  const on = await stage()
  await on.put(records(0, 300))
  let failures = 0
  const { run, events } = on.prepare(
    {},
    {
      service: async (connect) => {
        const client = await connect()
        const failing = async <T>(work: () => Promise<T>) => {
          // The key check is first; then come values.
          if (failures++ < 4 && failures > 1) throw new PseudolakeError('service/unavailable', 'away', {})
          return work()
        }
        return {
          ...client,
          client: {
            call: (request) => failing(() => client.client.call(request)),
            callBytes: (request) => failing(() => client.client.callBytes?.(request) as never),
          },
        }
      },
    },
  )
  expect(await run.run()).toMatchObject({ rows: 300 })
  expect(events.map(({ event }) => event)).toContain('retry')
  await expectExactly(on, 300)
}, 30_000)

test('a second consumer takes over at once; the first goes to standby, and comes back when the second is gone', async () => {
  const on = await stage()
  const first = background(on, FAST)
  await on.put(records(0, 100))
  await until(() => first.run.gauges().rows === 100)
  const second = background(on, FAST)
  await until(() => second.run.gauges().state === 'owner')
  await on.put(records(100, 200))
  await until(() => first.run.gauges().state === 'standby' && second.run.gauges().rows === 100)
  second.stop()
  await second.ended
  await until(() => first.run.gauges().state === 'owner')
  await on.put(records(200, 300))
  await until(() => first.run.gauges().rows === 200)
  first.stop()
  expect((await first.ended).report).toMatchObject({ status: 'interrupted', rows: 200 })
  await expectExactly(on, 300)
  const epochs = (await on.metadata()).snapshots.map(({ summary }) => Number(summary['pseudolake.epoch']))
  expect(epochs).toEqual(epochs.map((_, i) => i + 1))
}, 30_000)

test.each([
  ['that goes on', {}],
  ['that ends when it has caught up', { untilCaughtUp: true }],
])(
  'a second consumer %s takes over although the first commits right before it',
  async (_, options) => {
    const on = await stage()
    const first = background(on, FAST)
    await on.put(records(0, 50))
    await until(() => first.run.gauges().rows === 50)
    const catalog = strange(on.catalog, async (nth, commit) => {
      if (nth <= 2) {
        await on.put(records(50 * nth, 50 * nth + 50))
        await until(() => first.run.gauges().rows === 50 * nth + 50)
      }
      return commit()
    })
    const stop = new AbortController()
    const second = on.prepare(FAST, { catalog, signal: stop.signal }, options)
    const ended = second.run.run()
    await until(() => first.run.gauges().state === 'standby')
    expect(second.events.map(({ event }) => event)).not.toContain('standby')
    if (!('untilCaughtUp' in options)) stop.abort(new Error('SIGTERM'))
    await ended
    first.stop()
    await first.ended
    await expectExactly(on, 150)
  },
  30_000,
)

test('one that is told to stop in standby ends without an error', async () => {
  const on = await stage()
  const first = background(on, FAST)
  await until(() => first.run.gauges().state === 'owner')
  const second = background(on, FAST)
  await until(() => first.run.gauges().state === 'standby')
  first.stop()
  expect(await first.ended).toMatchObject({ error: undefined, report: { status: 'interrupted', rows: 0 } })
  second.stop()
  await second.ended
})

test('a sign of life out of another time of the table does not hold an owner up', async () => {
  const on = await stage()
  await on.run(FAST)
  const sign = `${on.dir}/warehouse/_pseudolake/streams/db.t/test/heartbeat.json`
  writeFileSync(sign, JSON.stringify({ version: 1, run: 'long-ago', epoch: 999, beat: 1 }))
  const consumer = background(on, FAST)
  await until(() => consumer.run.gauges().state === 'owner')
  await on.put(records(0, 50))
  await until(() => consumer.run.gauges().rows === 50)
  await until(() => !readFileSync(sign, 'utf8').includes('long-ago'))
  expect(consumer.events.map(({ event }) => event)).not.toContain('standby')
})

test('consumers that fight, each started anew as soon as it is overtaken, double nothing', async () => {
  const on = await stage(3)
  let n = 0
  const stopped = { now: false }
  const fighter = async () => {
    while (!stopped.now)
      await on.run(FAST, {}, { untilCaughtUp: true }).catch((error: unknown) => {
        if (!(error instanceof PseudolakeError) || error.code !== 'table/mark-changed') throw error
      })
  }
  const fight = Promise.all([fighter(), fighter(), fighter()])
  for (let round = 0; round < 25; round++) {
    await on.put(records(n, n + 40))
    n += 40
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  stopped.now = true
  await fight
  await on.run()
  await expectExactly(on, n)
}, 60_000)

test('one that slept through another’s time publishes nothing of what it held', async () => {
  const on = await stage()
  await on.put(records(0, 200))
  const catalog = strange(on.catalog, async (nth, commit) => {
    // Between what it checked and what it swaps, another one is quick.
    if (nth === 2) await on.run()
    return commit()
  })
  await expect(on.run({}, { catalog })).rejects.toMatchObject({ code: 'table/mark-changed' })
  await expectExactly(on, 200)
})

const RESET = expect.objectContaining({ hint: expect.stringContaining('stream positions reset') })

test('a table that was rolled back stops the run, and the reset lets it go on', async () => {
  const on = await stage()
  await on.put(records(0, 100))
  await on.run()
  const before = await on.metadata()
  await on.put(records(100, 200))
  await on.run()
  const state = await on.catalog.load(TABLE)
  const past = before['current-snapshot-id'] as bigint
  await on.catalog.commit(TABLE, state, [
    { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': past },
  ])
  await expect(on.run()).rejects.toMatchObject({ code: 'table/mark-unreadable', context: RESET })
  await expectExactly(on, 100)
  const { job } = on.prepare()
  const places = placesOf(on)
  expect(await showPositions(job, places)).toMatchObject({ status: 'rolled-back' })
  await resetPositions(job, places, 's', { to: 'current', reason: 'it was wanted', runId: 'reset' })
  expect(await showPositions(job, places)).toMatchObject({ status: 'good' })
  await on.put(records(100, 150))
  await on.run()
  await expectExactly(on, 150)
})

test('a stream that was made anew stops the run, and the reset begins it', async () => {
  const on = await stage()
  await on.put(records(0, 100))
  await on.run()
  on.memory.deleteStream('s')
  await new Promise((resolve) => setTimeout(resolve, 5))
  on.memory.createStream('s', 1)
  await on.put(records(100, 150))
  await expect(on.run()).rejects.toMatchObject({ code: 'kinesis/stream-changed', context: RESET })
  const { job } = on.prepare()
  await resetPositions(job, placesOf(on), 's', { to: 'TRIM_HORIZON', reason: 'made anew', runId: 'reset' })
  await on.run()
  await expectExactly(on, 150)
  const { summary } = (await on.metadata()).snapshots.find(({ summary }) => summary['pseudolake.reset']) ?? {}
  expect(summary).toMatchObject({ 'pseudolake.reset': 'made anew', 'pseudolake.job': 'test' })
})

test('records that expired unread stop the run', async () => {
  let days = 0
  const clock = { ...systemClock(), wall: () => Date.now() + days * 86_400_000 }
  const on = await stage(1, { clock })
  await on.put(records(0, 100))
  await on.run({}, { clock })
  days = 2
  on.memory.trim('s', clock.wall() - 3_600_000)
  await on.put(records(100, 200))
  await expect(on.run({}, { clock })).rejects.toMatchObject({ code: 'kinesis/trimmed', context: RESET })
  await expectExactly(on, 100)
})

test('a mark that is gone, or of another version, is never taken for none', async () => {
  const on = await stage()
  await on.put(records(0, 100))
  await on.run()
  const mark = (await on.metadata()).properties['pseudolake.stream.test'] as string
  await setProperties(on.catalog, TABLE, { remove: ['pseudolake.stream.test'] }, context)
  await expect(on.run()).rejects.toMatchObject({ code: 'table/mark-unreadable', context: RESET })
  const newer = mark.replace('"version":1', '"version":2')
  await setProperties(on.catalog, TABLE, { set: { 'pseudolake.stream.test': newer } }, context)
  await expect(on.run()).rejects.toMatchObject({ code: 'table/mark-unreadable', context: RESET })
  await setProperties(on.catalog, TABLE, { set: { 'pseudolake.stream.test': mark } }, context)
  await on.put(records(100, 120))
  await on.run()
  await expectExactly(on, 120)
})

test('a key that was changed in the service while it ran stops it before anything made with it is published', async () => {
  const on = await stage(1)
  await on.put(records(0, 100))
  let asked = 0
  const other = await stage(1)
  const { run } = on.prepare(
    {},
    {
      service: async (connect) => {
        const [client, theirs] = [await connect(), await otherClient(other)]
        return {
          ...client,
          client: {
            call: (request) => (request.fresh && ++asked > 1 ? theirs : client).client.call(request),
            callBytes: (request) => client.client.callBytes?.(request) as never,
          },
        }
      },
    },
  )
  await expect(run.run()).rejects.toMatchObject({ code: 'table/key-changed' })
  expect(await on.query('select count(*) from t')).toEqual([['0']])
})

test('a reader of metadata sees the positions once, however many snapshots there are', async () => {
  const on = await stage(50)
  for (let round = 0; round < 5; round++) {
    await on.put(records(round * 50, round * 50 + 50))
    await on.run()
  }
  const metadata = await on.metadata()
  expect(readStreamMark(metadata.properties, 'test')?.positions.shards.size).toBe(50)
  for (const { summary } of metadata.snapshots) expect(JSON.stringify(summary)).not.toContain('shardId')
  await expectExactly(on, 250)
}, 30_000)

function placesOf(on: Stage) {
  return {
    ...context,
    catalog: on.catalog,
    storage: localStorage(),
    signal: new AbortController().signal,
    kinesis: async () => on.memory,
    connect: () => Promise.reject(new Error('no service is needed')),
  }
}

async function otherClient(on: Stage) {
  const { connectService } = await import('../../../pipelines/service.ts')
  const { asBatch } = await import('../../../pipelines/stream/job.ts')
  const { randomBytes } = await import('node:crypto')
  const { job } = on.prepare()
  return connectService(asBatch(job.settings), { ...context, env: {}, cwd: on.dir, randomBytes })
}
