/**
 * What it costs to know that there is nothing to do, and to find the few new inputs among many: time and peak memory of runs over a listing
 * of N inputs that the ledger knows. Each run is a process of its own; its report is checked before its time counts.
 *
 *   node benchmarks/planning.ts [--inputs 100000] [--inputs 1000000] [--local]
 *
 * The listing is made up (an object store’s would come page by page, and its network decides); with --local the inputs are hard links on
 * a disk, each looked at. The service is a hash: it is asked for the key check only.
 */
import { spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { generate } from '../datagen/index.ts'
import { composeClient } from '../lib/client/compose.ts'
import { inProcessTransport } from '../lib/client/transports/in-process.ts'
import { systemClock } from '../lib/core/clock.ts'
import { keepHeapSmall } from '../lib/core/heap.ts'
import { filesystemCatalog } from '../lib/iceberg/catalogs/filesystem.ts'
import { localStorage } from '../lib/storage/local.ts'
import type { Storage, StoredObject, Version } from '../lib/storage/storage.ts'
import { batchJob } from '../pipelines/batch/job.ts'
import { type BatchOptions, runBatch } from '../pipelines/batch/run.ts'
import { readBatchConfig } from '../pipelines/config/load.ts'
import { cacheBytes } from '../pipelines/service.ts'

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', multiple: true, default: ['100000', '1000000'] },
    local: { type: 'boolean', default: false },
    /** Of the process of one run. */
    run: { type: 'string' },
    dir: { type: 'string', default: '' },
  },
})

function measure(inputs: number): void {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-planning-'))
  try {
    mkdirSync(join(dir, 'in'))
    child('seed', dir, 1)
    if (values.local) for (let i = 0; i < inputs; i++) linkSync(join(dir, 'seed.parquet'), nameOf(dir, i))
    for (const [name, wanted] of [
      ['adopt', { status: 'done', files: 0 }],
      ['nothing', { status: 'nothing-to-do', skipped_files: inputs }],
      ['new', { status: 'done', files: 3, skipped_files: inputs }],
    ] as const) {
      if (name === 'new')
        for (const i of [0, 1, 2])
          writeFileSync(join(dir, 'in', `new-${i}.parquet`), readFileSync(join(dir, 'seed.parquet')))
      const report = child(name, dir, inputs)
      for (const [key, value] of Object.entries(wanted))
        if (report[key] !== value) throw new Error(`${name}: ${key} is ${report[key]}, expected ${value}`)
      const { seconds, cpu_seconds: cpu, peak_rss_bytes: peak } = report as Record<string, number>
      const metadata = readdirSync(join(dir, 'warehouse/db/t/metadata')).filter((file) =>
        file.endsWith('.metadata.json'),
      )
      const largest = Math.max(...metadata.map((file) => statSync(join(dir, 'warehouse/db/t/metadata', file)).size))
      process.stdout.write(
        `${inputs} inputs, ${WHAT[name]}: ${seconds?.toFixed(2)} s, CPU ${cpu?.toFixed(2)} s, peak ${((peak ?? 0) / 2 ** 20).toFixed(0)} MB, metadata.json ${largest} bytes\n`,
      )
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const WHAT = { adopt: 'first run, adopted', nothing: 'nothing to do', new: 'three are new' }

function child(name: string, dir: string, inputs: number): Record<string, unknown> {
  const args = [fileURLToPath(import.meta.url), '--run', name, '--dir', dir, '--inputs', String(inputs)]
  const { status, stdout, stderr } = spawnSync(process.execPath, values.local ? [...args, '--local'] : args, {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${name} failed: ${stderr.slice(-1000)}`)
  return JSON.parse(stdout)
}

async function run(name: string, dir: string, inputs: number): Promise<void> {
  keepHeapSmall()
  const disk = localStorage()
  if (name === 'seed') await generate({ location: join(dir, 'seed.parquet'), rows: 100 }, { storage: disk })
  // Another job makes the table; without its mark the rows are anybody’s, so that the inputs can be adopted.
  const storage = name === 'seed' || values.local ? disk : withListing(disk, dir, inputs)
  const settings = readBatchConfig(
    JSON.stringify({
      job: name === 'seed' ? 'seed' : 'planning',
      input: { path: join(dir, name === 'seed' ? 'seed.parquet' : 'in') },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'none' } },
      output: { table: 'db.t', warehouse: join(dir, 'warehouse') },
    }),
  )
  const clock = systemClock()
  const catalog = filesystemCatalog({ storage, warehouse: join(dir, 'warehouse'), clock })
  const options: BatchOptions = name === 'adopt' ? { adopt: 'all' } : {}
  const outside = {
    storage,
    catalog,
    connect: async () => composeClient(service, { clock, random: Math.random, cacheBytes: cacheBytes(settings) }),
    clock,
    random: Math.random,
    uuid: randomUUID,
    runId: name,
    createdBy: 'pseudolake version 0.0.0',
    command: 'none',
    usage: () => {
      const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
      return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }
    },
    signal: new AbortController().signal,
  }
  const report = await runBatch(batchJob(settings, '/'), outside, options)
  if (name === 'seed') {
    const ident = { database: 'db', name: 't' }
    const state = await catalog.load(ident)
    await catalog.commit(ident, state, [{ action: 'remove-properties', removals: ['pseudolake.job.seed'] }])
  }
  process.stdout.write(JSON.stringify({ ...report, published: [] }))
}

const service = inProcessTransport(({ values, domain }) => ({
  values: values.map((value) => `p2.test.${createHash('sha256').update(value).digest('base64url')}`),
  domain,
  keys: ['test'],
}))

function nameOf(dir: string, i: number): string {
  return join(dir, 'in', `year=2026-part-${String(i).padStart(8, '0')}-of-a-name-as-spark-makes-it.c000.snappy.parquet`)
}

/** The disk, with as many more inputs in its listing. */
function withListing(disk: Storage, dir: string, inputs: number): Storage {
  return {
    ...disk,
    async *list(prefix) {
      yield* disk.list(prefix)
      if (!prefix.startsWith(join(dir, 'in'))) return
      for (let i = 0; i < inputs; i++) yield described(nameOf(dir, i), i)
    },
  }
}

function described(location: string, i: number): StoredObject {
  return {
    location,
    bytes: 1_000_000 + i,
    version: `"${i.toString(16).padStart(32, '0')}"` as Version,
    modified: 1.7e12 + i,
  }
}

if (values.run === undefined) for (const inputs of values.inputs) measure(Number(inputs))
else await run(values.run, values.dir, Number(values.inputs[0]))
