/**
 * One shard and many: what a consumer needs until it has caught up, what it needs when nothing comes, how far behind it says it is meanwhile, and how
 * it ends. Kinesis is a process of its own (kinesis.ts), the keyring embedded. The table is counted before a number is printed.
 *
 *   node benchmarks/stream/shards.ts [--shards 1,500] [--records 200000] [--idle 20]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { cpuOf, environment, machine, round } from '../lib/measure.ts'
import { BIN } from '../lib/service.ts'

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '1,500' },
    records: { type: 'string', default: '200000' },
    idle: { type: 'string', default: '20' },
  },
})
const [records, idle] = [Number(values.records), Number(values.idle)]
const DISTINCT = 10_000
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-shards-'))
const keyring = join(dir, 'keys.json')
const running: ChildProcess[] = []
const seconds = (since: number) => (performance.now() - since) / 1000
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

try {
  await saveKeyring(keyring, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
  const results = []
  for (const shards of values.shards.split(',').map(Number)) results.push(await consume(shards))
  console.log(JSON.stringify({ ...machine(), records, results }, null, 2))
} finally {
  for (const child of running) child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}

async function consume(shards: number) {
  const kinesis = start([join(import.meta.dirname, 'kinesis.ts'), String(shards), String(records), String(DISTINCT)])
  const port = await said(kinesis.stdout, /^(\d+)$/m)
  const warehouse = join(dir, `warehouse-${shards}`)
  const config = join(dir, `${shards}.json`)
  writeFileSync(
    config,
    JSON.stringify({
      job: 'bench',
      input: { stream: 's', region: 'eu-west-1', endpoint_url: `http://127.0.0.1:${port}` },
      columns: { vin: { mode: 'deterministic' } },
      schema: { dept_id: 'string', vin: 'string', example_ts: 'string' },
      service: { embedded: { keyring } },
      output: { table: 'db.t', warehouse },
      commit: { every: '5s' },
      metrics: { port: 0 },
    }),
  )
  const began = performance.now()
  const consumer = start([BIN, 'stream', '--config', config])
  const pid = consumer.pid as number
  const url = await said(consumer.stderr, /metrics and health on (\S+)/)
  const lags: number[] = []
  const gauge = async (name: string) => {
    const text = await (await fetch(`${url}/metrics`)).text()
    return Number(new RegExp(`^pseudolake_stream_${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)
  }
  // kinesis.ts gives every shard the same number of records.
  const expected = Math.ceil(records / shards) * shards
  while ((await gauge('rows_total')) < expected) {
    lags.push(await gauge('iterator_age_seconds'))
    await pause(200)
  }
  const caughtUp = { seconds: round(seconds(began)), cpuSeconds: round(cpuOf(pid)) }
  const before = cpuOf(pid)
  const resting = performance.now()
  let lag = 0
  while (seconds(resting) < idle) {
    await pause(1000)
    lag = Math.max(lag, await gauge('iterator_age_seconds'))
  }
  const restingCpu = (cpuOf(pid) - before) / seconds(resting)
  const peakMb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  const ending = performance.now()
  consumer.kill('SIGTERM')
  const [code] = await once(consumer, 'exit')
  if (code !== 143) throw new Error(`the consumer ended with ${code}`)
  const stopSeconds = seconds(ending)
  kinesis.kill()
  const tables = new Map([['t', join(warehouse, 'db', 't')]])
  const { rows } = await runQuery('select count(*)::int, count(distinct s_vin)::int from t', {
    storage: localStorage(),
    tables,
  })
  if (JSON.stringify(rows[0]) !== JSON.stringify([expected, Math.min(DISTINCT, expected)]))
    throw new Error(`the table has ${JSON.stringify(rows[0])}, of ${expected} records`)
  return {
    shards,
    records: expected,
    until_caught_up: caughtUp,
    largest_lag_seconds: Math.max(...lags),
    at_rest: { cpu_percent: round(restingCpu * 100, 1), lag_seconds: lag },
    stop_seconds: round(stopSeconds),
    peak_rss_mb: round(peakMb, 0),
  }
}

function start(words: readonly string[]): ChildProcess {
  const env = environment({ AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' })
  const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.push(child)
  return child
}

/** What a pattern finds in what a process says. */
function said(stream: NodeJS.ReadableStream | null, pattern: RegExp): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = pattern.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    stream?.on('end', () => reject(new Error(`it ended: ${text.slice(-1000)}`)))
  })
}
