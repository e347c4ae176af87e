import { expect, test } from 'vitest'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { ReadOptions, Storage } from '../../lib/storage/storage.ts'
import { SmallInputs } from '../../pipelines/batch/small-inputs.ts'

const MB = 2 ** 20

/** Files of so many bytes in a storage of late answers, which counts what it was asked for and has not been used yet. */
async function late(...sizes: readonly number[]) {
  const memory = memoryStorage()
  const reads: string[] = []
  const storage: Storage = {
    ...memory,
    reads: () => ({ gapBytes: 0, requestBytes: 8 * MB, underWay: 8, aheadBytes: 32 * MB }),
    async read(location, options: ReadOptions = {}) {
      reads.push(location)
      await new Promise((resolve) => setImmediate(resolve))
      return memory.read(location, options)
    },
  }
  const inputs = await Promise.all(
    sizes.map(async (bytes, i) => ({ object: await memory.create(`memory:/${i}`, new Uint8Array(bytes).fill(i)) })),
  )
  const stop = new AbortController()
  const small = new SmallInputs(storage, stop.signal)
  small.begin(inputs)
  return { memory, storage, inputs, small, reads, stop }
}

test('files are asked for while those before them are at work, each once, and are in memory at their turn', async () => {
  const { small, inputs, reads } = await late(...Array.from({ length: 20 }, () => 1000))
  for (const [i, input] of inputs.entries()) {
    const { object } = input
    const storage = await small.of(input)
    expect(reads).toHaveLength(Math.min(20, i + 8))
    expect(storage.reads?.(object.location)).toBeUndefined()
    expect(storage.inMemory?.(object)).toHaveLength(1000)
    const bytes = await storage.read(object.location, { start: 10, end: 12, ifMatch: object.version })
    expect([...bytes]).toEqual([i, i])
  }
  expect(new Set(reads).size).toBe(20)
})

test('no more than 16 MB are held, files that are passed over do not come back, and large ones are read as ever', async () => {
  const { small, inputs, reads, storage } = await late(...Array.from({ length: 10 }, (_, i) => (i === 6 ? 5 : 4) * MB))
  await small.of(inputs[0] as (typeof inputs)[0])
  expect(reads).toEqual(['memory:/0', 'memory:/1', 'memory:/2', 'memory:/3'])
  await small.of(inputs[4] as (typeof inputs)[0])
  expect(reads.slice(4)).toEqual(['memory:/4', 'memory:/5', 'memory:/7', 'memory:/8'])
  expect(await small.of(inputs[6] as (typeof inputs)[0])).toBe(storage)
})

test('a file that was written over since it was listed fails in its own turn', async () => {
  const { small, inputs, memory } = await late(10, 10, 10)
  const [first, second, third] = inputs as [(typeof inputs)[0], (typeof inputs)[0], (typeof inputs)[0]]
  await memory.replace('memory:/1', new Uint8Array(10))
  await small.of(first)
  await expect(small.of(second)).rejects.toMatchObject({ code: 'storage/changed' })
  await expect(small.of(third)).resolves.toBeDefined()
})

test('a run that is told to stop asks for nothing more, and on a disk nothing is read ahead', async () => {
  const { small, inputs, reads, stop, memory } = await late(10, 10)
  stop.abort()
  await small.of(inputs[0] as (typeof inputs)[0])
  expect(reads).toEqual([])
  const disk = new SmallInputs(memory, new AbortController().signal)
  disk.begin(inputs)
  expect(await disk.of(inputs[0] as (typeof inputs)[0])).toBe(memory)
})
