import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import { bodyText } from '../../service/answers.ts'
import { createApp, type LogEntry } from '../../service/app.ts'
import { fileAudit } from '../../service/audit/file.ts'
import { verifyAudit } from '../../service/audit/verify.ts'
import { everybody } from '../../service/auth.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { type RunningService, type StartOptions, startService } from '../../service/start.ts'
import { KEYS, ORIGINAL, V2 } from '../crypto/vectors.ts'
import { folder, open, vectorKeyring } from './keyrings.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** A service of all vectors' keys, and its callers: both ways, forward only, one domain only, expired. */
async function service(options: Partial<StartOptions> & { originalSecret?: number } = {}) {
  const dir = folder()
  const keyring = join(dir, 'keys.json')
  const apiKeys = join(dir, 'callers.json')
  writeFileSync(keyring, writeKeyring(vectorKeyring(options.originalSecret)), { mode: 0o600 })
  const caller = { permissions: ['pseudonymize', 'reidentify'], domains: ['*'], until: '2999-01-01T00:00:00Z' }
  const list = [
    { ...caller, name: 'both', key_sha256: sha256('key-both') },
    { ...caller, name: 'forward', key_sha256: sha256('key-forward').toUpperCase(), permissions: ['pseudonymize'] },
    { name: 'default only', key_sha256: sha256('key-default'), permissions: ['pseudonymize', 'reidentify'] },
    { ...caller, name: 'expired', key_sha256: sha256('key-expired'), until: '2020-01-01T00:00:00Z' },
    { ...caller, name: 'fraud desk', key_sha256: sha256('key-fraud'), purposes: ['fraud-case', 'recall'] },
    { ...caller, name: 'metered', key_sha256: sha256('key-metered'), quota: { requests: 2, per: 'month' } },
    { ...caller, name: 'slow', key_sha256: sha256('key-slow'), rate: { per_second: 0.001, burst: 2 } },
  ]
  writeFileSync(apiKeys, JSON.stringify(list))
  const logged: LogEntry[] = []
  const running = await startService({
    keyring,
    auth: { apiKeys },
    log: (entry) => void logged.push(entry),
    ...options,
  })
  onTestFinished(() => running.close())
  return { ...running, dir, keyring, logged }
}

const JSON_TYPE = { 'content-type': 'application/json' }

async function post(url: string, path: string, body: string | Uint8Array, headers: Record<string, string> = {}) {
  const init = { 'x-api-key': 'key-both', ...JSON_TYPE, ...headers }
  const response = await fetch(url + path, {
    method: 'POST',
    headers: init,
    body: body as BodyInit,
    ...(body === '' && { body: null }),
  })
  const text = await response.text()
  // biome-ignore lint/suspicious/noExplicitAny: an answer is JSON of any shape until it is looked at
  return { status: response.status, headers: response.headers, text, json: tryJson(text) as any }
}

const forward = (url: string, values: unknown[], query = '?deterministic=True', headers = {}) =>
  post(url, `/pseudonymization${query}`, JSON.stringify({ identifiers: values }), headers)
const back = (url: string, values: unknown[], query = '', headers = {}) =>
  post(url, `/reidentification${query}`, JSON.stringify({ pseudonyms: values }), headers)

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

describe('every vector over HTTP', () => {
  test.each(KEYS)('$name', async ({ material: { id, domain, format }, cases, random }) => {
    const { url } = await service({ originalSecret: cases === ORIGINAL[1]?.cases ? 1 : 0 })
    const there = await forward(
      url,
      cases.map((c) => c.identifier),
      `?deterministic=True&domain=${domain}&key=${id}`,
    )
    expect([there.status, there.json]).toEqual([200, { pseudonyms: cases.map((c) => c.pseudonym) }])
    expect(there.headers.get('x-pseudolake-domain')).toBe(domain)
    expect(there.headers.get('x-pseudolake-key')).toBe(id)
    const all = [...cases, ...random]
    const here = await back(
      url,
      all.map((c) => c.pseudonym),
      `?domain=${domain}`,
    )
    expect(here.json).toEqual({ identifiers: all.map((c) => c.identifier) })
    expect(here.headers.get('x-pseudolake-key')).toBe(id)
    expect(format).toBe(id === 'orig' ? 'original' : 'v2')
  })
})

describe('a call', () => {
  let running: RunningService
  beforeAll(async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
    const keyring = join(dir, 'keys.json')
    writeFileSync(keyring, writeKeyring(vectorKeyring()), { mode: 0o600 })
    running = await startService({ keyring, auth: { insecureNoAuth: true } })
    return async () => {
      await running.close()
      rmSync(dir, { recursive: true })
    }
  })
  const made = () => V2[0]?.cases[1]?.pseudonym ?? ''

  test('under a stage, with True in any case, gives the same as without', async () => {
    for (const path of ['/Dev/pseudonymization?deterministic=TRUE', '/pseudonymization?deterministic=true'])
      expect((await post(running.url, path, '{"identifiers":["A"]}')).json).toEqual({ pseudonyms: [made()] })
  })

  test('without deterministic is random, and goes back', async () => {
    const first = await forward(running.url, ['A', 'A'], '')
    const [a, b] = first.json.pseudonyms
    expect(new Set([a, b, made()]).size).toBe(3)
    const here = await back(running.url, [a, b, made()], '?deterministic=whatever')
    expect(here.json).toEqual({ identifiers: ['A', 'A', 'A'] })
  })

  test('with numbers, booleans and nulls takes numbers as they are spelt, and gives nulls for nulls', async () => {
    const body = '{"identifiers":[1.0,12345678901234567890,true,null,"null"],"other":{"ignored":[1]}}'
    const there = await post(running.url, '/pseudonymization', body)
    expect(there.json.pseudonyms[3]).toBeNull()
    const here = await back(running.url, there.json.pseudonyms)
    expect(here.json).toEqual({ identifiers: ['1.0', '12345678901234567890', 'true', null, 'null'] })
  })

  test('with no values gives none', async () => {
    expect((await forward(running.url, [])).json).toEqual({ pseudonyms: [] })
    expect((await back(running.url, [])).json).toEqual({ identifiers: [] })
  })

  test('of a caller of the original service is understood without a content type', async () => {
    for (const type of [
      '',
      'application/x-www-form-urlencoded',
      'application/json; charset=UTF-8',
      'application/x+json',
    ])
      expect((await forward(running.url, ['A'], undefined, { 'content-type': type })).json).toEqual({
        pseudonyms: [made()],
      })
  })

  const wrong: [string, string, string | Uint8Array, Record<string, string>, number, string][] = [
    ['a misspelt value', '/pseudonymization?deterministic=SECRET', '{"identifiers":[]}', {}, 400, 'request/parameter'],
    ['a misspelt name', '/pseudonymization?determinstic=True', '{"identifiers":[]}', {}, 400, 'request/parameter'],
    ['no body', '/pseudonymization', '', {}, 400, 'request/malformed'],
    ['{}', '/pseudonymization', '{}', {}, 400, 'request/malformed'],
    ['the other direction’s field', '/reidentification', '{"identifiers":["SECRET"]}', {}, 400, 'request/malformed'],
    ['broken JSON', '/pseudonymization', '{"identifiers":["SECRET"', {}, 400, 'request/malformed'],
    ['a list', '/pseudonymization', '["SECRET"]', {}, 400, 'request/malformed'],
    ['a field twice', '/pseudonymization', '{"identifiers":[],"identifiers":["SECRET"]}', {}, 400, 'request/malformed'],
    ['deep nesting', '/pseudonymization', `{"x":${'['.repeat(1e6)}`, {}, 400, 'request/malformed'],
    [
      'invalid UTF-8',
      '/pseudonymization',
      Buffer.from('{"identifiers":["\xff"]}', 'latin1'),
      {},
      400,
      'request/malformed',
    ],
    [
      'a lone surrogate',
      '/pseudonymization',
      '{"identifiers":["A","SECRET\\ud800"]}',
      {},
      400,
      'identifier/not-unicode',
    ],
    [
      'a long value',
      '/pseudonymization',
      JSON.stringify({ identifiers: ['A', 'S'.repeat(65_537)] }),
      {},
      422,
      'identifier/invalid',
    ],
    ['an object as value', '/pseudonymization', '{"identifiers":["A",{"a":"SECRET"}]}', {}, 422, 'identifier/invalid'],
    ['no pseudonym', '/reidentification', '{"pseudonyms":[null,"SECRET"]}', {}, 422, 'pseudonym/invalid'],
    [
      'an unknown domain',
      '/pseudonymization?domain=secret',
      '{"identifiers":["SECRET"]}',
      {},
      404,
      'keyring/unknown-domain',
    ],
    ['an unknown key', '/pseudonymization?key=s3cr', '{"identifiers":["SECRET"]}', {}, 404, 'keyring/unknown-key'],
    [
      'another domain for the original key',
      '/pseudonymization?key=orig&domain=vehicle',
      '{"identifiers":["A"]}',
      {},
      404,
      'keyring/unknown-key',
    ],
    ['a trailing slash', '/pseudonymization/', '{"identifiers":["SECRET"]}', {}, 404, 'request/unknown-path'],
    ['another path', '/', '{"identifiers":["SECRET"]}', {}, 404, 'request/unknown-path'],
    [
      'text',
      '/pseudonymization',
      '{"identifiers":["SECRET"]}',
      { 'content-type': 'text/plain' },
      415,
      'request/media-type',
    ],
    [
      'gzip',
      '/pseudonymization',
      '{"identifiers":["SECRET"]}',
      { 'content-encoding': 'gzip' },
      415,
      'request/media-type',
    ],
    [
      'Latin-1',
      '/pseudonymization',
      '{}',
      { 'content-type': 'application/json; charset=latin1' },
      415,
      'request/media-type',
    ],
    [
      'too much',
      '/pseudonymization',
      `{"identifiers":["${'S'.repeat(MAX_BODY_BYTES)}"]}`,
      {},
      413,
      'request/too-large',
    ],
  ]
  test.each(wrong)(
    'with %s is refused by its code, never its content',
    async (_, path, body, headers, status, code) => {
      const answer = await post(running.url, path, body, headers)
      expect([answer.status, answer.json.code, answer.json.status]).toEqual([status, code, status])
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      expect(answer.text).not.toMatch(/SECRET|SSS|secret|s3cr/)
      const itemised = code.startsWith('identifier/') || code.startsWith('pseudonym/')
      expect(answer.json.errors).toEqual(itemised ? [{ index: 1, code }] : undefined)
    },
  )

  test('by another method is refused, and told which one is right', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
      const response = await fetch(`${running.url}/pseudonymization`, { method })
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST'])
    }
    expect((await post(running.url, '/health', '{}')).status).toBe(405)
  })

  test('whose answer would pass the limit is refused before the work', async () => {
    const answer = await post(running.url, '/pseudonymization', `{"identifiers":[${'"ab",'.repeat(144_999)}"ab"]}`)
    expect([answer.status, answer.json.code]).toEqual([413, 'answer/too-large'])
  })

  test('of the very largest size is answered', async () => {
    const head = '{"pseudonyms":[],"padding":"'
    const body = `${head}${'x'.repeat(MAX_BODY_BYTES - head.length - 2)}"}`
    expect((await post(running.url, '/reidentification', body)).json).toEqual({ identifiers: [] })
    expect((await post(running.url, '/reidentification', `${body} `)).status).toBe(413)
  })

  test('in chunks that grow past the limit is refused as well', async () => {
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 7; i++) controller.enqueue(new Uint8Array(2 ** 20))
        controller.close()
      },
    })
    const init = { method: 'POST', body: stream, duplex: 'half', headers: JSON_TYPE } as RequestInit
    const response = await fetch(`${running.url}/pseudonymization`, init)
    expect(response.status).toBe(413)
    expect((await forward(running.url, ['A'])).status).toBe(200)
  })

  test('that is no HTTP, or has too long a head, gets an answer', async () => {
    expect(await raw(running.url, 'SECRET\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    const long = `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'S'.repeat(20_000)}\r\n\r\n`
    expect(await raw(running.url, long)).toMatch(/^HTTP\/1\.1 431 .*"status":431,"code":"request\/head-too-large"/s)
  })

  test('by a name that is not this machine’s is refused without authentication (DNS rebinding)', async () => {
    const answer = await raw(running.url, 'GET /health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 403 /)
    expect(await raw(running.url, 'GET /health HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('callers', () => {
  const refusal = { status: 403, json: { status: 403, message: 'Forbidden', code: 'request/forbidden' } }

  test('who are unknown, expired or not permitted get one and the same answer', async () => {
    const { url } = await service()
    const pseudonym = V2[0]?.cases[1]?.pseudonym
    const answers = [
      await forward(url, ['SECRET'], '', { 'x-api-key': 'wrong' }),
      await forward(url, ['SECRET'], '', { 'x-api-key': '' }),
      await forward(url, ['SECRET'], '', { 'x-api-key': 'key-expired' }),
      await forward(url, ['SECRET'], '', { 'x-api-key': 'KEY-BOTH' }),
      await back(url, [pseudonym], '', { 'x-api-key': 'key-forward' }),
      await forward(url, ['SECRET'], '?domain=vehicle', { 'x-api-key': 'key-default' }),
      await forward(url, ['SECRET'], '?domain=none', { 'x-api-key': 'key-default' }),
      await forward(url, ['SECRET'], '?deterministic=nonsense', { 'x-api-key': 'wrong' }),
      await forward(url, ['SECRET'], '?deterministic=nonsense', { 'x-api-key': 'key-expired' }),
      await back(url, ['SECRET'], '?misspelt=x', { 'x-api-key': 'key-forward' }),
      await post(url, '/reidentification', 'no JSON', { 'x-api-key': 'wrong', 'content-type': 'text/plain' }),
    ]
    const missing = await fetch(`${url}/pseudonymization`, { method: 'POST', body: '{}' })
    expect(await missing.text()).toBe(answers[0]?.text)
    for (const answer of answers) {
      expect(answer).toMatchObject(refusal)
      expect(answer.text).toBe(answers[0]?.text)
      expect([...answer.headers.keys()]).toEqual([...(answers[0]?.headers.keys() ?? [])])
    }
  })

  test('who may, may', async () => {
    const { url } = await service()
    expect((await forward(url, ['A'], '', { 'x-api-key': 'key-forward' })).status).toBe(200)
    expect((await forward(url, ['A'], '?domain=default', { 'x-api-key': 'key-default' })).status).toBe(200)
    expect((await back(url, [], '?domain=vehicle', { 'x-api-key': 'key-both' })).status).toBe(200)
  })

  test('of the environment may pseudonymize only', async () => {
    const { url } = await service({ auth: { apiKey: 'from-env' } })
    expect((await forward(url, ['A'], '?domain=vehicle', { 'x-api-key': 'from-env' })).status).toBe(200)
    expect(await back(url, [], '', { 'x-api-key': 'from-env' })).toMatchObject(refusal)
    expect(await forward(url, ['A'], '', { 'x-api-key': 'key-both' })).toMatchObject(refusal)
  })

  test('above their rate wait, others don’t', async () => {
    const { url } = await service({ requestsPerSecond: 0.001 })
    expect((await forward(url, ['A'])).status).toBe(200)
    const second = await forward(url, ['A'])
    expect([second.status, second.json.code]).toEqual([429, 'request/throttled'])
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(900)
    expect((await forward(url, ['A'], '', { 'x-api-key': 'key-forward' })).status).toBe(200)
  })

  test('name a purpose that was granted to them, or do not go back', async () => {
    const running = await service()
    const asked = (purpose?: string) =>
      back(running.url, [V2[0]?.cases[1]?.pseudonym], '', {
        'x-api-key': 'key-fraud',
        ...(purpose !== undefined && { 'x-pseudolake-purpose': purpose }),
      })
    for (const purpose of [undefined, '', 'curiosity', 'FRAUD-CASE', 'fraud-case,recall'])
      expect(await asked(purpose)).toMatchObject({
        status: 403,
        json: { code: 'request/purpose', message: 'Forbidden' },
      })
    expect(await asked('recall')).toMatchObject({ status: 200, json: { identifiers: ['A'] } })
    expect((await forward(running.url, ['A'], '', { 'x-api-key': 'key-fraud' })).status).toBe(200)
    await running.close()
    const [name = ''] = readdirSync(`${running.keyring}.audit`)
    const lines = readFileSync(join(`${running.keyring}.audit`, name), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
    const entries = lines.map((line) => JSON.parse(line))
    expect(entries.map(({ purpose, outcome }) => [purpose, outcome])).toEqual([
      [null, 'request/purpose'],
      [null, 'request/purpose'],
      ['curiosity', 'request/purpose'],
      [null, 'request/purpose'],
      [null, 'request/purpose'],
      ['recall', 'answered'],
      [undefined, 'answered'],
    ])
  })

  test('with a quota are told when there is more, after a restart too', async () => {
    const clock = { ...systemClock(), wall: () => Date.UTC(2026, 10, 26) }
    const first = await service({ clock })
    const metered = { 'x-api-key': 'key-metered' }
    expect((await forward(first.url, ['A'], '', metered)).status).toBe(200)
    await first.close()
    const auth = { apiKeys: join(first.dir, 'callers.json') }
    const again = await startService({ keyring: first.keyring, auth, clock })
    onTestFinished(() => again.close())
    expect((await forward(again.url, ['A'], '', metered)).status).toBe(200)
    const third = await forward(again.url, ['A'], '', metered)
    expect([third.status, third.json.code]).toEqual([429, 'request/quota'])
    expect(third.headers.get('retry-after')).toBe(String(5 * 86_400))
    expect((await forward(again.url, ['A'])).status).toBe(200)
  })

  test('with a rate of their own have that one', async () => {
    const { url } = await service({ requestsPerSecond: 1000 })
    const statuses = []
    for (let i = 0; i < 3; i++) statuses.push((await forward(url, ['A'], '', { 'x-api-key': 'key-slow' })).status)
    expect(statuses).toEqual([200, 200, 429])
  })

  test('who may go back without a purpose or without an end are named in the log at the start', async () => {
    const { logged } = await service()
    const named = logged.filter(({ event }) => event === 'unbound-grant').map(({ caller }) => caller)
    expect(named).toEqual(['both', 'default only', 'expired', 'metered', 'slow'])
  })

  test('above what is taken at a time get a 503 and when to come again', async () => {
    const { url } = await service({ maxInFlight: 0 })
    const answer = await forward(url, ['A'])
    expect([answer.status, answer.json.code, answer.headers.get('retry-after')]).toEqual([503, 'service/busy', '1'])
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })

  test('whose bodies do not fit into memory get a 503, and the memory is free again after it', async () => {
    const { url } = await service({ maxBufferedBytes: 1000 })
    const answer = await forward(url, ['x'.repeat(2000)])
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    for (let i = 0; i < 5; i++) expect((await forward(url, ['x'.repeat(800)])).status).toBe(200)
  })
})

describe('starting', () => {
  test.each<[string, (dir: string) => Partial<StartOptions>, string]>([
    ['without callers', () => ({ auth: {} }), 'service/no-callers'],
    ['with a blank API key', () => ({ auth: { apiKey: ' ' } }), 'service/no-callers'],
    ['open to all, off loopback', () => ({ auth: { insecureNoAuth: true }, host: '0.0.0.0' }), 'options/invalid'],
    ['open to all, with callers', () => ({ auth: { insecureNoAuth: true, apiKeys: 'x' } }), 'options/invalid'],
    ['with callers that can’t be read', (dir) => ({ auth: { apiKeys: join(dir, 'none') } }), 'input/not-found'],
    ['with a keyring that is not there', (dir) => ({ keyring: join(dir, 'none') }), 'keyring/not-found'],
    ['with an audit folder that can’t be made', (dir) => ({ audit: join(dir, 'keys.json', 'a') }), 'storage/denied'],
  ])('%s fails with its code', async (_, options, code) => {
    const dir = folder()
    const keyring = join(dir, 'keys.json')
    writeFileSync(keyring, writeKeyring(vectorKeyring()), { mode: 0o600 })
    const start = startService({ keyring, auth: { apiKey: 'k' }, ...options(dir) })
    await expect(start).rejects.toMatchObject({ code })
  })

  test('on a port that is taken says so', async () => {
    const first = await service()
    const second = service({ port: Number(new URL(first.url).port) })
    await expect(second).rejects.toMatchObject({ code: 'service/port-in-use' })
  })

  test.each([
    ['{', /not JSON/],
    ['[]', /one caller at least/],
    ['{"name":"a"}', /one caller at least/],
    [JSON.stringify([{ name: 'a' }]), /\[0\]\.key_sha256/],
    [JSON.stringify([{ name: 'a', key_sha256: 'plain-key', permissions: ['pseudonymize'] }]), /64 hex/],
    [JSON.stringify([{ name: 'a', key_sha256: sha256('k'), permissions: ['all'] }]), /permissions/],
    [JSON.stringify([{ name: 'a', key_sha256: sha256('k'), permissions: [] }]), /permissions/],
    [
      JSON.stringify([{ name: 'a', key_sha256: sha256('k'), permissions: ['reidentify'], domains: 'vehicle' }]),
      /domains/,
    ],
    [JSON.stringify([{ name: 'a', key_sha256: sha256('k'), permissions: ['reidentify'], until: 'soon' }]), /until/],
    [
      JSON.stringify([{ name: 'a', key_sha256: sha256('k'), permissions: ['reidentify'], till: '2027-01-01' }]),
      /a field/,
    ],
    [
      JSON.stringify(['a', 'b'].map((name) => ({ name, key_sha256: sha256('k'), permissions: ['reidentify'] }))),
      /same/,
    ],
  ])('with a list of callers like %.60s fails by entry and field', async (text, why) => {
    const dir = folder()
    writeFileSync(join(dir, 'callers.json'), text)
    const started = service({ auth: { apiKeys: join(dir, 'callers.json') } })
    await expect(started).rejects.toMatchObject({ code: 'config/invalid', message: expect.stringMatching(why) })
  })
})

describe('the record', () => {
  test('has an entry for each call, none of its values, and shows what was changed afterwards', async () => {
    const running = await service()
    const made = (await forward(running.url, ['A', null], '?deterministic=True&domain=vehicle')).json.pseudonyms
    const here = await back(running.url, made, '?domain=vehicle')
    await back(running.url, ['SECRET'], '?domain=secret')
    await back(running.url, ['SECRET'], '', { 'x-api-key': 'key-forward' })
    await back(running.url, ['SECRET'], '', { 'x-api-key': 'wrong' })
    await running.close()

    const [file = ''] = readdirSync(`${running.keyring}.audit`)
    const path = join(`${running.keyring}.audit`, file)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const text = readFileSync(path, 'utf8')
    const [head, ...entries] = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(head).toMatchObject({ version: 2, n: 0, chain: expect.stringMatching(/^[0-9a-f]{16}$/) })
    const { n, time, previous, ...first } = entries[1]
    expect({ n, time, previous }).toEqual({
      n: 2,
      time: expect.any(String),
      previous: sha256(text.split('\n')[1] ?? ''),
    })
    expect(first).toEqual({
      request_id: here.headers.get('x-request-id'),
      caller: 'both',
      direction: 'reidentify',
      domain: 'vehicle',
      keys: ['660u'],
      values: 2,
      purpose: null,
      outcome: 'answered',
    })
    expect(entries.map((e) => [e.caller, e.domain, e.values, e.outcome])).toEqual([
      ['both', 'vehicle', 2, 'answered'],
      ['both', 'vehicle', 2, 'answered'],
      ['both', null, 1, 'keyring/unknown-domain'],
      ['forward', 'default', null, 'request/forbidden'],
      [null, 'default', null, 'request/forbidden'],
    ])

    expect(verifyAudit(text)).toEqual({ entries: 5 })
    const lines = text.split('\n')
    expect(verifyAudit(lines.toSpliced(3, 1).join('\n'))).toEqual({ brokenAtLine: 4 })
    expect(verifyAudit(text.replace('"forward"', '"forwarb"'))).toEqual({ brokenAtLine: 6 })
    expect(verifyAudit(text.slice(0, -1))).toEqual({ brokenAtLine: 6 })
  })

  test('nothing that was sent is in a log, an error, a metric or the record; nor is a key', async () => {
    const running = await service()
    const planted = ['PLANTED-VIN-0001', 'PLANTED-VIN-0002', '4711081547110815']
    const made: string[] = (await forward(running.url, planted)).json.pseudonyms
    const texts: string[] = []
    const keep = (answer: { text: string; headers: Headers }) =>
      texts.push(answer.text, JSON.stringify([...answer.headers]))
    await back(running.url, made)
    keep(await forward(running.url, [...planted, 'PLANTED\ud800']))
    keep(await forward(running.url, [...planted, 'PLANTED'.repeat(10_000)]))
    keep(await back(running.url, [...made, `${made[0]}x`, ...planted]))
    keep(await post(running.url, `/pseudonymization?${planted[0]}=${planted[1]}`, `{"${planted[0]}"`))
    keep(await post(running.url, `/pseudonymization`, `{"${planted[0]}":"${planted[1]}"`))
    keep(await post(running.url, `/pseudonymization?domain=4711081547110815`, `{"identifiers":[4711081547110815]}`))
    keep(
      await post(running.url, `/${planted[0]}`, '', {
        'x-request-id': planted[0] ?? '',
        'user-agent': planted[0] ?? '',
      }),
    )
    keep(await forward(running.url, planted, '', { 'x-api-key': 'PLANTED-API-KEY' }))
    keep(await forward(running.url, planted, '', { 'content-type': 'application/PLANTED' }))
    texts.push(await (await fetch(`${running.url}/metrics`)).text(), await raw(running.url, 'PLANTED\r\n\r\n'))
    await running.close()
    texts.push(JSON.stringify(running.logged))
    const audit = `${running.keyring}.audit`
    texts.push(...readdirSync(audit).map((name) => name + readFileSync(join(audit, name), 'utf8')))

    const all = texts.join('\n')
    expect(running.logged.length).toBeGreaterThan(9)
    const keys = V2.flatMap(({ key }) => [key.aead, key.mac]).concat(ORIGINAL[0]?.secret.encodedSecretKey ?? '')
    for (const secret of [...planted, 'PLANTED', ...made, ...keys, 'key-both', sha256('key-both')])
      expect(all.includes(secret)).toBe(false)
  })

  test('that can’t be written stops the way back with a 503, and nothing else', async () => {
    let full = false
    const dir = folder()
    const file = await fileAudit(join(dir, 'audit'), { now: () => 0, randomBytes })
    const logged: LogEntry[] = []
    const app = createApp({
      keyring: open(),
      identify: everybody(),
      audit: {
        record: (entry, options) => (full ? Promise.reject(new Error('PLANTED')) : file.record(entry, options)),
        seal: file.seal,
        close: file.close,
      },
      clock: { now: () => 0, wall: () => 0, sleep: async () => undefined },
      requestId: () => 'r',
      pause: async () => undefined,
      log: (entry) => void logged.push(entry),
    })
    const call = (path: string, body: object) =>
      app.handle({
        method: 'POST',
        path,
        search: '',
        header: () => undefined,
        body: async () => Buffer.from(JSON.stringify(body)),
      })
    const pseudonyms = [V2[0]?.cases[1]?.pseudonym]
    expect((await call('/reidentification', { pseudonyms })).status).toBe(200)
    full = true
    const refused = await call('/reidentification', { pseudonyms })
    expect([refused.status, JSON.parse(bodyText(refused)).code, refused.headers['retry-after']]).toEqual([
      503,
      'service/audit',
      '1',
    ])
    expect(bodyText(refused)).not.toContain('"A"')
    expect((await call('/pseudonymization', { identifiers: ['A'] })).status).toBe(200)
    expect(JSON.stringify(logged)).not.toContain('PLANTED')
    full = false
    expect((await call('/reidentification', { pseudonyms })).status).toBe(200)
    await file.close()
  })
})

describe('operations people', () => {
  test('see health and metrics without a key, and no names in them', async () => {
    const { url } = await service()
    await forward(url, ['A', 'B'])
    await forward(url, ['A'], '', { 'x-api-key': 'wrong' })
    const health = await fetch(`${url}/health`)
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
    const text = await (await fetch(`${url}/metrics`)).text()
    expect(text).toContain('pseudolake_requests_total{route="pseudonymize",status="200"} 1\n')
    expect(text).toContain('pseudolake_requests_total{route="pseudonymize",status="403"} 1\n')
    expect(text).toContain('pseudolake_values_total{direction="pseudonymize"} 2\n')
    expect(text).toMatch(/pseudolake_request_seconds_bucket\{route="pseudonymize",le="\+Inf"\} 2\n/)
    expect(text).not.toMatch(/both|vehicle|5kl9/)
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{[^}]*\})? [\d.e-]+)$/)
  })

  test('stop the service, and calls under way are answered', async () => {
    const running = await service()
    const values = Array.from({ length: 6_000 }, (_, i) => `v${i}`)
    const calls = [forward(running.url, values), forward(running.url, values)]
    // Both are under way as soon as the service says so.
    for (let text = ''; !text.includes('in_flight 2\n'); ) text = await (await fetch(`${running.url}/metrics`)).text()
    await Promise.all([running.close(), running.close()])
    for (const answer of await Promise.all(calls)) {
      expect(answer.status).toBe(200)
      expect(answer.json.pseudonyms).toHaveLength(6_000)
    }
    await expect(fetch(`${running.url}/health`)).rejects.toThrow()
  })

  test('do not wait for a connection on which nothing was ever sent', async () => {
    const { url, close } = await service({ graceMs: 600_000 })
    const { hostname, port } = new URL(url)
    const silent = connect(Number(port), hostname)
    await once(silent, 'connect')
    // By the answer to a later connection, the server has seen the silent one.
    await fetch(`${url}/health`)
    await close()
    silent.destroy()
  })

  test('see that a caller who left was not worked for to the end', async () => {
    const running = await service()
    const away = new AbortController()
    const body = JSON.stringify({ identifiers: Array.from({ length: 60_000 }, (_, i) => `v${i}`) })
    const call = fetch(`${running.url}/pseudonymization`, {
      method: 'POST',
      body,
      headers: { 'x-api-key': 'key-both', ...JSON_TYPE },
      signal: away.signal,
    })
    for (let text = ''; !text.includes('in_flight 1\n'); ) text = await (await fetch(`${running.url}/metrics`)).text()
    away.abort()
    await expect(call).rejects.toThrow()
    await running.close()
    expect(running.logged.map((entry) => entry.status)).toContain(499)
  })
})

/** Bytes as they are, and what comes back until the other side closes. */
function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(Number(port), hostname, () => socket.write(text))
    socket.on('data', (chunk) => {
      received += chunk
    })
    socket.on('close', () => resolve(received))
    socket.on('error', reject)
  })
}
