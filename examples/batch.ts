/**
 * A batch run as a program: what `pseudolake batch` does, with your own storage, clock and progress.
 *
 *   node --conditions=pseudolake-source examples/batch.ts FOLDER      in a checkout; FOLDER must be new
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { batchJob, connectService, localStorage, readBatchConfig, runBatch, runQuery, systemClock } from 'pseudolake'
import { filesystemCatalog } from 'pseudolake/iceberg'
import { createKeyring, saveKeyring } from 'pseudolake/service'
import { generate } from '../datagen/index.ts'

const dir = resolve(process.argv[2] ?? 'example')
await mkdir(dir)
const storage = localStorage()
const clock = systemClock()
const keyring = join(dir, 'keys.json')
await saveKeyring(keyring, createKeyring({ randomBytes, now: clock.wall() }), randomBytes)
await generate({ location: join(dir, 'raw', 'vehicles.parquet'), rows: 10_000 }, { storage })

const settings = readBatchConfig(`
job: example
input: { path: ${JSON.stringify(join(dir, 'raw'))} }
columns:
  vin: { mode: deterministic }
  dept_id: { mode: drop }
service: { embedded: { keyring: ${JSON.stringify(keyring)} } }
output: { table: lake.vehicles, warehouse: ${JSON.stringify(join(dir, 'warehouse'))} }
`)
const job = batchJob(settings, dir)
const report = await runBatch(job, {
  storage,
  catalog: filesystemCatalog({ storage, warehouse: join(dir, 'warehouse'), clock }),
  connect: () => connectService(settings, { env: process.env, cwd: dir, clock, random: Math.random, randomBytes }),
  clock,
  random: Math.random,
  uuid: randomUUID,
  runId: `example-${randomUUID().slice(0, 8)}`,
  createdBy: 'example version 1.0.0',
  command: 'node examples/batch.ts',
  usage: () => ({ cpuSeconds: process.cpuUsage().user / 1e6, peakRssBytes: process.resourceUsage().maxRSS * 1024 }),
  signal: AbortSignal.timeout(60_000),
  onEvent: (event) => console.error(event.type),
})
console.log(`${report.rows} rows, ${report.distinct} distinct values, ${report.service.requests} requests`)

const answer = await runQuery('select count(*), count(distinct s_vin) from v', {
  storage,
  tables: new Map([['v', report.location]]),
})
console.log(JSON.stringify(answer.rows))
