/**
 * A day of commits, one a minute, in as little time as they take: how large the metadata gets, and whether a commit takes longer at the end of the
 * day than at its beginning. Shards, keys and table are as in a stream of that many shards; upkeep runs every hour of the simulated clock.
 *
 *   node benchmarks/stream/day.ts [--commits 1440] [--shards 20] [--rows 50]
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
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
    commits: { type: 'string', default: '1440' },
    shards: { type: 'string', default: '20' },
    rows: { type: 'string', default: '50' },
  },
})
const [commits, shards, rows] = [Number(values.commits), Number(values.shards), Number(values.rows)]
const dir = mkdtempSync(join(tmpdir(), 'pseudolake-day-'))
const [keyring, warehouse] = [join(dir, 'keys.json'), join(dir, 'warehouse')]
const MINUTE = 60_000

/** The machine's, and a minute more with each commit. */
let ahead = 0
const real = systemClock()
const clock: Clock = {
  now: () => real.now() + ahead,
  wall: () => real.wall() + ahead,
  // What is longer than a moment passes when the day has come so far.
  async sleep(ms, signal) {
    const until = real.now() + ahead + ms
    while (real.now() + ahead < until) {
      await real.sleep(Math.min(5, Math.max(1, until - real.now() - ahead)), signal)
    }
  },
}

try {
  await saveKeyring(keyring, createKeyring({ domains: ['default'], randomBytes, now: Date.now() }), randomBytes)
  const settings = readStreamConfig(
    JSON.stringify({
      job: 'day',
      input: { stream: 's' },
      columns: { vin: { mode: 'deterministic' } },
      schema: { dept_id: 'string', vin: 'string', n: 'long' },
      service: { embedded: { keyring } },
      output: { table: 'db.t', warehouse },
    }),
  )
  const job = streamJob(settings, dir)
  const memory = memoryKinesis({ clock })
  memory.createStream('s', shards)
  const catalog = filesystemCatalog({ storage: localStorage(), warehouse, clock })
  const stop = new AbortController()
  let n = 0
  const put = () =>
    memory.put(
      's',
      Array.from({ length: rows }, () => ({
        partitionKey: String(n),
        data: Buffer.from(JSON.stringify({ dept_id: String(n % 10), vin: String(n % 1000), n: n++ })),
      })),
    )
  const times: number[] = []
  const sizes: number[] = []
  /** CPU of the process when each hour begins: what others do on the machine is not in it. */
  const cpu: number[] = [cpuMs()]
  let last = 0
  const upkeep: string[] = []
  await put()
  const report = await runStream(
    job,
    {
      storage: localStorage(),
      catalog,
      kinesis: memory,
      streamName: 's',
      consumer: { pace: { busyMs: 1, idleMs: 2 }, idleBatchMs: 600_000 },
      connect: () => connectService(asBatch(settings), { env: {}, cwd: dir, clock, random: Math.random, randomBytes }),
      sealer: undefined,
      clock,
      random: Math.random,
      uuid: randomUUID,
      runId: 'day',
      createdBy: 'pseudolake version 0.0.0',
      command: '',
      resetCommand: '',
      usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
      signal: stop.signal,
      onEvent(event) {
        if (event.event === 'upkeep') upkeep.push(`${event.what}: ${event.done}`)
        if (event.event !== 'commit' && event.event !== 'owner') return
        const now = real.now()
        if (event.event === 'commit') times.push(now - last)
        if (event.event === 'commit' && times.length % 60 === 0) cpu.push(cpuMs())
        if (times.length % 60 === 0) void metadataBytes().then((bytes) => sizes.push(bytes))
        if (times.length >= commits) stop.abort(new Error('the day is over'))
        void put().then(() => {
          last = real.now()
          // Only when they were read: time that jumps before would make a commit of nothing.
          setTimeout(() => {
            ahead += MINUTE
          }, 30)
        })
      },
    },
    {},
  )
  const { rows: counted } = await runQuery('select count(*)::int, count(distinct n)::int from t', {
    storage: localStorage(),
    tables: new Map([['t', join(warehouse, 'db', 't')]]),
  })
  if (JSON.stringify(counted[0]) !== JSON.stringify([report.rows, report.rows]))
    throw new Error(`the table has ${JSON.stringify(counted[0])}, and ${report.rows} were published`)
  const hours = Array.from({ length: Math.floor(times.length / 60) }, (_, h) =>
    round(times.slice(h * 60, h * 60 + 60).toSorted((a, b) => a - b)[30] ?? 0, 1),
  )
  const state = await catalog.load({ database: 'db', name: 't' })
  console.log(
    JSON.stringify(
      {
        ...machine(),
        commits: times.length,
        shards,
        median_ms_by_hour: hours,
        cpu_ms_a_commit_by_hour: cpu.slice(1).map((ms, h) => round((ms - (cpu[h] as number)) / 60, 1)),
        metadata_bytes_by_hour: sizes,
        snapshots: state.metadata.snapshots.length,
        rows: report.rows,
        upkeep: upkeep.length,
      },
      null,
      2,
    ),
  )

  function cpuMs(): number {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }

  async function metadataBytes(): Promise<number> {
    const { metadataLocation } = await catalog.load({ database: 'db', name: 't' })
    return statSync(metadataLocation.replace(/^file:\/\//, '')).size
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}
