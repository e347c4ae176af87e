/** The `service` section where it names something of AWS: keys out of Secrets Manager, signatures, a function in the place of a URL. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import type { Client } from '../../lib/client/compose.ts'
import { keyCheck } from '../../lib/client/key-check.ts'
import { type Clock, systemClock } from '../../lib/core/clock.ts'
import type { PseudolakeError } from '../../lib/core/errors.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { connectService } from '../../pipelines/service.ts'
import { createKeyring } from '../../service/keys/create.ts'
import { parseOriginalSecret, writeKeyring } from '../../service/keys/format.ts'
import { sealWithKms } from '../../service/keys/kms.ts'
import { request } from '../client/support.ts'
import { type Received, serve } from '../client/transports/server.ts'
import {
  accessKeyOf,
  awsError,
  type Behave,
  type FakeAws,
  fakeAws,
  KEYS,
  secretKeyOf,
  verified,
} from '../helpers/aws.ts'
import { waitlessClock } from '../iceberg/clock.ts'

const ROLE = 'arn:aws:iam::111111111111:role/caller'
const FUNCTION = 'arn:aws:lambda:eu-central-1:123456789012:function:pseudonymize:live'

async function connected(service: object, aws: FakeAws, clock = systemClock()): Promise<Client> {
  const settings = readBatchConfig(
    JSON.stringify({
      job: 'service',
      input: { path: '/in' },
      columns: { vin: { mode: 'deterministic' } },
      service,
      output: { table: 'db.t', warehouse: '/out' },
    }),
  )
  const { env } = aws
  const client = await connectService(settings, { env, cwd: '/', clock, random: Math.random, randomBytes })
  onTestFinished(() => client.close())
  return client
}

/** Waits between attempts pass at once; the minute in which a call must be answered does not. */
function hurried(): Clock {
  const [clock, { sleep }] = [waitlessClock(), systemClock()]
  return { ...clock, sleep: (ms, signal) => (ms < 30_000 ? clock : { sleep }).sleep(ms, signal) }
}

const keyIn = ({ headers }: Received) => headers['x-api-key']

/** A service whose callers have one key. */
function keyed(key: () => string) {
  return serve((received, response) => {
    if (keyIn(received) === key()) return
    response.writeHead(403, { 'content-type': 'application/json' })
    response.end('{"message":"Forbidden"}')
  })
}

test.each([
  ['JSON', '{"api_key_value": "the-key"}'],
  ['bare', 'the-key\n'],
])('an API key is read out of a secret: %s', async (_, secret) => {
  const aws = await fakeAws(undefined, { 'blog/key': secret })
  const { url, received } = await keyed(() => 'the-key')
  const { client } = await connected({ url, api_key: { secret: 'blog/key' } }, aws)
  for (let i = 0; i < 3; i++) await client.call({ ...request([`a${i}`]), fresh: true })
  expect(received.map(keyIn)).toEqual(['the-key', 'the-key', 'the-key'])
  expect(aws.operations()).toEqual(['GetSecretValue'])
})

test('a key that is rotated while a run is at work is asked for once, by none or all of its requests', async () => {
  const secrets = { 'blog/key': '{"api_key_value": "old"}' }
  const aws = await fakeAws(undefined, secrets)
  let taken = 'old'
  const { url } = await keyed(() => taken)
  const { client } = await connected({ url, api_key: { secret: 'blog/key' } }, aws)
  const ask = (name: string) =>
    Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        client.call({ ...request([`${name}${i}`]), fresh: true, deterministic: true }),
      ),
    )
  await ask('before')
  taken = 'new'
  secrets['blog/key'] = '{"api_key_value": "new"}'
  await ask('after')
  await ask('later')
  expect(aws.operations()).toEqual(['GetSecretValue', 'GetSecretValue'])
})

test('a key that the service never takes is asked for once more and no oftener', async () => {
  const aws = await fakeAws(undefined, { 'blog/key': 'wrong' })
  const { url, received } = await keyed(() => 'another')
  const { client } = await connected({ url, api_key: { secret: 'blog/key' } }, aws)
  await expect(client.call(request(['a']))).rejects.toMatchObject({ code: 'service/denied' })
  expect(received.length).toBe(1)
  expect(aws.operations().length).toBe(2)
})

test('a secret is asked for where its ARN says that it is, as the role of the section', async () => {
  const arn = 'arn:aws:secretsmanager:us-west-2:123456789012:secret:blog/key-AbCdEf'
  const aws = await fakeAws(undefined, { [arn]: 'the-key' })
  const { url } = await keyed(() => 'the-key')
  await connected({ url, api_key: { secret: arn }, aws: { role_arn: ROLE } }, aws)
  expect(aws.received.at(-1)).toMatchObject({
    operation: 'GetSecretValue',
    region: 'us-west-2',
    accessKey: accessKeyOf(ROLE),
  })
  await connected({ url, api_key: { secret: arn }, aws: { region: 'eu-north-1' } }, aws)
  expect(aws.received.at(-1)).toMatchObject({ region: 'eu-north-1', accessKey: KEYS.AWS_ACCESS_KEY_ID })
})

test('auth: iam signs each request, under the section’s role, and the API key goes along', async () => {
  const aws = await fakeAws(undefined, { 'blog/key': 'the-key' })
  const seen: unknown[] = []
  const { url } = await serve(({ method = '', url: path, headers, body }, response) => {
    try {
      seen.push(verified({ method, url: path, headers, body: Buffer.from(body) }, () => secretKeyOf(ROLE)))
      expect(String(headers.authorization)).toMatch(/SignedHeaders=[^,]*x-api-key/)
    } catch (error) {
      response.writeHead(403).end(String(error))
    }
  })
  const { client } = await connected(
    { url, auth: 'iam', api_key: { secret: 'blog/key' }, aws: { role_arn: ROLE } },
    aws,
  )
  await client.call(request(['a', 'ä', '"'], { domain: 'vehicle' }))
  expect(seen).toEqual([{ accessKey: accessKeyOf(ROLE), region: 'eu-west-1', service: 'execute-api' }])
})

test('a refusal behind IAM names the action', async () => {
  const aws = await fakeAws()
  const { url } = await serve((_, response) => response.writeHead(403).end('{"Message":"not authorized"}'))
  const { client } = await connected({ url, auth: 'iam' }, aws)
  await expect(client.call(request(['a']))).rejects.toMatchObject({
    code: 'service/denied',
    message: expect.stringContaining('execute-api:Invoke'),
    context: { action: 'execute-api:Invoke', hint: expect.stringContaining('docs/aws.md') },
  })
})

/** Lambda, whose function is a right service behind API Gateway's proxy integration. */
async function functionAt(behave: Behave = () => undefined) {
  const { url, received } = await serve()
  const { origin } = new URL(url)
  const aws = await fakeAws(async (call, nth) => {
    const given = await behave(call, nth)
    if (given || call.service !== 'lambda') return given
    const { path, queryStringParameters, headers, body } = call.json as {
      path: string
      queryStringParameters: Record<string, string> | null
      headers: Record<string, string>
      body: string
    }
    const answer = await fetch(`${origin}${path}?${new URLSearchParams(queryStringParameters ?? {})}`, {
      method: 'POST',
      headers,
      body,
    })
    return {
      body: {
        statusCode: answer.status,
        headers: Object.fromEntries(answer.headers),
        body: await answer.text(),
        isBase64Encoded: false,
      },
    }
  })
  return { aws, received }
}

test('service.lambda calls the function, in the region of its ARN and as the section’s role', async () => {
  const { aws, received } = await functionAt()
  const { client } = await connected({ lambda: FUNCTION, aws: { role_arn: ROLE } }, aws)
  const { fingerprint } = await keyCheck(client, 'default')
  expect(fingerprint).toMatch(/^[0-9a-f]{16}$/)
  const { values } = await client.call(request(['a', 'b', 'a']))
  expect(values[0]).toBe(values[2])
  expect(aws.received.at(-1)).toMatchObject({
    service: 'lambda',
    region: 'eu-central-1',
    accessKey: accessKeyOf(ROLE),
    url: `/2015-03-31/functions/${encodeURIComponent(FUNCTION)}/invocations`,
  })
  expect(aws.received.at(-1)?.headers['x-amz-log-type'] ?? 'None').toBe('None')
  expect(received.length).toBe(2)
})

test('throttling by Lambda waits as long as it says, and other failures of its own are tried again', async () => {
  const failures = [
    awsError('TooManyRequestsException', 429, 'Rate exceeded', {
      retryAfterSeconds: '1',
      Reason: 'ReservedFunctionConcurrentInvocationLimitExceeded',
    }),
    awsError('EC2ThrottledException', 502),
    awsError('ServiceException', 500),
    awsError('ResourceConflictException', 502),
  ]
  const { aws } = await functionAt(({ service }) => (service === 'lambda' ? failures.shift() : undefined))
  const { client, stats } = await connected({ lambda: FUNCTION }, aws, hurried())
  expect((await client.call(request(['a']))).values.length).toBe(1)
  expect(stats()).toMatchObject({ requests: 5, retries: 4, throttled: 2 })
})

test.each([
  ['AccessDeniedException', 403, 'service/denied', 'lambda:InvokeFunction is not allowed'],
  ['KMSAccessDeniedException', 502, 'service/denied', 'kms:Decrypt is not allowed'],
  ['ResourceNotFoundException', 404, 'service/refused', 'ResourceNotFoundException'],
  ['ExpiredTokenException', 403, 'aws/no-credentials', 'ExpiredTokenException'],
])('%s of Lambda is %s', async (name, status, code, says) => {
  const { aws } = await functionAt(({ service }) =>
    service === 'lambda' ? awsError(name, status, 'PLANTED-7f3a') : undefined,
  )
  const { client } = await connected({ lambda: FUNCTION }, aws, hurried())
  const error = await client.call(request(['a'])).then(
    () => expect.unreachable(),
    (e: PseudolakeError) => e,
  )
  expect(error).toMatchObject({ code, message: expect.stringContaining(says) })
  expect(error.message).toContain(FUNCTION)
  expect(JSON.stringify([error.message, error.context, String(error.cause)])).not.toContain('PLANTED')
})

test('a keyring in a secret may be sealed by KMS', async () => {
  const plain = randomBytes(32)
  const wrapped = Buffer.from('wrapped')
  const service = {
    generate: async () => ({
      plain: new Uint8Array(plain),
      wrapped,
      keyArn: 'arn:aws:kms:eu-west-1:123456789012:key/0123',
    }),
    unwrap: async () => plain,
  }
  const text = writeKeyring(createKeyring({ randomBytes, now: 0 }))
  const sealed = await sealWithKms(text, 'alias/keys', service, { randomBytes, now: 0 })
  const aws = await fakeAws(
    ({ operation }) => (operation === 'Decrypt' ? { body: { Plaintext: plain.toString('base64') } } : undefined),
    { sealed, plain: text },
  )
  const [one, other] = await Promise.all(
    ['sealed', 'plain'].map((secret) => connected({ embedded: { keyring: { secret } } }, aws)),
  )
  expect(await keyCheck(one?.client as Client['client'], 'default')).toEqual(
    await keyCheck(other?.client as Client['client'], 'default'),
  )
})

test('a keyring is read out of a secret; one in the original format makes the pseudonyms of its tables', async () => {
  const [{ secret, cases }] = JSON.parse(readFileSync('test/vectors/original.json', 'utf8'))
  const secrets = {
    'team/keyring': writeKeyring(createKeyring({ randomBytes, now: 0 })),
    original: JSON.stringify(secret),
    cut: '{"version": 2, "domains": {"PLANTED-7f3a"',
  }
  const aws = await fakeAws(undefined, secrets)
  const own = await connected({ embedded: { keyring: { secret: 'team/keyring' } } }, aws)
  expect((await keyCheck(own.client, 'default')).format).toBe('v2')
  const original = await connected({ embedded: { keyring: { secret: 'original' } } }, aws)
  const again = await connected({ embedded: { keyring: { secret: 'original' } } }, aws)
  const check = await keyCheck(original.client, 'default')
  expect(check).toMatchObject({ format: 'original', key: parseOriginalSecret(JSON.stringify(secret)).id })
  expect(await keyCheck(again.client, 'default')).toEqual(check)
  const known = cases.filter(({ identifier }: { identifier: string }) => identifier !== '').slice(0, 20)
  const asked = request(
    known.map(({ identifier }: { identifier: string }) => identifier),
    { domain: 'default', deterministic: true },
  )
  expect((await original.client.call(asked)).values).toEqual(
    known.map(({ pseudonym }: { pseudonym: string }) => pseudonym),
  )
  const failed = await connected({ embedded: { keyring: { secret: 'cut' } } }, aws).then(
    () => expect.unreachable(),
    (e: PseudolakeError) => e,
  )
  expect(failed).toMatchObject({ code: 'keyring/invalid', message: expect.stringContaining('secret cut') })
  expect(failed.message).not.toContain('PLANTED')
})
