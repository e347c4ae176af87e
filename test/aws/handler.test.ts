import { request as ask, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager'
import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { fakeAws, KEYS } from '../helpers/aws.ts'
import { fakeS3 } from '../helpers/s3/fake.ts'

/** A proxy for http, which is asked by whole URLs; every name leads to `backend`. */
async function httpProxy(backend: string, status?: number) {
  const seen: string[] = []
  const proxy = createServer((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    if (status !== undefined) return void response.writeHead(status).end('PLANTED')
    const { hostname, port } = new URL(backend)
    const { pathname, search } = new URL(String(incoming.url))
    const { method, headers } = incoming
    incoming.pipe(
      ask({ hostname, port, method, path: pathname + search, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      }),
    )
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen }
}

function opened(env: Record<string, string>) {
  const aws = openAws({ env: { ...KEYS, AWS_REGION: 'eu-west-1', ...env } })
  onTestFinished(() => aws.close())
  return aws
}

test('an endpoint over http is asked through HTTP_PROXY, bodies in both directions', async () => {
  const store = await fakeS3(['lake'])
  onTestFinished(() => store.close())
  const proxy = await httpProxy(store.endpoint)
  const aws = opened({ HTTP_PROXY: proxy.url, AWS_ENDPOINT_URL_S3: 'http://s3.lake.test' })
  const s3 = await aws.s3({})
  const body = new Uint8Array(3 << 20).map((_, i) => i % 251)
  const at = { Bucket: 'lake', Key: "a b/ä'(x)!*.parquet" }
  await s3.send(new PutObjectCommand({ ...at, Body: body }))
  const { Body } = await s3.send(new GetObjectCommand({ ...at, Range: 'bytes=0-2097151' }))
  expect(
    Buffer.compare(await (Body as NonNullable<typeof Body>).transformToByteArray(), body.subarray(0, 2 << 20)),
  ).toBe(0)
  expect(store.buckets.get('lake')?.keys('')).toEqual([at.Key])
  expect(proxy.seen).toEqual([
    expect.stringMatching(
      /^PUT http:\/\/s3\.lake\.test\/lake\/a%20b\/%C3%A4%27%28x%29%21%2A\.parquet\?x-id=PutObject$/,
    ),
    expect.stringMatching(/^GET http:\/\/s3\.lake\.test\/.*x-id=GetObject$/),
  ])
})

test('loopback is asked without the proxy, whatever it is set to', async () => {
  const fake = await fakeAws(undefined, { name: 'text' })
  const proxy = await httpProxy(fake.url)
  const aws = opened({ http_proxy: proxy.url, https_proxy: proxy.url, AWS_ENDPOINT_URL: fake.url })
  const client = await aws.secretsManager({})
  expect((await client.send(new GetSecretValueCommand({ SecretId: 'name' }))).SecretString).toBe('text')
  expect(proxy.seen).toEqual([])
})

test('who leaves ends the request, through a proxy too', async () => {
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const aws = opened({ HTTP_PROXY: url, AWS_ENDPOINT_URL_S3: 'http://s3.lake.test' })
  const s3 = await aws.s3({})
  const leaving = new AbortController()
  const asked = s3.send(new GetObjectCommand({ Bucket: 'lake', Key: 'k' }), { abortSignal: leaving.signal })
  setTimeout(() => leaving.abort(), 50)
  await expect(asked).rejects.toMatchObject({ name: 'AbortError' })
})

test('a proxy that is not there is a failure to try again, and one that is no URL is the configuration’s', async () => {
  const aws = opened({ HTTP_PROXY: 'http://127.0.0.1:9', AWS_ENDPOINT_URL: 'http://all.lake.test' })
  const s3 = await aws.s3({})
  await expect(s3.send(new GetObjectCommand({ Bucket: 'lake', Key: 'k' }))).rejects.toMatchObject({
    code: 'ECONNREFUSED',
  })
  const bad = opened({ HTTP_PROXY: 'PLANTED no URL' })
  await expect(bad.s3({})).rejects.toMatchObject({
    code: 'config/invalid',
    message: expect.not.stringContaining('PLANTED'),
  })
})

test('each service has its own client, with the tries that its callers expect', async () => {
  const aws = opened({})
  const settings = { region: 'eu-west-1', endpoints: { kinesis: 'http://127.0.0.1:9' } }
  const made = {
    s3: await aws.s3(settings),
    glue: await aws.glue(settings),
    lambda: await aws.lambda(settings),
    secrets: await aws.secretsManager(settings),
    kinesis: await aws.kinesis(settings),
  }
  const tries = await Promise.all(Object.values(made).map((client) => client.config.maxAttempts()))
  expect(Object.fromEntries(Object.keys(made).map((name, i) => [name, tries[i]]))).toEqual({
    s3: 1,
    glue: 1,
    lambda: 1,
    secrets: 5,
    kinesis: 1,
  })
  expect((await made.kinesis.config.endpoint?.())?.port).toBe(9)
  expect(made.glue.config.endpoint).toBeUndefined()
})
