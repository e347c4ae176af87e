import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { boundSnapshots } from '../../lib/iceberg/operations/bound-snapshots.ts'
import { days } from './days.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }

/** A table that is to keep one snapshot, has four, and one beside them that main was taken back from. */
async function open() {
  const { clock, storage, pass } = days()
  const context = { clock, random: () => 0.5, uuid: randomUUID }
  const catalog = memoryCatalog({ storage, warehouse: 'memory:/wh', clock, uuid: randomUUID })
  const create = { properties: { 'pseudolake.max-snapshots': '1' } }
  const append = (path: string) =>
    appendFiles(catalog, TABLE, { schema: SIMPLE, create, files: [namedFile(path)], runId: 'run' }, context)
  const { snapshotId: first } = await append('/a')
  const { snapshotId: staged, table } = await append('/staged')
  await catalog.commit(TABLE, table, [
    { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': first },
  ])
  for (const path of ['/b', '/c', '/d']) await append(path)
  const bound = async (signal?: AbortSignal) => {
    const state = await catalog.load(TABLE)
    await boundSnapshots(catalog, TABLE, state, { runId: 'bound' }, { ...context, ...(signal && { signal }) })
    return (await catalog.load(TABLE)).metadata.snapshots.map((snapshot) => snapshot['snapshot-id'])
  }
  return { storage, staged, pass, bound }
}

test('what no branch came through is kept while it is young, with its files', async () => {
  const { storage, staged, pass, bound } = await open()
  expect(await bound()).toContain(staged)
  const lists: string[] = []
  for await (const { location } of storage.list('memory:/wh/'))
    if (location.includes(`/snap-${staged}-`)) lists.push(location)
  expect(lists).toHaveLength(1)
  pass(5.1)
  const left = await bound()
  expect(left).toHaveLength(1)
  expect(left).not.toContain(staged)
})

test('a run that is told to stop behind its commit has committed: nothing is thrown', async () => {
  const { bound } = await open()
  expect(await bound(AbortSignal.abort())).toHaveLength(5)
})
