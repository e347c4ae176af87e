/** Row-level deletes as Athena, Spark, Trino and Flink leave them, made by hand: the rows that a query must not show, and those it must. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SchemaElement } from 'hyparquet'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { type ManifestEntry, manifestFileOf, writeManifest } from '../../lib/iceberg/manifest.ts'
import { writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import { DELETE_FILE_PATH, DELETE_POS, type PlannedDelete, type PlannedFile } from '../../lib/iceberg/scan.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { applyUpdates, createUpdates, snapshotUpdates, type TableUpdate } from '../../lib/iceberg/updates.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { viewSql } from '../../pipelines/query/views.ts'
import { namedFile, SIMPLE, simpleColumns, writeData } from '../iceberg/tables.ts'

const T = 'memory:/db/t'

test('position deletes strike rows of the file they name, of their own commit too, and of no other', async () => {
  const table = await lake()
  await table.data('a', 1, [1, 2, 3, 4])
  await table.data('b', 2, [5, 6, 7])
  await table.data('c', 5, [8, 9])
  await table.positions('p1', 2, [
    [`${T}/a`, 0],
    [`${T}/b`, 2],
    [`${T}/a`, 3],
  ])
  // Names c, which is younger: then it is about another file that had the path.
  await table.positions('p2', 3, [
    [`${T}/a`, 3],
    [`${T}/c`, 0],
  ])
  expect(await table.query('select id, name from t order by id')).toEqual(
    [2, 3, 5, 6, 8, 9].map((id) => [String(id), `name ${id}`]),
  )
  expect(await table.query('select count(*) from t where id > 2')).toEqual([['5']])
})

test('equality deletes strike older rows of equal values, null equal to null, and leave those that came with them or later', async () => {
  const table = await lake()
  await table.data('a', 1, [1, 2, null, 3])
  await table.data('b', 2, [1, 2, null])
  await table.data('c', 3, [2])
  await table.equality('e1', 2, [1], { id: [2, null] })
  await table.equality('e2', 3, [1, 2], { id: [1, 2], name: ['name 1', 'another'] })
  expect(await table.query('select id from t order by id nulls last')).toEqual([['2'], ['2'], ['3'], [null]])
})

test('equality deletes by numbers: -0 is not 0, and NaN is NaN', async () => {
  const storage = memoryStorage()
  const schema: Schema = { ...SIMPLE, fields: [{ id: 1, name: 'x', required: false, type: 'double' }] }
  const column = (values: readonly (number | null)[]) => [
    { name: 'x', fieldId: 1, physical: 'DOUBLE' as const, values },
  ]
  await writeData(storage, `${T}/a`, column([0, 1, Number.NaN, null]))
  // In a file of its own: the writer of these takes it for 0.
  await writeData(storage, `${T}/b`, column([-0]))
  await writeData(storage, `${T}/e`, column([-0, Number.NaN]))
  const of = [deletes(`${T}/e`, 2, [1])]
  const files = [planned(`${T}/a`, 1, '0', of), planned(`${T}/b`, 1, '0', of)]
  expect(await rowsOf({ storage, files }, 'select x from t order by x', schema)).toEqual([[0], [1], [null]])
})

test('both kinds together, and files that none is about', async () => {
  const table = await lake()
  await table.data('a', 1, [1, 2, 3])
  await table.data('b', 9, [1, 2, 3])
  await table.positions('p', 2, [[`${T}/a`, 0]])
  await table.equality('e', 2, [1], { id: [3] })
  expect(await table.query('select id from t order by id')).toEqual([['1'], ['2'], ['2'], ['3']])
})

test('nothing of a copied file stays, whatever became of the query', async () => {
  const table = await lake()
  await table.data('a', 1, [1])
  const folder = mkdtempSync(join(tmpdir(), 'pseudolake-copies-'))
  vi.stubEnv('TMPDIR', folder)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })
  await table.query('select * from t')
  await expect(table.query('select no_such_column from t')).rejects.toMatchObject({ code: 'query/failed' })
  await expect(table.query('select * from t', { maxFetchBytes: 10 })).rejects.toMatchObject({
    code: 'query/too-large',
    context: { limit: 10 },
  })
  expect(readdirSync(folder)).toEqual([])
  // Told to stop while it fetches, and while DuckDB is at work.
  const stopped = table.query('select * from t', { signal: AbortSignal.abort(new Error('told')) })
  await expect(stopped).rejects.toMatchObject({ code: 'run/interrupted' })
  const long = 'select count(*) from t, range(1000000000000) r where r.range % 7 = 1'
  await expect(table.query(long, { signal: AbortSignal.timeout(300) })).rejects.toMatchObject({
    code: 'run/interrupted',
  })
  expect(readdirSync(folder)).toEqual([])
})

test('deletes by the values of a column that was renamed, or dropped since, still hold', () => {
  const renamed: Schema = {
    ...SIMPLE,
    'schema-id': 1,
    fields: [
      { id: 1, name: 'number', required: false, type: 'long' },
      { id: 3, name: 'later', required: false, type: 'int' },
    ],
  }
  const sql = viewSql(
    't',
    metadataOf([{ action: 'add-schema', schema: renamed }, current(1)]),
    [planned('/a', 1, '0', [deletes('/e', 2, [1, 2])])],
    String,
  )
  expect(sql).toContain(`2: {name: '_pseudolake_column_2', type: 'varchar'`)
  expect(sql).toContain('e.c1 is not distinct from cast(d."number" as bigint)')
  expect(sql).toContain('e.c2 is not distinct from cast(d."_pseudolake_column_2" as varchar)')
})

test('equality deletes of a partition touch that partition alone; without one, all', async () => {
  const storage = memoryStorage()
  for (const name of ['a', 'b']) await writeData(storage, `${T}/${name}`, simpleColumns([1, 2]))
  await deleteFile(storage, 'e1', [{ id: 1, name: 'id', values: [1n] }])
  await deleteFile(storage, 'e2', [{ id: 1, name: 'id', values: [2n] }])
  const one = deletes(`${T}/e1`, 2, [1], '1 [[1000,"x"]]')
  const all = deletes(`${T}/e2`, 2, [1])
  const files = [planned(`${T}/a`, 1, '1 [[1000,"x"]]', [one, all]), planned(`${T}/b`, 1, '1 [[1000,"y"]]', [all])]
  const plan = async () => ({ storage, files })
  expect(await rowsOf(await plan(), 'select id from t')).toEqual([['1']])
})

test('what cannot be applied is refused, never passed over', () => {
  const view =
    (file: PlannedFile, schema = SIMPLE) =>
    () =>
      viewSql('t', metadataOf([], schema), [file], String)
  const vector = { ...deletes('/v', 2, []), content: 'position-deletes', format: 'PUFFIN' } as const
  expect(view(planned('/a', 1, '0', [vector]))).toThrow(/format PUFFIN/)
  expect(view(planned('/a', 1, '0', [{ ...deletes('/e', 2, [1]), format: 'AVRO' }]))).toThrow(/format AVRO/)
  expect(view(planned('/a', 1, '0', [deletes('/e', 2, [77])]))).toThrow(/nested column/)
  const clash: Schema = { ...SIMPLE, fields: [{ id: 1, name: 'File_Row_Number', required: false, type: 'long' }] }
  const position = { ...deletes('/p', 2, []), content: 'position-deletes' } as const
  expect(view(planned('/a', 1, '0', [position]), clash)).toThrow(/file_row_number/)
  expect(view(planned('/a', 1, '0', []), clash)).not.toThrow()
})

async function lake() {
  const storage = memoryStorage()
  const entries: { readonly content: 'data' | 'deletes'; readonly file: DataFile; readonly sequence: number }[] = []
  const add = async (content: 'data' | 'deletes', name: string, sequence: number, more: Partial<DataFile>) => {
    const { bytes } = await storage.stat(`${T}/${name}`)
    entries.push({ content, sequence, file: { ...namedFile(`${T}/${name}`), bytes, ...more } })
  }
  return {
    async data(name: string, sequence: number, ids: readonly (number | null)[]) {
      const columns = simpleColumns(ids.map((id) => id ?? 0))
      const values = columns.map((column) => ({
        ...column,
        values: column.values.map((value, i) => (ids[i] === null ? null : value)),
      }))
      await writeData(storage, `${T}/${name}`, values)
      await add('data', name, sequence, { rows: ids.length })
    },
    async positions(name: string, sequence: number, rows: readonly (readonly [string, number])[]) {
      await deleteFile(storage, name, [
        { id: DELETE_FILE_PATH, name: 'file_path', values: rows.map(([path]) => path) },
        { id: DELETE_POS, name: 'pos', values: rows.map(([, pos]) => BigInt(pos)) },
      ])
      await add('deletes', name, sequence, { content: 'position-deletes', rows: rows.length })
    },
    async equality(
      name: string,
      sequence: number,
      ids: readonly number[],
      columns: { readonly id: readonly (number | null)[]; readonly name?: readonly string[] },
    ) {
      await deleteFile(storage, name, [
        { id: 1, name: 'id', values: columns.id.map((id) => (id === null ? null : BigInt(id))) },
        ...(columns.name ? [{ id: 2, name: 'name', values: columns.name }] : []),
      ])
      await add('deletes', name, sequence, { content: 'equality-deletes', equalityIds: ids, rows: columns.id.length })
    },
    async query(sql: string, options: { maxFetchBytes?: number; signal?: AbortSignal } = {}) {
      const state = { metadata: await publish(storage, entries), metadataLocation: `${T}/metadata` }
      const tables = new Map([['t', { state, storage }]])
      return (await runQuery(sql, { storage, tables, ...options })).rows
    },
  }
}

/** One manifest for each file, as each has a sequence number of its own. */
async function publish(
  storage: Storage,
  entries: readonly { readonly content: 'data' | 'deletes'; readonly file: DataFile; readonly sequence: number }[],
) {
  const manifests = []
  for (const [i, { content, file, sequence }] of entries.entries()) {
    const entry: ManifestEntry = {
      status: 'existing',
      snapshotId: 1n,
      sequenceNumber: sequence,
      fileSequenceNumber: sequence,
      file,
    }
    const of = { schema: SIMPLE, spec: { 'spec-id': 0, fields: [] }, content, entries: [entry] } as const
    const bytes = writeManifest(of)
    const path = `${T}/m${i}-${entries.length}.avro`
    await storage.replace(path, bytes)
    manifests.push(manifestFileOf(of, { path, bytes: bytes.length }, 1n, 9))
  }
  const list = { snapshotId: 1n, parentSnapshotId: undefined, sequenceNumber: 9, manifests }
  await storage.replace(`${T}/list.avro`, writeManifestList(list))
  const snapshot = {
    'snapshot-id': 1n,
    'sequence-number': 9,
    'timestamp-ms': 1,
    'manifest-list': `${T}/list.avro`,
    summary: { operation: 'append' },
  }
  return metadataOf(snapshotUpdates(snapshot))
}

async function deleteFile(
  storage: Storage,
  name: string,
  columns: readonly { readonly id: number; readonly name: string; readonly values: readonly unknown[] }[],
): Promise<void> {
  const isText = (values: readonly unknown[]) => values.some((value) => typeof value === 'string')
  const schema = [
    { name: 'root', num_children: columns.length },
    ...columns.map(({ id, name: column, values }) => ({
      name: column,
      field_id: id,
      repetition_type: 'OPTIONAL',
      ...(isText(values) ? { type: 'BYTE_ARRAY', converted_type: 'UTF8' } : { type: 'INT64' }),
    })),
  ] as SchemaElement[]
  const columnData = columns.map(({ name: column, values }) => ({ name: column, data: values as never }))
  await storage.create(`${T}/${name}`, new Uint8Array(parquetWriteBuffer({ columnData, schema })))
}

function metadataOf(updates: readonly TableUpdate[], schema = SIMPLE) {
  return applyUpdates(
    undefined,
    undefined,
    [...createUpdates({ uuid: 'u', location: T, schema, properties: {} }), ...updates],
    1,
  )
}

function current(id: number): TableUpdate {
  return { action: 'set-current-schema', 'schema-id': id }
}

function planned(path: string, sequenceNumber: number, scope: string, of: readonly PlannedDelete[]): PlannedFile {
  return { file: namedFile(path), sequenceNumber, scope, deletes: of }
}

function deletes(path: string, sequenceNumber: number, equalityIds: readonly number[], scope?: string): PlannedDelete {
  return { ...namedFile(path), content: 'equality-deletes', equalityIds, sequenceNumber, scope }
}

/** Runs a view over files that were planned by hand. */
async function rowsOf(
  { storage, files }: { storage: Storage; files: readonly PlannedFile[] },
  sql: string,
  schema = SIMPLE,
) {
  const { LocalCopies } = await import('../../pipelines/query/copies.ts')
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const held = new LocalCopies(1 << 20)
  await held.fetch(
    storage,
    files.flatMap((each) => [each.file, ...each.deletes]),
  )
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  try {
    await connection.run(viewSql('t', metadataOf([], schema), files, (path) => held.pathOf(path)))
    return (await connection.runAndReadAll(sql)).getRowsJson()
  } finally {
    connection.closeSync()
    await held.remove()
  }
}
