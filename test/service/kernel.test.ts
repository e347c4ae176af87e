import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import type { KernelName } from '../../lib/crypto/open.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { connectService } from '../../pipelines/service.ts'
import type { LogEntry } from '../../service/app.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { startService } from '../../service/start.ts'
import { V2 } from '../crypto/vectors.ts'
import { folder, vectorKeyring } from './keyrings.ts'

const [vectors] = V2
const cases = vectors?.cases.slice(1, 20) ?? []
const identifiers = cases.map((c) => c.identifier)
const pseudonyms = cases.map((c) => c.pseudonym)

function keyringFile(): string {
  const file = join(folder(), 'keys.json')
  const { domains } = vectorKeyring()
  const primary = domains.map((d) => (d.domain === vectors?.domain ? { ...d, primary: vectors.key.id } : d))
  writeFileSync(file, writeKeyring({ domains: primary }), { mode: 0o600 })
  return file
}

test.each([undefined, 'wasm', 'noble'] as const)(
  'the service answers the same with every kernel, and says nothing about the one it has: %s',
  async (kernel: KernelName | undefined) => {
    const logged: LogEntry[] = []
    const service = await startService({
      keyring: keyringFile(),
      auth: { insecureNoAuth: true },
      log: (entry) => void logged.push(entry),
      ...(kernel && { kernel }),
    })
    onTestFinished(() => service.close())
    const call = async (path: string, body: unknown) =>
      (
        await fetch(service.url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      ).json()
    const forward = `/pseudonymization?deterministic=True&domain=${vectors?.domain}`
    expect(await call(forward, { identifiers })).toEqual({ pseudonyms })
    expect(await call(`/reidentification?domain=${vectors?.domain}`, { pseudonyms })).toEqual({ identifiers })
    expect(logged.filter((entry) => entry.event === 'slow-kernel')).toEqual([])
  },
)

test.each(['', ', kernel: wasm', ', kernel: noble'])(
  'a job’s own service takes its kernel from the config: {…%s}',
  async (kernel) => {
    const settings = readBatchConfig(
      `job: j\ninput: { path: in }\ncolumns: { a: { mode: deterministic } }\noutput: { table: a.b, warehouse: w }\n` +
        `service: { embedded: { keyring: ${JSON.stringify(keyringFile())}${kernel} } }`,
    )
    const said: string[] = []
    const outside = { env: {}, cwd: '.', clock: systemClock(), random: Math.random, randomBytes }
    const client = await connectService(settings, { ...outside, say: (note) => said.push(note) })
    onTestFinished(() => client.close())
    const domain = vectors?.domain ?? ''
    const request = { direction: 'pseudonymize', values: identifiers, domain, deterministic: true } as const
    expect((await client.client.call(request)).values).toEqual(pseudonyms)
    expect(said).toEqual([])
  },
)

test('an unknown kernel is refused', () => {
  expect(() =>
    readBatchConfig(
      'job: j\ninput: { path: in }\ncolumns: { a: { mode: deterministic } }\noutput: { table: a.b, warehouse: w }\n' +
        'service: { embedded: { keyring: k, kernel: fast } }',
    ),
  ).toThrow(/kernel/)
})
