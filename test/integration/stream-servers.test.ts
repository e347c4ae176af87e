/**
 * The commands as processes against Kinesis servers of other makers, whose shards end in the two ways that there are: produce, stream, kill,
 * reshard, go on. What is in the stream is in the table, once, and each key in its order.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import { pseudolake, type Running, start } from '../helpers/cli.ts'
import { type Counterpart, testWith } from '../helpers/interop.ts'
import { kinesisAt, REGION } from '../helpers/kinesis/connect.ts'
import { adminOf, type KinesisServer, kinesalite, kinesisLocal, type StreamAdmin } from '../helpers/kinesis/servers.ts'
import { stage, until } from '../pipelines/stream/stage.ts'

const KEYS = { AWS_ACCESS_KEY_ID: 'test-access', AWS_SECRET_ACCESS_KEY: 'test-secret', AWS_REGION: REGION }
const PRODUCED = 3000
const DISTINCT = 40
const CUSTOMERS = 12

for (const [name, open] of [
  ['kinesis-local', kinesisLocal],
  ['kinesalite', kinesalite],
] as const satisfies readonly (readonly [Counterpart, () => Promise<KinesisServer>])[])
  testWith(
    name,
    `${name}: what is produced is in the table once, over restarts, kills, splits and merges`,
    async () => {
      const server = await open()
      onTestFinished(() => server.stop())
      const admin = adminOf(server.client())
      await admin.create('s', 2)
      const on = await stage(1)
      const at = { cwd: on.dir, env: KEYS }
      const config = {
        job: 'test',
        input: { stream: 's', region: REGION, endpoint_url: server.url },
        schema: { dept_id: 'string', vin: 'string', example_ts: 'string', key: 'string', n: 'long' },
        columns: { vin: { mode: 'deterministic' } },
        service: { embedded: { keyring: on.keyring } },
        output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
        commit: { every: '200ms' },
        heartbeat: { every: '100ms', takeover_after: '2s' },
      }
      writeFileSync(join(on.dir, 'stream.json'), JSON.stringify(config))
      const words = ['stream', '--config', 'stream.json', '--json', '--quiet']

      const drawn = ['--records', String(PRODUCED), '--distinct', String(DISTINCT), '--seed', '7']
      const produced = await pseudolake(
        ['produce', 's', '500', '2', ...drawn, '--endpoint-url', server.url, '--region', REGION, '--json'],
        at,
      )
      expect(produced).toMatchObject({ code: 0 })
      expect(lastOf(produced.stdout)).toMatchObject({ records: PRODUCED, perhaps_twice: 0 })
      const first = await pseudolake([...words, '--until-caught-up'], at)
      expect([first.code, first.stderr]).toEqual([0, ''])
      expect(lastOf(first.stdout)).toMatchObject({ rows: PRODUCED, status: 'caught-up' })
      const again = await pseudolake([...words, '--until-caught-up'], at)
      expect(lastOf(again.stdout)).toMatchObject({ rows: 0, status: 'caught-up' })
      const vins = (await on.query('select distinct s_vin from t')).map(([vin]) => vin)
      expect((await on.back(vins)).map(Number).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: DISTINCT }, (_, i) => i),
      )

      const producer = keyed(kinesisAt(server.url))
      const reshards = [split, merge]
      for (const reshard of reshards) {
        const running = start(words, at)
        await committing(running, producer)
        // In mid-run: it reads on through the children.
        await reshard(admin, kinesisAt(server.url))
        await committing(running, producer)
        await producer.put()
        running.child.kill('SIGKILL')
        expect((await running.ended).signal).toBe('SIGKILL')
      }
      await producer.put()
      const drained = start(words, at)
      await committing(drained, producer)
      drained.child.kill('SIGTERM')
      expect((await drained.ended).code).toBe(143)
      const last = await pseudolake([...words, '--until-caught-up'], at)
      expect([last.code, last.stderr]).toEqual([0, ''])

      expect(await on.query('select count(*), count(distinct example_ts) from t where n is null')).toEqual([
        [String(PRODUCED), String(PRODUCED)],
      ])
      const rows = (await on.inOrder('key, n, s_vin')).filter(([, n]) => n !== null)
      expect(rows.map(([, n]) => Number(n)).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: producer.count() }, (_, i) => i),
      )
      const newest = new Map<unknown, number>()
      for (const [key, n] of rows) {
        expect(Number(n), String(key)).toBeGreaterThan(newest.get(key) ?? -1)
        newest.set(key, Number(n))
      }
      expect(newest.size).toBe(CUSTOMERS)
      const some = rows.slice(0, 50)
      expect(await on.back(some.map(([, , vin]) => vin))).toEqual(some.map(([, n]) => `V${n}`))
      const shown = await pseudolake(['stream', 'positions', 'show', '--config', 'stream.json', '--json'], at)
      expect(JSON.parse(shown.stdout)).toMatchObject({ status: 'good' })
      const verified = await pseudolake(['table', 'verify', on.table, '--json'], at)
      expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean' })
    },
    120_000,
  )

/** Puts numbered records, each key in its order: what a request did not take is put again before anything comes after it. */
function keyed(kinesis: Kinesis) {
  let n = 0
  return {
    count: () => n,
    async put() {
      let left = Array.from({ length: 25 }, () => {
        const key = `customer-${n % CUSTOMERS}`
        return { partitionKey: key, data: Buffer.from(JSON.stringify({ key, vin: `V${n}`, n: n++ })) }
      })
      // One of each key at a time: a request promises no order among its own.
      while (left.length > 0) {
        const batch = left.slice(0, CUSTOMERS)
        const results = await kinesis.put('s', batch)
        left = [...batch.filter((_, i) => 'error' in (results[i] as object)), ...left.slice(CUSTOMERS)]
      }
    },
  }
}

/** Produces until two more commits have gone through. */
async function committing({ child }: Running, producer: ReturnType<typeof keyed>): Promise<void> {
  let out = ''
  const hear = (chunk: Buffer) => {
    out += chunk.toString()
  }
  child.stdout?.on('data', hear)
  await until(async () => {
    await producer.put()
    return (out.match(/"event":"commit"/g) ?? []).length >= 2
  }, 40_000)
  child.stdout?.off('data', hear)
}

async function openShards(kinesis: Kinesis) {
  const open = (await kinesis.shards('s')).filter(({ closed }) => !closed)
  return open.toSorted((a, b) => (a.hashKeys.from < b.hashKeys.from ? -1 : 1))
}

async function split(admin: StreamAdmin, kinesis: Kinesis): Promise<void> {
  const [shard] = await openShards(kinesis)
  if (shard) await admin.split('s', shard.id, shard.hashKeys)
}

async function merge(admin: StreamAdmin, kinesis: Kinesis): Promise<void> {
  const [one, other] = await openShards(kinesis)
  if (one && other) await admin.merge('s', one.id, other.id)
}

function lastOf(stdout: string): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}
