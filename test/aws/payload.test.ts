import { createHash } from 'node:crypto'
import { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import { expect, onTestFinished, test } from 'vitest'
import { openAws } from '../../lib/aws/clients.ts'
import { KEYS } from '../helpers/aws.ts'

const LARGE = new Uint8Array(1 << 20).fill(7)
const SMALL = LARGE.subarray(1)

type Headers = Readonly<Record<string, string>>

/** What would be sent, of the body's hash and checksum. */
async function sent(endpoint: string | undefined, body: Uint8Array, part = true): Promise<Headers> {
  const endpoints = endpoint === undefined ? {} : { AWS_ENDPOINT_URL_S3: endpoint }
  const aws = openAws({ env: { ...KEYS, AWS_REGION: 'eu-west-1', ...endpoints } })
  onTestFinished(() => aws.close())
  const client = await aws.s3({})
  let headers: Headers = {}
  client.middlewareStack.add(
    () =>
      async ({ request }) => {
        headers = (request as { headers: Headers }).headers
        throw new Error('seen')
      },
    { step: 'deserialize', name: 'stop', priority: 'low' },
  )
  const at = { Bucket: 'lake', Key: 'k', Body: body }
  const sending = part
    ? client.send(new UploadPartCommand({ ...at, PartNumber: 1, UploadId: 'u' }))
    : client.send(new PutObjectCommand(at))
  await expect(sending).rejects.toThrow('seen')
  return headers
}

const hash = (body: Uint8Array) => createHash('sha256').update(body).digest('hex')

test.each([
  ['AWS', undefined],
  ['a store behind TLS', 'https://store.example'],
  ['a store on this machine', 'http://127.0.0.1:9'],
])('large bodies to %s are signed without a hash of them', async (_, endpoint) => {
  for (const part of [true, false])
    expect((await sent(endpoint, LARGE, part))['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD')
})

test('to AWS a checksum goes with them still', async () => {
  expect(await sent(undefined, LARGE)).toHaveProperty('x-amz-checksum-crc32')
})

test('what goes over a network in the open is signed whole, whatever its size', async () => {
  expect((await sent('http://store.example', LARGE))['x-amz-content-sha256']).toBe(hash(LARGE))
})

test('small objects, which commits are made of, are signed whole everywhere', async () => {
  expect((await sent(undefined, SMALL, false))['x-amz-content-sha256']).toBe(hash(SMALL))
  expect((await sent('http://127.0.0.1:9', SMALL, false))['x-amz-content-sha256']).toBe(hash(SMALL))
})
