import { expect, test } from 'vitest'
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { CREDENTIALS, s3Client } from '../../helpers/s3/open.ts'
import { always, bytes, store } from './store.ts'

const KEY = 's3://bucket/some/key'

async function failure(of: Promise<unknown>): Promise<PseudolakeError> {
  const error = await of.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(PseudolakeError)
  return error as PseudolakeError
}

const refuse = (status: number, code: string, message?: string, headers?: Record<string, string>) =>
  ({ kind: 'refuse', status, code, ...(message && { message }), ...(headers && { headers }) }) as const

test.each<[string, (storage: Storage) => Promise<unknown>, string]>([
  ['s3:GetObject', (storage) => storage.read(KEY), 's3:GetObject'],
  ['s3:GetObject by a HEAD, which has no body', (storage) => storage.stat(KEY), 's3:GetObject'],
  ['s3:PutObject', (storage) => storage.create(KEY, bytes('x')), 's3:PutObject'],
  ['s3:DeleteObject', (storage) => storage.delete(KEY), 's3:DeleteObject'],
  [
    's3:ListBucket',
    async (storage) => {
      for await (const one of storage.list('s3://bucket/some/')) return one
    },
    's3:ListBucket',
  ],
  [
    's3:ListBucketMultipartUploads',
    async (storage) => {
      for await (const one of storage.unfinished?.('s3://bucket/some/') ?? []) return one
    },
    's3:ListBucketMultipartUploads',
  ],
])('a denial names what is missing: %s', async (_, ask, action) => {
  const { storage, waits } = await store({ fault: () => refuse(403, 'AccessDenied', 'Access Denied') })
  const error = await failure(ask(storage))
  expect(error).toMatchObject({ code: 'storage/denied', context: { action } })
  expect(error.message).toContain(action)
  expect(error.message).toContain('bucket')
  expect(waits).toEqual([])
})

test('a denial of another action than the request’s is named as AWS does, and nothing else of its message', async () => {
  const message =
    'User: arn:aws:sts::123456789012:assumed-role/PLANTED/x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:123456789012:key/PLANTED'
  const { storage } = await store({ fault: () => refuse(403, 'AccessDenied', message) })
  const error = await failure(storage.create(KEY, bytes('x')))
  expect(error.message).toContain('kms:GenerateDataKey')
  const shown = `${error.message} ${JSON.stringify(error.context)} ${error.cause} ${(error.cause as Error).stack}`
  expect(shown).not.toMatch(/PLANTED|123456789012/)
  expect(shown).not.toContain(CREDENTIALS.accessKeyId)
})

test.each([
  [refuse(404, 'NoSuchBucket'), 'storage/not-found', /no bucket bucket/],
  [refuse(400, 'ExpiredToken'), 'storage/denied', /session has expired/],
  [refuse(403, 'InvalidAccessKeyId'), 'storage/denied', /access key is not known/],
  [refuse(403, 'SignatureDoesNotMatch'), 'storage/denied', /secret key/],
  [refuse(403, 'InvalidObjectState'), 'storage/denied', /archived/],
  [refuse(400, 'KMS.DisabledException'), 'storage/denied', /KMS key .* is disabled/],
  [refuse(400, 'KMS.NotFoundException'), 'storage/denied', /KMS key .* does not exist/],
  [refuse(400, 'KMS.KMSInvalidStateException'), 'storage/denied', /KMS refused/],
  [refuse(507, 'InsufficientStorage'), 'storage/full', /no room/],
  [refuse(400, 'InvalidRequest'), 'storage/failed', /refused s3:GetObject .*InvalidRequest/],
  [
    refuse(301, 'PermanentRedirect', 'x', { 'x-amz-bucket-region': 'eu-north-1' }),
    'storage/wrong-region',
    /bucket bucket is in eu-north-1/,
  ],
  [
    refuse(400, 'AuthorizationHeaderMalformed', 'x', { 'x-amz-bucket-region': 'ap-south-1' }),
    'storage/wrong-region',
    /ap-south-1/,
  ],
])('what a store says is told in words: %o', async (fault, code, message) => {
  const { storage } = await store({ fault: () => fault })
  for (const ask of [() => storage.read(KEY), () => storage.stat(KEY)]) {
    const error = await failure(ask())
    // Of a HEAD that finds no bucket nothing more is known than that there is no object.
    if (code === 'storage/not-found' && !message.test(error.message)) expect(error.message).toContain('no object')
    else expect(error.message).toMatch(message)
    expect(error.code).toBe(code)
  }
})

test('no credentials, and a store that is not there, are told as what they are', async () => {
  const { fake } = await store()
  const nobody = s3Client(fake.endpoint, {
    credentials: async () => {
      throw Object.assign(new Error('PLANTED'), { name: 'CredentialsProviderError' })
    },
  })
  const { storage } = await store({}, { client: nobody })
  const error = await failure(storage.stat(KEY))
  expect(error).toMatchObject({ code: 'storage/denied', message: expect.stringContaining('no AWS credentials') })
  expect(`${(error.cause as Error).stack}`).not.toContain('PLANTED')
  await fake.close()
  const gone = await store({}, { client: s3Client(fake.endpoint), retry: { attempts: 2 } })
  expect(await failure(gone.storage.read(KEY))).toMatchObject({
    code: 'storage/failed',
    message: expect.stringContaining('ECONNREFUSED'),
  })
})

test('locations that are none are refused before anything is asked', async () => {
  const { fake, storage } = await store()
  for (const location of [
    's3://',
    's3://bucket',
    's3://bucket/',
    's3:///key',
    's3://a/b',
    's3://arn:aws:s3:::x/k',
    `s3://bucket/${'k'.repeat(1025)}`,
  ])
    expect(await failure(storage.stat(location))).toMatchObject({ code: 'options/invalid' })
  expect(fake.count()).toBe(0)
})

test('deleting what is not there is no error, deleting in a bucket that is not there is one', async () => {
  const { fake, storage } = await store()
  await storage.delete(KEY)
  fake.fault = always('DeleteObject', refuse(404, 'NoSuchKey'))
  await storage.delete(KEY)
  fake.fault = undefined
  expect(await failure(storage.delete('s3://other-bucket/key'))).toMatchObject({ code: 'storage/not-found' })
})
