/** The SDK's own chain, in processes whose environment is nothing but what the test says. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import { accessKeyOf, fakeAws, KEYS } from '../helpers/aws.ts'

const CLIENTS = pathToFileURL(join(import.meta.dirname, '../../lib/aws/clients.ts')).href
const ROLE = 'arn:aws:iam::111111111111:role/of-profile'

vi.setConfig({ testTimeout: 60_000 })

/** Reads the secret `name` as whoever the chain finds. @returns its text, or `CODE message` of the failure */
async function reading(settings: object, env: Record<string, string>, files: Record<string, string> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'pseudolake-home-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  mkdirSync(join(home, '.aws'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(home, '.aws', name), text)
  const script = `
    import { openAws } from ${JSON.stringify(CLIENTS)}
    import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager'
    const aws = openAws({ env: process.env })
    try {
      const client = await aws.secretsManager(${JSON.stringify(settings)})
      console.log((await client.send(new GetSecretValueCommand({ SecretId: 'name' }))).SecretString)
    } catch ({ code, message }) {
      console.log(code, message)
    }
    await aws.close()`
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    env: { PATH: process.env.PATH ?? '', HOME: home, AWS_EC2_METADATA_DISABLED: 'true', ...env },
  })
  return { said: stdout.trim(), stderr, home }
}

const PROFILES = {
  credentials: `[default]\naws_access_key_id = ${KEYS.AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${KEYS.AWS_SECRET_ACCESS_KEY}\n`,
  config: `[default]\nregion = eu-south-1\n[profile deputy]\nrole_arn = ${ROLE}\nsource_profile = default\nregion = eu-south-2\n`,
}

test('keys of the environment', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  expect((await reading({}, fake.env)).said).toBe('text')
  expect(fake.received[0]).toMatchObject({ accessKey: KEYS.AWS_ACCESS_KEY_ID, region: 'eu-west-1' })
})

test('the default profile, with its region', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  expect((await reading({}, { AWS_ENDPOINT_URL: fake.url }, PROFILES)).said).toBe('text')
  expect(fake.received[0]).toMatchObject({ accessKey: KEYS.AWS_ACCESS_KEY_ID, region: 'eu-south-1' })
})

test('a profile that is named, with the role that it assumes, before keys of the environment', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  const other = { AWS_ACCESS_KEY_ID: 'AKIAOTHER', AWS_SECRET_ACCESS_KEY: 'other' }
  const { said } = await reading({}, { AWS_ENDPOINT_URL: fake.url, AWS_PROFILE: 'deputy', ...other }, PROFILES)
  expect(said).toBe('text')
  expect(fake.operations()).toEqual(['AssumeRole', 'GetSecretValue'])
  expect(fake.received[1]).toMatchObject({ accessKey: accessKeyOf(ROLE), region: 'eu-south-2' })
})

test('a role of the configuration on top of a profile’s', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  const top = 'arn:aws:iam::222222222222:role/of-configuration'
  const env = { AWS_ENDPOINT_URL: fake.url, AWS_PROFILE: 'deputy' }
  expect((await reading({ roleArn: top, region: 'eu-west-1' }, env, PROFILES)).said).toBe('text')
  expect(fake.received.map(({ operation, accessKey }) => [operation, accessKey])).toEqual([
    ['AssumeRole', KEYS.AWS_ACCESS_KEY_ID],
    ['AssumeRole', accessKeyOf(ROLE)],
    ['GetSecretValue', accessKeyOf(top)],
  ])
})

test('a web identity, as of a pod: its token is exchanged without any key', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  const home = mkdtempSync(join(tmpdir(), 'pseudolake-token-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  writeFileSync(join(home, 'token'), 'PLANTED-web-identity')
  const { said, stderr } = await reading(
    {},
    {
      AWS_ENDPOINT_URL: fake.url,
      AWS_REGION: 'eu-west-1',
      AWS_WEB_IDENTITY_TOKEN_FILE: join(home, 'token'),
      AWS_ROLE_ARN: ROLE,
    },
  )
  expect(said).toBe('text')
  expect(fake.operations()).toEqual(['AssumeRoleWithWebIdentity', 'GetSecretValue'])
  expect(fake.received[1]?.accessKey).toBe(accessKeyOf(ROLE))
  expect(said + stderr).not.toContain('PLANTED')
})

test('none at all, and a program that should give some and does not: told by name, without a word of theirs', async () => {
  const region = { AWS_REGION: 'eu-west-1' }
  expect((await reading({}, region)).said).toMatch(/^aws\/no-credentials /)
  const config = `[default]\ncredential_process = sh -c 'echo PLANTED-7f3a >&2; exit 1'\n`
  const { said, stderr } = await reading({}, region, { config })
  expect(said).toMatch(/^aws\/no-credentials /)
  expect(said + stderr).not.toContain('PLANTED')
  expect((await reading({ roleArn: ROLE }, region)).said).toMatch(/^aws\/no-credentials /)
})
