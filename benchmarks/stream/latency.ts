/**
 * How long it takes from a record's arrival in the stream until its row is in a committed snapshot: a stream in memory that is asked as Kinesis is
 * (once a second a shard), records at a steady rate, a table on the local disk. Each row's snapshot is looked up in the table, and every record must
 * be there once, before a number is printed.
 *
 *   node benchmarks/stream/latency.ts [--every 5s] [--seconds 300] [--rate 200] [--shards 4]
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../lib/core/clock.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { memoryKinesis } from '../../lib/kinesis/memory.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { readStreamConfig } from '../../pipelines/config/load.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { connectService } from '../../pipelines/service.ts'
import { asBatch, streamJob } from '../../pipelines/stream/job.ts'
import { runStream } from '../../pipelines/stream/run.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { machine, round } from '../lib/measure.ts'

const { values } = parseArgs({
  options: {
    every: { type: 'string', default: '5s' },
    seconds: { type: 'string', default: '300' },
    rate: { type: 'string', default: '200' },
    shards: { type: 'string', default: '4' },
  },
})
const [seconds, rate, shards] = [Number(values.seconds), Number(values.rate), Number(values.shards)]
/** Between two puts. */
const PUT_MS = 50
const TABLE = { database: 'db', name: 't' }
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-latency-'))
const [keyring, warehouse] = [join(dir, 'keys.json'), join(dir, 'warehouse')]
const clock = systemClock()

try {
  await saveKeyring(keyring, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
  const settings = readStreamConfig(
    JSON.stringify({
      job: 'latency',
      input: { stream: 's' },
      columns: { vin: { mode: 'deterministic' } },
      schema: { dept_id: 'string', vin: 'string', n: 'long' },
      service: { embedded: { keyring } },
      output: { table: 'db.t', warehouse },
      commit: { every: values.every },
      // Compaction would move rows out of the snapshots that they came with.
      upkeep: { compact: false },
    }),
  )
  const storage = localStorage()
  const catalog = filesystemCatalog({ storage, warehouse, clock })
  const memory = memoryKinesis({ clock })
  memory.createStream('s', shards)
  const stop = new AbortController()
  /** By the number of the record. */
  const arrived: number[] = []
  const committed: { readonly at: number; readonly snapshot: string | null; readonly rows: number }[] = []
  const producing = produce()
  const report = await runStream(
    streamJob(settings, dir),
    {
      storage,
      catalog,
      kinesis: memory,
      streamName: 's',
      connect: () => connectService(asBatch(settings), { env: {}, cwd: dir, clock, random: Math.random, randomBytes }),
      sealer: undefined,
      clock,
      random: Math.random,
      uuid: randomUUID,
      runId: 'latency',
      createdBy: 'pseudolake version 0.0.0',
      command: '',
      resetCommand: '',
      usage: () => ({ cpuSeconds: process.cpuUsage().user / 1e6, peakRssBytes: 0 }),
      signal: stop.signal,
      onEvent(event) {
        if (event.event === 'commit') committed.push({ at: clock.now(), snapshot: event.snapshot_id, rows: event.rows })
      },
    },
    {},
  )
  await producing
  const latencies = await latenciesOf()
  console.log(
    JSON.stringify(
      {
        ...machine(),
        ...{ every: values.every, seconds, rate, shards, records: report.records, commits: report.commits },
        milliseconds: Object.fromEntries(
          [50, 90, 99, 100].map((p) => [
            `p${p}`,
            round(latencies[Math.ceil((latencies.length * p) / 100) - 1] ?? 0, 0),
          ]),
        ),
      },
      null,
      2,
    ),
  )

  async function produce(): Promise<void> {
    const until = clock.now() + seconds * 1000
    let owed = 0
    for (let last = clock.now(); last < until; ) {
      await clock.sleep(PUT_MS)
      const now = clock.now()
      owed += ((now - last) / 1000) * rate
      last = now
      const count = Math.floor(owed)
      owed -= count
      const records = Array.from({ length: count }, () => {
        const n = arrived.push(now) - 1
        return {
          partitionKey: String(n),
          data: Buffer.from(JSON.stringify({ dept_id: String(n % 10), vin: String(n % 10_000), n })),
        }
      })
      await memory.put('s', records)
    }
    // Every commit comes by its time, none by the stop.
    while (committed.reduce((sum, { rows }) => sum + rows, 0) < arrived.length) await clock.sleep(PUT_MS)
    stop.abort(new Error('enough'))
  }

  /** Sorted. */
  async function latenciesOf(): Promise<number[]> {
    const { metadata } = await catalog.load(TABLE)
    const seen = new Set<number>()
    const latencies: number[] = []
    for (const { at, snapshot, rows } of committed) {
      const found = metadata.snapshots.find((one) => String(one['snapshot-id']) === snapshot)
      if (!found) throw new Error(`snapshot ${snapshot} is not in the table`)
      const fresh = (await numbersOf(found['snapshot-id'])).filter((n) => !seen.has(n))
      if (fresh.length !== rows) throw new Error(`snapshot ${snapshot} has ${fresh.length} new rows, not ${rows}`)
      for (const n of fresh) {
        seen.add(n)
        latencies.push(at - (arrived[n] as number))
      }
    }
    const all = await numbersOf(metadata['current-snapshot-id'] as bigint)
    if (all.length !== arrived.length || seen.size !== all.length)
      throw new Error(`the table has ${all.length} rows, ${seen.size} records, of ${arrived.length}`)
    return latencies.toSorted((a, b) => a - b)
  }

  /** The records of a snapshot. */
  async function numbersOf(snapshot: bigint): Promise<number[]> {
    const state = await catalog.load(TABLE)
    const metadata = { ...state.metadata, 'current-snapshot-id': snapshot }
    const tables = new Map([['t', { state: { ...state, metadata }, storage }]])
    const { rows } = await runQuery('select n::int from t', { storage, tables, maxRows: arrived.length + 1 })
    return rows.map(([n]) => Number(n))
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}
