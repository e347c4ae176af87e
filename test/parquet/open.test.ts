import { expect, test } from 'vitest'
import { openParquet } from '../../lib/parquet/open.ts'
import { fixture, opened, stored } from './helpers.ts'

const text = (s: string) => new TextEncoder().encode(s)

async function fails(bytes: Uint8Array) {
  const { storage, object } = await stored(bytes)
  return expect(openParquet(storage, object)).rejects
}

test('a footer is read as columns, row groups and types, nested ones as a tree', async () => {
  const { file } = await opened(fixture('nested-v1.parquet'))
  expect(file.rows).toBe(300)
  expect(file.rowGroups.map((group) => group.rows)).toEqual([128, 128, 44])
  expect(file.root.map((node) => [node.name, node.kind])).toEqual([
    ['tags', 'list'],
    ['grid', 'list'],
    ['person', 'struct'],
    ['attrs', 'map'],
    ['orders', 'list'],
  ])
  expect(file.leaves[1]).toMatchObject({
    path: ['grid', 'list', 'element', 'list', 'element'],
    physical: 'INT32',
    maxDefinitionLevel: 5,
    maxRepetitionLevel: 2,
  })
  expect(file.leaves.find((leaf) => leaf.path[0] === 'attrs')).toMatchObject({
    path: ['attrs', 'key_value', 'key'],
    repetition: 'required',
    logical: { type: 'string' },
  })
  expect(file.createdBy).toMatch(/^parquet-cpp-arrow/)
})

test('lists whose inner groups have other names are lists too', async () => {
  const { file } = await opened(fixture('list-item.parquet'))
  expect(file.root[0]).toMatchObject({ kind: 'list', element: { path: ['tags', 'list', 'item'] } })
})

test('a footer longer than the first read is read whole', async () => {
  const { file } = await opened(fixture('leak-v1-none.parquet'))
  expect(file.object.bytes).toBeGreaterThan(64 << 10)
  expect(file.rowGroups).toHaveLength(3)
})

test.each([
  ['nothing', ''],
  ['too little', 'PAR1PAR1'],
])('%s is not Parquet', async (_, content) => {
  await (await fails(text(content))).toMatchObject({
    code: 'input/not-parquet',
    message: expect.stringContaining('too few'),
  })
})

test('a CSV file is said to be text', async () => {
  await (await fails(text('id,vin\r\n1,2\n'.repeat(50)))).toMatchObject({
    code: 'input/not-parquet',
    message: expect.stringContaining('perhaps CSV'),
  })
})

test('a file that is cut off anywhere says so', async () => {
  const whole = fixture('leak-v1-snappy.parquet')
  for (const length of [12, 100, whole.length >> 1, whole.length - 1])
    await (await fails(whole.slice(0, length))).toMatchObject({
      code: 'input/corrupt',
      message: expect.stringContaining('cut off'),
    })
})

test('a footer that does not fit, or is no Thrift, is corrupt', async () => {
  const whole = fixture('leak-v1-snappy.parquet')
  const long = whole.slice()
  new DataView(long.buffer).setUint32(long.length - 8, long.length, true)
  await (await fails(long)).toMatchObject({ code: 'input/corrupt', message: expect.stringContaining('does not fit') })
  const none = whole.slice()
  new DataView(none.buffer).setUint32(none.length - 8, 0, true)
  await (await fails(none)).toMatchObject({ code: 'input/corrupt' })
  await (await fails(text(`PAR1${'x'.repeat(40)}\x20\0\0\0PAR1`))).toMatchObject({ code: 'input/corrupt' })
})

test.each(['encrypted-footer.parquet', 'encrypted-columns.parquet'])('encryption is named: %s', async (name) => {
  await (await fails(fixture(name))).toMatchObject({ code: 'input/encrypted' })
})

test('a file that changes after it was listed is not read', async () => {
  const { storage, object } = await stored(fixture('leak-v1-none.parquet'))
  await storage.replace(object.location, fixture('leak-v1-none.parquet'))
  await expect(openParquet(storage, object)).rejects.toMatchObject({ code: 'storage/changed' })
})
