import { expect, test } from 'vitest'
import { always, bytes, first, RESET, SLOW, store } from './store.ts'

async function listed(of: AsyncIterable<{ readonly location: string }> | undefined): Promise<string[]> {
  const found: string[] = []
  for await (const { location } of of ?? []) found.push(location)
  return found
}

test('pages follow each other, and one that fails is asked for again', async () => {
  const { fake, storage } = await store({ page: 3 })
  const names = Array.from({ length: 10 }, (_, i) => `s3://bucket/p/${i}`)
  for (const name of names) await storage.create(name, bytes('x'))
  fake.fault = first('ListObjectsV2', SLOW, RESET)
  expect(await listed(storage.list('s3://bucket/p/'))).toEqual(names)
  expect(fake.count('ListObjectsV2')).toBe(6)
})

test('who stops listing asks for no more pages', async () => {
  const { fake, storage } = await store({ page: 3 })
  for (let i = 0; i < 10; i++) await storage.create(`s3://bucket/p/${i}`, bytes('x'))
  for await (const _ of storage.list('s3://bucket/p/')) break
  expect(fake.count('ListObjectsV2')).toBe(1)
})

test('a listing that says the same page again does not go round for ever', async () => {
  const { fake, storage } = await store({ page: 3 })
  for (let i = 0; i < 10; i++) await storage.create(`s3://bucket/p/${i}`, bytes('x'))
  fake.fault = always('ListObjectsV2', { kind: 'stale-token' })
  await expect(listed(storage.list('s3://bucket/p/'))).rejects.toMatchObject({ code: 'storage/failed' })
})

test('keys that a disk could not hold: slashes in a row and at the end, control characters', async () => {
  const { storage } = await store()
  const names = ['a//b', 'c/', '/d', 'e\tf', 'g\u0001h', 'i\nj', ' k ', 'l/./m']
  for (const name of names) await storage.create(`s3://bucket/${name}`, bytes(name))
  expect((await listed(storage.list('s3://bucket/'))).sort()).toEqual(names.map((name) => `s3://bucket/${name}`).sort())
  for (const name of names) expect(Buffer.from(await storage.read(`s3://bucket/${name}`)).toString()).toBe(name)
})

test('what is found is spelt as it was asked for, a whole bucket too', async () => {
  const { storage } = await store()
  await storage.create('s3://bucket/a/b', bytes('x'))
  expect(await listed(storage.list('s3a://bucket/a'))).toEqual(['s3a://bucket/a/b'])
  expect(await listed(storage.list('S3N://bucket/'))).toEqual(['S3N://bucket/a/b'])
  expect(await listed(storage.list('s3://bucket'))).toEqual(['s3://bucket/a/b'])
  expect(await storage.stat('s3a://bucket/a/b')).toMatchObject({ location: 's3a://bucket/a/b' })
})

test('a listing says of an object what a look at it says', async () => {
  const { storage } = await store()
  await storage.create('s3://bucket/a', bytes('12345'))
  for await (const found of storage.list('s3://bucket/')) {
    const { modified, ...rest } = await storage.stat('s3://bucket/a')
    expect(found).toMatchObject(rest)
    // A header has no fractions of a second.
    expect(Math.floor(found.modified / 1000)).toBe(modified / 1000)
  }
})

test('uploads that were not ended are found over pages', async () => {
  const { storage } = await store({ page: 2 })
  const names = Array.from({ length: 5 }, (_, i) => `s3://bucket/run/${i} +`)
  for (const name of names) await (await storage.write(name)).write(new Uint8Array(9 << 20))
  await (await storage.write(names[0] as string)).write(new Uint8Array(9 << 20))
  const found = await listed(storage.unfinished?.('s3://bucket/run/'))
  expect(found.sort()).toEqual([names[0], ...names])
})
