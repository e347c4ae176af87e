import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lambdaTransport } from '../../lib/client/transports/lambda.ts'
import { systemClock } from '../../lib/core/clock.ts'
import type { KeyringData } from '../../lib/crypto/keyring.ts'
import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import type { LogEntry } from '../../service/app.ts'
import { sha256 } from '../../service/auth.ts'
import { requestOf } from '../../service/handlers/events.ts'
import { bytesAsAnswer, type LambdaAnswer } from '../../service/handlers/lambda.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { sealWithKms } from '../../service/keys/kms.ts'
import { rotateKeys } from '../../service/keys/states.ts'
import { createLambda } from '../../service/lambda.ts'
import { KEYS, ORIGINAL } from '../crypto/vectors.ts'
import { awsError, type Behave, fakeAws } from '../helpers/aws.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'
import { s3Over } from '../helpers/s3/open.ts'
import { vectorKeyring } from './keyrings.ts'

const API_KEY = 'PLANTED-key-7f3a'
const CALLERS = JSON.stringify([
  {
    name: 'both',
    key_sha256: sha256(API_KEY).toString('hex'),
    permissions: ['pseudonymize', 'reidentify'],
    domains: ['*'],
  },
])

/** A bucket for the record, and what was put there. */
async function bucket() {
  const store = await fakeS3(['audit'])
  onTestFinished(() => store.close())
  const storage = s3Over(store.endpoint)
  return {
    env: { AWS_ENDPOINT_URL_S3: store.endpoint, PSEUDOLAKE_AUDIT: 's3://audit/calls/' },
    async record() {
      let text = ''
      for await (const { location } of storage.list('s3://audit/calls/'))
        text += Buffer.from(await storage.read(location)).toString()
      return text
    },
  }
}

type Secrets = Record<string, string>

/** A function with its secrets, the vectors' keyring by default; time passes as the test says. */
async function lambda({
  secrets = { keys: writeKeyring(vectorKeyring()), callers: CALLERS },
  env = {},
  behave,
}: {
  secrets?: Secrets
  env?: Record<string, string>
  behave?: Behave
} = {}) {
  const fake = await fakeAws(behave, secrets)
  const logged: LogEntry[] = []
  const written: string[] = []
  let passed = 0
  const clock = systemClock()
  const { handler, start } = createLambda({
    env: { ...fake.env, PSEUDOLAKE_KEYRING_SECRET: 'keys', PSEUDOLAKE_API_KEYS_SECRET: 'callers', ...env },
    clock: { ...clock, now: () => clock.now() + passed, wall: () => clock.wall() + passed },
    random: Math.random,
    randomBytes,
    uuid: randomUUID,
    log: (entry) => logged.push(entry),
    write: (line) => written.push(line),
  })
  const call = async (event: unknown) => {
    // As the platform does it: through JSON both ways.
    const answer: LambdaAnswer = JSON.parse(JSON.stringify(await handler(JSON.parse(JSON.stringify(event)))))
    return { ...answer, json: answer.body === '' ? undefined : JSON.parse(answer.body) }
  }
  return {
    fake,
    secrets,
    logged,
    written,
    start,
    handler,
    call,
    later: (ms: number) => {
      passed += ms
    },
    events: () => logged.map(({ event }) => event),
  }
}

interface Ask {
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

const HEADERS = { 'content-type': 'application/json', 'x-api-key': API_KEY }

/** The same request as each of them sends it. */
const FORMS: Readonly<Record<string, (ask: Ask) => object>> = {
  'a REST API': ({ path, query, body, headers = HEADERS }) => ({
    resource: '/{proxy+}',
    path,
    httpMethod: 'POST',
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value])),
    multiValueHeaders: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]),
    ),
    queryStringParameters: query ?? null,
    multiValueQueryStringParameters: query ? Object.fromEntries(Object.entries(query).map(([k, v]) => [k, [v]])) : null,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: null,
    requestContext: { path: `/Dev${path}`, stage: 'Dev', requestId: 'c6af9ac6-7b61', identity: { userArn: null } },
    body,
    isBase64Encoded: false,
  }),
  'an HTTP API with a stage': ({ path, query, body, headers = HEADERS }) => ({
    version: '2.0',
    routeKey: '$default',
    rawPath: `/Dev${path}`,
    rawQueryString: String(new URLSearchParams(query)),
    headers,
    requestContext: {
      http: { method: 'POST', path: `/Dev${path}`, protocol: 'HTTP/1.1' },
      stage: 'Dev',
      requestId: 'JKJaXmPL=',
    },
    body,
    isBase64Encoded: false,
  }),
  'a function URL, body in base64': ({ path, query, body, headers = HEADERS }) => ({
    version: '2.0',
    rawPath: path,
    rawQueryString: String(new URLSearchParams(query)),
    headers,
    requestContext: { http: { method: 'POST', path }, stage: '$default', requestId: '4f1b2a' },
    body: Buffer.from(body).toString('base64'),
    isBase64Encoded: true,
  }),
  'a direct call': ({ path, query, body, headers = HEADERS }) => ({
    resource: path,
    path,
    httpMethod: 'POST',
    headers,
    queryStringParameters: query ?? null,
    pathParameters: null,
    stageVariables: null,
    requestContext: { resourcePath: path, path, httpMethod: 'POST' },
    body,
    isBase64Encoded: false,
  }),
}
const direct = FORMS['a direct call'] as (ask: Ask) => object

const forward = (identifiers: unknown[], query: Record<string, string> = { deterministic: 'True' }): Ask => ({
  path: '/pseudonymization',
  query,
  body: JSON.stringify({ identifiers }),
})
const back = (pseudonyms: unknown[], query?: Record<string, string>): Ask => ({
  path: '/reidentification',
  ...(query && { query }),
  body: JSON.stringify({ pseudonyms }),
})

describe.each(Object.entries(FORMS))('from %s', (_, form) => {
  test.each(KEYS)('every vector both ways: $name', async ({ material: { id, domain }, cases, random }) => {
    const secret = ORIGINAL.findIndex((original) => original.cases === cases)
    const { record, env } = await bucket()
    const secrets = { keys: writeKeyring(vectorKeyring(Math.max(0, secret))), callers: CALLERS }
    const { call } = await lambda({ secrets, env })
    const there = await call(
      form(
        forward(
          cases.map((c) => c.identifier),
          { deterministic: 'True', domain, key: id },
        ),
      ),
    )
    expect([there.statusCode, there.json]).toEqual([200, { pseudonyms: cases.map((c) => c.pseudonym) }])
    expect(there.headers).toMatchObject({
      'content-type': 'application/json',
      'x-pseudolake-key': id,
      'x-pseudolake-domain': domain,
    })
    const all = [...cases, ...random]
    const here = await call(
      form(
        back(
          all.map((c) => c.pseudonym),
          { domain },
        ),
      ),
    )
    expect([here.statusCode, here.json]).toEqual([200, { identifiers: all.map((c) => c.identifier) }])
    expect(await record()).toMatch(/"caller":"both","direction":"reidentify"/)
  })

  test('problems are problem JSON, with what was sent in none', async () => {
    const { call, logged } = await lambda()
    const bad = await call(form(forward(['\ud800PLANTED-7f3a'])))
    expect(bad).toMatchObject({ statusCode: 400, headers: { 'content-type': 'application/problem+json' } })
    expect(bad.json).toMatchObject({ code: 'identifier/not-unicode', errors: [{ index: 0 }] })
    for (const [ask, status] of [
      [{ ...forward(['a']), headers: { 'x-api-key': 'PLANTED-wrong' } }, 403],
      [{ ...forward(['a']), headers: {} }, 403],
      [forward(['a'], { deterministic: 'PLANTED' }), 400],
      [{ ...forward(['a']), path: '/pseudonymization/' }, 404],
      [{ ...forward(['a']), body: '{"identifiers": [PLANTED' }, 400],
      [{ ...forward(['a']), headers: { ...HEADERS, 'content-type': 'text/PLANTED' } }, 415],
      [forward(['a'], { key: 'zzzz' }), 404],
      [back(['p2.5kl9.PLANTED']), 422],
    ] as const) {
      const answer = await call(form(ask))
      expect(answer.statusCode).toBe(status)
      expect(JSON.stringify(answer)).not.toContain('PLANTED')
    }
    expect(JSON.stringify(logged)).not.toContain('PLANTED')
  })
})

test('the client’s own transport calls the handler, and what it gets is what the service over HTTP answers', async () => {
  const { handler } = await lambda()
  const { call } = lambdaTransport({
    name: 'function',
    invoke: async (event) => ({ payload: Buffer.from(JSON.stringify(await handler(JSON.parse(event)))) }),
    apiKey: async () => API_KEY,
    clock: systemClock(),
  })
  const { cases } = KEYS.find(({ material }) => material.id === '660u') as (typeof KEYS)[0]
  const values = cases.map((c) => c.identifier)
  const answer = await call({ direction: 'pseudonymize', values, domain: 'vehicle', deterministic: true, key: '660u' })
  expect(answer).toEqual({ values: cases.map((c) => c.pseudonym), domain: 'vehicle', keys: ['660u'] })
  const refused = call({ direction: 'pseudonymize', values, domain: 'vehicle', deterministic: true, key: 'zzzz' })
  await expect(refused).rejects.toMatchObject({ code: 'service/refused' })
})

test('metrics of each call are lines for CloudWatch where the environment names a namespace', async () => {
  const silent = await lambda()
  await silent.call(direct(forward(['A'])))
  expect(silent.written).toEqual([])
  const { call, written } = await lambda({ env: { PSEUDOLAKE_METRICS_NAMESPACE: 'vehicles' } })
  await call(direct(forward(['A', 'B'])))
  const [line] = written.map((text) => JSON.parse(text))
  expect(line).toMatchObject({ route: 'pseudonymize', status: 200, Values: 2, Requests: 1 })
  expect(line._aws.CloudWatchMetrics[0].Namespace).toBe('vehicles')
})

test('health is answered without a key', async () => {
  const { call } = await lambda()
  const event = (path: string) => ({ httpMethod: 'GET', path, headers: null, body: null, isBase64Encoded: false })
  expect(await call(event('/health'))).toMatchObject({ statusCode: 200, body: '{"status":"ok"}' })
})

test.each([
  null,
  7,
  'text',
  [],
  {},
  { version: '2.0' },
  { httpMethod: 'POST' },
  { httpMethod: 1, path: 2 },
  { Records: [] },
])('an event that is no request is told so: %j', async (event) => {
  const { handler } = await lambda()
  expect(await handler(event)).toMatchObject({ statusCode: 400, body: expect.stringContaining('request/malformed') })
})

test('whatever the event, the answer is one, and nothing is thrown', async () => {
  const { handler } = await lambda()
  const form = fc.constantFrom(...Object.values(FORMS).map((make) => make(forward(['a'])) as Record<string, unknown>))
  const keys = [
    'path',
    'rawPath',
    'rawQueryString',
    'headers',
    'multiValueHeaders',
    'queryStringParameters',
    'requestContext',
    'body',
    'isBase64Encoded',
    'httpMethod',
    'version',
  ]
  await fc.assert(
    fc.asyncProperty(form, fc.constantFrom(...keys), fc.jsonValue(), async (event, key, value) => {
      const answer = await handler({ ...event, [key]: value })
      expect(answer).toMatchObject({ statusCode: expect.any(Number), body: expect.any(String), isBase64Encoded: false })
      expect(answer.statusCode).not.toBe(500)
    }),
    { numRuns: 300 },
  )
})

describe('an event', () => {
  const read = (event: object, trustPrincipal = false) => {
    const request = requestOf(event, { trustPrincipal })
    if (!request) throw new Error('no request')
    return request
  }

  test('two values of a header or a parameter stay two', () => {
    const request = read({
      httpMethod: 'POST',
      path: '/p',
      multiValueHeaders: { 'X-Api-Key': ['one', 'two'] },
      multiValueQueryStringParameters: { domain: ['a', 'b&c=d'] },
    })
    expect(request.header('x-api-key')).toBe('one, two')
    expect(request.search).toBe('?domain=a&domain=b%26c%3Dd')
  })

  const ARN = 'arn:aws:sts::123456789012:assumed-role/batch/session'
  const v1 = { httpMethod: 'POST', path: '/p', requestContext: { requestId: 'r-1', identity: { userArn: ARN } } }
  const v2 = {
    version: '2.0',
    rawPath: '/p',
    requestContext: { requestId: 'r-1', http: { method: 'POST' }, authorizer: { iam: { userArn: ARN } } },
  }
  test.each([v1, v2])('names who signed it only where the function trusts it, and its request id always', (event) => {
    expect(read(event)).toMatchObject({ gatewayId: 'r-1' })
    expect(read(event).principal).toBeUndefined()
    expect(read(event, true).principal).toBe(ARN)
  })

  test('names of another form than gateways give are nobody’s', () => {
    const request = read({ ...v1, requestContext: { requestId: 'a\nb', identity: { userArn: `${ARN}\n"` } } }, true)
    expect([request.gatewayId, request.principal]).toEqual([undefined, undefined])
  })

  test.each<[string, object, unknown]>([
    ['no body', {}, new Uint8Array()],
    ['null', { body: null }, new Uint8Array()],
    ['a body that is no text', { body: 7 }, 'request/malformed'],
    ['base64 with holes', { body: 'eyJh!IjoxfQ==', isBase64Encoded: true }, 'request/malformed'],
    ['base64 without padding', { body: 'eyJhIjoxfQ', isBase64Encoded: true }, Buffer.from('{"a":1}')],
    ['too many bytes', { body: 'é'.repeat(MAX_BODY_BYTES / 2 + 1) }, 'request/too-large'],
    ['too many bytes in base64', { body: 'A'.repeat(MAX_BODY_BYTES * 2), isBase64Encoded: true }, 'request/too-large'],
  ])('with %s', async (_, more, expected) => {
    const body = await read({ httpMethod: 'POST', path: '/p', ...more }).body()
    expect(typeof body === 'string' ? body : Buffer.from(body).toString()).toEqual(
      typeof expected === 'string' ? expected : Buffer.from(expected as Uint8Array).toString(),
    )
  })
})

describe('an answer', () => {
  test('never counts for less than the platform counts', () => {
    const headers = { 'x-request-id': randomUUID(), 'cache-control': 'no-store', 'content-type': 'application/json' }
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (values) => {
        const body = JSON.stringify({ identifiers: values })
        const answer = { statusCode: 200, headers, body, isBase64Encoded: false }
        expect(bytesAsAnswer(Buffer.from(body))).toBeGreaterThanOrEqual(Buffer.byteLength(JSON.stringify(answer)))
      }),
    )
  }, 60_000)

  test('that would pass 6 MB as the platform counts is refused, though its body would not, and halves get through', async () => {
    const { call } = await lambda()
    const identifiers = Array.from({ length: 112_500 }, (_, i) => String(i))
    const whole = await call(direct(forward(identifiers)))
    expect([whole.statusCode, whole.json.code]).toEqual([413, 'answer/too-large'])
    const half = await call(direct(forward(identifiers.slice(0, 56_250))))
    expect(half.statusCode).toBe(200)
    // Two of these bodies would be within the limit: it is the quotes that count twice.
    expect(half.body.length * 2).toBeLessThan(MAX_BODY_BYTES)
    expect(Buffer.byteLength(JSON.stringify(half.body)) * 2).toBeGreaterThan(MAX_BODY_BYTES)
  }, 20_000)
})

describe('who may call', () => {
  const pseudonymize = direct({ ...forward(['A']), headers: {} })

  test('an API key as the original deployment writes it may pseudonymize, and not go back', async () => {
    const secrets = { keys: writeKeyring(vectorKeyring()), callers: JSON.stringify({ api_key_value: API_KEY }) }
    const { call } = await lambda({ secrets })
    expect((await call(direct(forward(['A'])))).statusCode).toBe(200)
    expect((await call(direct(back(['p2.5kl9.h3QFzpX3ZOnH1GrsezcGrrKQ6pBvslnkQ5Gfq3g'])))).statusCode).toBe(403)
    expect((await call(pseudonymize)).statusCode).toBe(403)
  })

  test('whoever the gateway lets in may pseudonymize where the environment says so, and never go back', async () => {
    const { call } = await lambda({ env: { PSEUDOLAKE_ANY_CALLER: 'pseudonymize', PSEUDOLAKE_API_KEYS_SECRET: '' } })
    expect((await call(pseudonymize)).statusCode).toBe(200)
    expect((await call(direct({ ...back(['x']), headers: {} }))).statusCode).toBe(403)
  })

  test('a principal is a caller only where the function trusts the event', async () => {
    const callers = JSON.stringify([
      { name: 'role', principal: 'arn:aws:iam::123456789012:role/batch', permissions: ['pseudonymize'] },
    ])
    const userArn = 'arn:aws:sts::123456789012:assumed-role/batch/session'
    const event = { ...pseudonymize, requestContext: { identity: { userArn } } }
    const secrets = { keys: writeKeyring(vectorKeyring()), callers }
    expect((await (await lambda({ secrets })).call(event)).statusCode).toBe(403)
    const trusting = await lambda({ secrets, env: { PSEUDOLAKE_TRUST_PRINCIPAL: 'true' } })
    expect((await trusting.call(event)).statusCode).toBe(200)
    expect(trusting.logged).toContainEqual(
      expect.objectContaining({ event: 'audit', caller: 'role', principal: userArn }),
    )
  })

  test('without a store for the record there is no way back', async () => {
    const { call, logged } = await lambda()
    const answer = await call(direct(back(['p2.5kl9.h3QFzpX3ZOnH1GrsezcGrrKQ6pBvslnkQ5Gfq3g'])))
    expect(answer).toMatchObject({ statusCode: 503, json: { code: 'service/audit' } })
    expect(logged).toContainEqual(expect.objectContaining({ event: 'audit', outcome: 'service/audit' }))
  })

  test('a caller who was added is known at once, though the secret was read a moment ago', async () => {
    const made = await lambda({
      secrets: { keys: writeKeyring(vectorKeyring()), callers: JSON.stringify({ api_key_value: 'another' }) },
    })
    expect((await made.call(direct(forward(['A'])))).statusCode).toBe(403)
    made.secrets.callers = CALLERS
    expect((await made.call(direct(forward(['A'])))).statusCode).toBe(403)
    made.later(10_000)
    expect((await made.call(direct(forward(['A'])))).statusCode).toBe(200)
    expect(made.events()).toContain('callers-reloaded')
  })

  test('a flood of refusals asks Secrets Manager once', async () => {
    const made = await lambda()
    for (let i = 0; i < 20; i++) await made.call(pseudonymize)
    // Current and previous keyring, and callers, at the start and once more.
    expect(made.fake.operations().length).toBeLessThanOrEqual(6)
  })
})

describe('a keyring in a secret', () => {
  const rotated = (data: KeyringData) => rotateKeys(data, { domains: ['default'], randomBytes, now: Date.now() })
  const ask = async (call: (event: unknown) => Promise<{ json: { pseudonyms: string[] } }>, key?: string) =>
    (await call(direct(forward(['A'], { deterministic: 'True', ...(key && { key }) })))).json.pseudonyms?.[0]

  test('is asked for again after its time, not before, and taken over', async () => {
    const made = await lambda()
    const before = await ask(made.call)
    made.secrets.keys = writeKeyring(rotated(vectorKeyring()))
    made.later(299_000)
    expect(await ask(made.call)).toBe(before)
    made.later(1_000)
    expect(await ask(made.call)).not.toBe(before)
    expect(await ask(made.call, '5kl9')).toBe(before)
    expect(made.events()).toContain('keyring-reloaded')
  })

  test('with a new key is asked for at once where somebody asks for that key', async () => {
    const made = await lambda()
    await ask(made.call)
    const next = rotated(vectorKeyring())
    made.secrets.keys = writeKeyring(next)
    const primary = next.domains.find(({ domain }) => domain === 'default')?.primary as string
    expect(await ask(made.call, primary)).toMatch(new RegExp(`^p2\\.${primary}\\.`))
  })

  test('that was put in the place of another leaves the keys before it their way back, until the next one', async () => {
    const { env } = await bucket()
    const [first, second] = ORIGINAL
    if (!first || !second) throw new Error('two secrets are needed')
    const pick = (cases: typeof first.cases) => cases.slice(0, 3)
    const made = await lambda({
      secrets: {
        keys: JSON.stringify(second.secret),
        'keys#AWSPREVIOUS': JSON.stringify(first.secret),
        callers: CALLERS,
      },
      env,
    })
    const mixed = [...pick(first.cases), ...pick(second.cases), ...pick(first.cases)]
    const answer = await made.call(direct(back(mixed.map((c) => c.pseudonym))))
    expect([answer.statusCode, answer.json]).toEqual([200, { identifiers: mixed.map((c) => c.identifier) }])
    const [older, newer] = (answer.headers['x-pseudolake-key'] as string).split(',')
    expect(older).not.toBe(newer)
    const forwards = await made.call(direct(forward(pick(second.cases).map((c) => c.identifier))))
    expect(forwards.json.pseudonyms).toEqual(pick(second.cases).map((c) => c.pseudonym))
    const pinned = await made.call(
      direct(
        forward(
          pick(first.cases).map((c) => c.identifier),
          { deterministic: 'True', key: older as string },
        ),
      ),
    )
    expect(pinned.json.pseudonyms).toEqual(pick(first.cases).map((c) => c.pseudonym))
    const nobodys = [...mixed.map((c) => c.pseudonym), `${'A'.repeat(60)}`]
    const refused = await made.call(direct(back(nobodys)))
    expect(refused).toMatchObject({ statusCode: 422, json: { errors: [{ index: mixed.length }] } })
    // A v2 keyring takes the place: the secret before it still leads back, the one before that is gone.
    made.secrets['keys#AWSPREVIOUS'] = made.secrets.keys as string
    made.secrets.keys = writeKeyring({
      domains: vectorKeyring().domains.map((d) => ({
        ...d,
        keys: d.keys.filter(({ material }) => material.format === 'v2'),
      })),
    })
    made.later(300_000)
    expect((await made.call(direct(back(pick(second.cases).map((c) => c.pseudonym))))).statusCode).toBe(200)
    expect((await made.call(direct(back(pick(first.cases).map((c) => c.pseudonym))))).statusCode).toBe(422)
    expect(made.logged).toContainEqual(expect.objectContaining({ event: 'keyring-reloaded', lost: [older] }))
  })

  test('that can’t be used any more changes nothing, and is told once', async () => {
    const made = await lambda()
    const before = await ask(made.call)
    made.secrets.keys = '{"version": 2, "domains": "PLANTED-7f3a"'
    for (let i = 0; i < 3; i++) {
      made.later(300_000)
      expect(await ask(made.call)).toBe(before)
    }
    expect(made.events().filter((event) => event === 'keyring-not-reloaded')).toHaveLength(1)
    expect(JSON.stringify(made.logged)).not.toContain('PLANTED')
  })

  test('serves on while Secrets Manager is away, and a function that could not start tries again', async () => {
    let away = true
    const made = await lambda({ behave: () => (away ? awsError('InternalServiceError', 500) : undefined) })
    await made.start()
    expect((await made.call(direct(forward(['A'])))).statusCode).toBe(500)
    expect(made.logged).toContainEqual(expect.objectContaining({ event: 'not-ready', code: 'secret/unavailable' }))
    away = false
    const before = await ask(made.call)
    expect(before).toBeDefined()
    away = true
    made.later(600_000)
    expect(await ask(made.call)).toBe(before)
  }, 60_000)

  test('is opened by KMS where it is sealed, and by nothing else', async () => {
    const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/0123'
    const dataKey = randomBytes(32)
    const service = {
      generate: async () => ({ plain: new Uint8Array(dataKey), wrapped: Buffer.from('wrapped'), keyArn: KEY }),
      unwrap: async () => dataKey,
    }
    const sealed = await sealWithKms(writeKeyring(vectorKeyring()), 'alias/keys', service, { randomBytes, now: 0 })
    const asked: Record<string, unknown>[] = []
    const made = await lambda({
      secrets: { keys: sealed, callers: CALLERS },
      behave: ({ operation, json }) => {
        if (operation !== 'Decrypt') return undefined
        asked.push(json)
        return { body: { Plaintext: dataKey.toString('base64'), KeyId: KEY } }
      },
    })
    expect(await ask(made.call)).toMatch(/^p2\.5kl9\./)
    expect(asked).toEqual([
      {
        KeyId: KEY,
        CiphertextBlob: Buffer.from('wrapped').toString('base64'),
        EncryptionContext: { purpose: 'pseudolake keyring' },
      },
    ])
    expect(sealed).not.toContain(dataKey.toString('base64'))
    const denied = await lambda({
      secrets: { keys: sealed, callers: CALLERS },
      behave: ({ operation }) => (operation === 'Decrypt' ? awsError('AccessDeniedException') : undefined),
    })
    expect((await denied.call(direct(forward(['A'])))).statusCode).toBe(500)
    expect(denied.logged).toContainEqual(
      expect.objectContaining({ code: 'secret/denied', reason: expect.stringContaining('kms:Decrypt') }),
    )
  })
})

test.each<[string, Record<string, string>, string]>([
  ['no keyring', { PSEUDOLAKE_KEYRING_SECRET: ' ' }, 'PSEUDOLAKE_KEYRING_SECRET'],
  ['nobody who could call', { PSEUDOLAKE_API_KEYS_SECRET: '' }, 'nobody could call'],
  ['a time that is none', { PSEUDOLAKE_SECRET_TTL_SECONDS: 'PLANTED' }, 'PSEUDOLAKE_SECRET_TTL_SECONDS'],
  ['more rights than there are', { PSEUDOLAKE_ANY_CALLER: 'reidentify' }, 'PSEUDOLAKE_ANY_CALLER'],
  ['a trust that is none', { PSEUDOLAKE_TRUST_PRINCIPAL: 'PLANTED' }, 'PSEUDOLAKE_TRUST_PRINCIPAL'],
  ['a folder for the record', { PSEUDOLAKE_AUDIT: '/tmp/PLANTED' }, 'PSEUDOLAKE_AUDIT'],
])('an environment with %s answers 500, and the log says which variable', async (_, env, why) => {
  const { call, logged } = await lambda({ env })
  expect((await call(direct(forward(['A'])))).statusCode).toBe(500)
  expect(logged).toContainEqual(expect.objectContaining({ event: 'not-ready', reason: expect.stringContaining(why) }))
  expect(JSON.stringify(logged)).not.toContain('PLANTED')
})
