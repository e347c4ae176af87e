/**
 * Consumers as processes, killed with SIGKILL at any moment, while records come, shards split and merge, and a second consumer now and then begins
 * beside the first: no gap, no duplicate, and each key in its order. `make crash-stream` kills 400 times; KILLS says how often for each of two
 * tables, PSEUDOLAKE_CRASH_SEED repeats the moments as far as the machine lets them repeat.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pseudolake, start } from '../helpers/cli.ts'
import { kinesisFake } from '../helpers/kinesis/fake.ts'
import { stage } from '../pipelines/stream/stage.ts'

const FULL = process.env.PSEUDOLAKE_CRASH === 'full'
const KILLS = Number(process.env.KILLS ?? (FULL ? 200 : 5))
const KEYS = 12
const SEED = Number(process.env.PSEUDOLAKE_CRASH_SEED ?? 1)

/** The same strikes for the same seed; when they hit is the machine's to say. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test.each([
  ['keep each key in its order', false],
  ['leave a table that is compacted and expired beside them whole', true],
])(
  `consumers killed ${KILLS} times at any moment lose nothing, double nothing, and %s`,
  async (_, compact) => {
    const random = randomOf(SEED + Number(compact))
    const on = await stage(1)
    const fake = await kinesisFake()
    fake.memory.createStream('s', 3)
    let shards = (await fake.memory.shards('s')).map(({ id }) => id)
    writeFileSync(
      join(on.dir, 'stream.json'),
      JSON.stringify({
        job: 'test',
        input: { stream: 's', region: 'eu-west-1', endpoint_url: fake.url },
        columns: { vin: { mode: 'deterministic' } },
        schema: { key: 'string', vin: 'string', n: 'long' },
        quarantine: { path: join(on.dir, 'quarantine'), recipient: Buffer.alloc(32, 9).toString('base64') },
        dedupe: { keys: ['n'], window: '1h' },
        service: { embedded: { keyring: on.keyring } },
        output: { table: 'db.t', warehouse: join(on.dir, 'warehouse') },
        commit: { every: '150ms' },
        upkeep: { every: '400ms', min_files: 4, compact },
        heartbeat: { every: '100ms', takeover_after: '1s' },
      }),
    )
    const env = { ...fake.env }
    const consume = (...more: string[]) =>
      start(['stream', '--config', 'stream.json', '--quiet', ...more], { cwd: on.dir, env })
    let n = 0
    let bad = 0
    const produce = async () => {
      const records = Array.from({ length: 20 }, () => {
        const key = `key-${n % KEYS}`
        return { partitionKey: key, data: Buffer.from(JSON.stringify({ key, vin: `V${n % 100}`, n: n++ })) }
      })
      if (random() < 0.1) {
        bad++
        records.push({ partitionKey: 'key-0', data: Buffer.from('no JSON') })
      }
      await fake.memory.put('s', records)
    }
    const reshard = () => {
      if (shards.length > 1 && random() < 0.5) {
        // Neighbours: the last two children of one split are.
        const [one, other] = shards.slice(-2) as [string, string]
        try {
          shards = [...shards.slice(0, -2), fake.memory.merge('s', one, other)]
        } catch {
          shards = [...shards.slice(0, -1), ...fake.memory.split('s', other)]
        }
      } else shards = [...shards.slice(0, -1), ...fake.memory.split('s', shards.at(-1) as string)]
    }

    for (let kill = 0; kill < KILLS; kill++) {
      const consumers = [consume(), ...(random() < 0.25 ? [consume()] : [])]
      const until = performance.now() + 500 + random() * (FULL ? 1500 : 1200)
      while (performance.now() < until) {
        await produce()
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
      if (random() < 0.2) reshard()
      for (const { child } of consumers) child.kill('SIGKILL')
      const ends = await Promise.all(consumers.map(({ ended }) => ended))
      for (const { signal, stderr } of ends) expect([signal, stderr]).toEqual(['SIGKILL', ''])
    }
    const last = await pseudolake(['stream', '--config', 'stream.json', '--until-caught-up', '--json', '--quiet'], {
      cwd: on.dir,
      env,
    })
    expect(last.stderr).toBe('')
    const rows = await on.inOrder('key, n')
    expect(rows.map(([, each]) => Number(each)).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: n }, (_, i) => i),
    )
    // A compacted file has the rows of several commits, and stands where it was made.
    const newest = new Map<unknown, number>()
    for (const [key, each] of compact ? [] : rows) {
      expect(Number(each), `${key}`).toBeGreaterThan(newest.get(key) ?? -1)
      newest.set(key, Number(each))
    }
    const listed = await pseudolake(['quarantine', 'list', '--config', 'stream.json', '--json'], { cwd: on.dir, env })
    expect(JSON.parse(listed.stdout)).toMatchObject({ sealed: bad })
    const verified = await pseudolake(['table', 'verify', on.table, '--json'], { cwd: on.dir, env })
    expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'clean' })
  },
  KILLS > 10 ? 3_600_000 : 120_000,
)
