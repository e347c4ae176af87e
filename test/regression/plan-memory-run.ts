/** A plan of N inputs in a process of its own: one small file under as many names. Prints what was planned, and the peak memory. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { composeClient } from '../../lib/client/compose.ts'
import { inProcessTransport } from '../../lib/client/transports/in-process.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { keepHeapSmall } from '../../lib/core/heap.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage, Version } from '../../lib/storage/storage.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { shippedPrices } from '../../pipelines/batch/plan/prices.ts'
import { planBatch } from '../../pipelines/batch/run.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'

const PAGE = 1000

keepHeapSmall()
const [file, inputs] = process.argv.slice(2) as [string, string]
const content = new Uint8Array(readFileSync(file))
const memory = memoryStorage()
const storage: Storage = {
  ...memory,
  read: async (location, options = {}) =>
    location.startsWith('/in/') ? content.slice(options.start, options.end) : memory.read(location, options),
  async *list(prefix) {
    if (prefix === '/in/')
      for (let i = 0; i < Number(inputs); i++) {
        // A page of a listing is waited for, whatever storage it is of.
        if (i % PAGE === 0) await setImmediate()
        yield { location: `/in/${i}.parquet`, bytes: content.length, version: `${i}` as Version, modified: i }
      }
  },
}
const settings = readBatchConfig(
  JSON.stringify({
    job: 'memory',
    input: { path: '/in/' },
    columns: { vin: { mode: 'deterministic' } },
    service: { embedded: { keyring: 'none' } },
    output: { table: 'db.t', warehouse: '/warehouse' },
  }),
)
const clock = systemClock()
const service = inProcessTransport(({ values, domain }) => ({
  values: values.map(() => `p2.test.${'A'.repeat(64)}`),
  domain,
  keys: ['test'],
}))
const outside = {
  storage,
  catalog: filesystemCatalog({ storage, warehouse: '/warehouse', clock }),
  connect: async () => composeClient(service, { clock, random: Math.random, cacheBytes: 1 << 20 }),
  clock,
  random: Math.random,
  uuid: randomUUID,
  runId: 'memory',
  createdBy: 'pseudolake version 0.0.0',
  command: 'none',
  usage: () => ({ cpuSeconds: 0, peakRssBytes: 0 }),
  signal: new AbortController().signal,
}
const { files, rows, distinct } = await planBatch(batchJob(settings, '/'), outside, { plan: shippedPrices() })
const mb = process.resourceUsage().maxRSS / 1024
process.stdout.write(JSON.stringify({ files, rows, distinct: distinct.values, mb }))
