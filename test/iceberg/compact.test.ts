import { randomUUID } from 'node:crypto'
import { parquetReadObjects } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSnapshot } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { type CompactOptions, compactTable, planCompactTable } from '../../lib/iceberg/operations/compact.ts'
import { expireSnapshots } from '../../lib/iceberg/operations/expire.ts'
import { removeOrphans } from '../../lib/iceberg/operations/orphans.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { commitSnapshot } from '../../lib/iceberg/operations/snapshot.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { BLOWS, crashStorage, Dead } from '../regression/crash-storage.ts'
import { days, locations } from './days.ts'
import { commitDeletes, equalityDeletes, positionDeletes } from './deletes.ts'
import { SIMPLE, simpleColumns, simpleFile, writeData } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const FOLDER = '/wh/db/t'
const OPTIONS: CompactOptions = { runId: 'compaction', createdBy: 'pseudolake version 0.0.0', targetBytes: 1 << 20 }

/** A table of one file for each list of ids, each by a commit of its own. */
async function tableOf(files: readonly (readonly number[])[], properties: Record<string, string> = {}) {
  const time = days()
  const catalogOn = (storage: Storage) => filesystemCatalog({ storage, warehouse: '/wh', clock: time.clock })
  const catalog = catalogOn(time.storage)
  const context = { clock: time.clock, random: () => 0.5, uuid: randomUUID }
  const options = { schema: SIMPLE, create: { properties }, runId: 'run' }
  const add = async (name: string, ids: readonly number[]) => {
    const file = await simpleFile(time.storage, FOLDER, name, ids)
    await appendFiles(catalog, TABLE, { ...options, files: [file] }, context)
    return file.path
  }
  const paths: string[] = []
  for (const [i, ids] of files.entries()) paths.push(await add(`f${i}`, ids))
  const compact = (more: Partial<CompactOptions> = {}, on: Catalog = catalog) =>
    compactTable(on, TABLE, { ...OPTIONS, ...more }, context)
  return { ...time, catalog, catalogOn, context, options, add, paths, compact }
}

/** What a reader sees: ids in the order of files and rows, deleted ones left out. Names must go with their ids. */
async function idsOf(catalog: Catalog): Promise<number[]> {
  const { metadata } = await catalog.load(TABLE)
  const ids: number[] = []
  for await (const { file, deletes } of planFiles(catalog.storage, metadata)) {
    const rows = await rowsOf(catalog.storage, file)
    expect(rows).toHaveLength(file.rows)
    const positions = new Set<number>()
    const equal = new Set<number>()
    for (const each of deletes)
      for (const row of await rowsOf(catalog.storage, each))
        if (each.content === 'equality-deletes') equal.add(Number(row.id))
        else if (row.file_path === file.path) positions.add(Number(row.pos))
    for (const [i, { id, name }] of rows.entries()) {
      expect(name).toBe(`name ${id}`)
      if (!positions.has(i) && !equal.has(Number(id))) ids.push(Number(id))
    }
  }
  return ids
}

async function rowsOf(storage: Storage, { path }: DataFile): Promise<Record<string, unknown>[]> {
  const bytes = await storage.read(path)
  return parquetReadObjects({
    file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer,
  })
}

async function files(catalog: Catalog): Promise<string[]> {
  const { metadata } = await catalog.load(TABLE)
  const found: string[] = []
  for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path.slice(FOLDER.length + 6))
  return found.sort()
}

const SIX = [[1, 2], [3, 4], [5], [6, 7], [8], [9]]
const sorted = (ids: readonly number[]) => [...ids].sort((a, b) => a - b)

describe('small files', () => {
  test('become one, in one snapshot, rows in the order that they came in', async () => {
    const { catalog, context, compact } = await tableOf(SIX)
    const planned = await planCompactTable(catalog, TABLE, { targetBytes: 1 << 20 }, context)
    const result = await compact()
    expect(result.plan).toEqual(planned.plan)
    expect(result).toMatchObject({ attempts: 1, upgraded: false, deletedRows: 0, plan: { leftAlone: {}, more: false } })
    expect(await idsOf(catalog)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(await files(catalog)).toEqual(['compaction-00000.parquet'])
    const { metadata } = await catalog.load(TABLE)
    expect(currentSnapshot(metadata)?.summary).toMatchObject({
      operation: 'replace',
      'added-data-files': '1',
      'deleted-data-files': '6',
      'added-records': '9',
      'deleted-records': '9',
      'total-records': '9',
      'total-data-files': '1',
    })
    expect(await compact({ runId: 'again' })).toMatchObject({ snapshotId: undefined, added: [] })
  })

  test('are cut at the size that a file should have, and a few are not worth it', async () => {
    const { catalog, paths, compact } = await tableOf(SIX)
    const { bytes } = await catalog.storage.stat(paths[0] as string)
    // Two fit.
    const result = await compact({ targetBytes: Math.round(bytes * 2.5), minFiles: 2 })
    expect(result.plan.bins.map((bin) => bin.files.length)).toEqual([2, 2, 2])
    expect(await files(catalog)).toHaveLength(3)
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    const few = await tableOf(SIX.slice(0, 4))
    expect((await few.compact()).snapshotId).toBeUndefined()
    expect((await few.compact({ minFiles: 4 })).plan.bins).toHaveLength(1)
  })

  test('that are large enough, or that the caller wants, stay', async () => {
    const { catalog, paths, compact } = await tableOf([...SIX, [100, 101]])
    const result = await compact({ leave: (location) => location === paths[6] })
    expect(result.plan.leftAlone).toEqual({ excluded: 1 })
    expect(await files(catalog)).toEqual(['compaction-00000.parquet', 'f6.parquet'])
    const { bytes } = await catalog.storage.stat(paths[6] as string)
    expect((await compact({ runId: 'r', targetBytes: bytes })).snapshotId).toBeUndefined()
  })

  test('of other columns are not mixed, dropped columns stay behind, and metrics go by today’s schema', async () => {
    const { catalog, context, options, compact, storage } = await tableOf(SIX, {
      'write.metadata.metrics.column.name': 'counts',
    })
    const grown: Schema = {
      ...SIMPLE,
      'schema-id': 1,
      fields: [...SIMPLE.fields, { id: 3, name: 'x', required: false, type: 'long' }],
    }
    const more: DataFile[] = []
    for (let i = 0; i < 6; i++) {
      const [id, name] = simpleColumns([20 + i])
      const written = await writeData(storage, `${FOLDER}/data/g${i}.parquet`, [
        id,
        name,
        { ...id, name: 'x', fieldId: 3 },
      ] as never)
      more.push({
        content: 'data',
        path: written.location,
        format: 'PARQUET',
        partition: new Map(),
        rows: 1,
        bytes: written.bytes,
      })
    }
    await appendFiles(catalog, TABLE, { ...options, schema: grown, growsFrom: 0, files: more }, context)
    const { added, plan } = await compact()
    expect(plan.bins.map((bin) => bin.files.length).sort()).toEqual([6, 6])
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23, 24, 25])
    for (const file of added) {
      expect(file.lowerBounds?.has(1)).toBe(true)
      expect([file.valueCounts?.has(2), file.lowerBounds?.has(2)]).toEqual([true, false])
    }
  })

  test('of columns with pseudonyms get counts and no bounds, in manifest and file', async () => {
    const { compact, catalog } = await tableOf(SIX)
    const { added } = await compact({ replaced: () => new Set([2]) })
    expect(added[0]).toMatchObject({
      nullCounts: new Map([
        [1, 0],
        [2, 0],
      ]),
    })
    expect([...(added[0]?.lowerBounds?.keys() ?? [])]).toEqual([1])
    expect(await idsOf(catalog)).toHaveLength(9)
  })
})

describe('deletes', () => {
  test('of rows are applied, and the files that said so go when nothing else needs them', async () => {
    const { catalog, paths, compact, storage } = await tableOf([[1, 2, 3, 4, 5], [6, 7, 8], [9]])
    const [a, b] = paths as [string, string]
    const one = await positionDeletes(catalog, `${FOLDER}/data/d1.parquet`, [
      [a, 1],
      [a, 3],
      [b, 0],
      ['/other', 0],
      [a, 99],
    ])
    const two = await positionDeletes(catalog, `${FOLDER}/data/d2.parquet`, [
      [a, 1],
      [a, 4],
    ])
    await commitDeletes(catalog, TABLE, [one, two])
    const before = await idsOf(catalog)
    expect(sorted(before)).toEqual([1, 3, 7, 8, 9])
    const result = await compact()
    expect(result).toMatchObject({ deletedRows: 4, plan: { removeDeletes: new Set([one.path, two.path]) } })
    expect(await idsOf(catalog)).toEqual([1, 3, 7, 8, 9])
    const { metadata } = await catalog.load(TABLE)
    expect(currentSnapshot(metadata)?.summary).toMatchObject({
      'removed-delete-files': '2',
      'removed-position-deletes': '7',
    })
    for await (const { deletes } of planFiles(storage, metadata)) expect(deletes).toEqual([])
  })

  test('of every row of a file leave nothing of it', async () => {
    const { catalog, paths, compact } = await tableOf([[1, 2], [3]])
    const file = await positionDeletes(catalog, `${FOLDER}/data/d.parquet`, [
      [paths[0] as string, 0],
      [paths[0] as string, 1],
      [paths[1] as string, 0],
    ])
    await commitDeletes(catalog, TABLE, [file])
    expect(await compact()).toMatchObject({ added: [], deletedRows: 3 })
    expect(await files(catalog)).toEqual([])
  })

  test('by equality are applied to what was there before, and their files go', async () => {
    const { catalog, compact, add, storage } = await tableOf(SIX)
    const file = await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [3, 8, 77])
    await commitDeletes(catalog, TABLE, [file])
    await add('late', [3, 20])
    const before = await idsOf(catalog)
    expect(sorted(before)).toEqual([1, 2, 3, 4, 5, 6, 7, 9, 20])
    const result = await compact()
    expect(result).toMatchObject({ deletedRows: 2, plan: { leftAlone: {}, removeDeletes: new Set([file.path]) } })
    expect(sorted(await idsOf(catalog))).toEqual(sorted(before))
    const { metadata } = await catalog.load(TABLE)
    expect(currentSnapshot(metadata)?.summary).toMatchObject({
      'removed-delete-files': '1',
      'removed-equality-deletes': '3',
    })
    for await (const { deletes } of planFiles(storage, metadata)) expect(deletes).toEqual([])
    expect((await compact({ runId: 'again' })).snapshotId).toBeUndefined()
  })

  test('by equality that no row has cost no rewrite, and their files go all the same', async () => {
    const { catalog, compact } = await tableOf([[1, 2], [3]])
    await commitDeletes(catalog, TABLE, [await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [77])])
    expect(await compact()).toMatchObject({ added: [], deletedRows: 0, plan: { bins: [], removeDeletes: { size: 1 } } })
    expect(await files(catalog)).toEqual(['f0.parquet', 'f1.parquet'])
    expect(await idsOf(catalog)).toHaveLength(3)
  })

  test('by equality stay for as long as a file that they may be about does, and no longer', async () => {
    const { catalog, compact, add, paths } = await tableOf([[1, 3], [3, 4], [5]])
    const early = await equalityDeletes(catalog, `${FOLDER}/data/e1.parquet`, [3])
    await commitDeletes(catalog, TABLE, [early])
    const stays = await add('stays', [5, 6])
    const late = await equalityDeletes(catalog, `${FOLDER}/data/e2.parquet`, [5])
    await commitDeletes(catalog, TABLE, [late])
    const result = await compact({ leave: (location) => location === stays })
    expect(result).toMatchObject({ deletedRows: 3, plan: { leftAlone: { excluded: 1 } } })
    expect(result.plan.removeDeletes).toEqual(new Set([early.path]))
    expect(sorted(await idsOf(catalog))).toEqual([1, 4, 6])
    // The oldest needs both.
    const other = await tableOf([[1, 3], [3, 4], [5]])
    const one = await equalityDeletes(other.catalog, `${FOLDER}/data/e1.parquet`, [3])
    await commitDeletes(other.catalog, TABLE, [one])
    const kept = await other.compact({ leave: (location) => location === paths[0] })
    expect(kept.plan.removeDeletes).toEqual(new Set())
    expect(sorted(await idsOf(other.catalog))).toEqual([1, 4, 5])
  })

  test('by equality and by position meet in one row, which goes once', async () => {
    const { catalog, compact, paths } = await tableOf([[1, 2, 3, 4], [2]])
    await commitDeletes(catalog, TABLE, [
      await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [2, 3]),
      await positionDeletes(catalog, `${FOLDER}/data/p.parquet`, [
        [paths[0] as string, 1],
        [paths[0] as string, 0],
      ]),
    ])
    expect(await compact({ keyBytes: 100 })).toMatchObject({ deletedRows: 4, plan: { removeDeletes: { size: 2 } } })
    expect(await idsOf(catalog)).toEqual([4])
  })

  test('by a nested column are left alone with the files that they are about, and it says so', async () => {
    const { catalog, compact, add, paths } = await tableOf(SIX)
    const file = await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [3, 8])
    await commitDeletes(catalog, TABLE, [{ ...file, equalityIds: [17] }])
    for (let i = 0; i < 5; i++) await add(`late${i}`, [20 + i])
    const result = await compact()
    expect(result.plan).toMatchObject({ leftAlone: { 'equality-deletes': 6 }, removeDeletes: { size: 0 } })
    expect((await files(catalog)).filter((name) => name.startsWith('f'))).toHaveLength(paths.length)
  })

  test('of a file that stays keep their delete file', async () => {
    const { catalog, paths, compact } = await tableOf([...SIX])
    const file = await positionDeletes(catalog, `${FOLDER}/data/d.parquet`, [
      [paths[0] as string, 0],
      [paths[1] as string, 0],
    ])
    await commitDeletes(catalog, TABLE, [file])
    const result = await compact({ leave: (location) => location === paths[0] })
    expect(result).toMatchObject({ deletedRows: 1, plan: { removeDeletes: new Set() } })
    expect(sorted(await idsOf(catalog))).toEqual([2, 4, 5, 6, 7, 8, 9])
  })
})

describe('beside others', () => {
  /** A catalog that lets somebody in before its first commit. */
  const disturbed = (catalog: Catalog, meanwhile: () => Promise<unknown>): Catalog => {
    let first = true
    return {
      ...catalog,
      async commit(...args) {
        if (first) {
          first = false
          await meanwhile()
        }
        return catalog.commit(...args)
      },
    }
  }

  test('appends go through, and their rows are there', async () => {
    const { catalog, compact, add } = await tableOf(SIX)
    const result = await compact(
      {},
      disturbed(catalog, () => add('late', [50])),
    )
    expect(result.attempts).toBe(2)
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 50])
  })

  test('rows that are deleted by equality meanwhile are deleted in the new file too, which is as old as its rows', async () => {
    const { catalog, compact, add } = await tableOf(SIX)
    const meanwhile = async () => {
      await add('late', [3])
      await commitDeletes(catalog, TABLE, [await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [3, 9])])
      await add('later', [9])
    }
    expect((await compact({}, disturbed(catalog, meanwhile))).attempts).toBe(2)
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 4, 5, 6, 7, 8, 9])
    await compact({ runId: 'next', minFiles: 2 })
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 4, 5, 6, 7, 8, 9])
  })

  test('deletes of a branch that becomes the main one meanwhile hold for the new file', async () => {
    const { catalog, compact } = await tableOf(SIX)
    const main = currentSnapshot((await catalog.load(TABLE)).metadata)?.['snapshot-id'] as bigint
    await commitDeletes(catalog, TABLE, [await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [3])])
    const side = currentSnapshot((await catalog.load(TABLE)).metadata)?.['snapshot-id'] as bigint
    const point = async (id: bigint) =>
      catalog.commit(TABLE, await catalog.load(TABLE), [
        { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': id },
      ])
    // As a writer that has its commits looked at first.
    await point(main)
    expect(await idsOf(catalog)).toContain(3)
    await compact(
      {},
      disturbed(catalog, () => point(side)),
    )
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 4, 5, 6, 7, 8, 9])
  })

  test('delete files that files of before need, which somebody put together meanwhile, do not go', async () => {
    const home = await tableOf([[1, 3], [3, 4], [5]])
    const { catalog, paths, context, options, storage } = home
    const last = (await catalog.load(TABLE)).metadata['last-sequence-number']
    await commitDeletes(catalog, TABLE, [await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [77])])
    // As Spark does it: of the age that the rows had when it began.
    const foreign = await simpleFile(storage, FOLDER, 'foreign', [77])
    const meanwhile = () =>
      commitSnapshot(
        catalog,
        TABLE,
        { ...options, files: [foreign], dataSequence: last },
        'replace',
        async ({ manifests }) => ({ manifests, removed: [] }),
        context,
      )
    expect((await planCompactTable(catalog, TABLE, OPTIONS, context)).plan.removeDeletes.size).toBe(1)
    await expect(home.compact({}, disturbed(catalog, meanwhile))).rejects.toMatchObject({ code: 'table/conflict' })
    expect(sorted(await idsOf(catalog))).toEqual([1, 3, 3, 4, 5])
    expect(paths).toHaveLength(3)
  })

  test('delete files that nothing needs stay where the table went back to a state that does', async () => {
    const home = await tableOf([[1, 3], [4]])
    const { catalog, context, options, paths } = home
    await commitDeletes(catalog, TABLE, [await equalityDeletes(catalog, `${FOLDER}/data/e.parquet`, [3])])
    const wanted = currentSnapshot((await catalog.load(TABLE)).metadata)?.['snapshot-id'] as bigint
    await overwriteFiles(catalog, TABLE, { ...options, files: [], remove: [paths[0] as string] }, context)
    const rollback = async () =>
      catalog.commit(TABLE, await catalog.load(TABLE), [
        { action: 'set-snapshot-ref', 'ref-name': 'main', type: 'branch', 'snapshot-id': wanted },
      ])
    await expect(home.compact({}, disturbed(catalog, rollback))).rejects.toMatchObject({ code: 'table/conflict' })
    expect(sorted(await idsOf(catalog))).toEqual([1, 4])
  })

  test.each([
    [
      'rows are deleted of a file that goes',
      async ({ catalog, paths }: Awaited<ReturnType<typeof tableOf>>) =>
        commitDeletes(catalog, TABLE, [
          await positionDeletes(catalog, `${FOLDER}/data/d.parquet`, [[paths[0] as string, 0]]),
        ]),
    ],
    [
      'a file that goes is taken out',
      async ({ catalog, options, paths, context }: Awaited<ReturnType<typeof tableOf>>) =>
        overwriteFiles(catalog, TABLE, { ...options, files: [], remove: [paths[0] as string] }, context),
    ],
    ['somebody else compacts', async ({ compact }: Awaited<ReturnType<typeof tableOf>>) => compact({ runId: 'other' })],
  ] as const)('where %s meanwhile, nothing is published and nothing is left', async (_, meanwhile) => {
    const home = await tableOf(SIX)
    const run = home.compact(
      {},
      disturbed(home.catalog, () => meanwhile(home)),
    )
    await expect(run).rejects.toMatchObject({ code: 'table/conflict' })
    const left = await locations(home.storage, `${FOLDER}/`)
    expect(left.filter((location) => location.includes('compaction'))).toEqual([])
    const after = await idsOf(home.catalog)
    await home.compact({ runId: 'next' })
    expect(sorted(await idsOf(home.catalog))).toEqual(sorted(after))
  })

  test('deletes that were applied and rolled back meanwhile stop it: the rows are wanted again', async () => {
    const home = await tableOf(SIX)
    const { catalog, paths } = home
    const before = currentSnapshot((await catalog.load(TABLE)).metadata)
    await commitDeletes(catalog, TABLE, [
      await positionDeletes(catalog, `${FOLDER}/data/d.parquet`, [[paths[0] as string, 0]]),
    ])
    const rollback = async () =>
      catalog.commit(TABLE, await catalog.load(TABLE), [
        {
          action: 'set-snapshot-ref',
          'ref-name': 'main',
          type: 'branch',
          'snapshot-id': before?.['snapshot-id'] as bigint,
        },
      ])
    await expect(home.compact({}, disturbed(catalog, rollback))).rejects.toMatchObject({ code: 'table/conflict' })
    expect(sorted(await idsOf(catalog))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })
})

test('a file that is not the one its manifest is about stops it', async () => {
  const { compact, storage, paths } = await tableOf(SIX)
  await storage.replace(paths[2] as string, await storage.read(paths[0] as string))
  await expect(compact()).rejects.toMatchObject({ code: 'table/invalid' })
})

test('an hour of history and what was compacted goes by expiry, and the table stays as it is', async () => {
  const { catalog, compact, context, storage, pass } = await tableOf(SIX)
  await compact()
  pass(9)
  const { removed } = await expireSnapshots(catalog, TABLE, { runId: 'x', keepLast: 1 }, context)
  expect(removed.counts.data_files).toBe(6)
  expect(await locations(storage, `${FOLDER}/data/`)).toEqual([`${FOLDER}/data/compaction-00000.parquet`])
  expect(await idsOf(catalog)).toHaveLength(9)
})

describe.each(BLOWS)('a compaction that is struck: %s', (blow) => {
  test('at any step leaves every row once, and what lies about is found and removed', async () => {
    const { operations } = await struck(0)
    expect(operations).toBeGreaterThan(40)
    for (let at = 1; at <= operations; at++) await struck(at)

    async function struck(at: number) {
      const home = await tableOf(SIX.slice(0, 3))
      const { catalog, paths, storage } = home
      await commitDeletes(catalog, TABLE, [
        await positionDeletes(catalog, `${FOLDER}/data/d.parquet`, [[paths[0] as string, 0]]),
      ])
      const crash = crashStorage(storage, at, blow)
      const failure = await home.compact({}, home.catalogOn(crash.storage)).catch((error: unknown) => error)
      if (failure instanceof Error && !(failure instanceof Dead)) expect(failure).toBeInstanceOf(PseudolakeError)
      expect(sorted(await idsOf(catalog)), `struck at ${crash.struck}`).toEqual([2, 3, 4, 5])
      home.pass(4)
      await removeOrphans(catalog, TABLE, {}, home.context)
      expect(sorted(await idsOf(catalog)), `struck at ${crash.struck}`).toEqual([2, 3, 4, 5])
      await home.compact({ runId: 'next' })
      expect(await idsOf(catalog), `struck at ${crash.struck}`).toEqual([2, 3, 4, 5])
      expect(await files(catalog)).toHaveLength(1)
      return crash
    }
  }, 60_000)
})
