/** What a service takes over while it runs: a keyring in Secrets Manager, and the file of its callers. */
import { createHash, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { KeyringData } from '../../lib/crypto/keyring.ts'
import type { LogEntry } from '../../service/app.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { rotateKeys } from '../../service/keys/states.ts'
import { startService } from '../../service/start.ts'
import { awsError, fakeAws } from '../helpers/aws.ts'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { folder } from './keyrings.ts'

const PATIENT = { timeout: 20_000 }
const now = Date.now()
const fresh = () => createKeyring({ randomBytes, now })
const rotate = (data: KeyringData) => rotateKeys(data, { randomBytes, now })
const hashed = (key: string) => createHash('sha256').update(key).digest('hex')
const caller = (name: string, more: object = {}) => ({
  name,
  key_sha256: hashed(`key-of-${name}`),
  permissions: ['pseudonymize'],
  ...more,
})

async function ask(url: string, name: string, path = '/pseudonymization?deterministic=True', values = ['A']) {
  const field = path.startsWith('/pseudo') ? 'identifiers' : 'pseudonyms'
  const headers = { 'content-type': 'application/json', 'x-api-key': `key-of-${name}` }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify({ [field]: values }) })
  const key = response.headers.get('x-pseudolake-key')
  return { status: response.status, key, values: Object.values(await response.json())[0] as string[] }
}

/** A process of the command, with its log as it comes. */
async function running(words: readonly string[], env: Record<string, string>, cwd: string) {
  const process = start(['service', 'start', '--port', '0', ...words], { cwd, env })
  const seen = { log: '' }
  process.child.stderr?.on('data', (chunk: Buffer) => {
    seen.log += chunk.toString()
  })
  const url = (await firstLine(process)).replace('listening on ', '')
  return { process, url, seen }
}

test.skipIf(process.platform === 'win32').each([
  ['its name', 'secret:team/keys'],
  ['its ARN', 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:team/keys-AbCdEf'],
])(
  'a keyring in Secrets Manager, by %s: taken over when it is rotated, the version before is read on, and nothing of it is logged',
  async (_, word) => {
    const dir = folder()
    const name = word.replace('secret:team', 'team')
    const stored = word.startsWith('secret:') ? name : word
    const first = fresh()
    const secrets: Record<string, string> = { [stored]: writeKeyring(first) }
    let isDown = false
    const fake = await fakeAws(() => (isDown ? awsError('InternalServiceError', 500) : undefined), secrets)
    writeFileSync(
      join(dir, 'callers.json'),
      JSON.stringify([caller('alice', { permissions: ['pseudonymize', 'reidentify'] })]),
    )
    const words = ['--keyring', word, '--api-keys', 'callers.json', '--audit', 'record', '--secret-ttl-seconds', '1']
    const { process, url, seen } = await running(words, fake.env, dir)
    const old = await ask(url, 'alice')
    expect(old).toMatchObject({ status: 200, key: first.domains[0]?.primary })

    // Another secret in its place, as a rotation leaves it: by the time-to-live alone.
    const second = fresh()
    secrets[`${stored}#AWSPREVIOUS`] = secrets[stored] as string
    secrets[stored] = writeKeyring(second)
    await expect.poll(async () => (await ask(url, 'alice')).key, PATIENT).toBe(second.domains[0]?.primary)
    expect(await ask(url, 'alice', '/reidentification', old.values)).toMatchObject({ status: 200, values: ['A'] })

    isDown = true
    process.child.kill('SIGHUP')
    await expect.poll(() => seen.log, PATIENT).toContain('"event":"hangup"')
    expect(await ask(url, 'alice')).toMatchObject({ status: 200, key: second.domains[0]?.primary })
    process.child.kill('SIGTERM')
    const { code, stderr } = await process.ended
    expect(code).toBe(0)
    expect(stderr).toContain('"event":"keyring-reloaded"')
    for (const text of Object.values(secrets))
      for (const [, key] of text.matchAll(/"(?:aead|mac)":\s*"([^"]+)"/g)) expect(stderr).not.toContain(key as string)
  },
  60_000,
)

test('SIGHUP asks Secrets Manager again however long the secret was to be kept', async () => {
  const dir = folder()
  const first = fresh()
  const secrets: Record<string, string> = { keys: writeKeyring(first) }
  const fake = await fakeAws(() => undefined, secrets)
  writeFileSync(join(dir, 'callers.json'), JSON.stringify([caller('alice')]))
  const { process, url, seen } = await running(
    ['--keyring', 'secret:keys', '--api-keys', 'callers.json', '--audit', 'record'],
    fake.env,
    dir,
  )
  expect((await ask(url, 'alice')).key).toBe(first.domains[0]?.primary)
  const second = rotate(first)
  secrets['keys#AWSPREVIOUS'] = secrets.keys as string
  secrets.keys = writeKeyring(second)
  process.child.kill('SIGHUP')
  await expect.poll(() => seen.log, PATIENT).toContain('"event":"hangup","keyring":"replaced","callers":"unchanged"')
  expect((await ask(url, 'alice')).key).toBe(second.domains[0]?.primary)
}, 60_000)

test('callers in Secrets Manager: a list, or one API key as the original deployment has it; what can’t be right changes nothing', async () => {
  const dir = folder()
  const secrets: Record<string, string> = {
    keys: writeKeyring(fresh()),
    callers: JSON.stringify([caller('alice')]),
  }
  const fake = await fakeAws(() => undefined, secrets)
  const words = ['--keyring', 'secret:keys', '--api-keys', 'secret:callers', '--audit', 'record']
  const { process, url, seen } = await running(words, fake.env, dir)
  const may = async (name: string) => (await ask(url, name)).status === 200
  const hangup = async (says: string) => {
    seen.log = ''
    process.child.kill('SIGHUP')
    await expect.poll(() => seen.log, PATIENT).toContain(`"event":"hangup","keyring":"unchanged","callers":"${says}"`)
  }
  expect([await may('alice'), await may('bob')]).toEqual([true, false])
  secrets.callers = JSON.stringify({ api_key_value: 'key-of-bob' })
  await hangup('replaced')
  expect([await may('alice'), await may('bob')]).toEqual([false, true])
  secrets.callers = '[{"name": 1}]'
  await hangup('failed')
  expect(await may('bob')).toBe(true)
  process.child.kill('SIGTERM')
  const { stderr } = await process.ended
  expect(stderr).toMatch(/"event":"callers-not-reloaded","code":"secret\/invalid"/)
  expect(stderr).not.toContain('key-of')
}, 60_000)

test('a keyring in Secrets Manager needs a place for the record, and says what is wrong with the secret', async () => {
  const dir = folder()
  const fake = await fakeAws(() => undefined, { broken: '{"version": 2}' })
  const env = { ...fake.env, PSEUDOLAKE_API_KEY: 'k' }
  const end = async (...words: string[]) => pseudolake(['service', 'start', '--port', '0', ...words], { cwd: dir, env })
  const placeless = await end('--keyring', 'secret:broken')
  expect(placeless).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--audit') })
  const broken = await end('--keyring', 'secret:broken', '--audit', 'record')
  expect(broken).toMatchObject({ code: 2, stderr: expect.stringContaining('secret broken') })
  const missing = await end('--keyring', 'secret:none', '--audit', 'record')
  expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('secret/not-found') })
}, 60_000)

test('the callers’ file is taken over as a whole, and one that can’t be right changes nothing and is said once', async () => {
  const dir = folder()
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, fresh(), randomBytes)
  const apiKeys = join(dir, 'callers.json')
  const write = (...callers: object[]) => writeFileSync(apiKeys, JSON.stringify(callers))
  write(caller('alice'))
  const logged: LogEntry[] = []
  const service = await startService({
    keyring,
    auth: { apiKeys, apiKey: 'key-of-environment' },
    log: (entry) => logged.push(entry),
    keyringCheckMs: 0,
  })
  onTestFinished(() => service.close())
  const may = async (name: string) => (await ask(service.url, name)).status === 200
  expect(await Promise.all(['alice', 'bob', 'environment'].map(may))).toEqual([true, false, true])
  expect(await service.reloadCallers()).toBe('unchanged')

  write(caller('bob', { quota: { requests: 2, per: 'month' } }))
  expect(await service.reloadCallers()).toBe('replaced')
  expect(await Promise.all(['alice', 'bob', 'environment'].map(may))).toEqual([false, true, true])
  // Its quota counts, though none was there at the start.
  expect([await may('bob'), (await ask(service.url, 'bob')).status]).toEqual([true, 429])

  const events = () => logged.filter(({ event }) => event.startsWith('callers-')).map(({ event }) => event)
  writeFileSync(apiKeys, '[{"name": "carol"')
  expect([await service.reloadCallers(), await service.reloadCallers()]).toEqual(['failed', 'failed'])
  rmSync(apiKeys)
  expect(await service.reloadCallers()).toBe('failed')
  expect(await Promise.all(['alice', 'environment'].map(may))).toEqual([false, true])
  expect(events()).toEqual(['callers-reloaded', 'callers-not-reloaded', 'callers-not-reloaded'])
  write(caller('carol'))
  expect(await service.reloadCallers()).toBe('replaced')
  expect(await Promise.all(['bob', 'carol', 'environment'].map(may))).toEqual([false, true, true])
  expect(JSON.stringify(logged)).not.toMatch(/key-of|[0-9a-f]{64}/)
})

test('a service looks at its callers’ file by itself', async () => {
  const dir = folder()
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, fresh(), randomBytes)
  const apiKeys = join(dir, 'callers.json')
  writeFileSync(apiKeys, JSON.stringify([caller('alice')]))
  const service = await startService({ keyring, auth: { apiKeys }, keyringCheckMs: 20 })
  onTestFinished(() => service.close())
  writeFileSync(apiKeys, JSON.stringify([caller('alice'), caller('bob')]))
  await expect.poll(async () => (await ask(service.url, 'bob')).status, PATIENT).toBe(200)
})
