import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { KeyMaterial, OpenKernel } from '../../lib/crypto/kernel.ts'
import { type KeyringData, openKeyring } from '../../lib/crypto/keyring.ts'
import { nobleKernel } from '../../lib/crypto/noble.ts'
import type { LogEntry } from '../../service/app.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { changeKeyring, loadKeyring, saveKeyring } from '../../service/keys/file.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { liveKeyring, withKeys } from '../../service/keys/live.ts'
import { followKeyring, type KeyringSource, type ReloadEvent } from '../../service/keys/reload.ts'
import { retireKey, rotateKeys } from '../../service/keys/states.ts'
import { startService } from '../../service/start.ts'
import { serve } from '../client/transports/server.ts'
import { firstLine, start } from '../helpers/cli.ts'
import { lake } from '../helpers/lake.ts'
import { folder, open } from './keyrings.ts'

/** For what happens in another process, or by a timer, on a machine that has more to do. */
const PATIENT = { timeout: 20_000 }
const JSON_TYPE = { 'content-type': 'application/json' }
const now = Date.parse('2026-01-31T12:00:00Z')
const fresh = (...domains: string[]) => createKeyring({ domains, randomBytes, now })
const rotate = (data: KeyringData) => rotateKeys(data, { randomBytes, now })
const made = (ring: ReturnType<typeof open>, key?: string) =>
  ring.forward('default', key).pseudonymize(['A'], { deterministic: true })[0]

/** A kernel that remembers the bytes it was opened with, and whether it is disposed of. */
function watched() {
  const seen: { material: KeyMaterial; disposed: boolean }[] = []
  const openKernel: OpenKernel = (material, options) => {
    const kernel = nobleKernel(material, options)
    const entry = { material, disposed: false }
    seen.push(entry)
    return {
      ...kernel,
      dispose() {
        entry.disposed = true
        kernel.dispose()
      },
    }
  }
  const bytes = () =>
    seen.flatMap(({ material }) =>
      material.format === 'v2' ? [material.aead, material.mac] : [material.secretKey, material.nonceKey],
    )
  return { seen, bytes, open: (data: KeyringData) => openKeyring(data, openKernel, { randomBytes }) }
}

/** Gives one keyring after the other. */
function sourceOf(...rings: (KeyringData | Error)[]): KeyringSource {
  return {
    async read() {
      const next = rings.shift()
      if (next instanceof Error) throw next
      return next && { data: structuredClone(next), accept: () => undefined }
    },
  }
}

test('a call that has begun ends with the keys it began with; they are wiped then, and not before', async () => {
  const { seen, open: opened } = watched()
  const keys = liveKeyring(opened(fresh('default')))
  const held = keys.hold()
  const before = made(held.keyring)
  keys.replace(opened(fresh('default')))
  expect(made(held.keyring)).toBe(before)
  expect(await withKeys(keys, async (ring) => made(ring))).not.toBe(before)
  expect(seen.map(({ disposed }) => disposed)).toEqual([false, false])
  held.release()
  held.release()
  expect(seen.map(({ disposed }) => disposed)).toEqual([true, false])
  expect(() => made(held.keyring)).toThrow(/wiped/)
})

test('work that fails lets go of its keys', async () => {
  const { seen, open: opened } = watched()
  const keys = liveKeyring(opened(fresh('default')))
  const failed = withKeys(keys, async () => {
    throw new Error('as told')
  })
  await expect(failed).rejects.toThrow('as told')
  keys.replace(opened(fresh('default')))
  expect(seen.map(({ disposed }) => disposed)).toEqual([true, false])
})

test('the end wipes every keyring, held or not, and one that comes afterwards', () => {
  const { seen, open: opened } = watched()
  const keys = liveKeyring(opened(fresh('default')))
  keys.hold()
  keys.replace(opened(fresh('default')))
  keys.dispose()
  keys.replace(opened(fresh('default')))
  expect(seen.map(({ disposed }) => disposed)).toEqual([true, true, true])
})

test('the bytes that were read are zero once the keyring is open, also where it is not taken over', async () => {
  const before = fresh('default')
  const { bytes, seen, open: opened } = watched()
  const source = sourceOf(before, rotate(before), fresh('default'))
  const { reload, keyring } = await followKeyring({ source, open: opened, say: () => undefined })
  expect([await reload(), await reload()]).toEqual(['replaced', 'failed'])
  expect(bytes()).toHaveLength(2 + 4 + 2)
  for (const each of bytes()) expect(each.every((byte) => byte === 0)).toBe(true)
  expect(seen.map(({ disposed }) => disposed)).toEqual([true, false, false, true])
  keyring.dispose()
})

test.each<[string, (data: KeyringData) => KeyringData | Error, RegExp]>([
  ['a key that is in use is missing', () => fresh('default'), /lacks/],
  ['a domain is missing', () => fresh('other'), /lacks/],
  [
    'a key has other bytes under the same id',
    (data) => {
      const { keys, ...domain } = structuredClone(data).domains[0] as KeyringData['domains'][0]
      for (const { material } of keys) if (material.format === 'v2') material.aead[0] = (material.aead[0] as number) ^ 1
      return { domains: [{ ...domain, keys }] }
    },
    /another one than before/,
  ],
  ['it can’t be read', () => new TypeError('SECRET'), /^TypeError$/],
])('a keyring in which %s is not taken over, which is said once', async (_, next, why) => {
  const first = fresh('default')
  const said: ReloadEvent[] = []
  const bad = next(first)
  const source = sourceOf(first, bad, bad, rotate(first))
  const { keyring, reload } = await followKeyring({ source, open, say: (event) => said.push(event) })
  const before = await withKeys(keyring, async (ring) => made(ring))
  expect([await reload(), await reload()]).toEqual(['failed', 'failed'])
  expect(said).toEqual([
    { event: 'keyring-not-reloaded', code: expect.any(String), reason: expect.stringMatching(why) },
  ])
  expect(await withKeys(keyring, async (ring) => made(ring))).toBe(before)
  expect(await reload()).toBe('replaced')
  expect(said.at(-1)).toEqual({ event: 'keyring-reloaded', domains: 1, keys: 2 })
})

async function running(log: (entry: LogEntry) => void = () => undefined, keyringCheckMs = 0) {
  const file = join(folder(), 'keys.json')
  await saveKeyring(file, fresh('default'), randomBytes)
  const service = await startService({ keyring: file, auth: { insecureNoAuth: true }, log, keyringCheckMs })
  onTestFinished(() => service.close())
  const ask = async (path: string, body: object) => {
    const response = await fetch(`${service.url}${path}`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify(body),
    })
    return { status: response.status, key: response.headers.get('x-pseudolake-key'), ...(await response.json()) }
  }
  const forward = (key?: string) =>
    ask(`/pseudonymization?deterministic=True${key ? `&key=${key}` : ''}`, { identifiers: ['A'] })
  const back = (pseudonyms: string[]) => ask('/reidentification', { pseudonyms })
  return { file, service, forward, back }
}

test('a service takes a rotated keyring over without a restart, and goes on with the key before where it is asked for', async () => {
  const { file, service, forward, back } = await running()
  const old = await forward()
  await changeKeyring(file, rotate)
  expect(await forward()).toEqual(old)
  expect(await service.reload()).toBe('replaced')
  const next = await forward()
  expect(next.key).not.toBe(old.key)
  expect(await forward(old.key)).toEqual(old)
  expect(await back([old.pseudonyms[0], next.pseudonyms[0]])).toMatchObject({
    identifiers: ['A', 'A'],
    key: `${old.key},${next.key}`,
  })
  await changeKeyring(file, (data) => retireKey(data, old.key))
  expect(await service.reload()).toBe('replaced')
  expect(await forward(old.key)).toMatchObject({ status: 404, code: 'keyring/unknown-key' })
  expect(await back(old.pseudonyms)).toMatchObject({ status: 422 })
  expect(await service.reload()).toBe('unchanged')
})

test('it looks at the file by itself, and a file that it can’t use changes nothing', async () => {
  const events: string[] = []
  const { file, forward } = await running(({ event }) => events.push(event), 5)
  const old = await forward()
  const { domains } = await loadKeyring(file)
  writeFileSync(`${file}.new`, '{', { mode: 0o600 })
  renameSync(`${file}.new`, file)
  await expect.poll(() => events, PATIENT).toContain('keyring-not-reloaded')
  expect(await forward()).toEqual(old)
  writeFileSync(`${file}.new`, writeKeyring(rotate({ domains })), { mode: 0o600 })
  renameSync(`${file}.new`, file)
  await expect.poll(() => events, PATIENT).toContain('keyring-reloaded')
  expect((await forward()).key).not.toBe(old.key)
}, 60_000)

test.skipIf(process.platform === 'win32')(
  'SIGHUP has a service that runs take the keyring over, and does not end it',
  async () => {
    const dir = folder()
    const file = join(dir, 'keys.json')
    await saveKeyring(file, fresh('default'), randomBytes)
    const process = start(['service', 'start', '--keyring', file, '--port', '0', '--insecure-no-auth'])
    const url = (await firstLine(process)).replace('listening on ', '')
    const key = async () => {
      const answer = await fetch(`${url}/pseudonymization`, {
        method: 'POST',
        headers: JSON_TYPE,
        body: '{"identifiers":[]}',
      })
      return answer.headers.get('x-pseudolake-key')
    }
    const old = await key()
    const after = await changeKeyring(file, rotate)
    let said = ''
    process.child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    process.child.kill('SIGHUP')
    // It was the signal's look that found it, not one of those that come by themselves.
    await expect.poll(() => said, PATIENT).toContain('"event":"hangup","keyring":"replaced"')
    expect(await key()).toBe(after.domains[0]?.primary)
    expect(after.domains[0]?.primary).not.toBe(old)
    process.child.kill('SIGTERM')
    expect(await process.ended).toMatchObject({ stderr: expect.stringContaining('"event":"keyring-reloaded"') })
  },
  60_000,
)

test('a batch run goes on with the table’s key after a rotation, and in the middle of one', async () => {
  const home = await lake()
  const service = await startService({ keyring: home.keyring, auth: { insecureNoAuth: true }, keyringCheckMs: 0 })
  onTestFinished(() => service.close())
  let calls = 0
  const reloaded: string[] = []
  /** Before the service; rotates ahead of the fourth call: the key check and some of the values are through then. */
  const front = await serve(async ({ url, body }, response) => {
    if (++calls === 4) {
      await changeKeyring(home.keyring, rotate)
      reloaded.push(await service.reload())
    }
    const answer = await fetch(`${service.url}${url}`, { method: 'POST', headers: JSON_TYPE, body })
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
  })
  const job = {
    columns: { vin: { mode: 'deterministic' } },
    set: [`service={"url":"${front.url}"}`, 'limits.max_identifiers=10', 'limits.max_concurrency=1'],
  }
  await home.sql("copy (select 'v' || (i % 60) as vin from range(120) r(i)) to '{dir}/a.parquet'")
  await home.run({ ...job, input: '{dir}/a.parquet' })
  expect(reloaded).toEqual(['replaced'])
  expect(calls).toBeGreaterThan(6)
  await home.sql("copy (select 'v' || (i % 90) as vin from range(90) r(i)) to '{dir}/b.parquet'")
  await home.run({ ...job, input: '{dir}/b.parquet' })
  const counted = await home.query(
    'select count(*)::int, count(distinct s_vin)::int, count(distinct s_vin[4:7])::int from t',
  )
  expect(counted).toEqual([[210, 90, 1]])
  expect((await loadKeyring(home.keyring)).domains[0]?.keys).toHaveLength(2)
}, 60_000)
