/** The bundle of scripts/lambda.js in Lambda's own runtime for Node, with an imitation of Lambda around it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { sha256 } from '../../service/auth.ts'
import { writeKeyring } from '../../service/keys/format.ts'
import { PLANTED, place } from '../core/failing.ts'
import { KEYS, ORIGINAL } from '../crypto/vectors.ts'
import { type FakeAws, fakeAws } from '../helpers/aws.ts'
import { LAMBDA_RIC, testWith } from '../helpers/interop.ts'
import { type LambdaProcess, startLambda } from '../helpers/lambda-runtime.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'
import { vectorKeyring } from '../service/keyrings.ts'

const API_KEY = `${PLANTED}-key`
const CALLERS = JSON.stringify([
  {
    name: 'both',
    key_sha256: sha256(API_KEY).toString('hex'),
    permissions: ['pseudonymize', 'reidentify'],
    domains: ['*'],
  },
])

let bundle: string
beforeAll(async () => {
  bundle = mkdtempSync(join(tmpdir(), 'pseudolake-lambda-'))
  await promisify(execFile)(process.execPath, ['scripts/lambda.js', bundle])
}, 120_000)
afterAll(() => rmSync(bundle, { recursive: true, force: true }))

/** A function in its runtime, for the time of a test; the record goes to a bucket. */
async function functionOf(secrets: Record<string, string>, env: Record<string, string> = {}) {
  const fake = await fakeAws(undefined, secrets)
  const store = await fakeS3(['audit'])
  onTestFinished(() => store.close())
  const started = await startLambda({
    command: [process.execPath, LAMBDA_RIC, 'index.handler'],
    folder: bundle,
    env: {
      ...fake.env,
      AWS_ENDPOINT_URL_S3: store.endpoint,
      PSEUDOLAKE_KEYRING_SECRET: 'keys',
      PSEUDOLAKE_API_KEYS_SECRET: 'callers',
      PSEUDOLAKE_AUDIT: 's3://audit/calls/',
      ...env,
    },
  })
  onTestFinished(() => started.stop())
  return { started, fake, store }
}

async function ask(started: LambdaProcess, event: object) {
  const { payload, functionError } = await started.invoke(event)
  expect(functionError).toBeUndefined()
  const answer = JSON.parse(payload.toString())
  return { ...answer, json: JSON.parse(answer.body) }
}

const HEADERS = { 'Content-Type': 'application/json', 'X-Api-Key': API_KEY }

/** As a REST API, an HTTP API and a function URL send it. */
const FORMS: readonly ((path: string, query: Record<string, string>, body: string) => object)[] = [
  (path, query, body) => ({
    path,
    httpMethod: 'POST',
    headers: HEADERS,
    multiValueHeaders: Object.fromEntries(Object.entries(HEADERS).map(([name, value]) => [name, [value]])),
    queryStringParameters: query,
    requestContext: { requestId: 'c6af9ac6-7b61', identity: {} },
    body,
    isBase64Encoded: false,
  }),
  (path, query, body) => ({
    version: '2.0',
    rawPath: `/Dev${path}`,
    rawQueryString: String(new URLSearchParams(query)),
    headers: Object.fromEntries(Object.entries(HEADERS).map(([name, value]) => [name.toLowerCase(), value])),
    requestContext: { http: { method: 'POST' }, requestId: 'JKJaXmPL=' },
    body: Buffer.from(body).toString('base64'),
    isBase64Encoded: true,
  }),
]

testWith('lambda-ric', 'every vector goes both ways in Lambda’s runtime, from each form of event', async () => {
  for (const secret of [0, 1]) {
    const { started } = await functionOf({ keys: writeKeyring(vectorKeyring(secret)), callers: CALLERS })
    for (const { material, cases, random } of KEYS) {
      const original = ORIGINAL.findIndex((each) => each.cases === cases)
      if (original >= 0 && original !== secret) continue
      const { id, domain } = material
      for (const form of FORMS) {
        const identifiers = JSON.stringify({ identifiers: cases.map((c) => c.identifier) })
        const there = await ask(
          started,
          form('/pseudonymization', { deterministic: 'True', domain, key: id }, identifiers),
        )
        expect([there.statusCode, there.json]).toEqual([200, { pseudonyms: cases.map((c) => c.pseudonym) }])
        const all = [...cases, ...random]
        const pseudonyms = JSON.stringify({ pseudonyms: all.map((c) => c.pseudonym) })
        const here = await ask(started, form('/reidentification', { domain }, pseudonyms))
        expect([here.statusCode, here.json]).toEqual([200, { identifiers: all.map((c) => c.identifier) }])
      }
    }
  }
})

testWith(
  'lambda-ric',
  'a batch with service.lambda runs against it, and nothing that it was sent is in its log',
  async () => {
    const { started } = await functionOf({ keys: writeKeyring(vectorKeyring()), callers: CALLERS })
    const arn = 'arn:aws:lambda:eu-west-1:123456789012:function:pseudonymize'
    let invoked = 0
    const aws: FakeAws = await fakeAws(async ({ service, body }) => {
      if (service !== 'lambda') return undefined
      invoked++
      const { payload, functionError } = await started.invoke(body.toString())
      return { ...(functionError && { headers: { 'x-amz-function-error': functionError } }), body: payload }
    })
    const home = await place({ ...aws.env, API_KEY })
    writeFileSync(
      join(home.dir, 'lambda.json'),
      JSON.stringify({
        job: 'test',
        input: { path: 'in' },
        columns: { vin: { mode: 'deterministic', domain: 'vehicle' } },
        service: { lambda: arn, api_key: { env: 'API_KEY' } },
        output: { table: 'db.t', warehouse: 'warehouse' },
        limits: { max_concurrency: 1 },
      }),
    )
    const done = await home.cli('batch', '--config', 'lambda.json')
    expect(done.exit, done.stderr).toBe(0)
    expect(invoked).toBeGreaterThan(1)
    const rows = await home.query('select count(*)::int, count(distinct s_vin)::int, min(s_vin[1:8]) from t')
    expect(rows).toEqual([[50, 50, expect.stringMatching(/^p2\.[a-z0-9]{4}\.$/)]])
    expect(started.output()).toContain('"event":"request"')
    expect(started.output()).not.toContain(PLANTED)
  },
)

testWith(
  'lambda-ric',
  'an answer that the platform would not take is a refusal of ours, and the next call is answered',
  async () => {
    const { started } = await functionOf({ keys: writeKeyring(vectorKeyring()), callers: CALLERS })
    const form = FORMS[0] as (typeof FORMS)[0]
    const many = JSON.stringify({ identifiers: Array.from({ length: 112_500 }, (_, i) => String(i)) })
    const refused = await ask(started, form('/pseudonymization', { deterministic: 'True' }, many))
    expect([refused.statusCode, refused.json.code]).toEqual([413, 'answer/too-large'])
    const one = await ask(started, form('/pseudonymization', { deterministic: 'True' }, '{"identifiers":["A"]}'))
    expect(one.json).toEqual({ pseudonyms: ['p2.5kl9.h3QFzpX3ZOnH1GrsezcGrrKQ6pBvslnkQ5Gfq3g'] })
  },
)

testWith('lambda-ric', 'what can’t start says so in its log, without the secret, and answers 500', async () => {
  const { started } = await functionOf({ keys: `{"version": 2, "domains": "${PLANTED}"`, callers: CALLERS })
  const form = FORMS[0] as (typeof FORMS)[0]
  expect((await ask(started, form('/pseudonymization', {}, '{"identifiers":["A"]}'))).statusCode).toBe(500)
  expect(started.output()).toMatch(/"event":"not-ready","code":"keyring\/invalid"/)
  expect(started.output()).not.toContain(PLANTED)
})

testWith(
  'lambda-ric',
  'without WebAssembly SIMD the portable cipher serves, both ways, and the log says so once',
  async () => {
    const stub = join(bundle, 'no-simd.mjs')
    const lie =
      'WebAssembly.validate = () => false; WebAssembly.Module = class { constructor() { throw new WebAssembly.CompileError("no simd") } }'
    writeFileSync(stub, lie)
    onTestFinished(() => rmSync(stub))
    const secrets = { keys: writeKeyring(vectorKeyring()), callers: CALLERS }
    const { started } = await functionOf(secrets, { NODE_OPTIONS: `--import ${stub}` })
    const form = FORMS[0] as (typeof FORMS)[0]
    const expected = ['p2.5kl9.h3QFzpX3ZOnH1GrsezcGrrKQ6pBvslnkQ5Gfq3g']
    for (let i = 0; i < 2; i++) {
      const there = await ask(started, form('/pseudonymization', { deterministic: 'True' }, '{"identifiers":["A"]}'))
      expect(there.json).toEqual({ pseudonyms: expected })
      const back = await ask(started, form('/reidentification', {}, JSON.stringify({ pseudonyms: expected })))
      expect(back.json).toEqual({ identifiers: ['A'] })
    }
    expect(started.output().match(/"event":"slow-kernel"/g)).toHaveLength(1)
  },
)

test('the portable cipher is a chunk of its own, that a start does not load', () => {
  // A property of noble's ciphers, which no build renames.
  const noble = readdirSync(bundle).filter(
    (name) => name.endsWith('.mjs') && readFileSync(join(bundle, name), 'utf8').includes('nonceLength:12'),
  )
  expect(noble).toHaveLength(1)
  const index = readFileSync(join(bundle, 'index.mjs'), 'utf8')
  expect(noble).not.toContain('index.mjs')
  expect(index).toContain(`import("./${noble[0]}")`)
  expect(index).not.toContain(`from"./${noble[0]}"`)
})

test('the bundle is one module, its chunks and the kernels, and small', () => {
  const files = readdirSync(bundle).map((name) => ({ name, bytes: statSync(join(bundle, name)).size }))
  expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(['index.mjs', 'kernel.wasm', 'texts.wasm']))
  expect(files.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(3_000_000)
})
