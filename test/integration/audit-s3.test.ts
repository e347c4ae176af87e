/** The record of calls in a bucket of a real server: only added to, whatever becomes of an answer, and read by the commands that audit it. */
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import { exportAudit } from '../../service/audit/export.ts'
import { checkAudit } from '../../service/audit/verify.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { startService } from '../../service/start.ts'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { interop, testWith } from '../helpers/interop.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { type Versitygw, versitygw } from '../helpers/s3/versitygw.ts'
import { folder } from '../service/keyrings.ts'

let store: Versitygw
beforeAll(async () => {
  if (interop('versitygw').there) store = await versitygw('records')
})
afterAll(() => store?.stop())

/** What becomes of a request: it goes through; it does, and its answer is lost; it is refused; nobody is there. */
type Fate = 'through' | 'lost' | 'denied' | 'down'

/** The store's front, at which fates meet requests. */
async function front() {
  const seen: { method: string; path: string; ifNoneMatch: string | undefined }[] = []
  let fateOf: (method: string, path: string) => Fate = () => 'through'
  const { hostname, port } = new URL(store.endpoint)
  const server = createServer((incoming, response) => {
    const { method = '', url: path = '', headers } = incoming
    seen.push({ method, path, ifNoneMatch: headers['if-none-match'] })
    const fate = fateOf(method, path)
    if (fate === 'down') return void incoming.socket.destroy()
    if (fate === 'denied') {
      incoming.resume()
      const body = '<Error><Code>AccessDenied</Code><Message>no</Message></Error>'
      return void response.writeHead(403, { 'content-type': 'application/xml' }).end(body)
    }
    const onward = request({ hostname, port, method, path, headers }, (answer) => {
      if (fate === 'lost') {
        answer.resume().on('end', () => incoming.socket.destroy())
        return
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    endpoint,
    env: { ...store.env, AWS_ENDPOINT_URL_S3: endpoint },
    seen,
    meet(fate: typeof fateOf) {
      fateOf = fate
    },
  }
}

/** Minutes pass when they are told to; what waits for less waits as ever. */
function minutes(): Clock & { pass(): Promise<void> } {
  const own = systemClock()
  let wake: (() => void)[] = []
  return {
    ...own,
    sleep(ms, signal) {
      if (ms < 60_000) return own.sleep(ms, signal)
      return new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
        wake.push(resolve)
      })
    },
    async pass() {
      // Whoever is still at work on the minute before is not asleep yet.
      await expect.poll(() => wake.length, { timeout: 20_000 }).toBeGreaterThan(0)
      const all = wake
      wake = []
      for (const one of all) one()
    },
  }
}

const PURPOSE = { 'x-pseudolake-purpose': 'fraud-case' }
const CALLERS = [
  {
    name: 'desk',
    key_sha256: createHash('sha256').update('the key').digest('hex'),
    permissions: ['pseudonymize', 'reidentify'],
    purposes: ['fraud-case'],
    until: '2099-01-01',
  },
]

async function files() {
  const dir = folder()
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, createKeyring({ randomBytes, now: Date.now() }), randomBytes)
  const apiKeys = join(dir, 'callers.json')
  writeFileSync(apiKeys, JSON.stringify({ version: 2, callers: CALLERS }))
  return { dir, keyring, apiKeys }
}

async function ask(url: string, path: string, values: readonly string[]) {
  const field = path.startsWith('/pseudo') ? 'identifiers' : 'pseudonyms'
  const headers = { 'content-type': 'application/json', 'x-api-key': 'the key', ...PURPOSE }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify({ [field]: values }) })
  const id = response.headers.get('x-request-id') as string
  return { status: response.status, id, json: (await response.json()) as Record<string, string[] & string> }
}

/** A service in this process whose record goes through the front, each test's under a prefix of its own. */
async function recorded(prefix: string) {
  const way = await front()
  const { keyring, apiKeys } = await files()
  const clock = minutes()
  const place = `s3://records/${prefix}/`
  const events: string[] = []
  const service = await startService({
    keyring,
    auth: { apiKeys },
    audit: place,
    storage: s3Over(way.endpoint),
    clock,
    log: ({ event }) => events.push(event),
  })
  onTestFinished(() => service.close())
  const made = await ask(service.url, '/pseudonymization?deterministic=True', ['A', 'B'])
  const pseudonyms = made.json.pseudonyms as string[]
  const direct = s3Over(store.endpoint)
  const anchors = `s3://records/${prefix}.anchors/`
  return {
    ...way,
    ...service,
    events,
    clock,
    first: made.id,
    back: () => ask(service.url, '/reidentification', pseudonyms),
    forward: () => ask(service.url, '/pseudonymization', ['C']),
    async report() {
      return checkAudit(direct, place, anchors)
    },
    async entries() {
      const all = []
      for await (const entry of exportAudit(direct, place, {})) all.push(entry)
      return all.map(({ request_id }) => request_id)
    },
    async anchorsThere() {
      let count = 0
      for await (const _ of direct.list(anchors)) count++
      return count
    },
  }
}

/** Nothing was taken away, and nothing could have been written over: every object was made on the condition that there was none. */
function onlyAdds(seen: readonly { method: string; path: string; ifNoneMatch: string | undefined }[]) {
  const puts = seen.filter(({ method }) => method === 'PUT')
  expect(puts.length).toBeGreaterThan(1)
  expect(puts.every(({ ifNoneMatch }) => ifNoneMatch === '*')).toBe(true)
  expect(seen.filter(({ method }) => method === 'DELETE' || method === 'POST')).toEqual([])
}

const isEntry = (method: string, path: string) => method === 'PUT' && !path.includes('.anchors/')
const isAnchor = (method: string, path: string) => method === 'PUT' && path.includes('.anchors/')

testWith(
  'versitygw',
  'from start to end a record in a bucket is only added to; audit verify and export read it',
  async () => {
    const way = await front()
    const { dir, keyring, apiKeys } = await files()
    const words = ['--keyring', keyring, '--api-keys', apiKeys, '--audit', 's3://records/whole/', '--port', '0']
    const service = start(['service', 'start', ...words], { cwd: dir, env: way.env })
    const url = (await firstLine(service)).replace('listening on ', '')
    const made = await ask(url, '/pseudonymization?deterministic=True', ['planted-value'])
    const back = await ask(url, '/reidentification', made.json.pseudonyms as string[])
    expect(back.json).toEqual({ identifiers: ['planted-value'] })
    service.child.kill('SIGTERM')
    expect((await service.ended).code).toBe(0)
    onlyAdds(way.seen)

    const verified = await pseudolake(['audit', 'verify', 's3://records/whole/', '--json'], { cwd: dir, env: way.env })
    expect(verified.code).toBe(0)
    expect(JSON.parse(verified.stdout)).toMatchObject({ status: 'whole', anchors: 's3://records/whole.anchors/' })
    const exported = await pseudolake(['audit', 'export', 's3://records/whole/'], { cwd: dir, env: way.env })
    const entries = exported.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(entries.map(({ request_id, caller, outcome }) => [request_id, caller, outcome])).toEqual([
      [made.id, 'desk', 'answered'],
      [back.id, 'desk', 'answered'],
    ])
    expect(exported.stdout).not.toContain('planted')
  },
  60_000,
)

testWith(
  'versitygw',
  'what was put and whose answer was lost is on record once, and the caller is answered',
  async () => {
    const { meet, back, report, entries, first, seen, close } = await recorded('lost')
    let lost = 0
    meet((method, path) => (isEntry(method, path) && lost++ === 0 ? 'lost' : 'through'))
    const one = await back()
    const other = await back()
    expect([one.status, other.status]).toEqual([200, 200])
    expect(lost).toBeGreaterThan(1)
    await close()
    expect(await entries()).toEqual([first, one.id, other.id])
    expect(await report()).toMatchObject({ status: 'whole' })
    onlyAdds(seen)
  },
  60_000,
)

testWith(
  'versitygw',
  'while the bucket refuses, nobody goes back; what was held is on record once it does not',
  async () => {
    const { meet, back, forward, report, entries, first, url, events, close } = await recorded('denied')
    meet((method, path) => (isEntry(method, path) ? 'denied' : 'through'))
    const refused = await back()
    expect([refused.status, refused.json.code]).toEqual([503, 'service/audit'])
    expect(JSON.stringify(refused.json)).not.toContain('"A"')
    expect((await fetch(`${url}/ready`)).status).toBe(503)
    // A way forward gives nothing away.
    const made = await forward()
    expect(made.status).toBe(200)
    expect(events).toContain('audit-failed')
    meet(() => 'through')
    const answered = await back()
    expect(answered.status).toBe(200)
    await close()
    const all = await entries()
    // The one that was refused is there too: it had been taken up, and says too much rather than too little.
    expect(all).toEqual([first, refused.id, made.id, answered.id])
    expect(await report()).toMatchObject({ status: 'whole' })
  },
  60_000,
)

testWith(
  'versitygw',
  'the head is anchored every minute while there is something new, whatever became of the minute before',
  async () => {
    const { clock, meet, forward, anchorsThere, report, events, close, seen } = await recorded('anchors')
    const anchored = (count: number) => expect.poll(anchorsThere, { timeout: 20_000 }).toBe(count)
    await anchored(1)
    await clock.pass()
    await anchored(2)
    await forward()
    expect(await report()).toMatchObject({ status: 'whole' })
    await clock.pass()
    await anchored(3)

    let lost = 0
    meet((method, path) => (isAnchor(method, path) && lost++ === 0 ? 'lost' : 'through'))
    await forward()
    await clock.pass()
    await anchored(4)
    meet((method, path) => (isAnchor(method, path) ? 'denied' : 'through'))
    await forward()
    await clock.pass()
    await expect.poll(() => events, { timeout: 20_000 }).toContain('anchor-failed')
    meet(() => 'through')
    await clock.pass()
    await anchored(5)
    // Nothing new, no anchor.
    const before = seen.length
    await clock.pass()
    await close()
    expect(seen.slice(before).filter(({ method }) => method === 'PUT')).toEqual([])
    expect(await report()).toMatchObject({ status: 'whole' })
    onlyAdds(seen)
  },
  60_000,
)

testWith(
  'versitygw',
  'a service whose record can’t be begun does not start',
  async () => {
    const way = await front()
    way.meet(() => 'denied')
    const { dir, keyring, apiKeys } = await files()
    const words = ['--keyring', keyring, '--api-keys', apiKeys, '--audit', 's3://records/never/', '--port', '0']
    const ended = await pseudolake(['service', 'start', ...words], { cwd: dir, env: way.env })
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toContain('storage/denied')
  },
  60_000,
)
