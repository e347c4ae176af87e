import { expect, test } from 'vitest'
import type { Caller } from '../../../lib/storage/s3/caller.ts'
import { Copier } from '../../../lib/storage/s3/copy.ts'
import type { ObjectWriter, StoredObject } from '../../../lib/storage/storage.ts'
import { always, first, LOST, noise, RESET, store } from './store.ts'

const MB = 1 << 20
const FROM = 's3://bucket/some folder/ä+b'
const TO = 's3://bucket/out'
const INPUT = noise(40 * MB)

function copying(writer: ObjectWriter) {
  if (!writer.copying) throw new Error('no copies')
  return writer.copying
}

/** What comes of bytes before, a copy, and bytes behind it. */
async function around(writer: ObjectWriter, source: StoredObject): Promise<Uint8Array> {
  const before = noise(MB)
  await writer.write(before)
  expect(copying(writer).leadBytes).toBe(4 * MB)
  await writer.write(INPUT.subarray(3 * MB, 7 * MB))
  expect(copying(writer).leadBytes).toBe(0)
  expect(await copying(writer).copy(source, 7 * MB, 33 * MB + 5)).toBe(true)
  await writer.write(before)
  return Buffer.concat([before, INPUT.subarray(3 * MB, 33 * MB + 5), before])
}

test('what the store copies stands between what was written before and behind it', async () => {
  const { fake, storage } = await store()
  const source = await storage.create(FROM, INPUT)
  const writer = await storage.write(TO)
  const wanted = await around(writer, source)
  expect(writer.bytes).toBe(wanted.length)
  const made = await writer.close()
  expect(made.bytes).toBe(wanted.length)
  expect(Buffer.compare(await storage.read(TO, { ifMatch: made.version }), wanted)).toBe(0)
  const copies = fake.asked.filter(({ operation }) => operation === 'UploadPartCopy')
  expect(copies.map(({ headers }) => headers['x-amz-copy-source-if-match'])).toEqual([`"${source.version}"`])
  expect(fake.count('GetObject')).toBe(1)
})

test('an object may begin with a copy, and consist of copies', async () => {
  const { storage } = await store()
  const source = await storage.create(FROM, INPUT)
  const writer = await storage.write(TO)
  expect(copying(writer).leadBytes).toBe(0)
  await copying(writer).copy(source, 20 * MB, 40 * MB)
  await copying(writer).copy(source, 0, 20 * MB)
  await writer.close()
  const wanted = Buffer.concat([INPUT.subarray(20 * MB), INPUT.subarray(0, 20 * MB)])
  expect(Buffer.compare(await storage.read(TO), wanted)).toBe(0)
})

test('an object that is not the version that was opened is not copied from, at the first copy and at a later one', async () => {
  const { fake, storage } = await store()
  const old = await storage.create(FROM, INPUT)
  const now = await storage.replace(FROM, noise(40 * MB - 1))
  const writer = await storage.write(TO)
  await expect(copying(writer).copy(old, 0, 20 * MB)).rejects.toMatchObject({ code: 'storage/changed' })
  await writer.abort()
  const other = await storage.write(TO)
  await copying(other).copy(now, 0, 20 * MB)
  await copying(other).copy(old, 20 * MB, 39 * MB)
  await expect(other.close()).rejects.toMatchObject({ code: 'storage/changed' })
  await other.abort()
  expect(fake.buckets.get('bucket')?.uploads.size).toBe(0)
  expect(fake.buckets.get('bucket')?.objects.has('out')).toBe(false)
})

test('a store that does not copy is asked once, and nothing of the object is lost', async () => {
  const refused = { kind: 'refuse', status: 501, code: 'NotImplemented' } as const
  const { fake, storage } = await store({ fault: always('UploadPartCopy', refused) })
  const source = await storage.create(FROM, INPUT)
  const writer = await storage.write(TO)
  await writer.write(INPUT.subarray(0, 6 * MB))
  expect(await copying(writer).copy(source, 6 * MB, 30 * MB)).toBe(false)
  expect(writer.copying).toBeUndefined()
  await writer.write(INPUT.subarray(6 * MB))
  await writer.close()
  expect(Buffer.compare(await storage.read(TO), INPUT)).toBe(0)
  expect((await storage.write(`${TO}-2`)).copying).toBeUndefined()
  expect(fake.count('UploadPartCopy')).toBe(1)
})

test('a copy that fails on the way is made again', async () => {
  const { storage } = await store({ fault: first('UploadPartCopy', RESET, LOST) })
  const source = await storage.create(FROM, INPUT)
  const writer = await storage.write(TO)
  const wanted = await around(writer, source)
  await writer.close()
  expect(Buffer.compare(await storage.read(TO), wanted)).toBe(0)
})

test('bytes of an object elsewhere are not copied', async () => {
  const { fake, storage } = await store()
  const source = await storage.create(FROM, INPUT)
  const writer = await storage.write(TO)
  expect(await copying(writer).copy({ ...source, location: '/tmp/x' }, 0, 20 * MB)).toBe(false)
  await writer.abort()
  expect(fake.count('UploadPartCopy')).toBe(0)
})

test('a store of unknown ways shows first that it copies no version but the one it was asked for', async () => {
  const { fake, storage } = await store({}, { proveConditions: true })
  const source = await storage.create(FROM, INPUT)
  for (const name of ['a', 'b']) {
    const writer = await storage.write(`${TO}-${name}`)
    expect(await copying(writer).copy(source, 0, 40 * MB)).toBe(true)
    await writer.close()
    expect(Buffer.compare(await storage.read(`${TO}-${name}`), INPUT)).toBe(0)
  }
  expect(fake.count('UploadPartCopy')).toBe(3)
  const careless = await store({ unconditional: true }, { proveConditions: true })
  const there = await careless.storage.replace(FROM, INPUT)
  const writer = await careless.storage.write(TO)
  expect(await copying(writer).copy(there, 0, 40 * MB)).toBe(false)
  expect(writer.copying).toBeUndefined()
  await writer.write(INPUT)
  await writer.close()
  expect(Buffer.compare(await careless.storage.read(TO), INPUT)).toBe(0)
})

test('while a store of unknown ways is asked, nobody takes its ways for known', async () => {
  // A store that passes over conditions: it copies a version that never was.
  const settings = { proveConditions: true } as Caller['settings']
  const caller = { settings, call: async () => ({ CopyPartResult: { ETag: '"1"' } }) } as unknown as Caller
  const copier = new Copier(caller)
  const part = { to: TO, uploadId: 'u', number: 1, source: { location: FROM, version: 'v' }, start: 0, end: 8 * MB }
  let over = false
  let known = false
  const asked = copier.keepsConditions(part as never).finally(() => {
    over = true
  })
  while (!over) {
    known ||= copier.known(FROM, TO)
    await Promise.resolve()
  }
  expect([known, await asked, copier.serves(TO)]).toEqual([false, false, false])
})
