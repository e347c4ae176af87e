/**
 * What many inputs cost: to plan all of them (`--plan`), to know that there is nothing to do, and to find the few new ones among them. Time
 * and peak memory, each run a process of its own; what it reports is checked before its time counts.
 *
 *   node benchmarks/planning.ts [--inputs 100000] [--inputs 1000000] [--from disk|s3] [--no-plan]
 *
 * From a disk the inputs are hard links, each looked at. From S3 they are listed, page by page, and read by the adapter out of a store of ours
 * on this machine (benchmarks/s3): what the SDK costs is in the figures, a network is not. The table is on the disk. The
 * service is a hash: it is asked for the key check only.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
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
import { openStorage } from '../lib/storage/open.ts'
import { batchJob } from '../pipelines/batch/job.ts'
import { shippedPrices } from '../pipelines/batch/plan/prices.ts'
import { planBatch, runBatch } from '../pipelines/batch/run.ts'
import { readBatchConfig } from '../pipelines/config/load.ts'
import { cacheBytes } from '../pipelines/service.ts'
import { s3Client } from '../test/helpers/s3/open.ts'
import { keyOf } from './s3/keys.ts'

const { values } = parseArgs({
  allowNegative: true,
  options: {
    inputs: { type: 'string', multiple: true, default: ['100000', '1000000'] },
    from: { type: 'string', default: 'disk' },
    plan: { type: 'boolean', default: true },
    /** Of the process of one run. */
    run: { type: 'string' },
    dir: { type: 'string', default: '' },
    s3: { type: 'string' },
  },
})

const ROWS = 100
/** A file has at most 65,000 names on ext4. */
const LINKS = 60_000
/** What is in the bucket after the first runs. */
const MORE = 3

async function measure(inputs: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-planning-'))
  let store: Store | undefined
  try {
    mkdirSync(join(dir, 'in'))
    await child('seed', dir)
    const grow = async (from: number, to: number) => {
      if (values.from === 'disk') link(dir, from, to)
      else {
        store?.process.kill()
        store = await startStore(to, join(dir, 'seed.parquet'))
      }
    }
    await grow(0, inputs)
    for (const [name, what, wanted] of [
      ['plan', 'planned', { status: 'planned', files: inputs, rows: ROWS * inputs }],
      ['adopt', 'first run, adopted', { status: 'done', files: 0 }],
      ['nothing', 'nothing to do', { status: 'nothing-to-do', skipped_files: inputs }],
      ['new', 'three are new', { status: 'done', files: MORE, skipped_files: inputs }],
    ] as const) {
      if (name === 'plan' && !values.plan) continue
      if (name === 'new') await grow(inputs, inputs + MORE)
      const report = await child(name, dir, store?.address)
      for (const [key, value] of Object.entries(wanted))
        if (report[key] !== value) throw new Error(`${name}: ${key} is ${report[key]}, expected ${value}`)
      const { wall, cpu, peak } = report as Record<string, number>
      process.stdout.write(
        `${inputs} inputs from ${values.from}, ${what}: ${wall?.toFixed(1)} s, CPU ${cpu?.toFixed(1)} s, peak ${((peak ?? 0) / 2 ** 20).toFixed(0)} MB, metadata.json ${largestMetadata(dir)} bytes\n`,
      )
    }
  } finally {
    store?.process.kill()
    rmSync(dir, { recursive: true })
  }
}

function link(dir: string, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const copy = join(dir, `seed-${from}-${Math.floor((i - from) / LINKS)}.parquet`)
    if ((i - from) % LINKS === 0) copyFileSync(join(dir, 'seed.parquet'), copy)
    linkSync(copy, join(dir, keyOf(i)))
  }
}

interface Store {
  readonly process: ChildProcess
  readonly address: string
}

async function startStore(objects: number, file: string): Promise<Store> {
  const server = fileURLToPath(new URL('s3/server.ts', import.meta.url))
  const store = spawn(process.execPath, [server, '--objects', String(objects), '--file', file], { stdio: 'pipe' })
  const address = await new Promise<string>((done, fail) => {
    store.stdout.once('data', (line: Buffer) => done(line.toString().trim()))
    store.once('exit', (code) => fail(new Error(`the store ended with ${code}`)))
  })
  return { process: store, address }
}

function largestMetadata(dir: string): number {
  const folder = join(dir, 'warehouse/db/t/metadata')
  const files = readdirSync(folder).filter((file) => file.endsWith('.metadata.json'))
  return Math.max(...files.map((file) => statSync(join(folder, file)).size))
}

async function child(name: string, dir: string, s3?: string): Promise<Record<string, unknown>> {
  const args = [fileURLToPath(import.meta.url), '--run', name, '--dir', dir, ...(s3 ? ['--s3', s3] : [])]
  // As the command line has it: without it each run would strip and compile 200 modules anew.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(dir, 'compiled') }
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  let out = ''
  running.stdout.on('data', (part: Buffer) => {
    out += part.toString()
  })
  const code = await new Promise((done) => running.once('close', done))
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
  return JSON.parse(out)
}

async function run(name: string, dir: string): Promise<void> {
  keepHeapSmall()
  const disk = localStorage()
  if (name === 'seed') await generate({ location: join(dir, 'seed.parquet'), rows: ROWS }, { storage: disk })
  const { s3 } = values
  const storage =
    s3 === undefined
      ? disk
      : openStorage({ s3: { client: async () => s3Client(s3), clock: systemClock(), random: Math.random } })
  const inputs = s3 === undefined ? join(dir, 'in/') : 's3://bucket/in/'
  const settings = readBatchConfig(
    JSON.stringify({
      // Another job makes the table; without its mark the rows are anybody’s, so that the inputs can be adopted.
      job: name === 'seed' ? 'seed' : 'planning',
      input: { path: name === 'seed' ? join(dir, 'seed.parquet') : inputs },
      columns: { vin: { mode: 'deterministic' } },
      service: { embedded: { keyring: 'none' } },
      output: { table: name === 'plan' ? 'db.other' : 'db.t', warehouse: join(dir, 'warehouse') },
    }),
  )
  const clock = systemClock()
  const catalog = filesystemCatalog({ storage: disk, warehouse: join(dir, 'warehouse'), clock })
  const usage = () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
    return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }
  }
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
    usage,
    signal: new AbortController().signal,
  }
  const job = batchJob(settings, '/')
  const started = performance.now()
  const { status, files, rows, skipped_files } =
    name === 'plan'
      ? await planBatch(job, outside, { plan: shippedPrices() })
      : await runBatch(job, outside, name === 'adopt' ? { adopt: 'all' } : {})
  const wall = (performance.now() - started) / 1000
  if (name === 'seed') {
    const ident = { database: 'db', name: 't' }
    const state = await catalog.load(ident)
    await catalog.commit(ident, state, [{ action: 'remove-properties', removals: ['pseudolake.job.seed'] }])
  }
  const { cpuSeconds: cpu, peakRssBytes: peak } = usage()
  await new Promise((done) =>
    process.stdout.write(JSON.stringify({ status, files, rows, skipped_files, wall, cpu, peak }), done),
  )
  // Connections that are kept alive would keep the process.
  process.exit(0)
}

const service = inProcessTransport(({ values, domain }) => ({
  values: values.map((value) => `p2.test.${createHash('sha256').update(value).digest('base64url')}`),
  domain,
  keys: ['test'],
}))

if (values.run === undefined) for (const inputs of values.inputs) await measure(Number(inputs))
else await run(values.run, values.dir)
