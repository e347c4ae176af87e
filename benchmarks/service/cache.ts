/**
 * What the service's cache saves those who repeat themselves, and costs those who never do: two services over HTTP, with it and without, in
 * turn, round after round, so that whatever else the machine does meets both.
 *
 *   node benchmarks/service/cache.ts [--rounds 10] [--requests 200]
 */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { type RunningService, startService } from '../lib/service.ts'
import type { Job } from './load.ts'

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, requests: { type: 'string', default: '200' } },
})
const ROUNDS = Number(flags.rounds)
const REQUESTS = Number(flags.requests)
const SIZE = 1_000
const FORWARD = '/pseudonymization?deterministic=True'
const BACK = '/reidentification'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-bench-cache-'))
const loader = fork(join(import.meta.dirname, 'load.ts'), { stdio: 'inherit' })
const services: RunningService[] = []
const costs = new Map<string, number[]>()
let from = 0
try {
  const keyring = join(folder, 'keys.json')
  await saveKeyring(keyring, createKeyring({ format: 'original', randomBytes, now: Date.now() }), randomBytes)
  // One for those who repeat themselves, one for those who don't: whoever does now this, now that has some requests that are not looked at.
  const repeating = await startService(keyring, { bothWays: true })
  const distinct = await startService(keyring, { bothWays: true })
  const none = await startService(keyring, { bothWays: true, words: ['--cache-mb', '0'] })
  services.push(repeating, distinct, none)
  for (let round = -2; round < ROUNDS; round++)
    for (const [name, of, ofRepeating] of [['cache', distinct, repeating] as const, ['none', none, none] as const]) {
      await cost(round, `distinct, ${name}`, of, { path: FORWARD })
      await cost(round, `10,000 over and over, ${name}`, ofRepeating, {
        path: FORWARD,
        from: 0,
        distinct: 10_000,
        keep: true,
      })
      await cost(round, `10,000 back, ${name}`, ofRepeating, { path: BACK, kept: true })
    }
  for (const [what, all] of costs) {
    const sorted = all.sort((a, b) => a - b)
    const [least, median] = [sorted[0], sorted[sorted.length >> 1]] as [number, number]
    console.log(`${what.padEnd(36)} least ${least.toFixed(2)}, median ${median.toFixed(2)} µs CPU an identifier`)
  }
} finally {
  await Promise.all(services.map((service) => service.stop()))
  loader.kill()
  rmSync(folder, { recursive: true, force: true })
}

async function cost(round: number, what: string, service: RunningService, job: Partial<Job>): Promise<void> {
  from += REQUESTS * SIZE
  const before = service.cpuSeconds()
  const common = { url: service.url, apiKey: service.env.KEY, size: SIZE, connections: 8, requests: REQUESTS }
  loader.send({ ...common, path: FORWARD, from, ...job })
  const [seen] = await once(loader as ChildProcess, 'message')
  if ('failed' in seen) throw new Error(seen.failed)
  const us = ((service.cpuSeconds() - before) * 1e6) / (REQUESTS * SIZE)
  if (round >= 0) costs.set(what, [...(costs.get(what) ?? []), us])
}
