/** docs/openapi.json against the constants that it is made of, and a running service against docs/openapi.json. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { MAX_VALUES } from '../../lib/wire/contract.ts'
import { PROBLEMS, type ProblemCode } from '../../lib/wire/problem.ts'
import { openapiText } from '../../scripts/openapi.ts'
import { createApp } from '../../service/app.ts'
import type { Audit } from '../../service/audit/audit.ts'
import { everybody } from '../../service/auth.ts'
import { listen } from '../../service/handlers/http.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { saveKeyring } from '../../service/keys/file.ts'
import { type RunningService, startService } from '../../service/start.ts'

// biome-ignore lint/suspicious/noExplicitAny: a document of any shape, walked by its own names
type Any = any

const text = readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8')
const document: Any = JSON.parse(text)
const ajv = new Ajv2020({ strict: false })
ajv.addSchema({ ...document, $id: 'openapi' }, 'openapi')
const POSTS = ['/pseudonymization', '/reidentification']

test('docs/openapi.json is what the constants say (npm run build:openapi)', () => {
  expect(text).toBe(openapiText())
})

test('every problem that the service has is documented for one path at least, with its status', () => {
  const codes = POSTS.flatMap((path) => documentedCodes(path))
  expect([...new Set(codes.map(([, code]) => code))].sort()).toEqual(Object.keys(PROBLEMS).sort())
  for (const [status, code] of codes) expect(PROBLEMS[code].status).toBe(status)
})

function documentedCodes(path: string): [number, ProblemCode][] {
  return Object.entries<Any>(document.paths[path].post.responses).flatMap(([status, { content }]) =>
    (content['application/problem+json']?.schema.allOf[1].properties.code.enum ?? []).map((code: ProblemCode) => [
      Number(status),
      code,
    ]),
  )
}

/** Fails where an answer is not as the document has it for the path: status, content type, headers, body. */
async function conforms(method: string, path: string, response: Response): Promise<{ status: number; code?: string }> {
  const documented = document.paths[path][method].responses[response.status]
  expect(documented, `${path} ${response.status} is documented`).toBeDefined()
  const type = response.headers.get('content-type')?.split(';')[0] ?? ''
  expect(Object.keys(documented.content)).toContain(type)
  for (const [name, { required, schema }] of Object.entries<Any>(documented.headers ?? {})) {
    const value = response.headers.get(name)
    if (required) expect(value, `${path} ${response.status} ${name}`).not.toBeNull()
    if (value !== null) expect(ajv.validate(schema, value), name).toBe(true)
  }
  const body = await response.text()
  if (!type.endsWith('json')) return { status: response.status }
  const parsed = JSON.parse(body)
  const schema = JSON.parse(JSON.stringify(documented.content[type].schema).replaceAll('"#/', '"openapi#/'))
  expect(ajv.validate(schema, parsed), ajv.errorsText()).toBe(true)
  return { status: response.status, code: parsed.code }
}

let dir: string
let running: RunningService
const KEY = 'key-of-the-test'

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
  const keyring = join(dir, 'keys.json')
  await saveKeyring(keyring, createKeyring({ domains: ['default', 'vehicle'], randomBytes, now: 0 }), randomBytes)
  const caller = (name: string, key: string, more: object) => ({
    name,
    key_sha256: createHash('sha256').update(key).digest('hex'),
    permissions: ['pseudonymize', 'reidentify'],
    domains: ['*'],
    purposes: ['test'],
    until: '2999-01-01',
    ...more,
  })
  const callers = [
    caller('all', KEY, {}),
    caller('slow', 'key-slow', { rate: { per_second: 0.0001, burst: 1 } }),
    caller('metered', 'key-metered', { quota: { requests: 1, per: 'month' } }),
  ]
  writeFileSync(join(dir, 'callers.json'), JSON.stringify({ version: 2, callers }))
  running = await startService({
    keyring,
    auth: { apiKeys: join(dir, 'callers.json') },
    // The quota of a month must not begin anew in the middle.
    clock: { ...systemClock(), wall: () => Date.UTC(2026, 10, 15) },
  })
})

afterAll(async () => {
  await running.close()
  rmSync(dir, { recursive: true })
})

const HEAD = { 'content-type': 'application/json', 'x-api-key': KEY, 'x-pseudolake-purpose': 'test' }

function post(path: string, body: string, headers: Record<string, string> = {}, url = running.url): Promise<Response> {
  return fetch(url + path, { method: 'POST', body, headers: { ...HEAD, ...headers } })
}

const field = (path: string) => (path === '/pseudonymization' ? 'identifiers' : 'pseudonyms')
const listed = (path: string, value: string, count: number) =>
  `{"${field(path)}":[${`${value},`.repeat(count - 1)}${value}]}`

describe.each(POSTS)('POST %s', (path) => {
  test('answers the document’s example as the document says', async () => {
    const { example } = document.paths[path].post.requestBody.content['application/json']
    expect(await conforms('post', path, await post(path, JSON.stringify(example)))).toMatchObject({ status: 200 })
    const stage = await post(`/${document.servers[1].variables.stage.default}${path}`, JSON.stringify(example))
    expect(await conforms('post', path, stage)).toMatchObject({ status: 200 })
  })

  test('answers whatever fits the document’s schema as it says, and what does not fit with a problem of it', async () => {
    const { schema } = document.paths[path].post.requestBody.content['application/json']
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
    )
    const body = fc.oneof(
      fc.record({ [field(path)]: fc.array(value, { maxLength: 5 }) }),
      fc.record({ [field(path)]: fc.jsonValue(), other: fc.jsonValue() }, { requiredKeys: [] }),
      fc.jsonValue(),
    )
    const parameters = document.paths[path].post.parameters.filter((parameter: Any) => parameter.in === 'query')
    const query = fc
      .tuple(
        ...parameters.map(({ name, schema: { pattern } }: Any) =>
          fc.option(
            fc.oneof(fc.stringMatching(new RegExp(pattern ?? '^.*$')), fc.string()).map((text) => [name, text]),
          ),
        ),
      )
      .map((pairs) => new URLSearchParams((pairs as ([string, string] | null)[]).filter((pair) => pair !== null)))
    const fits = ajv.compile(schema)
    await fc.assert(
      fc.asyncProperty(body, query, async (body, query) => {
        const { status } = await conforms('post', path, await post(`${path}?${query}`, JSON.stringify(body)))
        const wellAsked = parameters.every(({ name, schema: { pattern } }: Any) => {
          const given = query.get(name)
          return given === null || pattern === undefined || new RegExp(pattern).test(given)
        })
        // The domains and keys that there are, and which texts are pseudonyms, no schema can say.
        if (!fits(body) || !wellAsked) expect([400, 422, 404]).toContain(status)
        else expect([200, 404, 422]).toContain(status)
        if (status === 200) expect(fits(body)).toBe(true)
      }),
      { numRuns: 80 },
    )
  }, 60_000)

  /** A way to each problem of the document; those that need a service that is out of order have one of their own. */
  const WAYS: Readonly<Record<ProblemCode, () => Promise<Response>>> = {
    'request/malformed': () => post(path, '{'),
    'request/parameter': () => post(`${path}?domain=A`, '{}'),
    'request/forbidden': () => post(path, '{}', { 'x-api-key': 'wrong' }),
    'request/purpose': () => post(path, '{}', { 'x-pseudolake-purpose': 'other' }),
    'request/unknown-path': () => post(`${path}/`, '{}'),
    'keyring/unknown-domain': () => post(`${path}?domain=none`, listed(path, 'null', 1)),
    'keyring/unknown-key': () => post(`${path}?key=none`, listed(path, 'null', 1)),
    'request/method': () => fetch(running.url + path, { method: 'PUT', body: '{}' }),
    'request/timeout': () =>
      unfinished(
        `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${KEY}\r\nx-pseudolake-purpose: test\r\ncontent-length: 5\r\n\r\n`,
      ),
    'request/too-large': () => post(path, ' '.repeat(7_000_000)),
    'request/too-many': () => post(path, listed(path, '0', MAX_VALUES + 1)),
    'request/head-too-large': () => unfinished(`POST ${path} HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`),
    'answer/too-large': async () => {
      if (path === '/pseudonymization') return post(path, listed(path, '"ab"', MAX_VALUES))
      const long = Array.from({ length: 8 }, () => '\\u0001'.repeat(65_536)).join('","')
      const made = async () => (await (await post(POSTS[0] as string, `{"identifiers":["${long}"]}`)).json()).pseudonyms
      return post(path, JSON.stringify({ pseudonyms: [...(await made()), ...(await made()), ...(await made())] }))
    },
    'request/media-type': () => post(path, '{}', { 'content-type': 'text/plain' }),
    'identifier/not-unicode': () => post(path, '{"identifiers":["\\ud800"]}'),
    'identifier/invalid': () => post(path, '{"identifiers":[{}]}'),
    'pseudonym/invalid': () => post(path, '{"pseudonyms":["none"]}'),
    'request/throttled': async () => {
      await post(path, '{}', { 'x-api-key': 'key-slow' })
      return post(path, '{}', { 'x-api-key': 'key-slow' })
    },
    'request/quota': async () => {
      await post(path, '{}', { 'x-api-key': 'key-metered' })
      return post(path, '{}', { 'x-api-key': 'key-metered' })
    },
    'service/busy': () => outOfOrder(path, { maxInFlight: 0 }),
    'service/failed': () => outOfOrder(path, { domains: 'none' }),
    'service/audit': () => outOfOrder(path, { record: false }),
  }
  test.each(documentedCodes(path))('%d %s comes as the document says', async (status, code) => {
    expect(await conforms('post', path, await WAYS[code]())).toEqual({ status, code })
  })
})

test.each(['/health', '/ready', '/metrics'])('GET %s answers as the document says, without a key', async (path) => {
  expect(await conforms('get', path, await fetch(running.url + path))).toMatchObject({ status: 200 })
})

/** Bytes that never become a request, or end too early, sent to a service that does not wait long; what is answered. */
async function unfinished(head: string): Promise<Response> {
  const keyring = join(dir, 'keys.json')
  const auth = { apiKeys: join(dir, 'callers.json') }
  const short = await startService({ keyring, auth, headersTimeoutMs: 300, requestTimeoutMs: 400 })
  const { hostname, port } = new URL(short.url)
  const received = await new Promise<string>((resolve) => {
    let received = ''
    const socket = connect(Number(port), hostname, () => socket.write(head))
    socket.on('data', (chunk) => (received += chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received))
  })
  await short.close()
  const [top = '', body = ''] = received.split('\r\n\r\n')
  const [line = '', ...lines] = top.split('\r\n')
  const headers = lines.map((line) => line.split(': ') as [string, string])
  return new Response(body, { status: Number(line.split(' ')[1]), headers })
}

async function outOfOrder(
  path: string,
  { maxInFlight = 1, record = true, domains = 'there' }: { maxInFlight?: number; record?: boolean; domains?: string },
): Promise<Response> {
  const audit: Audit = {
    record: async () => (record ? undefined : Promise.reject(new Error('full'))),
    seal: async () => ({ chain: '', n: 0, hash: '' }),
    close: async () => undefined,
  }
  const broken = () => {
    throw new TypeError('broken')
  }
  const kernels = { domains: [{ domain: 'default' }], forward: broken, back: () => new Map() }
  const app = createApp({
    keyring: { ...kernels, ...(domains === 'none' && { back: broken }) } as Any,
    identify: everybody(),
    audit,
    clock: systemClock(),
    requestId: () => 'r',
    pause: async () => undefined,
    log: () => undefined,
    maxInFlight,
  })
  const { url, close } = await listen(app, { host: '127.0.0.1', port: 0 })
  try {
    const response = await post(path, listed(path, 'null', 1), {}, url)
    return new Response(await response.text(), response)
  } finally {
    await close()
  }
}
