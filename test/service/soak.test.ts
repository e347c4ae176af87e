import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startService } from '../../benchmarks/lib/service.ts'
import type { Job, Seen } from '../../benchmarks/service/load.ts'
import { soak } from '../../benchmarks/service/soak.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { folder } from './keyrings.ts'

/** Of the process; its compiler and its heap still settle where a short form looks. */
const SLACK_MB = 32

test.skipIf(process.platform !== 'linux')(
  'the service’s memory does not grow with what it has answered, both ways (ten minutes of it: make bench-service SOAK=600)',
  async () => {
    const file = join(folder(), 'keys.json')
    await saveKeyring(file, createKeyring({ format: 'original', randomBytes, now: Date.now() }), randomBytes)
    const service = await startService(file, { bothWays: true })
    onTestFinished(() => service.stop())
    const loader = fork('benchmarks/service/load.ts')
    onTestFinished(() => void loader.kill())
    const load = async (job: Job): Promise<Seen> => {
      loader.send(job)
      const [seen] = (await once(loader, 'message')) as [Seen | { failed: string }]
      if ('failed' in seen) throw new Error(seen.failed)
      return seen
    }
    const path = '/pseudonymization?deterministic=True'
    const job = { url: service.url, path, apiKey: service.env.KEY, connections: 8, requests: 0, size: 1_000, from: 0 }
    // Between the two looks lie 2 million values: 17 bytes kept of each would show.
    const soaked = await soak({ service, requests: 100, job, load, goesOn: (rounds) => rounds < 30 })
    expect(soaked.values).toBe(6_000_000)
    expect(soaked.late.rssMb).toBeLessThan(soaked.early.rssMb + SLACK_MB)
  },
  180_000,
)
