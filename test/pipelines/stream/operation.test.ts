/** What those who watch a stream see: how far it is behind, and whether it is well. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../lib/core/clock.ts'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import { healthOf, metricsText } from '../../../pipelines/stream/metrics.ts'
import { type Running, start } from '../../helpers/cli.ts'
import { kinesisFake } from '../../helpers/kinesis/fake.ts'
import { background, type Stage, stage, until } from './stage.ts'

const MINUTE = 60_000
const ALARM_MS = 10 * MINUTE
const FAST = { commit: { every: '100ms' }, heartbeat: { every: '20ms', takeover_after: '400ms' } }

/** The machine's clock, set forward as the test says. */
function moved(): Clock & { ahead: number } {
  const real = systemClock()
  const clock = {
    ahead: 0,
    now: () => real.now() + clock.ahead,
    wall: () => real.wall() + clock.ahead,
    sleep: real.sleep,
  }
  return clock
}

const records = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({ vin: `V${from + i}`, n: from + i }))

/** A consumer of which a test says when Kinesis answers. */
function watched(on: Stage, clock: Clock) {
  const kinesis = { refuses: false }
  const consumer = background(on, FAST, {
    clock,
    kinesis: {
      ...on.memory,
      records: async (...given) => {
        if (kinesis.refuses) throw new PseudolakeError('kinesis/throttled', 'said by the test', {})
        return on.memory.records(...given)
      },
    },
  })
  const { run, events } = consumer
  return {
    ...consumer,
    kinesis,
    alarms: () => events.flatMap((event) => (event.event === 'alarm' ? [event] : [])),
    health: () => healthOf(run.gauges(), ALARM_MS),
    age: () => Number(/^pseudolake_stream_iterator_age_seconds\{\} (\S+)$/m.exec(metricsText(run.gauges(), {}))?.[1]),
  }
}

test('a stream that falls behind says so once, in events, metrics and health, and again when it has caught up meanwhile', async () => {
  const clock = moved()
  const on = await stage(1, { clock })
  const consumer = watched(on, clock)
  let rows = 0
  const put = () => {
    rows += 10
    return on.put(records(rows - 10, rows))
  }
  for (const alarms of [1, 2]) {
    await put()
    await until(() => consumer.run.gauges().rows === rows)
    await until(() => consumer.age() === 0)
    expect(consumer.health()).toMatchObject({ healthy: true, body: { status: 'ok', lag_ms: 0 } })
    consumer.kinesis.refuses = true
    await put()
    clock.ahead += ALARM_MS + MINUTE
    await until(() => consumer.alarms().length === alarms)
    const [alarm] = consumer.alarms().slice(-1)
    expect(alarm).toMatchObject({ shard: 'shardId-000000000000' })
    expect(alarm?.lag_ms).toBeGreaterThanOrEqual(ALARM_MS)
    expect(consumer.age()).toBeGreaterThanOrEqual(ALARM_MS / 1000)
    // Behind is not broken: a restart would help nobody.
    expect(consumer.health()).toMatchObject({ healthy: true, body: { status: 'behind', state: 'owner' } })
    // It is told once.
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(consumer.alarms()).toHaveLength(alarms)
    consumer.kinesis.refuses = false
    await until(() => consumer.run.gauges().rows === rows)
  }
  await until(() => consumer.age() === 0)
  expect(consumer.health()).toMatchObject({ body: { status: 'ok' } })
}, 30_000)

test('a run whose commits fail is not well until one goes through, and gives up when that lasts too long', async () => {
  const clock = moved()
  const on = await stage(1, { clock })
  let away = false
  const catalog: Stage['catalog'] = {
    ...on.catalog,
    commit: async (...given) => {
      if (away) throw new PseudolakeError('storage/failed', 'away', {})
      return on.catalog.commit(...given)
    },
  }
  const { run, events, ended } = background(on, FAST, { clock, catalog })
  const health = () => healthOf(run.gauges(), ALARM_MS)
  await on.put(records(0, 10))
  await until(() => run.gauges().rows === 10)
  away = true
  await on.put(records(10, 20))
  await until(() => run.gauges().state === 'retrying')
  // Owner again by what can be read, and as little able to commit.
  await until(() => events.filter(({ event }) => event === 'owner').length === 2)
  expect(health()).toMatchObject({ healthy: false, body: { status: 'failing' } })
  away = false
  await until(() => run.gauges().rows === 20)
  expect(health()).toMatchObject({ healthy: true, body: { status: 'ok', state: 'owner' } })

  away = true
  await on.put(records(20, 30))
  const failures = () => events.filter(({ event }) => event === 'retry').length
  const before = failures()
  for (const more of [1, 2]) {
    await until(() => failures() === before + more)
    expect(await Promise.race([ended, 'goes on'])).toBe('goes on')
    clock.ahead += 20 * MINUTE
  }
  expect(await ended).toMatchObject({ error: { code: 'storage/failed', context: { outcome: 'partly-published' } } })
  expect(health()).toMatchObject({ healthy: false })
  expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['20', '20']])
}, 30_000)

test('while Kinesis is away the lag grows, and a run that waits for it tells it', async () => {
  const clock = moved()
  const on = await stage(1, { clock })
  let away = false
  const { run, events } = background(on, FAST, {
    clock,
    kinesis: {
      ...on.memory,
      records: async (...given) => {
        if (away) throw new PseudolakeError('kinesis/unavailable', 'away', {})
        return on.memory.records(...given)
      },
      describe: async (...given) => {
        if (away) throw new PseudolakeError('kinesis/unavailable', 'away', {})
        return on.memory.describe(...given)
      },
    },
  })
  await on.put(records(0, 10))
  await until(() => run.gauges().rows === 10)
  away = true
  await on.put(records(10, 20))
  await new Promise((resolve) => setTimeout(resolve, 50))
  // What a consumer itself waits out is over, and the run begins to.
  clock.ahead += ALARM_MS + MINUTE
  await until(() => run.gauges().state === 'retrying')
  await until(() => events.some(({ event }) => event === 'alarm'))
  expect(Math.max(...run.gauges().lag.values())).toBeGreaterThanOrEqual(ALARM_MS)
  expect(healthOf(run.gauges(), ALARM_MS)).toMatchObject({ healthy: false, body: { status: 'failing' } })
  away = false
  await until(() => run.gauges().rows === 20)
  await until(() => Math.max(0, ...run.gauges().lag.values()) === 0)
  expect(healthOf(run.gauges(), ALARM_MS)).toMatchObject({ healthy: true, body: { status: 'ok' } })
}, 30_000)

test('a consumer in standby is well and says that it is none’s owner; it takes over when the owner is killed', async () => {
  const on = await stage(1)
  const fake = await kinesisFake()
  fake.memory.createStream('s', 2)
  const config = {
    job: 'test',
    input: { stream: 's', region: 'eu-west-1', endpoint_url: fake.url },
    columns: { vin: { mode: 'deterministic' } },
    schema: { vin: 'string', n: 'long' },
    service: { embedded: { keyring: on.keyring } },
    output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
    commit: { every: '100ms' },
    heartbeat: { every: '100ms', takeover_after: '2s' },
    metrics: { port: 0 },
  }
  writeFileSync(join(on.dir, 'stream.json'), JSON.stringify(config))
  const put = (from: number, to: number) =>
    fake.memory.put(
      's',
      records(from, to).map((record) => ({
        partitionKey: String(record.n),
        data: Buffer.from(JSON.stringify(record)),
      })),
    )
  const consume = async () => {
    const running = start(['stream', '--config', 'stream.json'], { cwd: on.dir, env: fake.env })
    return { ...running, url: await urlOf(running) }
  }
  const health = async (url: string) => {
    const answer = await fetch(`${url}/health`)
    const { status, state } = (await answer.json()) as { status: string; state: string }
    return { http: answer.status, status, state }
  }
  const metrics = async (url: string) => (await fetch(`${url}/metrics`)).text()

  const first = await consume()
  await until(async () => (await health(first.url)).state === 'owner')
  await put(0, 50)
  await until(async () => (await on.query('select count(*) from t'))[0]?.[0] === '50')
  const second = await consume()
  await until(async () => (await health(first.url)).state === 'standby')
  expect(await health(first.url)).toEqual({ http: 200, status: 'ok', state: 'standby' })
  expect(await metrics(first.url)).toMatch(/^pseudolake_stream_owner\{job="test",stream="s"\} 0$/m)
  expect(await metrics(first.url)).toMatch(/^pseudolake_stream_iterator_age_seconds\{job="test",stream="s"\} 0$/m)
  expect(await health(second.url)).toEqual({ http: 200, status: 'ok', state: 'owner' })
  expect(await metrics(second.url)).toMatch(/^pseudolake_stream_owner\{job="test",stream="s"\} 1$/m)
  second.child.kill('SIGKILL')
  await second.ended
  await put(50, 100)
  await until(async () => (await health(first.url)).state === 'owner')
  await until(async () => (await on.query('select count(*), count(distinct n) from t'))[0]?.[0] === '100')
  first.child.kill('SIGTERM')
  expect((await first.ended).code).toBe(143)
  expect(await on.query('select count(*), count(distinct n) from t')).toEqual([['100', '100']])
}, 60_000)

/** Where it serves its metrics. */
async function urlOf({ child }: Running): Promise<string> {
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  await until(() => /metrics and health on (\S+)/.test(said))
  return /metrics and health on (\S+)/.exec(said)?.[1] ?? ''
}
