import { GetTableCommand } from '@aws-sdk/client-glue'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager'
import { expect, onTestFinished, test } from 'vitest'
import { type Aws, openAws } from '../../lib/aws/clients.ts'
import { awsError, fakeAws, KEYS } from '../helpers/aws.ts'

const ROLE = 'arn:aws:iam::111111111111:role/reader'

function opened(env: Record<string, string>): Aws {
  const aws = openAws({ env })
  onTestFinished(() => aws.close())
  return aws
}

async function readSecret(aws: Aws, settings: Parameters<Aws['secretsManager']>[0]) {
  const client = await aws.secretsManager(settings)
  return client.send(new GetSecretValueCommand({ SecretId: 'name' }))
}

test('equal settings share a client, others have one of their own', async () => {
  const aws = opened({ ...KEYS, AWS_REGION: 'eu-west-1' })
  const [one, same, other, ofRole] = await Promise.all([
    aws.s3({ region: 'eu-west-1' }),
    aws.s3({ region: 'eu-west-1' }),
    aws.s3({ region: 'us-east-1' }),
    aws.s3({ region: 'eu-west-1', roleArn: ROLE }),
  ])
  expect(same).toBe(one)
  expect(new Set([one, other, ofRole]).size).toBe(3)
  expect(await other.config.region()).toBe('us-east-1')
})

test('three sides, three accounts: each request is made as the role of its side', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  const aws = opened(fake.env)
  const roles = ['a', 'b'].map((name) => `arn:aws:iam::111111111111:role/${name}`)
  await readSecret(aws, { roleArn: roles[0], externalId: 'shared-with-a', sessionName: 'pseudolake-nightly' })
  await readSecret(aws, { roleArn: roles[1] })
  await readSecret(aws, {})
  const assumed = fake.received.filter(({ operation }) => operation === 'AssumeRole')
  const asked = fake.received.filter(({ operation }) => operation === 'GetSecretValue')
  expect(assumed.map(({ body }) => Object.fromEntries(new URLSearchParams(body.toString())))).toMatchObject([
    { RoleArn: roles[0], ExternalId: 'shared-with-a', RoleSessionName: 'pseudolake-nightly' },
    { RoleArn: roles[1], RoleSessionName: 'pseudolake' },
  ])
  expect(assumed.map(({ accessKey }) => accessKey)).toEqual([KEYS.AWS_ACCESS_KEY_ID, KEYS.AWS_ACCESS_KEY_ID])
  expect(new Set(asked.map(({ accessKey }) => accessKey)).size).toBe(3)
  expect(asked[2]?.accessKey).toBe(KEYS.AWS_ACCESS_KEY_ID)
})

test('a role is assumed once for all clients that need it, and again before it expires', async () => {
  let lives = 3600_000
  const fake = await fakeAws(
    (request) => {
      if (request.operation !== 'AssumeRole') return undefined
      const expires = new Date(Date.now() + lives).toISOString()
      return {
        headers: { 'content-type': 'text/xml' },
        body: `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>${KEYS.AWS_ACCESS_KEY_ID}</AccessKeyId><SecretAccessKey>${KEYS.AWS_SECRET_ACCESS_KEY}</SecretAccessKey><SessionToken>t</SessionToken><Expiration>${expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
      }
    },
    { name: 'text' },
  )
  const aws = opened(fake.env)
  const calls = () => fake.operations().filter((name) => name === 'AssumeRole').length
  await Promise.all([readSecret(aws, { roleArn: ROLE }), readSecret(aws, { roleArn: ROLE })])
  await (await aws.glue({ roleArn: ROLE })).send(new GetTableCommand({ DatabaseName: 'd', Name: 't' }))
  expect(calls()).toBe(1)
  lives = 60_000
  const soon = opened(fake.env)
  await readSecret(soon, { roleArn: ROLE })
  await (await soon.credentials({ roleArn: ROLE }))()
  expect(calls()).toBeGreaterThan(2)
})

test('a role that may not be assumed is told with its action, and not tried again and again', async () => {
  const fake = await fakeAws(({ operation }) =>
    operation === 'AssumeRole'
      ? {
          status: 403,
          headers: { 'content-type': 'text/xml' },
          body: `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`,
        }
      : undefined,
  )
  const aws = opened(fake.env)
  await expect(readSecret(aws, { roleArn: ROLE })).rejects.toMatchObject({
    code: 'aws/denied',
    message: expect.stringContaining(`sts:AssumeRole on ${ROLE}`),
    context: { action: 'sts:AssumeRole', resource: ROLE },
  })
  expect(fake.operations()).toEqual(['AssumeRole'])
})

test('an endpoint in the place of AWS means path-style S3 and needs no region', async () => {
  const fake = await fakeAws()
  const { AWS_REGION: _, ...env } = fake.env
  const aws = opened({ ...env, HOME: '/nowhere' })
  const s3 = await aws.s3({})
  await s3.send(new GetObjectCommand({ Bucket: 'my.bucket', Key: 'a b/c' }))
  expect(fake.received[0]).toMatchObject({
    url: '/my.bucket/a%20b/c?x-id=GetObject',
    service: 's3',
    region: 'us-east-1',
  })
})

test('without endpoint and region nobody is asked', async () => {
  const before = process.env.AWS_CONFIG_FILE
  process.env.AWS_CONFIG_FILE = '/nowhere/config'
  onTestFinished(() => {
    if (before === undefined) delete process.env.AWS_CONFIG_FILE
    else process.env.AWS_CONFIG_FILE = before
  })
  await expect(opened(KEYS).s3({})).rejects.toMatchObject({ code: 'config/invalid', context: { key: 'aws.region' } })
  await expect(opened({ ...KEYS, AWS_REGION: 'x.evil.example/' }).s3({})).rejects.toMatchObject({
    code: 'config/invalid',
  })
})

test('Glue is asked once, whatever it answers; Secrets Manager several times', async () => {
  const fake = await fakeAws(() => awsError('InternalServiceError', 500))
  const aws = opened(fake.env)
  const glue = await aws.glue({})
  await expect(glue.send(new GetTableCommand({ DatabaseName: 'd', Name: 't' }))).rejects.toThrow()
  expect(fake.operations()).toEqual(['GetTable'])
  await expect(readSecret(aws, {})).rejects.toThrow()
  expect(fake.operations().filter((name) => name === 'GetSecretValue').length).toBe(5)
})

test('what could not be made is made for who asks next', async () => {
  const aws = opened(KEYS)
  await expect(aws.s3({ region: 'eu-west-1', endpoints: { s3: 'nonsense' } })).rejects.toThrow()
  await expect(aws.s3({ region: 'eu-west-1', endpoints: { s3: 'nonsense' } })).rejects.toThrow()
  await expect(aws.s3({ region: 'eu-west-1', endpoints: { s3: 'http://127.0.0.1:9' } })).resolves.toBeDefined()
})
