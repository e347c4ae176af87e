/**
 * Whether the time of a refusal tells why: unknown, wrong, expired and not permitted keys, asked in turn of an app in this process, without a
 * network that would hide a difference. Usage: node benchmarks/service/refusals.ts [ROUNDS]
 */
import { createHash, randomBytes } from 'node:crypto'
import { systemClock } from '../../lib/core/clock.ts'
import { openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import { createApp } from '../../service/app.ts'
import { identifyBy } from '../../service/auth.ts'
import { parseCallers } from '../../service/callers/file.ts'
import { createKeyring } from '../../service/keys/create.ts'

const ROUNDS = Number(process.argv[2] ?? 400)
const CALLS = 200
const CALLERS = 50

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')
const callers = Array.from({ length: CALLERS }, (_, i) => ({
  name: `caller ${i}`,
  key_sha256: sha256(`key-${i}`),
  permissions: ['pseudonymize'],
  ...(i === 25 && { until: '2020-01-01' }),
}))
const app = createApp({
  keyring: openKeyring(createKeyring({ randomBytes, now: 0 }), nobleKernel, { randomBytes }),
  identify: identifyBy(parseCallers(JSON.stringify({ version: 2, callers })).callers),
  audit: {
    record: async () => undefined,
    seal: async () => ({ chain: '', n: 0, hash: '' }),
    close: async () => undefined,
  },
  clock: systemClock(),
  requestId: () => 'r',
  pause: async () => undefined,
  log: () => undefined,
})

/** Of each kind a key, and the path that it is refused on. */
const KINDS: Readonly<Record<string, readonly [key: string | undefined, path: string]>> = {
  missing: [undefined, '/pseudonymization'],
  wrong: ['key-x', '/pseudonymization'],
  expired: ['key-25', '/pseudonymization'],
  'not permitted, first of the list': ['key-0', '/reidentification'],
  'not permitted, last of the list': ['key-49', '/reidentification'],
  'wrong again': ['key-y', '/pseudonymization'],
}

async function refused(key: string | undefined, path: string): Promise<number> {
  const header = (name: string) => (name === 'x-api-key' ? key : undefined)
  const start = performance.now()
  for (let i = 0; i < CALLS; i++) {
    const { status } = await app.handle({
      method: 'POST',
      path,
      search: '?deterministic=True',
      header,
      body: async () => new Uint8Array(0),
    })
    if (status !== 403) throw new Error(`answered ${status}`)
  }
  return ((performance.now() - start) * 1000) / CALLS
}

const times = new Map<string, number[]>(Object.keys(KINDS).map((kind) => [kind, []]))
const kinds = Object.entries(KINDS)
for (let round = -20; round < ROUNDS; round++)
  for (let i = 0; i < kinds.length; i++) {
    // Each kind comes after each other one as often.
    const [kind, [key, path]] = kinds[(i * 5 + round + kinds.length * 4) % kinds.length] as (typeof kinds)[number]
    const us = await refused(key, path)
    if (round >= 0) times.get(kind)?.push(us)
  }

const at = (sorted: readonly number[], share: number) => sorted[Math.floor(sorted.length * share)] as number
for (const [kind, all] of times) {
  const sorted = all.sort((a, b) => a - b)
  const [low, median, high] = [0.25, 0.5, 0.75].map((share) => at(sorted, share).toFixed(2))
  process.stdout.write(`${kind.padEnd(34)} median ${median} µs, quartiles ${low} and ${high}\n`)
}
