import { expect, test } from 'vitest'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { type InputFile, listInputs } from '../../pipelines/batch/inputs.ts'

async function storageWith(...names: string[]) {
  const storage = memoryStorage()
  for (const name of names) await storage.create(name, new Uint8Array(name.includes('empty') ? 0 : 3))
  return storage
}

type Memory = Awaited<ReturnType<typeof storageWith>>

async function listed(storage: Memory, path: string, hive = true) {
  const inputs: InputFile[] = []
  for await (const input of listInputs(storage, path, hive)) inputs.push(input)
  return inputs
}

const found = async (storage: Memory, path: string) =>
  (await listed(storage, path)).map((input) => input.object.location).sort()

test('a file is itself, hidden or not', async () => {
  const storage = await storageWith('/in/a.parquet', '/in/_b.parquet')
  expect(await found(storage, '/in/a.parquet')).toEqual(['/in/a.parquet'])
  expect(await found(storage, '/in/_b.parquet')).toEqual(['/in/_b.parquet'])
})

test('a folder is everything below it but what is hidden or empty', async () => {
  const storage = await storageWith(
    '/in/b.parquet',
    '/in/a.parquet',
    '/in/d/c.parquet',
    '/in/_SUCCESS',
    '/in/.crc/x',
    '/in/_tmp/y',
    '/in/empty',
    '/inside/z',
  )
  expect(await found(storage, '/in')).toEqual(['/in/a.parquet', '/in/b.parquet', '/in/d/c.parquet'])
  expect(await found(storage, '/in/')).toEqual(['/in/a.parquet', '/in/b.parquet', '/in/d/c.parquet'])
})

test('a folder that itself is hidden can be named', async () => {
  const storage = await storageWith('/_raw/a.parquet')
  expect(await found(storage, '/_raw')).toEqual(['/_raw/a.parquet'])
})

test('a glob matches whole paths', async () => {
  const storage = await storageWith(
    '/in/2024/a.parquet',
    '/in/2025/a.parquet',
    '/in/2025/b.csv',
    '/in/2025/x/a.parquet',
  )
  expect(await found(storage, '/in/*/a.parquet')).toEqual(['/in/2024/a.parquet', '/in/2025/a.parquet'])
  expect(await found(storage, '/in/**/*.parquet')).toHaveLength(3)
  expect(await found(storage, '/in/202{4,6}/?.parquet')).toEqual(['/in/2024/a.parquet'])
})

test('key=value folders below the path are partitions, unescaped, Hive’s null a null', async () => {
  const storage = await storageWith(
    '/in/year=2024/city=S%C3%A3o%20Paulo/a.parquet',
    '/in/year=2025/city=__HIVE_DEFAULT_PARTITION__/b.parquet',
  )
  const partitions = (await listed(storage, '/in')).map((input) => input.partitions)
  expect(partitions).toEqual([
    [
      ['year', '2024'],
      ['city', 'São Paulo'],
    ],
    [
      ['year', '2025'],
      ['city', null],
    ],
  ])
  expect((await listed(storage, '/in', false)).every((input) => input.partitions.length === 0)).toBe(true)
})

test.each(['/none', '/none/', '/none/*.parquet', '/hid', '/in/zero'])('nothing at %s is an error', async (path) => {
  const storage = await storageWith('/in/a', '/hid/_x', '/hid/empty')
  await expect(listed(storage, path)).rejects.toMatchObject({ code: 'input/not-found' })
})
