import { expect, test } from 'vitest'
import { MAX_PARTS, partBytesAt } from '../../../lib/storage/s3/writer.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import { always, bytes, first, LOST, noise, RESET, SLOW, store, text } from './store.ts'

const KEY = 's3://bucket/key'
const LARGE = noise(21 << 20)

async function large(storage: Storage, location = KEY) {
  const writer = await storage.write(location)
  await writer.write(LARGE)
  return writer
}

test('a create whose answer was lost is done: what is there is known as its own', async () => {
  const { fake, storage } = await store({ fault: first('PutObject', LOST) })
  const made = await storage.create(KEY, bytes('mine'))
  expect(await storage.stat(KEY)).toMatchObject({ version: made.version, bytes: 4 })
  expect(fake.count('PutObject')).toBe(2)
})

test('a create whose answers were all lost is done too, and one that is still to be seen is not known', async () => {
  const { storage } = await store({ fault: always('PutObject', LOST) }, { retry: { attempts: 2 } })
  expect(await storage.create(KEY, bytes('mine'))).toMatchObject({ bytes: 4 })
  const down = await store({ fault: always('PutObject', RESET) }, { retry: { attempts: 2 } })
  await expect(down.storage.create(KEY, bytes('mine'))).rejects.toMatchObject({
    code: 'storage/unknown',
    retryable: false,
  })
})

test('the same bytes of another writer are a conflict all the same', async () => {
  const { fake, storage } = await store()
  await storage.create(KEY, bytes('same'))
  await expect(storage.create(KEY, bytes('same'))).rejects.toMatchObject({ code: 'storage/conflict' })
  // Lost on its way there: the look tells whose it is.
  fake.fault = first('PutObject', RESET)
  await expect(storage.create(KEY, bytes('same'))).rejects.toMatchObject({ code: 'storage/conflict' })
})

test('who may write and not look says conflict, where it cannot tell', async () => {
  const denied = { kind: 'refuse', status: 403, code: 'AccessDenied' } as const
  const lost = first('PutObject', LOST)
  const { storage } = await store({ fault: (asked) => (asked.operation === 'PutObject' ? lost(asked) : denied) })
  await expect(storage.create(KEY, bytes('mine'))).rejects.toMatchObject({ code: 'storage/conflict' })
})

test('a conflict of two requests that are under way is tried again', async () => {
  const refused = { kind: 'refuse', status: 409, code: 'ConditionalRequestConflict' } as const
  const { storage, waits } = await store({ fault: first('PutObject', refused, refused) })
  await storage.create(KEY, bytes('x'))
  expect(text(await storage.read(KEY))).toBe('x')
  expect(waits).toHaveLength(2)
  // Nothing was written, so this is a failure and not unknown.
  const never = await store({ fault: always('PutObject', refused) }, { retry: { attempts: 3 } })
  await expect(never.storage.create(KEY, bytes('x'))).rejects.toMatchObject({ code: 'storage/failed' })
})

test('a store that passes over conditions is found out by the first write', async () => {
  const { fake, storage } = await store({}, { proveConditions: true })
  for (const name of ['a', 'b', 'c']) await storage.create(`${KEY}/${name}`, bytes(name))
  expect(fake.count('PutObject')).toBe(4)
  const careless = await store({ unconditional: true }, { proveConditions: true })
  await expect(careless.storage.create(KEY, bytes('x'))).rejects.toMatchObject({ code: 'storage/unsupported' })
  const unable = await store({ fault: always('PutObject', { kind: 'refuse', status: 501, code: 'NotImplemented' }) })
  await expect(unable.storage.create(KEY, bytes('x'))).rejects.toMatchObject({ code: 'storage/unsupported' })
})

test('parts that fail are sent again, whatever happens to them', async () => {
  const { fake, storage } = await store({
    fault: first('UploadPart', RESET, LOST, SLOW, { kind: 'refuse', status: 500, code: 'InternalError' }),
  })
  const made = await (await large(storage)).close()
  expect(Buffer.compare(await storage.read(KEY, { ifMatch: made.version }), LARGE)).toBe(0)
  expect(fake.buckets.get('bucket')?.uploads.size).toBe(0)
})

test('a completion whose answer was lost is done', async () => {
  const { storage } = await store({ fault: first('CompleteMultipartUpload', LOST) })
  const made = await (await large(storage)).close()
  expect(await storage.stat(KEY)).toMatchObject({ version: made.version, bytes: LARGE.length })
})

test('a completion that may still happen is unknown, and nothing is touched any more', async () => {
  const { fake, storage } = await store({ fault: always('CompleteMultipartUpload', RESET) }, { retry: { attempts: 2 } })
  const writer = await large(storage)
  await expect(writer.close()).rejects.toMatchObject({ code: 'storage/unknown' })
  await writer.abort()
  expect(fake.count('AbortMultipartUpload')).toBe(0)
})

test('an upload that somebody ended cannot be completed', async () => {
  const { fake, storage } = await store()
  const writer = await large(storage)
  fake.buckets.get('bucket')?.uploads.clear()
  await expect(writer.close()).rejects.toMatchObject({ code: 'storage/failed' })
})

test('a part that cannot be sent fails the writer, and its upload is taken away', async () => {
  const denied = { kind: 'refuse', status: 403, code: 'AccessDenied' } as const
  const { fake, storage } = await store({
    fault: (asked) => (asked.query.get('partNumber') === '2' ? denied : undefined),
  })
  const writer = await storage.write(KEY)
  await expect(
    (async () => {
      for (let i = 0; i < 10; i++) await writer.write(LARGE)
      await writer.close()
    })(),
  ).rejects.toMatchObject({ code: 'storage/denied' })
  await writer.abort()
  expect(fake.buckets.get('bucket')?.uploads.size).toBe(0)
  expect(fake.buckets.get('bucket')?.objects.size).toBe(0)
})

test('objects are encrypted as they were told to be, small and large', async () => {
  const encryption = { type: 'aws:kms', keyId: 'alias/lake', bucketKey: true } as const
  const { fake, storage } = await store({}, { encryption })
  await storage.create(KEY, bytes('x'))
  await storage.replace(`${KEY}-hint`, bytes('x'))
  await (await large(storage, `${KEY}-large`)).close()
  for (const [, object] of fake.buckets.get('bucket')?.objects ?? [])
    expect(object.encryption).toEqual({
      '': 'aws:kms',
      '-aws-kms-key-id': 'alias/lake',
      '-bucket-key-enabled': 'true',
    })
})

test('options that cannot be are refused when it is made', async () => {
  const refused = async (more: object) => {
    await expect(store({}, more)).rejects.toMatchObject({ code: 'options/invalid' })
  }
  await refused({ partBytes: 1 << 20 })
  await refused({ partBytes: 8 << 20, uploadBytes: 9 << 20 })
  await refused({ encryption: { type: 'none' } })
  await refused({ encryption: { type: 'AES256', keyId: 'k' } })
  await refused({ encryption: { type: 'aws:kms', keyId: ' ' } })
  await refused({ retry: { attempts: 0 } })
  await refused({ reads: { underWay: 0 } })
})

test('parts grow, so that 10,000 of them are far more than 48.8 GB, and two fit in memory', () => {
  const memory = 40 << 20
  let total = 0
  for (let number = 1; number <= MAX_PARTS; number++) {
    const size = partBytesAt(number, 8 << 20, memory)
    expect(size).toBeGreaterThanOrEqual(8 << 20)
    expect(size).toBeLessThanOrEqual(memory / 2)
    total += size
  }
  expect(total / 2 ** 30).toBeGreaterThan(175)
  expect(partBytesAt(1, 5 << 20, 10 << 20)).toBe(5 << 20)
  expect(partBytesAt(MAX_PARTS, 5 << 20, 1 << 30)).toBe(64 << 20)
})

test('no more parts are under way than memory was given for', async () => {
  const { fake, storage } = await store({ latencyMs: 5, forget: true }, { uploadBytes: 24 << 20 })
  const writer = await storage.write(KEY)
  for (let i = 0; i < 6; i++) await writer.write(LARGE)
  await writer.close()
  expect(fake.most.get('UploadPart')).toBe(2)
  expect(fake.buckets.get('bucket')?.objects.get('key')?.content.bytes).toBe(6 * LARGE.length)
})
