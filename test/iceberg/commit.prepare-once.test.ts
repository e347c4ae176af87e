import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { waitlessClock } from './clock.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }

test('a commit that is tried ten times writes its manifest once, and only lists and metadata again', async () => {
  const { catalog, created, deleted, context } = open()
  let losses = 9
  const unlucky: typeof catalog = {
    ...catalog,
    async commit(...commit) {
      if (losses-- > 0) throw new PseudolakeError('table/conflict', 'somebody was first')
      return catalog.commit(...commit)
    },
  }
  const { attempts } = await appendFiles(unlucky, TABLE, APPEND, context)
  expect(attempts).toBe(10)
  expect(created.filter((name) => /-m0\.avro$/.test(name))).toHaveLength(1)
  expect(created.filter((name) => /\/snap-/.test(name))).toHaveLength(10)
  // Each try has a list of its own name: the one that won must not be another try's.
  expect(new Set(created).size).toBe(created.length)
  expect(deleted.filter((name) => /\/snap-/.test(name))).toHaveLength(9)
})

test('a try is made on what is there after the wait: others who commit meanwhile cost no further try', async () => {
  const { catalog, context } = open()
  await appendFiles(catalog, TABLE, APPEND, context)
  let others = 0
  const other = () => appendFiles(catalog, TABLE, { ...APPEND, files: [namedFile(`/other-${++others}`)] }, context)
  let isFirst = true
  const raced: typeof catalog = {
    ...catalog,
    async commit(...commit) {
      if (isFirst) await other()
      isFirst = false
      return catalog.commit(...commit)
    },
  }
  const sleep = async () => void (await other())
  const mine = { ...APPEND, files: [namedFile('/mine')] }
  const { attempts } = await appendFiles(raced, TABLE, mine, { ...context, clock: { ...context.clock, sleep } })
  expect([attempts, others]).toEqual([2, 2])
})

test('a table that can’t be read after the wait has definitely not this commit, and what was written for it is removed', async () => {
  const { catalog, created, deleted, context } = open()
  await appendFiles(catalog, TABLE, APPEND, context)
  created.length = 0
  let waited = false
  const raced: typeof catalog = {
    ...catalog,
    async load(table) {
      if (waited) throw new PseudolakeError('catalog/unavailable', 'nobody answers')
      return catalog.load(table)
    },
    commit: async () => {
      throw new PseudolakeError('table/conflict', 'somebody was first')
    },
  }
  const sleep = async () => {
    waited = true
  }
  const mine = { ...APPEND, files: [namedFile('/mine')] }
  const failed = appendFiles(raced, TABLE, mine, { ...context, clock: { ...context.clock, sleep } })
  await expect(failed).rejects.toMatchObject({ code: 'catalog/unavailable' })
  expect(created.length).toBeGreaterThan(0)
  expect(deleted.toSorted()).toEqual(expect.arrayContaining(created.toSorted()))
})

test('waits between tries grow with full jitter, up to the table’s limits', async () => {
  const { catalog, clock, context } = open()
  await appendFiles(catalog, TABLE, { ...APPEND, setProperties: LIMITS }, context)
  const never: typeof catalog = {
    ...catalog,
    commit: async () => {
      throw new PseudolakeError('table/conflict', 'somebody was first')
    },
  }
  const more = { ...APPEND, files: [namedFile('/b')] }
  await expect(appendFiles(never, TABLE, more, { ...context, random: () => 1 })).rejects.toMatchObject({
    code: 'table/conflict',
  })
  expect(clock.waits).toEqual([10, 20, 40, 50, 50])
})

test('a commit ends when its time is used up, before its tries are', async () => {
  const { catalog, clock, context } = open()
  const limits = { ...LIMITS, 'commit.retry.num-retries': '1000', 'commit.retry.total-timeout-ms': '100' }
  await appendFiles(catalog, TABLE, { ...APPEND, setProperties: limits }, context)
  const never: typeof catalog = {
    ...catalog,
    commit: async () => {
      throw new PseudolakeError('table/conflict', 'somebody was first')
    },
  }
  const more = { ...APPEND, files: [namedFile('/b')] }
  await expect(appendFiles(never, TABLE, more, { ...context, random: () => 1 })).rejects.toMatchObject({
    code: 'table/conflict',
    context: { attempts: 4 },
  })
  expect(clock.waits.reduce((sum, wait) => sum + wait, 0)).toBeLessThanOrEqual(100)
})

test('what a commit wrote is removed when it is interrupted, and the data files are not', async () => {
  const { catalog, created, deleted, context } = open()
  const interrupted = new AbortController()
  const losing: typeof catalog = {
    ...catalog,
    commit: async () => {
      interrupted.abort(new PseudolakeError('run/interrupted', 'told to stop'))
      throw new PseudolakeError('table/conflict', 'somebody was first')
    },
  }
  await catalog.storage.create('/a', new Uint8Array(1))
  await expect(appendFiles(losing, TABLE, APPEND, { ...context, signal: interrupted.signal })).rejects.toMatchObject({
    code: 'run/interrupted',
  })
  expect(deleted.sort()).toEqual(created.filter((name) => name !== '/a').sort())
})

test('a table that was dropped and made again meanwhile is not written to', async () => {
  const { catalog, context } = open()
  await appendFiles(catalog, TABLE, APPEND, context)
  const other = open().catalog
  await appendFiles(other, TABLE, APPEND, context)
  let swapped = false
  const moving: typeof catalog = {
    ...catalog,
    load: (table) => (swapped ? other.load(table) : catalog.load(table)),
    commit: async () => {
      swapped = true
      throw new PseudolakeError('table/conflict', 'somebody was first')
    },
  }
  const more = { ...APPEND, files: [namedFile('/b')] }
  await expect(appendFiles(moving, TABLE, more, context)).rejects.toMatchObject({
    code: 'table/conflict',
    message: /dropped and made again/,
  })
})

test('a schema that moved on so that the files no longer fit stops the commit', async () => {
  const { catalog, context } = open()
  await appendFiles(catalog, TABLE, APPEND, context)
  const [id, name] = SIMPLE.fields
  const schemaOf = (fields: object[]) => ({ ...SIMPLE, fields }) as typeof SIMPLE
  const more = (schema: typeof SIMPLE) =>
    appendFiles(catalog, TABLE, { ...APPEND, schema, files: [namedFile(`/${Math.random()}`)] }, context)
  await expect(more(schemaOf([{ ...id, type: 'string' }, { ...name }]))).rejects.toMatchObject({
    code: 'table/schema-changed',
    context: { columns: ['id'] },
  })
  await expect(more(schemaOf([{ ...id }, { ...name, id: 3 }]))).rejects.toMatchObject({ code: 'table/schema-changed' })
  // Narrower types and fewer columns are read as the table’s.
  await more(schemaOf([{ ...id, type: 'int' }]))
})

test('the same path twice, and a run id that is no name, are refused', async () => {
  const { catalog, context } = open()
  for (const wrong of [{ files: [namedFile('/a'), namedFile('/a')] }, { runId: '../x' }, { runId: '' }])
    await expect(appendFiles(catalog, TABLE, { ...APPEND, ...wrong }, context)).rejects.toMatchObject({
      code: 'options/invalid',
    })
})

const APPEND = { schema: SIMPLE, create: { properties: {} }, files: [namedFile('/a')], runId: 'run-1' }
const LIMITS = {
  'commit.retry.num-retries': '5',
  'commit.retry.min-wait-ms': '10',
  'commit.retry.max-wait-ms': '50',
}

function open() {
  const clock = waitlessClock()
  const created: string[] = []
  const deleted: string[] = []
  const inner = memoryStorage()
  const storage: typeof inner = {
    ...inner,
    create: async (location, bytes) => {
      created.push(location)
      return inner.create(location, bytes)
    },
    delete: async (location) => {
      deleted.push(location)
      return inner.delete(location)
    },
  }
  const catalog = memoryCatalog({ storage, warehouse: 'memory:/wh', clock, uuid: randomUUID })
  return { catalog, clock, created, deleted, context: { clock, random: () => 0.5, uuid: randomUUID } }
}
