import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { composeClient } from '../../lib/client/compose.ts'
import { keyCheck } from '../../lib/client/key-check.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { startService } from '../../service/start.ts'
import { ORIGINAL } from '../crypto/vectors.ts'
import { folder, vectorKeyring } from '../service/keyrings.ts'
import { request } from './support.ts'
import { transportTo } from './transports/server.ts'

test('our service: 2,000 values there and back, 3 requests each way, in both formats', {
  timeout: 30_000,
}, async () => {
  for (const format of ['original', 'v2'] as const) {
    const { url } = await service(format)
    const { client, stats } = composeClient(transportTo(url), { clock: systemClock(), random: Math.random })
    const values = Array.from({ length: 2000 }, (_, i) => `VIN ${i} ä"\\`)
    const there = await client.call(request(values))
    expect(stats()).toMatchObject({ requests: 3, identifiers: 2000, retries: 0 })
    const back = await client.call(request(there.values, { direction: 'reidentify' }))
    expect(back.values).toEqual(values)
    expect(stats()).toMatchObject({ requests: 6, identifiers: 4000, retries: 0 })
    const check = await keyCheck(client, 'default')
    expect(check).toMatchObject({ format, domain: 'default' })
    expect(await keyCheck(client, 'default', check.key)).toEqual(check)
  }
})

test('the original format’s vectors come out of the client byte for byte', async () => {
  const { url } = await service('original')
  const { client } = composeClient(transportTo(url), { clock: systemClock(), random: Math.random })
  const cases = ORIGINAL[0]?.cases ?? []
  expect(cases.length).toBeGreaterThan(10)
  const got = await client.call(request(cases.map(({ identifier }) => identifier)))
  expect(got.values).toEqual(cases.map(({ pseudonym }) => pseudonym))
})

test('our service’s refusals are told with its code and the place of the value', async () => {
  const { url } = await service('v2')
  const { client } = composeClient(transportTo(url), { clock: systemClock(), random: Math.random })
  await expect(client.call(request(['a'], { domain: 'nobody' }))).rejects.toMatchObject({
    code: 'service/refused',
    context: { problem: 'keyring/unknown-domain' },
  })
  const { values } = await client.call(request(['a']))
  const wrong = client.call(request([values[0] as string, 'no pseudonym'], { direction: 'reidentify' }))
  await expect(wrong).rejects.toMatchObject({
    code: 'service/refused',
    context: { problem: 'pseudonym/invalid', indices: [1] },
  })
})

test('the example of docs/client.md runs as it stands', { timeout: 30_000 }, async () => {
  const { url } = await service('v2')
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(readFileSync('docs/client.md', 'utf8')) ?? []
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=pseudolake-source', '--input-type=module-typescript', '-e', example],
    { env: { ...process.env, SERVICE_URL: url, NODE_OPTIONS: '' }, timeout: 20_000 },
  )
  expect(stdout).toMatch(/^[0-9a-f]{16} v2\n3 true 2\n$/)
})

/** A running service with the keys of the vectors, whose default domain makes pseudonyms of the format. */
async function service(format: 'original' | 'v2') {
  const { domains } = vectorKeyring()
  const data = {
    domains: domains.map((each) => ({
      ...each,
      primary: each.keys.find(({ material }) => material.format === format)?.material.id ?? each.primary,
    })),
  }
  const keyring = join(folder(), 'keys.json')
  writeFileSync(keyring, writeKeyring(data), { mode: 0o600 })
  const running = await startService({ keyring, auth: { insecureNoAuth: true } })
  onTestFinished(() => running.close())
  return { url: `${running.url}/pseudonymization` }
}
