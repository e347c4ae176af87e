import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as tlsConnect } from 'node:tls'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { type StartOptions, startService } from '../../service/start.ts'
import { firstLine, pseudolake, start } from '../helpers/cli.ts'

let dir: string
let cert: Buffer
let key: Buffer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
  const files = ['-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', [...made, ...files, ...subject], { stdio: 'ignore' })
  cert = readFileSync(join(dir, 'cert.pem'))
  key = readFileSync(join(dir, 'key.pem'))
  await saveKeyring(join(dir, 'keys.json'), createKeyring({ randomBytes, now: 0 }), randomBytes)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function service(options: Partial<StartOptions> = {}) {
  const logged: unknown[] = []
  const running = await startService({
    keyring: join(dir, 'keys.json'),
    audit: mkdtempSync(join(dir, 'audit-')),
    auth: { insecureNoAuth: true },
    tls: { cert, key },
    log: (entry) => void logged.push(entry),
    ...options,
  })
  onTestFinished(() => running.close())
  return { ...running, logged }
}

function session(url: string): ClientHttp2Session {
  const client = connect(url, { ca: cert })
  client.on('error', () => undefined)
  onTestFinished(() => client.destroy())
  return client
}

/** What came on a stream until the other side ended it, though this side never did. */
async function received(stream: ClientHttp2Stream): Promise<string> {
  let all = ''
  stream.on('data', (chunk) => (all += chunk))
  await once(stream, 'end')
  return all
}

/** One request; `body` in as many pieces as it has. */
async function ask(
  client: ClientHttp2Session,
  path: string,
  body: readonly (string | Uint8Array)[] | undefined,
  more = {},
) {
  const head = { ':path': path, ':method': body ? 'POST' : 'GET', 'content-type': 'application/json', ...more }
  const stream = client.request(head)
  for (const piece of body ?? []) stream.write(piece)
  stream.end()
  const [headers] = await once(stream, 'response')
  const answer = await text(stream)
  return { status: headers[':status'], headers, answer, rst: stream.rstCode }
}

test('over TLS it speaks HTTP/2, many calls on one connection, and HTTP/1.1 to those who don’t', async () => {
  const { url } = await service()
  expect(url).toMatch(/^https:/)
  const client = session(url)
  const identifiers = (i: number) => Array.from({ length: 500 }, (_, k) => `v${i}-${k}`)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      ask(client, '/Dev/pseudonymization?deterministic=True', [JSON.stringify({ identifiers: identifiers(i) })]),
    ),
  )
  for (const [i, { status, headers, answer }] of answers.entries()) {
    expect([status, headers['x-pseudolake-domain'], headers['content-length']]).toEqual([
      200,
      'default',
      String(answer.length),
    ])
    const back = await ask(client, '/reidentification', [JSON.stringify({ pseudonyms: JSON.parse(answer).pseudonyms })])
    expect(JSON.parse(back.answer)).toEqual({ identifiers: identifiers(i) })
  }
  expect((await ask(client, '/health', undefined)).answer).toBe('{"status":"ok"}')

  const agent = new Agent({ ca: cert, keepAlive: true })
  onTestFinished(() => agent.destroy())
  for (const path of ['/health', '/ready']) {
    const sent = request(url + path, { agent }).end()
    const [response] = await once(sent, 'response')
    expect([response.httpVersion, response.statusCode, (await text(response)).length > 0]).toEqual(['1.1', 200, true])
  }
})

test('problems are the same as over HTTP/1.1: too large, too many, wrong methods and paths, another host', async () => {
  const { url } = await service()
  const client = session(url)
  const codes = async (...requests: Parameters<typeof ask>[]) =>
    (await Promise.all(requests.map((one) => ask(...one)))).map(({ status, answer }) => [
      status,
      JSON.parse(answer).code,
    ])
  expect(
    await codes(
      [client, '/pseudonymization', ['{']],
      [client, '/pseudonymization', ['{}'], { ':method': 'PUT' }],
      [client, '/', ['{}']],
      [client, '/pseudonymization', ['{}'], { 'content-encoding': 'gzip' }],
      [client, '/pseudonymization', ['{}'], { ':authority': 'evil.example' }],
    ),
  ).toEqual([
    [400, 'request/malformed'],
    [405, 'request/method'],
    [404, 'request/unknown-path'],
    [415, 'request/media-type'],
    [403, 'request/forbidden'],
  ])
  expect((await ask(client, '/health', undefined)).status).toBe(200)
})

test('a body that grows past the limit is refused while it is sent, and its stream ends', async () => {
  const { url } = await service()
  const client = session(url)
  const stream = client.request({ ':path': '/pseudonymization', ':method': 'POST', 'content-type': 'application/json' })
  stream.on('error', () => undefined)
  const reset = once(stream, 'aborted')
  const send = () => {
    while (!stream.destroyed && stream.writable && stream.write(Buffer.alloc(65_536, 0x20)));
  }
  stream.on('drain', send)
  send()
  const [headers] = await once(stream, 'response')
  expect(headers[':status']).toBe(413)
  expect(JSON.parse(await received(stream)).code).toBe('request/too-large')
  await reset
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR)
  expect((await ask(client, '/health', undefined)).status).toBe(200)
})

test('a body that does not come in time is a 408, and a refusal does not wait for the rest of it', async () => {
  const { url } = await service({ requestTimeoutMs: 400, headersTimeoutMs: 300 })
  const client = session(url)
  const slow = client.request({ ':path': '/pseudonymization', ':method': 'POST', 'content-type': 'application/json' })
  slow.write('{')
  const [headers] = await once(slow, 'response')
  expect(headers[':status']).toBe(408)
  expect(JSON.parse(await received(slow)).code).toBe('request/timeout')

  const refused = client.request({ ':path': '/pseudonymization', ':method': 'POST', 'content-type': 'text/plain' })
  refused.write('x')
  const [answer] = await once(refused, 'response')
  expect([answer[':status'], JSON.parse(await received(refused)).code]).toEqual([415, 'request/media-type'])
})

test('a head that is too large, a handshake that is none and a connection that says nothing end, and the service lives on', async () => {
  const { url } = await service({ requestTimeoutMs: 600, headersTimeoutMs: 300 })
  const client = session(url)
  const { status, answer } = await ask(client, '/health', undefined, { x: 'y'.repeat(40_000) })
  expect([status, JSON.parse(answer).code]).toEqual([431, 'request/head-too-large'])

  const { hostname, port } = new URL(url)
  const silent = tlsConnect({ host: hostname, port: Number(port), ca: cert, ALPNProtocols: ['h2'] })
  silent.on('error', () => undefined).resume()
  await once(silent, 'close')
  expect((await ask(session(url), '/health', undefined)).status).toBe(200)
}, 20_000)

test('it stops while clients are connected: calls under way are answered, and sessions are told', async () => {
  const { url, close } = await service()
  const client = session(url)
  await ask(client, '/health', undefined)
  const ended = once(client, 'close')
  const call = ask(client, '/pseudonymization', [
    JSON.stringify({ identifiers: Array.from({ length: 50_000 }, (_, i) => `v${i}`) }),
  ])
  await ask(client, '/metrics', undefined)
  const closing = close()
  expect((await call).status).toBe(200)
  await closing
  await ended
})

test('certificates are given as files; what is none of one, or half of it, does not start', async () => {
  const own = ['service', 'start', '--keyring', 'keys.json', '--insecure-no-auth', '--port', '0', '--audit', 'calls']
  const running = start([...own, '--tls-cert', 'cert.pem', '--tls-key', 'key.pem'], { cwd: dir })
  const url = (await firstLine(running)).replace('listening on ', '')
  expect((await ask(session(url), '/health', undefined)).status).toBe(200)
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(0)

  writeFileSync(join(dir, 'bad.pem'), 'PLANTED')
  const ends = async (...more: string[]) => {
    const { code, stderr } = await pseudolake([...own, ...more], { cwd: dir })
    expect(stderr).not.toContain('PLANTED')
    return [code, /error ([a-z/-]+):/.exec(stderr)?.[1]]
  }
  expect(await ends('--tls-cert', 'cert.pem')).toEqual([2, 'options/invalid'])
  expect(await ends('--tls-cert', 'cert.pem', '--tls-key', 'none.pem')).toEqual([2, 'input/not-found'])
  expect(await ends('--tls-cert', 'cert.pem', '--tls-key', 'bad.pem')).toEqual([2, 'config/invalid'])
}, 30_000)
