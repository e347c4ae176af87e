import { expect, test } from 'vitest'
import { memoryStorage } from '../../../lib/storage/memory.ts'
import { bodyReader, headMemory } from '../../../pipelines/batch/gate/body-reader.ts'

const BYTES = Uint8Array.from({ length: 20_000 }, (_, i) => i % 251)

async function reader(end = BYTES.length) {
  const storage = memoryStorage()
  const object = await storage.create('memory://files/a', BYTES)
  const memory = new Uint8Array(BYTES.length)
  return { memory, reader: bodyReader(storage, object, end, headMemory(), (bytes) => memory.subarray(0, bytes)) }
}

test('headers come out of a small memory, bodies go into that of who compares them', async () => {
  const { reader: source, memory } = await reader()
  const head = await source.read(100, 612)
  expect(head).toEqual(BYTES.slice(100, 612))
  expect(head.buffer).not.toBe(memory.buffer)
  const body = await source.read(140, 9000)
  expect(body).toEqual(BYTES.slice(140, 9000))
  expect(body.buffer).toBe(memory.buffer)
  expect(await source.read(9000, 9512)).toEqual(BYTES.slice(9000, 9512))
})

test('a header that is asked for once more, longer, is still there when its body has come', async () => {
  const { reader: source, memory } = await reader()
  await source.read(100, 612)
  const head = await source.read(100, 4196)
  await source.read(4000, 12_000)
  expect(head).toEqual(BYTES.slice(100, 4196))
  expect(head.buffer).not.toBe(memory.buffer)
})

test('an object that ends before its own size is said to be corrupt', async () => {
  const storage = memoryStorage()
  const object = await storage.create('memory://files/a', BYTES)
  const source = bodyReader(storage, { ...object, bytes: 30_000 }, 30_000, headMemory(), (n) => new Uint8Array(n))
  await expect(source.read(15_000, 25_000)).rejects.toMatchObject({ code: 'input/corrupt' })
  await expect(source.read(19_900, 20_412)).rejects.toMatchObject({ code: 'input/corrupt' })
})
