/**
 * The service as users start it, over HTTP on this machine, with 1,000 identifiers of 17 bytes a request.
 *
 *   node benchmarks/service/main.ts [--requests 1500] [--soak SECONDS] [--json]        (make bench-service)
 *
 * `NODE_26=…`, a Node that has AES-256-GCM-SIV, has it tried in the same run (benchmarks/crypto/node-crypto.ts).
 *
 * The callers are another process (load.ts). What is counted is the service's: processor time of all its threads for an identifier, and its resident
 * memory; and what callers see, the latency of a request. Answers are compared with the portable kernel's before anything is timed.
 * Linux: time and memory are read from /proc.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { PseudonymKernel } from '../../lib/crypto/kernel.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { machine } from '../lib/measure.ts'
import { type RunningService, startService } from '../lib/service.ts'
import { bodyOf, type Job, type Seen } from './load.ts'
import { type Round, soak } from './soak.ts'

const { values: flags } = parseArgs({
  options: { requests: { type: 'string', default: '1500' }, soak: { type: 'string' }, json: { type: 'boolean' } },
})
const REQUESTS = Number(flags.requests)
const SIZE = 1_000
const FORWARD = '/pseudonymization?deterministic=True'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-bench-service-'))
const loader = fork(join(import.meta.dirname, 'load.ts'), { stdio: 'inherit' })
const services: RunningService[] = []
try {
  await main()
} finally {
  await Promise.all(services.map((service) => service.stop()))
  loader.kill()
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const [original, v2] = [keys('original', 'default'), keys('v2', 'vehicle')]
  const file = join(folder, 'keys.json')
  await saveKeyring(file, { domains: [...original.domains, ...v2.domains] }, randomBytes)
  const service = await started(file)
  const common = { url: service.url, apiKey: service.env.KEY, size: SIZE, connections: 8, requests: REQUESTS }
  await judge(service, original, FORWARD)
  await judge(service, v2, `${FORWARD}&domain=vehicle`)
  if (flags.soak) {
    const goesOn = (_: number, seconds: number) => seconds < Number(flags.soak)
    const soaked = await soak({ service, requests: 400, job: { ...common, path: FORWARD, from: 0 }, goesOn, load })
    const show = ({ rssMb, p99 }: Round) => `at most ${rssMb} MB, p99 ${p99.toFixed(1)} ms`
    console.log(`${soaked.values} values in ${Math.round(soaked.seconds)} s, both ways, 8 connections`)
    return console.log(`third sixth: ${show(soaked.early)}\nlast sixth:  ${show(soaked.late)}`)
  }
  let from = 0
  /** New identifiers each time. */
  const next = (path: string, more: Partial<Job> = {}): Job => {
    from += REQUESTS * SIZE
    return { ...common, path, from, ...more }
  }
  // Compiled, threads started.
  await load(next(FORWARD))
  await measure('original', service, next(FORWARD, { keep: true }))
  await measure('original, back', service, next('/reidentification', { kept: true }))
  await measure('original, 1 connection', service, next(FORWARD, { connections: 1 }))
  await measure('original, random nonces', service, next('/pseudonymization'))
  await measure('original, body as Python writes it', service, next(FORWARD, { blanks: true }))
  await measure('original, 10,000 over and over', service, next(FORWARD, { distinct: 10_000, keep: true }))
  await measure('original, 10,000, back', service, next('/reidentification', { kept: true }))
  await measure('v2', service, next(`${FORWARD}&domain=vehicle`, { keep: true }))
  await measure('v2, back', service, next('/reidentification?domain=vehicle', { kept: true }))
  const forgetful = await started(file, ['--cache-mb', '0'])
  const without = { url: forgetful.url, apiKey: forgetful.env.KEY }
  await load(next(FORWARD, without))
  await measure('no cache, original', forgetful, next(FORWARD, without))
  await measure('original', service, next(FORWARD))
  await measure('no cache, 10,000 over and over', forgetful, next(FORWARD, { ...without, distinct: 10_000 }))
  const portable = await started(file, ['--kernel', 'noble'])
  const few = { url: portable.url, apiKey: portable.env.KEY, requests: 60 }
  await load(next(FORWARD, few))
  await measure('original, --kernel noble', portable, next(FORWARD, few))
  nodeCrypto()
  // Only Node 26 and later have the cipher itself.
  const newer = process.env.NODE_26
  if (newer && !flags.json)
    process.stdout.write(execFileSync(newer, [join(import.meta.dirname, '../crypto/node-crypto.ts')]))
  const { machine: of, node } = machine()
  if (!flags.json) console.log(`\n${of}, Node ${node}`)
}

async function started(keyring: string, words: readonly string[] = []): Promise<RunningService> {
  const service = await startService(keyring, { words, bothWays: true })
  services.push(service)
  return service
}

function keys(format: 'original' | 'v2', domain: string) {
  return createKeyring({ format, domains: [domain], randomBytes, now: Date.now() })
}

/** Holds one request, there and back, against the portable kernel. */
async function judge(service: RunningService, { domains }: ReturnType<typeof keys>, path: string): Promise<void> {
  const material = domains[0]?.keys[0]?.material
  if (!material) throw new Error('no key')
  const portable: PseudonymKernel = nobleKernel(material, { randomBytes })
  const job = { size: SIZE, from: 123_456 } as Job
  const { identifiers } = JSON.parse(bodyOf(job, 0)) as { identifiers: string[] }
  const post = async (to: string, body: string) => {
    const headers = { 'content-type': 'application/json', 'x-api-key': service.env.KEY }
    const response = await fetch(service.url + to, { method: 'POST', headers, body })
    return response.text()
  }
  const expected = JSON.stringify({ pseudonyms: portable.pseudonymize(identifiers, { deterministic: true }) })
  for (const blanks of [false, true])
    if ((await post(path, bodyOf({ ...job, blanks }, 0))) !== expected) throw new Error(`${path}: wrong pseudonyms`)
  const back = await post(path.replace(/^.*?(&|$)/, '/reidentification?').replace('?&', '?'), expected)
  if (back !== JSON.stringify({ identifiers })) throw new Error(`${path}: the way back is wrong`)
}

async function load(job: Job): Promise<Seen> {
  loader.send(job)
  const [seen] = (await once(loader as ChildProcess, 'message')) as [Seen | { failed: string }]
  if ('failed' in seen) throw new Error(seen.failed)
  return seen
}

async function measure(what: string, service: RunningService, job: Job): Promise<void> {
  const before = service.cpuSeconds()
  const { seconds, latencies } = await load(job)
  const cpu = ((service.cpuSeconds() - before) * 1e6) / (job.requests * SIZE)
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))] ?? 0
  const figure = {
    what,
    cpu_us: round(cpu),
    p50_ms: round(at(0.5)),
    p99_ms: round(at(0.99)),
    per_second: Math.round((job.requests * SIZE) / seconds),
    rss_mb: service.rssMb(),
  }
  if (flags.json) return console.log(JSON.stringify(figure))
  console.log(
    `${what.padEnd(36)} ${figure.cpu_us.toFixed(2).padStart(6)} µs CPU an identifier; of 1,000 p50 ${figure.p50_ms} p99 ${figure.p99_ms} ms; ${figure.per_second} a second; ${figure.rss_mb} MB`,
  )
}

/** Node 24 has no AES-256-GCM-SIV; what it has costs less. */
function nodeCrypto(): void {
  const [key, mac] = [randomBytes(32), randomBytes(8)]
  const texts = Array.from({ length: SIZE }, (_, i) => `${i}`.padStart(17, 'W'))
  const work = () => {
    for (const text of texts) {
      const nonce = createHmac('sha256', mac).update(text).digest().subarray(0, 12)
      const cipher = createCipheriv('aes-256-gcm', key, nonce)
      Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString('base64')
    }
  }
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 30; i++) {
    const { user, system } = process.cpuUsage()
    work()
    const now = process.cpuUsage()
    best = Math.min(best, (now.user + now.system - user - system) / SIZE)
  }
  if (flags.json) console.log(JSON.stringify({ what: 'node:crypto', cpu_us: round(best) }))
  else
    console.log(`node:crypto, HMAC and AES-256-GCM alone ${best.toFixed(2)} µs CPU an identifier, without any service`)
}

function round(n: number): number {
  return Math.round(n * 100) / 100
}
