/**
 * Records a second of CPU that a consumer needs, Kinesis and the service not counted, and its memory. The table is counted by DuckDB before a
 * number is printed.
 *
 *   node benchmarks/stream/main.ts [--records 2000000] [--shards 16] [--distinct 10000,0] [--memory 512] [--repeat 3]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { machine, measured, round, spread } from '../lib/measure.ts'
import { BIN, startService } from '../lib/service.ts'

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '2000000' },
    shards: { type: 'string', default: '16' },
    distinct: { type: 'string', default: '10000,0' },
    memory: { type: 'string', default: '512' },
    repeat: { type: 'string', default: '3' },
  },
})
const [records, shards] = [Number(values.records), Number(values.shards)]
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-stream-'))
const keyring = join(dir, 'keys.json')
await saveKeyring(keyring, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
const service = await startService(keyring)
try {
  const results = []
  for (const distinct of values.distinct.split(',').map(Number)) {
    const kinesis = await startKinesis(distinct)
    try {
      const runs = []
      for (let run = 0; run < Number(values.repeat); run++) runs.push(await consume(kinesis.url, distinct, run))
      const cpu = spread(runs.map(({ cpuSeconds }) => cpuSeconds))
      results.push({
        distinct: distinct === 0 ? 'all' : distinct,
        records,
        cpu_seconds: cpu,
        records_per_cpu_second: Math.round(records / cpu.median),
        wall_seconds: spread(runs.map(({ wallSeconds }) => wallSeconds)),
        peak_rss_mb: spread(runs.map(({ peakRssMb }) => peakRssMb)),
        requests: runs[0]?.requests,
      })
    } finally {
      kinesis.child.kill()
    }
  }
  console.log(JSON.stringify({ ...machine(), shards, results }, null, 2))
} finally {
  // Its record of calls goes on to the last.
  await service.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function consume(url: string, distinct: number, run: number) {
  const warehouse = join(dir, `warehouse-${distinct}-${run}`)
  const config = join(dir, 'stream.json')
  writeFileSync(
    config,
    JSON.stringify({
      job: 'bench',
      input: { stream: 's', region: 'eu-west-1', endpoint_url: url },
      columns: { vin: { mode: 'deterministic' } },
      schema: { dept_id: 'string', vin: 'string', example_ts: 'string' },
      service: { url: service.url.replace(/\/*$/, '/pseudonymization'), api_key: { env: 'KEY' } },
      output: { table: 'db.t', warehouse },
      limits: { memory_mb: Number(values.memory) },
    }),
  )
  const keys = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' }
  const words = [process.execPath, BIN, 'stream', '--config', config, '--until-caught-up', '--json', '--quiet']
  const { stdout, ...usage } = measured({ words, env: { ...keys, ...service.env } })
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as {
    rows: number
    service: { requests: number }
  }
  const storage = localStorage()
  const tables = new Map([['t', join(warehouse, 'db', 't')]])
  const { rows } = await runQuery('select count(*)::int, count(distinct s_vin)::int from t', { storage, tables })
  const expected = [records, distinct === 0 ? records : Math.min(distinct, records)]
  if (JSON.stringify(rows[0]) !== JSON.stringify(expected) || report.rows !== records)
    throw new Error(`the table has ${JSON.stringify(rows[0])}, and should have ${JSON.stringify(expected)}`)
  rmSync(warehouse, { recursive: true, force: true })
  return { ...usage, cpuSeconds: round(usage.cpuSeconds), requests: report.service.requests }
}

async function startKinesis(distinct: number): Promise<{ url: string; child: ChildProcess }> {
  const script = join(import.meta.dirname, 'kinesis.ts')
  const child = spawn(process.execPath, [script, String(shards), String(records), String(distinct)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
    child.once('exit', () => reject(new Error('the Kinesis endpoint did not start')))
  })
  return { url: `http://127.0.0.1:${port}`, child }
}
