import { expect, test } from 'vitest'
import type { Version } from '../../../lib/storage/storage.ts'
import { always, bytes, first, noise, RESET, SLOW, store, text } from './store.ts'

const KEY = 's3://bucket/key'

test('a body that breaks off is gone on with where it ended, in the version that was begun', async () => {
  const all = noise(3 << 20)
  const { fake, storage } = await store()
  await storage.create(KEY, all)
  fake.fault = first('GetObject', { kind: 'cut', bytes: 1_000_000 }, RESET, { kind: 'cut', bytes: 500_000 })
  expect(Buffer.compare(await storage.read(KEY), all)).toBe(0)
  const gets = fake.asked.filter(({ operation }) => operation === 'GetObject')
  const etag = `"${fake.buckets.get('bucket')?.objects.get('key')?.etag}"`
  expect(gets.map(({ headers }) => headers['if-match'])).toEqual([undefined, etag, etag, etag])
  // A connection's last bytes may not have come through.
  const starts = gets.map(({ headers }) => Number(/=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0))
  expect(starts[1]).toBeLessThanOrEqual(1_000_000)
  expect(starts[2]).toBe(starts[1])
  expect(starts[3]).toBeGreaterThanOrEqual(starts[2] as number)
})

test('a range goes on inside itself', async () => {
  const all = noise(2 << 20)
  const { fake, storage } = await store()
  const { version } = await storage.create(KEY, all)
  fake.fault = first('GetObject', { kind: 'cut', bytes: 300_000 })
  const into = new Uint8Array(2 << 20)
  const read = await storage.read(KEY, { start: 100_000, end: 1_500_000, ifMatch: version, into })
  expect(Buffer.compare(read, all.subarray(100_000, 1_500_000))).toBe(0)
  expect(read.buffer).toBe(into.buffer)
})

test('an object that changes behind a broken body is changed, never mixed', async () => {
  const { fake, storage } = await store()
  const objects = fake.buckets.get('bucket')?.objects
  await storage.create(KEY, noise(2 << 20))
  const later = objects?.get('key')
  await storage.replace(KEY, noise(1 << 20))
  let gets = 0
  fake.fault = ({ operation }) => {
    if (operation !== 'GetObject') return undefined
    if (gets++ === 0) return { kind: 'cut', bytes: 500_000 }
    if (later) objects?.set('key', later)
    return undefined
  }
  await expect(storage.read(KEY)).rejects.toMatchObject({ code: 'storage/changed' })
})

test('a store that passes over If-Match is not believed', async () => {
  const { storage } = await store({ unconditional: true })
  const { version } = await storage.replace(KEY, bytes('one'))
  await storage.replace(KEY, bytes('two'))
  await expect(storage.read(KEY, { ifMatch: version })).rejects.toMatchObject({ code: 'storage/changed' })
  await expect(storage.read(KEY, { start: 9, ifMatch: version })).rejects.toMatchObject({ code: 'storage/changed' })
  await expect(storage.read(KEY, { start: 2, end: 2, ifMatch: version })).rejects.toMatchObject({
    code: 'storage/changed',
  })
})

test('an answer in order that is too short is no end of the object', async () => {
  const all = noise(100_000)
  const { fake, storage } = await store()
  await storage.create(KEY, all)
  fake.fault = first('GetObject', { kind: 'short', bytes: 5000 })
  expect(Buffer.compare(await storage.read(KEY, { start: 10, end: 90_000 }), all.subarray(10, 90_000))).toBe(0)
  fake.fault = always('GetObject', { kind: 'short', bytes: 5000 })
  await expect(storage.read(KEY, { start: 10, end: 90_000 })).rejects.toMatchObject({ code: 'storage/failed' })
})

test('an empty object, and what is behind the end of one, is empty', async () => {
  const { storage } = await store()
  const { version } = await storage.create(KEY, new Uint8Array(0))
  expect(await storage.read(KEY)).toHaveLength(0)
  expect(await storage.read(KEY, { start: 0, end: 10, ifMatch: version })).toHaveLength(0)
  expect(await storage.read(KEY, { start: 5 })).toHaveLength(0)
  await expect(storage.read(KEY, { start: 5, ifMatch: 'other' as Version })).rejects.toMatchObject({
    code: 'storage/changed',
  })
})

test('a storm of SlowDown is waited out, longer each time', async () => {
  const { fake, storage, waits } = await store()
  await storage.create(KEY, bytes('x'))
  fake.fault = first('GetObject', SLOW, SLOW, SLOW, SLOW)
  expect(text(await storage.read(KEY))).toBe('x')
  expect(waits).toEqual([250, 500, 1000, 2000])
})

test('a store that stays down is given up after its attempts, and after its time', async () => {
  const { fake, storage, waits } = await store({}, { retry: { attempts: 4 } })
  await storage.create(KEY, bytes('x'))
  fake.fault = always('HeadObject', { kind: 'refuse', status: 500, code: 'InternalError' })
  await expect(storage.stat(KEY)).rejects.toMatchObject({
    code: 'storage/failed',
    retryable: true,
    message: expect.stringContaining('4 attempts'),
    context: { attempts: 4, action: 's3:GetObject', status: 500 },
  })
  expect(waits).toHaveLength(3)
  const short = await store({ fault: () => SLOW }, { retry: { budgetMs: 1000 } })
  await expect(short.storage.stat(KEY)).rejects.toMatchObject({ code: 'storage/failed' })
  expect(short.waits.reduce((sum, wait) => sum + wait, 0)).toBeLessThanOrEqual(1000)
  expect(short.fake.count()).toBe(short.waits.length + 1)
})

test('who asks says that he pays, in every request', async () => {
  const { fake, storage } = await store({}, { requestPayer: true })
  await storage.create(KEY, bytes('x'))
  await storage.read(KEY)
  await storage.stat(KEY)
  for await (const _ of storage.list('s3://bucket/')) _.location
  const writer = await storage.write('s3://bucket/large')
  await writer.write(noise(9 << 20))
  await writer.close()
  await storage.delete(KEY)
  for (const { headers, operation } of fake.asked)
    expect([operation, headers['x-amz-request-payer']]).toEqual([operation, 'requester'])
})
