import { request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { fakeAws, KEYS, verified } from '../helpers/aws.ts'

function opened(env: Record<string, string>) {
  const aws = openAws({ env })
  onTestFinished(() => aws.close())
  return aws
}

test.each([
  ['a body', 'POST', '/Dev/pseudonymization?deterministic=True&domain=a-b', '{"identifiers":["ä","x y"]}'],
  ['no body', 'GET', '/iceberg/v1/config?warehouse=123456789012', undefined],
  ['escapes in path and query', 'POST', '/a%20b/c%2Fd?x=%2F%2B&y=a%20b', 'body'],
  ['a query’s name twice', 'GET', '/p?b=2&a=1&b=1', undefined],
])('a request with %s is signed as AWS verifies it', async (_, method, path, body) => {
  const { env } = await fakeAws()
  const sign = await opened(env).sign({ region: 'eu-west-1' }, 'execute-api')
  const url = `https://abc.execute-api.eu-west-1.amazonaws.com${path}`
  const headers = await sign({ method, url, headers: { accept: 'application/json' }, body })
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const who = verified(
    { method, url: path, headers: lower, body: Buffer.from(body ?? '') },
    () => KEYS.AWS_SECRET_ACCESS_KEY,
  )
  expect(who).toEqual({ accessKey: KEYS.AWS_ACCESS_KEY_ID, region: 'eu-west-1', service: 'execute-api' })
  expect(lower.host).toBe('abc.execute-api.eu-west-1.amazonaws.com')
  expect(() =>
    verified({ method, url: path, headers: lower, body: Buffer.from('another') }, () => KEYS.AWS_SECRET_ACCESS_KEY),
  ).toThrow()
})

test('it is sent as it was signed, under the role of the settings', async () => {
  const fake = await fakeAws()
  const roleArn = 'arn:aws:iam::111111111111:role/caller'
  const sign = await opened(fake.env).sign({ roleArn }, 'glue')
  const url = `${fake.url}/iceberg/v1/namespaces/db%1Fx?page=1`
  const headers = await sign({ method: 'GET', url, headers: {} })
  await new Promise((done, fail) =>
    request(url, { headers }, (answer) => answer.resume().on('end', done))
      .on('error', fail)
      .end(),
  )
  expect(fake.received.at(-1)).toMatchObject({ service: 'glue', accessKey: expect.stringMatching(/^ASIA/) })
  expect(fake.received.at(-1)?.headers['x-amz-security-token']).toMatch(/^token-of-/)
})
