import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import type { ObjectWriter } from '../../lib/storage/storage.ts'
import { lazyAws } from '../../pipelines/aws.ts'
import { batchJob } from '../../pipelines/batch/job.ts'
import { readBatchConfig } from '../../pipelines/config/load.ts'
import { jobStorage } from '../../pipelines/storages.ts'
import { type FakeS3, fakeS3 } from '../helpers/s3/fake.ts'
import { CREDENTIALS } from '../helpers/s3/open.ts'

const MIB = 2 ** 20

/** The storage of a job over two stores: which one was asked says as whom. */
async function stored(set: readonly string[] = [], output?: FakeS3) {
  const own = await fakeS3(['raw', 'lake'])
  onTestFinished(() => own.close())
  const env = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: 'eu-west-1',
    AWS_ENDPOINT_URL_S3: own.endpoint,
  }
  const settings = readBatchConfig(
    JSON.stringify({
      job: 'sides',
      input: { path: 's3://lake/raw/' },
      columns: { vin: { mode: 'drop' } },
      service: { embedded: { keyring: 'k' } },
      output: { table: 'db.t', warehouse: 's3://lake/warehouse', state: 's3://lake/raw/_state' },
    }),
    { set: [...set, ...(output ? [`output.aws.endpoints.s3=${output.endpoint}`] : [])] },
  )
  const { aws, close } = lazyAws(env)
  onTestFinished(close)
  const places = { env, clock: systemClock(), random: Math.random, uuid: randomUUID, aws }
  return { own, storage: jobStorage(batchJob(settings, '/'), places) }
}

const bytes = (n: number) => new Uint8Array(n).fill(7)

async function written(writer: ObjectWriter, n: number): Promise<void> {
  await writer.write(bytes(n))
  await writer.close()
}

test('inputs are asked as the input’s identity, table and ledgers as the output’s, also where ledgers lie hidden among inputs', async () => {
  const theirs = await fakeS3(['lake'])
  onTestFinished(() => theirs.close())
  const { own, storage } = await stored([], theirs)
  await storage.create('s3://lake/raw/a.parquet', bytes(3))
  await storage.create('s3://lake/raw/_state/x', bytes(3))
  await storage.create('s3://lake/warehouse/db/t/data/x', bytes(3))
  await storage.create('s3a://lake/elsewhere/x', bytes(3))
  expect(own.buckets.get('lake')?.keys('')).toEqual(['raw/a.parquet'])
  expect(theirs.buckets.get('lake')?.keys('')).toEqual(['elsewhere/x', 'raw/_state/x', 'warehouse/db/t/data/x'])
  expect((await storage.stat('s3a://lake/raw/a.parquet')).bytes).toBe(3)
  const listed: string[] = []
  for await (const { location } of storage.list('s3://lake/raw/')) listed.push(location)
  expect(listed).toEqual(['s3://lake/raw/a.parquet'])
})

test('a store copies from inputs to the table by itself only where one identity may do both', async () => {
  const same = await stored()
  expect((await same.storage.write('s3://lake/warehouse/db/t/data/x')).copying).toBeDefined()
  const theirs = await fakeS3(['lake'])
  onTestFinished(() => theirs.close())
  const apart = await stored([], theirs)
  const writer = await apart.storage.write('s3://lake/warehouse/db/t/data/x')
  expect(writer.copying).toBeUndefined()
  await written(writer, 3)
  expect(theirs.buckets.get('lake')?.keys('')).toEqual(['warehouse/db/t/data/x'])
})

test('uploads that nobody ended are found on each side', async () => {
  const theirs = await fakeS3(['lake'])
  onTestFinished(() => theirs.close())
  const { own, storage } = await stored([], theirs)
  theirs.buckets.get('lake')?.begin('warehouse/db/t/data/x', {}, undefined as never)
  own.buckets.get('lake')?.begin('raw/y', {}, undefined as never)
  const found: string[] = []
  for (const prefix of ['s3://lake/warehouse/', 's3://lake/raw/', '/tmp/no-such-folder-here/'])
    for await (const { location } of storage.unfinished?.(prefix) ?? []) found.push(location)
  expect(found).toEqual(['s3://lake/warehouse/db/t/data/x', 's3://lake/raw/y'])
})

test('who pays for requests, and how is encrypted, is said with each request', async () => {
  const { own, storage } = await stored([
    'input.requester_pays=true',
    'output.encryption={type: "aws:kms", kms_key_id: my-key, bucket_key: true}',
  ])
  await written(await storage.write('s3://lake/warehouse/db/t/data/x'), 9 * MIB)
  await storage.create('s3://lake/warehouse/db/t/data/y', bytes(3))
  await storage.read('s3://lake/warehouse/db/t/data/y')
  const headers = (operation: string) => own.asked.find((one) => one.operation === operation)?.headers
  for (const operation of ['CreateMultipartUpload', 'PutObject'])
    expect(headers(operation)).toMatchObject({
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'my-key',
      'x-amz-server-side-encryption-bucket-key-enabled': 'true',
    })
  expect(headers('GetObject')).toMatchObject({ 'x-amz-request-payer': 'requester' })
})
