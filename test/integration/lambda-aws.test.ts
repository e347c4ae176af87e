/** The function's keys where a server of others holds them: moto's Secrets Manager, KMS and S3. */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { CreateSecretCommand, PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { expect, onTestFinished } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { sha256 } from '../../service/auth.ts'
import { createLambda } from '../../service/lambda.ts'
import { command } from '../core/failing.ts'
import { KEYS as CREDENTIALS } from '../helpers/aws.ts'
import { motoGlue } from '../helpers/catalog-servers.ts'
import { testWith } from '../helpers/interop.ts'
import { s3Client } from '../helpers/s3/open.ts'
import { folder } from '../service/keyrings.ts'

const REGION = 'eu-west-1'
const CALLERS = JSON.stringify([
  { name: 'both', key_sha256: sha256('key').toString('hex'), permissions: ['pseudonymize', 'reidentify'] },
])

testWith(
  'moto',
  'a keyring that KMS sealed is rotated in Secrets Manager, in mid-run, and every pseudonym still goes back',
  async () => {
    const moto = await motoGlue()
    onTestFinished(() => moto.stop())
    const env = { ...CREDENTIALS, AWS_REGION: REGION, AWS_ENDPOINT_URL: moto.url }
    const settings = {
      endpoint: moto.url,
      region: REGION,
      credentials: { accessKeyId: CREDENTIALS.AWS_ACCESS_KEY_ID, secretAccessKey: CREDENTIALS.AWS_SECRET_ACCESS_KEY },
    }
    const [kms, secrets, s3] = [new KMSClient(settings), new SecretsManagerClient(settings), s3Client(moto.url)]
    onTestFinished(() => [kms, secrets, s3].forEach((client) => void client.destroy()))
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({}))
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/keys', TargetKeyId: KeyMetadata?.KeyId as string }))
    await s3.send(
      new CreateBucketCommand({ Bucket: 'audit', CreateBucketConfiguration: { LocationConstraint: REGION } }),
    )

    const dir = folder()
    const cli = async (...words: string[]) => {
      const { exit, stdout, stderr } = await command([...words, '--json'], dir, env)
      expect(exit, stderr).toBe(0)
      return JSON.parse(stdout)
    }
    const sealed = async (name: string) => {
      await cli('keys', 'backup', 'keys.json', '--out', name, '--kms-key', 'alias/keys')
      return readFileSync(join(dir, name), 'utf8')
    }
    const created = await cli('keys', 'create', '--out', 'keys.json')
    const first = created.domains[0].primary
    await secrets.send(new CreateSecretCommand({ Name: 'keys', SecretString: await sealed('one') }))
    await secrets.send(new CreateSecretCommand({ Name: 'callers', SecretString: CALLERS }))

    let passed = 0
    const clock = systemClock()
    const logged: string[] = []
    const { handler } = createLambda({
      env: {
        ...env,
        PSEUDOLAKE_KEYRING_SECRET: 'keys',
        PSEUDOLAKE_API_KEYS_SECRET: 'callers',
        PSEUDOLAKE_AUDIT: 's3://audit/calls/',
      },
      clock: { ...clock, now: () => clock.now() + passed },
      random: Math.random,
      randomBytes,
      uuid: randomUUID,
      log: ({ event }) => logged.push(event),
      write: () => undefined,
    })
    const ask = async (path: string, body: object, queryStringParameters: object = {}) => {
      const headers = { 'x-api-key': 'key' }
      const answer = await handler({
        httpMethod: 'POST',
        path,
        headers,
        queryStringParameters,
        body: JSON.stringify(body),
      })
      expect(answer.statusCode, answer.body).toBe(200)
      return { ...JSON.parse(answer.body), key: answer.headers['x-pseudolake-key'] }
    }
    const forward = (query: object = {}) =>
      ask('/pseudonymization', { identifiers: ['A'] }, { deterministic: 'True', ...query })
    const before = await forward()
    expect(before.key).toBe(first)

    const rotated = await cli('keys', 'rotate', 'keys.json')
    const next = rotated.domains[0].primary
    await secrets.send(new PutSecretValueCommand({ SecretId: 'keys', SecretString: await sealed('two') }))
    // A run that asks by the new id, of whom the function has not heard: it looks, and finds it.
    passed += 10_000
    expect((await forward({ key: next })).key).toBe(next)
    expect((await forward()).key).toBe(next)
    // One that was begun before goes on.
    expect(await forward({ key: first })).toEqual(before)

    // Somebody puts another keyring in its place: what the version before had still goes back.
    await cli('keys', 'create', '--out', 'other.json')
    await secrets.send(
      new PutSecretValueCommand({ SecretId: 'keys', SecretString: readFileSync(join(dir, 'other.json'), 'utf8') }),
    )
    passed += 300_000
    const replaced = await forward()
    expect([first, next]).not.toContain(replaced.key)
    const back = await ask('/reidentification', { pseudonyms: [...before.pseudonyms, ...replaced.pseudonyms] })
    expect(back).toMatchObject({ identifiers: ['A', 'A'], key: `${first},${replaced.key}` })
    expect(logged.filter((event) => event === 'keyring-reloaded')).toHaveLength(2)
  },
)
