import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import type { Arguments, Io } from '../../cli/command.ts'
import { callersGrant, callersImport, callersShow } from '../../cli/commands/callers.ts'
import { keysCreate, keysImport, keysShow } from '../../cli/commands/keys.ts'
import { serviceStart } from '../../cli/commands/service.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { ORIGINAL } from '../crypto/vectors.ts'
import { folder } from './keyrings.ts'

type Given = Readonly<Record<string, string | number | boolean | readonly string[]>>

function args(given: Given, ...positionals: string[]): Arguments {
  return {
    positionals,
    string: (name) => given[name] as string | undefined,
    strings: (name) => (given[name] as readonly string[] | undefined) ?? [],
    number: (name) => given[name] as number | undefined,
    flag: (name) => given[name] === true,
  }
}

function fakeIo(cwd: string, env: Io['env'] = {}) {
  const stop = new AbortController()
  const seen = { out: '', note: '' }
  let spoken: () => void = () => undefined
  const speaks = new Promise<void>((resolve) => {
    spoken = resolve
  })
  const io: Io = {
    env,
    cwd,
    json: false,
    quiet: false,
    clock: systemClock(),
    random: Math.random,
    signal: stop.signal,
    out(text) {
      seen.out += text
      spoken()
    },
    note(text) {
      seen.note += `${text}\n`
    },
    tty: false,
    progress: () => undefined,
    async *lines() {},
  }
  return { io, seen, speaks, stop: () => stop.abort() }
}

test('keys create writes a private file, and says its domains and ids, never a key', async () => {
  const dir = folder()
  const { io } = fakeIo(dir)
  const made = await keysCreate.run(args({ out: 'k.json', domain: ['default', 'vehicle'] }), io)
  const file = join(dir, 'k.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const key = { id: expect.stringMatching(/^[a-z0-9]{4}$/), format: 'v2', state: 'active' }
  const domain = (name: string) => ({ domain: name, primary: expect.any(String), keys: [key] })
  expect(made).toMatchObject({ exit: 0, json: { keyring: 'k.json', domains: [domain('default'), domain('vehicle')] } })
  const shown = await keysShow.run(args({}, 'k.json'), io)
  expect(shown.json).toEqual(made.json)
  const { domains } = JSON.parse(readFileSync(file, 'utf8'))
  for (const { keys } of Object.values<{ keys: { aead: string; mac: string }[] }>(domains))
    for (const { aead, mac } of keys)
      for (const said of [made, shown])
        expect(JSON.stringify(said).includes(aead) || JSON.stringify(said).includes(mac)).toBe(false)
  await expect(keysCreate.run(args({ out: 'k.json' }), io)).rejects.toMatchObject({ code: 'keyring/exists' })
})

test('keys create makes an original key in domain default, and nowhere else', async () => {
  const { io } = fakeIo(folder())
  const made = await keysCreate.run(args({ out: 'o.json', format: 'original' }), io)
  expect(made.json).toMatchObject({ domains: [{ domain: 'default', keys: [{ format: 'original', state: 'active' }] }] })
  const elsewhere = keysCreate.run(args({ out: 'p.json', format: 'original', domain: ['vehicle'] }), io)
  await expect(elsewhere).rejects.toMatchObject({ code: 'options/invalid' })
})

test('keys import takes an original secret, and refuses anything else without quoting it', async () => {
  const dir = folder()
  const { io } = fakeIo(dir)
  writeFileSync(join(dir, 'secret.json'), JSON.stringify(ORIGINAL[0]?.secret))
  const made = await keysImport.run(args({ out: 'sub/k.json' }, 'secret.json'), io)
  expect(made.json).toMatchObject({
    keyring: 'sub/k.json',
    domains: [{ domain: 'default', keys: [{ format: 'original' }] }],
  })
  expect(made.text).not.toContain(ORIGINAL[0]?.secret.encodedSecretKey)
  writeFileSync(join(dir, 'bad.json'), '{"encodedSecretKey":"PLANTED","nonceStrPos":1,"nonceEndPos":13}')
  const bad = keysImport.run(args({ out: 'l.json' }, 'bad.json'), io)
  await expect(bad).rejects.toMatchObject({ code: 'keyring/invalid', message: expect.not.stringContaining('PLANTED') })
  const ring = keysImport.run(args({ out: 'l.json' }, 'sub/k.json'), io)
  await expect(ring).rejects.toMatchObject({
    code: 'keyring/invalid',
    message: expect.stringContaining('this is a keyring'),
  })
  const none = keysImport.run(args({ out: 'l.json' }, 'none.json'), io)
  await expect(none).rejects.toMatchObject({ code: 'input/not-found' })
  expect(readdirSync(dir).sort()).toEqual(['bad.json', 'secret.json', 'sub'])
})

test('keys callers takes over an API’s keys, grants the way back to one, and shows no key', async () => {
  const dir = folder()
  const { io } = fakeIo(dir)
  const items = [{ id: 'k1', name: 'desk', value: 'PLANTED-KEY-aaaaaaaaaa', enabled: true }]
  writeFileSync(join(dir, 'export.json'), JSON.stringify({ items }))
  const take = args({ out: 'callers.json', domain: ['vehicle'], until: '2999-01-01' }, 'export.json')
  const taken = await callersImport.run(take, io)
  expect(taken.json).toMatchObject({ callers: [{ name: 'desk', permissions: ['pseudonymize'], domains: ['vehicle'] }] })
  expect(statSync(join(dir, 'callers.json')).mode & 0o777).toBe(0o600)
  await expect(callersImport.run(take, io)).rejects.toMatchObject({ code: 'options/invalid' })
  const grant = { name: 'desk', purpose: ['fraud-case'], until: '2999-01-01' }
  const granted = await callersGrant.run(args(grant, 'callers.json'), io)
  const shown = await callersShow.run(args({}, 'callers.json'), io)
  expect(shown.text).toBe('desk  pseudonymize, reidentify  in vehicle  for fraud-case  until 2999-01-01')
  const file = readFileSync(join(dir, 'callers.json'), 'utf8')
  const hash = createHash('sha256').update('PLANTED-KEY-aaaaaaaaaa').digest('hex')
  expect(file).toContain(hash)
  for (const secret of ['PLANTED', hash])
    for (const said of [taken, granted, shown]) expect(JSON.stringify(said)).not.toContain(secret)
  // An end in the past would take from the caller what it may do now.
  const over = callersGrant.run(args({ ...grant, until: '2001-01-01' }, 'callers.json'), io)
  await expect(over).rejects.toMatchObject({ code: 'options/invalid' })
  const gone = callersImport.run(args({ out: 'gone.json', until: '2001-01-01' }, 'export.json'), io)
  await expect(gone).rejects.toMatchObject({ code: 'options/invalid' })
  expect(readFileSync(join(dir, 'callers.json'), 'utf8')).toBe(file)
  const none = callersShow.run(args({}, 'none.json'), io)
  await expect(none).rejects.toMatchObject({ code: 'input/not-found' })
  const nowhere = callersImport.run(args({ out: 'no/callers.json' }, 'export.json'), io)
  await expect(nowhere).rejects.toMatchObject({ code: 'storage/denied' })
  expect(readdirSync(dir).sort()).toEqual(['callers.json', 'export.json'])
})

test('service start says where it listens once it answers, then nothing, and stops when told to', async () => {
  const dir = folder()
  const { io, seen, speaks, stop } = fakeIo(dir, { PSEUDOLAKE_API_KEY: 'k' })
  await keysCreate.run(args({ out: 'k.json' }), io)
  const running = serviceStart.run(args({ keyring: 'k.json', port: 0 }), io)
  await speaks
  const line = seen.out
  expect(line).toMatch(/^listening on http:\/\/127\.0\.0\.1:\d+\n$/)
  const url = line.slice('listening on '.length).trim()
  const response = await fetch(`${url}/pseudonymization?deterministic=True`, {
    method: 'POST',
    headers: { 'x-api-key': 'k', 'content-type': 'application/json' },
    body: '{"identifiers":["A"]}',
  })
  expect(response.status).toBe(200)
  stop()
  expect(await running).toEqual({ exit: 0, json: undefined, text: '' })
  expect(seen.out).toBe(line)
  const log = seen.note
    .trim()
    .split('\n')
    .map((entry) => JSON.parse(entry))
  expect(log.map((entry) => entry.event)).toEqual(['started', 'request', 'stopped'])
  expect(readdirSync(join(dir, 'k.json.audit'))).toHaveLength(1)
})

test('the service runs on Node as it is, in a process of its own, until a signal ends it', async () => {
  const dir = folder()
  await keysCreate.run(args({ out: 'k.json' }), fakeIo(dir).io)
  const main = fileURLToPath(new URL('../../service/start.ts', import.meta.url))
  // Node strips types by a parser of its own, which reads less than the tests' does.
  const script = `
    const { startService } = await import(${JSON.stringify(pathToFileURL(main).href)})
    const service = await startService({ keyring: 'k.json', auth: { insecureNoAuth: true } })
    process.once('SIGTERM', () => service.close())
    console.log(service.url)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: dir })
  const failed = text(child.stderr)
  const [url] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(async () => [await failed])])
  expect((await fetch(`${String(url).trim()}/health`)).status).toBe(200)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

test('service start puts calls on record where it is told to', async () => {
  const dir = folder()
  const { io, speaks, stop } = fakeIo(dir)
  await keysCreate.run(args({ out: 'k.json' }), io)
  mkdirSync(join(dir, 'rec'))
  const given = { keyring: 'k.json', port: 0, audit: 'rec', 'insecure-no-auth': true }
  const running = serviceStart.run(args(given), io)
  await speaks
  stop()
  await running
  expect(readdirSync(join(dir, 'rec'))).toHaveLength(1)
  expect(readdirSync(dir).sort()).toEqual(['k.json', 'rec', 'rec.anchors.jsonl'])
})

test.each<[string, Given, Io['env'], string]>([
  ['without callers', {}, {}, 'service/no-callers'],
  ['open to all, off loopback', { 'insecure-no-auth': true, host: '0.0.0.0' }, {}, 'options/invalid'],
  ['on a port that can’t be', { port: 65_536 }, { PSEUDOLAKE_API_KEY: 'k' }, 'options/invalid'],
  ['with no keyring', { keyring: 'none.json' }, { PSEUDOLAKE_API_KEY: 'k' }, 'keyring/not-found'],
])('service start %s does not start', async (_, given, env, code) => {
  const { io, seen } = fakeIo(folder(), env)
  await keysCreate.run(args({ out: 'k.json' }), io)
  await expect(serviceStart.run(args({ keyring: 'k.json', ...given }), io)).rejects.toMatchObject({ code })
  expect(seen.out).toBe('')
})
