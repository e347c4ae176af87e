import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import type { LogEntry } from '../../service/app.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { compareAnswers } from '../../service/shadow/compare.ts'
import { tally } from '../../service/shadow/report.ts'
import { shadow } from '../../service/shadow/shadow.ts'
import type { PassedAnswer } from '../../service/shadow/sides.ts'
import { type ShadowStartOptions, startShadow } from '../../service/shadow/start.ts'
import { startService } from '../../service/start.ts'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'
import { folder, vectorKeyring } from './keyrings.ts'

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex')

/** A keyring's file; two of them with different secrets. */
function keyringFile(secret = 0): string {
  const file = join(folder(), 'keys.json')
  writeFileSync(file, writeKeyring(vectorKeyring(secret)), { mode: 0o600 })
  return file
}

async function serviceOf(
  keyring: string,
  permissions: readonly string[] = ['pseudonymize', 'reidentify'],
): Promise<string> {
  const apiKeys = join(folder(), 'callers.json')
  const caller = { name: 'a', key_sha256: sha256('PLANTED-KEY'), permissions, domains: ['*'], until: '2999-01-01' }
  writeFileSync(apiKeys, JSON.stringify([caller]))
  const { url, close } = await startService({ keyring, auth: { apiKeys } })
  onTestFinished(close)
  return url
}

/** A service of the test's own. */
async function other(answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function shadowed(options: Partial<ShadowStartOptions> & { old: string }) {
  const logged: LogEntry[] = []
  const running = await startShadow({
    env: {},
    clock: systemClock(),
    random: () => 0,
    log: (entry) => void logged.push(entry),
    ...options,
  })
  onTestFinished(async () => void (await running.close()))
  const post = async (path: string, body: object | string, headers: Record<string, string> = {}) => {
    const response = await fetch(running.url + path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json', 'x-api-key': 'PLANTED-KEY', ...headers },
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: text.startsWith('{') ? JSON.parse(text) : undefined,
    }
  }
  return { ...running, logged, post }
}

const IDENTIFIERS = ['PLANTED-1', null, 'PLANTED-2', 1.5, '']

test('callers get the old service’s answers, and the new one is held against them in both directions', async () => {
  const keyring = keyringFile()
  const [old, fresh] = [await serviceOf(keyring), await serviceOf(keyring)]
  const { post, close, logged } = await shadowed({ old, new: fresh, purpose: 'cut-over' })
  const made = await post('/Dev/pseudonymization?deterministic=True', { identifiers: IDENTIFIERS })
  expect(made.status).toBe(200)
  expect(made.headers.get('x-pseudolake-domain')).toBe('default')
  await post('/pseudonymization?deterministic=False&domain=vehicle', { identifiers: IDENTIFIERS })
  const back = await post('/Dev/reidentification', made.json)
  expect(back.json).toEqual({ identifiers: ['PLANTED-1', null, 'PLANTED-2', '1.5', ''] })
  await post('/pseudonymization', '{')
  await fetch(`${old}/health`)
  const report = await close()
  const different = { status: 0, form: 0, length: 0, values: 0 }
  expect(report).toEqual({
    requests: 4,
    old_failed: 0,
    directions: {
      pseudonymize: { sampled: 3, equal: 3, different, new_failed: 0, skipped: 0, values: 10, different_values: 0 },
      reidentify: { sampled: 1, equal: 1, different, new_failed: 0, skipped: 0, values: 5, different_values: 0 },
    },
    statuses: {},
  })
  expect(logged.at(-1)).toMatchObject({ event: 'shadow', level: 'info', requests: 4, pseudonymize_equal: 3 })
  for (const planted of ['PLANTED', ...made.json.pseudonyms.filter(Boolean)])
    expect(JSON.stringify([report, logged])).not.toContain(planted)
})

test('a keyring with another key shows, deterministic, random and on the way back, without a service', async () => {
  const old = await serviceOf(keyringFile(0))
  const key = '&key=orig'
  const { post, close, logged } = await shadowed({ old, keyring: keyringFile(1) })
  const made = await post(`/pseudonymization?deterministic=True${key}`, { identifiers: ['A', 'B'] })
  await post(`/pseudonymization?deterministic=False${key}`, { identifiers: ['A', 'B'] })
  await post('/reidentification', made.json)
  const { directions, statuses } = await close()
  expect(directions.pseudonymize).toMatchObject({ equal: 0, different: { values: 2 }, values: 4, different_values: 4 })
  expect(directions.reidentify).toMatchObject({ equal: 0, different: { status: 1 } })
  expect(statuses).toEqual({ '200/422': 1 })
  expect(logged.at(-1)).toMatchObject({ level: 'warn', statuses: '200/422:1' })
})

test('what is answered otherwise on purpose is told by its statuses; a caller without the way back is no difference', async () => {
  const keyring = keyringFile()
  const old = await other(async (request, response) => {
    // As the reference: an empty body is a 500, a bad value a null.
    const body = await text(request)
    if (body === '{}') return void response.writeHead(500).end('{"message":"Internal server error"}')
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(request.url?.includes('reident') ? '{"identifiers":[null]}' : '{"pseudonyms":["x"]}')
  })
  const { post, close } = await shadowed({ old, new: await serviceOf(keyring, ['pseudonymize']) })
  expect(await post('/Dev/pseudonymization', '{}')).toMatchObject({
    status: 500,
    text: '{"message":"Internal server error"}',
  })
  await post('/Dev/pseudonymization', { identifiers: ['A'] })
  await post('/Dev/reidentification', { pseudonyms: ['none'] })
  const { directions, statuses } = await close()
  expect(statuses).toEqual({ '500/400': 1, '200/403': 1 })
  expect(directions.pseudonymize).toMatchObject({ sampled: 2, skipped: 1, different: { status: 1 } })
})

test('a new service that is away, slow or full costs callers nothing', async () => {
  const keyring = keyringFile()
  const old = await serviceOf(keyring)
  const away = await shadowed({ old, new: 'http://127.0.0.1:9' })
  for (let i = 0; i < 3; i++)
    expect((await away.post('/pseudonymization?deterministic=True', { identifiers: ['A'] })).status).toBe(200)
  expect((await away.close()).directions.pseudonymize).toMatchObject({ sampled: 3, new_failed: 3, equal: 0 })

  const waiting: (() => void)[] = []
  const slow = await other((_, response) => void waiting.push(() => response.end('{}')))
  const full = await shadowed({ old, new: slow })
  for (let i = 0; i < 20; i++)
    expect((await full.post('/pseudonymization?deterministic=True', { identifiers: ['A'] })).status).toBe(200)
  expect(full.report().directions.pseudonymize).toMatchObject({ sampled: 20, skipped: 4 })
  while (waiting.length < 16) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const answer of waiting) answer()
  expect((await full.close()).directions.pseudonymize.different.form).toBe(16)
})

test('an old service that is away is a 502; whatever it says goes through, its compression apart', async () => {
  const away = await shadowed({ old: 'http://127.0.0.1:9', keyring: keyringFile() })
  expect(await away.post('/pseudonymization', { identifiers: [] })).toMatchObject({ status: 502 })
  expect((await away.close()).old_failed).toBe(1)

  const seen: IncomingMessage[] = []
  const old = await other((request, response) => {
    seen.push(request)
    const zipped = request.headers['accept-encoding'] !== undefined
    response.writeHead(207, { 'x-own': ['a', 'b'], ...(zipped && { 'content-encoding': 'gzip' }) })
    response.end(zipped ? gzipSync('hello') : 'hello')
  })
  const { url, post } = await shadowed({ old: `${old}/stage`, keyring: keyringFile() })
  const answer = await fetch(`${url}/any/path?x=1`, { method: 'PUT', body: 'body', headers: { 'x-caller': 'me' } })
  expect([answer.status, answer.headers.get('x-own'), await answer.text()]).toEqual([207, 'a, b', 'hello'])
  expect([seen[0]?.method, seen[0]?.url, seen[0]?.headers['x-caller']]).toEqual(['PUT', '/stage/any/path?x=1', 'me'])
  expect((await post('/pseudonymization', 'x'.repeat(11 * 2 ** 20))).status).toBe(413)
})

test('a sample is as large as is said', async () => {
  const draws = [0.05, 0.5, 0.099, 0.1]
  const counted = tally()
  const answer: PassedAnswer = { status: 200, headers: {}, body: Buffer.from('{"identifiers":[]}') }
  const side = { name: '', ask: async () => answer, close: async () => undefined }
  const standing = shadow({ old: side, fresh: side, sample: 0.1, random: () => draws.shift() ?? 1, tally: counted })
  for (let i = 0; i < 4; i++)
    await standing.pass({ method: 'POST', target: '/reidentification', headers: {}, body: Buffer.from('{}') })
  await standing.settled()
  expect(counted.report().directions.reidentify).toMatchObject({ sampled: 2, equal: 2 })
})

test.each<[string, Partial<ShadowStartOptions> & { old: string }]>([
  ['neither a new service nor a keyring', { old: 'http://127.0.0.1:1' }],
  ['both', { old: 'http://127.0.0.1:1', new: 'http://127.0.0.1:2', keyring: 'x' }],
  ['an old service over http elsewhere', { old: 'http://old.example', new: 'http://127.0.0.1:2' }],
  ['a password in the URL', { old: 'https://me:PLANTED@old.example', new: 'http://127.0.0.1:2' }],
  ['a query in the URL', { old: 'https://old.example/?PLANTED', new: 'http://127.0.0.1:2' }],
  ['no URL', { old: 'https://', new: 'http://127.0.0.1:2' }],
  ['a share above 1', { old: 'http://127.0.0.1:1', new: 'http://127.0.0.1:2', sample: 1.5 }],
])('refused: %s', async (_, options) => {
  const start = shadowed(options)
  await expect(start).rejects.toMatchObject({
    code: 'options/invalid',
    message: expect.not.stringContaining('PLANTED'),
  })
})

test('whatever two services answer, it is compared, and equal only where it is', () => {
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc
      .array(fc.option(fc.constantFrom('a', 'b')), { maxLength: 3 })
      .map((list) => Buffer.from(JSON.stringify({ identifiers: list }))),
  )
  fc.assert(
    fc.property(body, body, fc.constantFrom(200, 400), (a, b, status) => {
      const { outcome, different, values } = compareAnswers(
        { status: 200, body: a },
        { status, body: b },
        'identifiers',
      )
      expect(different).toBeLessThanOrEqual(values)
      if (outcome === 'equal')
        expect(JSON.parse(Buffer.from(a).toString())).toEqual(JSON.parse(Buffer.from(b).toString()))
      if (status === 400) expect(outcome).toBe('status')
    }),
    { numRuns: 500 },
  )
})

test('service shadow says where it listens, and ends with its counts when it is told to', async () => {
  const keyring = keyringFile()
  const old = await serviceOf(keyring)
  const running = start(['service', 'shadow', '--old', old, '--keyring', keyring, '--port', '0'])
  const url = (await firstLine(running)).replace('listening on ', '')
  const response = await fetch(`${url}/pseudonymization?deterministic=True`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'PLANTED-KEY' },
    body: '{"identifiers":["A"]}',
  })
  expect(response.status).toBe(200)
  running.child.kill('SIGTERM')
  const { code, stdout, stderr } = await running.ended
  expect(code).toBe(0)
  expect(stdout).toMatch(/pseudonymize: 1 sampled, 1 equal, 0 different/)
  expect(stdout + stderr).not.toContain('PLANTED')
  const own = ['service', 'shadow', '--old', old, '--keyring', keyring]
  expect(await pseudolake([...own, '--new-api-key-env', 'NONE'])).toMatchObject({ code: 2 })
}, 30_000)

test('service shadow ends by itself after a time, with exit 1 where something differed and one JSON document', async () => {
  const old = await serviceOf(keyringFile(0))
  const own = ['service', 'shadow', '--old', old, '--keyring', keyringFile(1), '--port', '0', '--for', '3s', '--json']
  const running = start(own)
  const url = await new Promise<string>((resolve) =>
    running.child.stderr?.on('data', (chunk) => {
      const [, found] = /listening on (\S+)/.exec(String(chunk)) ?? []
      if (found !== undefined) resolve(found)
    }),
  )
  await fetch(`${url}/pseudonymization?deterministic=True&key=orig`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'PLANTED-KEY' },
    body: '{"identifiers":["A"]}',
  })
  const { code, stdout } = await running.ended
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({ requests: 1, directions: { pseudonymize: { different: { values: 1 } } } })
}, 30_000)
