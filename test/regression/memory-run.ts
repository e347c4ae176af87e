/** A batch run in a process of its own, with a service that costs nothing, so that its peak memory is the pipeline's. Prints the report. */
import { createHash, randomUUID } from 'node:crypto'
import { composeClient } from '../../lib/client/compose.ts'
import { inProcessTransport } from '../../lib/client/transports/in-process.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { runBatch } from '../../pipelines/batch/run.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { cacheBytes } from '../../pipelines/service.ts'

keepHeapSmall()
const [input, warehouse, mode, threads] = process.argv.slice(2) as [string, string, string, string?]
const settings = readBatchConfig(
  JSON.stringify({
    job: 'memory',
    input: { path: input, format: input.endsWith('.csv') ? 'csv' : 'parquet' },
    columns: { vin: { mode } },
    service: { embedded: { keyring: 'none' } },
    output: { table: 'db.t', warehouse },
  }),
)
const storage = localStorage()
const clock = systemClock()
const job = batchJob(settings, '/')
let calls = 0
const service = inProcessTransport(({ values, domain, deterministic }) => ({
  values: values.map((value) => {
    const bytes = createHash('sha256')
      .update(deterministic ? value : `${value}\0${calls++}`)
      .digest()
    return `p2.test.${bytes.toString('base64url')}`
  }),
  domain,
  keys: ['test'],
}))
const report = await runBatch(job, {
  storage,
  catalog: filesystemCatalog({ storage, warehouse, clock }),
  connect: async () => composeClient(service, { clock, random: Math.random, cacheBytes: cacheBytes(settings) }),
  clock,
  ...(threads && { threads: { most: Number(threads), leastBytes: 0 } }),
  random: Math.random,
  uuid: randomUUID,
  runId: 'memory',
  createdBy: 'pseudolake version 0.0.0',
  command: 'none',
  usage: () => ({ cpuSeconds: 0, peakRssBytes: process.resourceUsage().maxRSS * 1024 }),
  signal: new AbortController().signal,
})
process.stdout.write(JSON.stringify(report))
