import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { openSecrets } from '../../lib/aws/secrets.ts'
import type { Clock } from '../../lib/core/clock.ts'
import { secretApiKey } from '../../pipelines/api-key.ts'
import { awsError, type Behave, fakeAws } from '../helpers/aws.ts'

const PLANTED = 'PLANTED-secret-7f3a'

async function store(behave?: Behave, texts: Record<string, string | Uint8Array> = {}) {
  const fake = await fakeAws(behave, texts)
  const aws = openAws({ env: fake.env })
  onTestFinished(() => aws.close())
  let now = 0
  const clock: Clock = { now: () => now, wall: () => now, sleep: async () => {} }
  const secrets = openSecrets({ client: () => aws.secretsManager({}), clock, ttlMs: 1000 })
  return {
    fake,
    texts,
    secrets,
    later: (ms: number) => {
      now += ms
    },
  }
}

/** What of an error anybody could print. */
async function told(failing: Promise<unknown>): Promise<string> {
  const error = await failing.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(Error)
  const { code, context, message, stack, cause } = error as Error & { code: string; context: object }
  return JSON.stringify({ code, context, message, stack, cause: String(cause) })
}

test('a secret is asked for once by all, kept for its time, and then asked for again', async () => {
  const { secrets, fake, texts, later } = await store(undefined, { key: 'one' })
  expect(await Promise.all([secrets.get('key'), secrets.get('key')])).toEqual(['one', 'one'])
  texts.key = 'two'
  later(999)
  expect(await secrets.get('key')).toBe('one')
  expect(fake.received.length).toBe(1)
  later(1)
  expect(await secrets.get('key')).toBe('two')
  texts.key = 'three'
  expect(await Promise.all([secrets.refresh('key'), secrets.refresh('key'), secrets.refresh('key')])).toEqual([
    'three',
    'three',
    'three',
  ])
  expect(fake.received.length).toBe(3)
})

test('while Secrets Manager is away the text that is known serves on; without one there is an error to try again', async () => {
  let away = false
  const { secrets, fake, later } = await store(() => (away ? awsError('InternalServiceError', 500) : undefined), {
    key: 'one',
  })
  expect(await secrets.get('key')).toBe('one')
  away = true
  later(5000)
  expect(await secrets.get('key')).toBe('one')
  const asked = fake.received.length
  expect(asked).toBeGreaterThan(1)
  expect(await secrets.get('key')).toBe('one')
  expect(fake.received.length).toBe(asked)
  expect(await told(secrets.get('other'))).toMatch(/secret\/unavailable.*InternalServiceError/)
})

test.each([
  [
    'AccessDeniedException',
    `User: arn:aws:sts::1:x is not authorized to perform: secretsmanager:GetSecretValue`,
    'secret/denied',
    'secretsmanager:GetSecretValue is not allowed',
  ],
  ['AccessDeniedException', 'Access to KMS is not allowed', 'secret/denied', 'kms:Decrypt'],
  ['DecryptionFailure', 'no', 'secret/denied', 'kms:Decrypt'],
  ['ResourceNotFoundException', 'no', 'secret/not-found', 'there is none'],
  ['InvalidRequestException', 'marked for deletion', 'secret/invalid', 'marked for deletion'],
  ['ExpiredTokenException', 'no', 'aws/no-credentials', 'not valid'],
])('%s (%s) is %s', async (name, message, code, says) => {
  const { secrets, fake } = await store(() => awsError(name, 400, `${message} ${PLANTED}`))
  const text = await told(secrets.get('my/key'))
  expect(text).toContain(`"${code}"`)
  expect(text).toContain(says)
  if (code.startsWith('secret/')) expect(text).toContain('my/key')
  expect(text).not.toContain(PLANTED)
  expect(fake.received.length).toBe(1)
})

test.each([
  ['binary', Buffer.from(PLANTED), 'it is binary, of 19 bytes'],
  ['empty', ' \n', 'it is empty'],
  ['cut JSON', `{"api_key_value": "${PLANTED}`, 'begins as JSON and is none'],
  ['JSON without the field', `{"key": "${PLANTED}"}`, 'JSON without api_key_value'],
  ['JSON whose field is no text', `{"api_key_value": ["${PLANTED}"]}`, 'api_key_value is no text'],
  ['a key with blanks', `${PLANTED} ${PLANTED}`, 'visible ASCII characters without blanks'],
])('an API key that is %s is refused without a word of it', async (_, secret, says) => {
  const { secrets } = await store(undefined, { key: secret })
  const text = await told(secretApiKey('key', secrets).get())
  expect(text).toContain('secret/invalid')
  expect(text).toContain(says)
  expect(text).not.toContain(PLANTED)
})

test.each([
  ['as the reference’s deployment writes it', '{"api_key_value": "abc-123"}'],
  ['bare', 'abc-123'],
  ['bare, with a line’s end', 'abc-123\n'],
  ['among other fields', '{"created": 1, "api_key_value": " abc-123 "}'],
])('an API key is read %s', async (_, secret) => {
  const { secrets } = await store(undefined, { key: secret })
  expect(await secretApiKey('key', secrets).get()).toBe('abc-123')
})
