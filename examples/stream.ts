/**
 * A stream as a program: what `pseudolake stream` does, from a stream in memory. With `awsKinesis` in its place it is Kinesis.
 *
 *   node --conditions=pseudolake-source examples/stream.ts FOLDER      in a checkout; FOLDER must be new
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { connectService, localStorage, runQuery, systemClock } from 'pseudolake'
import { filesystemCatalog } from 'pseudolake/iceberg'
import { createKeyring, saveKeyring } from 'pseudolake/service'
import { asBatch, memoryKinesis, readStreamConfig, runStream, streamJob } from 'pseudolake/stream'

const dir = resolve(process.argv[2] ?? 'example')
await mkdir(dir)
const storage = localStorage()
const clock = systemClock()
const keyring = join(dir, 'keys.json')
await saveKeyring(keyring, createKeyring({ randomBytes, now: clock.wall() }), randomBytes)

const kinesis = memoryKinesis({ clock })
kinesis.createStream('vehicles', 2)
await kinesis.put(
  'vehicles',
  Array.from({ length: 1000 }, (_, i) => ({
    partitionKey: String(i),
    data: Buffer.from(JSON.stringify({ dept_id: i % 10, vin: `V${i % 100}` })),
  })),
)

const settings = readStreamConfig(`
job: example
input: { stream: vehicles }
columns: { vin: { mode: deterministic } }
service: { embedded: { keyring: ${JSON.stringify(keyring)} } }
output: { table: lake.vehicles, warehouse: ${JSON.stringify(join(dir, 'warehouse'))} }
`)
const report = await runStream(
  streamJob(settings, dir),
  {
    storage,
    catalog: filesystemCatalog({ storage, warehouse: join(dir, 'warehouse'), clock }),
    kinesis,
    streamName: 'vehicles',
    connect: () =>
      connectService(asBatch(settings), { env: process.env, cwd: dir, clock, random: Math.random, randomBytes }),
    sealer: undefined,
    clock,
    random: Math.random,
    uuid: randomUUID,
    runId: `example-${randomUUID().slice(0, 8)}`,
    createdBy: 'example version 1.0.0',
    command: 'node examples/stream.ts',
    resetCommand: 'resetPositions() of pseudolake/stream',
    usage: () => ({ cpuSeconds: process.cpuUsage().user / 1e6, peakRssBytes: process.resourceUsage().maxRSS * 1024 }),
    signal: AbortSignal.timeout(60_000),
    onEvent: (event) => console.error(event.event),
  },
  { untilCaughtUp: true },
)
console.log(`${report.rows} rows in ${report.commits} commits, ${report.status}`)

const answer = await runQuery('select count(*), count(distinct s_vin) from v', {
  storage,
  tables: new Map([['v', report.location]]),
})
console.log(`the table has ${answer.rows[0]?.join(' rows and ')} pseudonyms`)
