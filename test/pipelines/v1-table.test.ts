/** The reference's tables, which its job made with Iceberg 0.13: taken over by our first commit, with every row they have. */

import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSnapshot, type Snapshot } from '../../lib/iceberg/metadata.ts'
import { manifestsOf, planFiles } from '../../lib/iceberg/scan.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { type ExpireTableOptions, expireTable } from '../../pipelines/tables/expire.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { type GlueFake, glueFake } from '../helpers/glue-fake.ts'
import { pyiceberg, testWith } from '../helpers/interop.ts'
import { type Lake, lake } from '../helpers/lake.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { writeV1Table } from '../iceberg/v1.ts'

const TABLE = { database: 'db', name: 't' }
const JOB = { columns: { vin: { mode: 'deterministic' } } }
const SCHEMA: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: ['dept_id', 's_vin', 'example_ts'].map((name, i) => ({ id: i + 1, name, required: false, type: 'string' })),
}
const storage = localStorage()

test('a run that was not told what to do with its rows stops, and touches nothing', async () => {
  const { home, glue, catalog } = await place()
  const before = glue.tables.get('db.t')
  await expect(home.run(JOB, {}, { catalog })).rejects.toMatchObject({ code: 'table/no-mark' })
  expect(glue.tables.get('db.t')).toEqual(before)
})

test('told to, the first commit makes it version 2, keeps its rows and adds ours; the report says so', async () => {
  const { home, glue, catalog } = await place()
  const report = await home.run(JOB, { adopt: 'none' }, { catalog })
  expect(report).toMatchObject({ status: 'done', rows: 2 })
  expect(report.notes.join(' ')).toMatch(/version 2/)
  const { metadata } = await catalog.load(TABLE)
  expect(metadata).toMatchObject({
    'format-version': 2,
    'table-uuid': 'f79c3e09-677c-4bbd-a479-3f349cb785e7',
    'last-sequence-number': 1,
  })
  for (const old of ['schema', 'partition-spec']) expect(metadata).not.toHaveProperty(old)
  expect(currentSnapshot(metadata)?.summary['total-records']).toBe('5')
  const manifests = await manifestsOf(storage, currentSnapshot(metadata) as Snapshot)
  expect(manifests.map(({ addedFiles, addedRows, sequenceNumber }) => [addedFiles, addedRows, sequenceNumber])).toEqual(
    [
      [1, 2, 1],
      [1, 3, 0],
    ],
  )
  const sequences = []
  for await (const { sequenceNumber } of planFiles(storage, metadata)) sequences.push(sequenceNumber)
  expect(sequences).toEqual([1, 0])
  expect(await departments(catalog)).toEqual(['0', '1', '2', 'new 0', 'new 1'])
  const verified = await verifyTable(await catalog.load(TABLE), { storage, current: true, now: Date.now() })
  // What the old rows are, we do not know; nothing else is wrong.
  expect(Object.keys(verified.counts).sort()).toEqual(['not-a-pseudonym', 'statistics'])
  expect(glue.tables.get('db.t')?.StorageDescriptor?.Columns?.map(({ Name }) => Name)).toEqual([
    'dept_id',
    's_vin',
    'example_ts',
  ])
})

test('adopted whole, the inputs present count as done, and only what comes later is added', async () => {
  const { home, catalog } = await place()
  expect(await home.run(JOB, { adopt: 'all' }, { catalog })).toMatchObject({ rows: 0 })
  await input(home, 'later', 'later')
  await home.run(JOB, {}, { catalog })
  expect(await departments(catalog)).toEqual(['0', '1', '2', 'later 0', 'later 1'])
})

test('table expire on one that nobody has written since finds nothing, and changes nothing', async () => {
  const { catalog, location } = await place()
  const before = await files(location)
  const old = (await catalog.load(TABLE)).metadataLocation
  const later = Date.now() + 1000
  for (const plan of [true, false])
    expect(await expire(catalog, { olderThan: later, keepLast: 1, plan })).toMatchObject({
      status: plan ? 'planned' : 'nothing-to-do',
      expired_snapshots: [],
      kept_snapshots: 1,
      upgraded: false,
    })
  expect(await files(location)).toEqual(before)
  expect((await catalog.load(TABLE)).metadataLocation).toBe(old)
  expect(await departments(catalog)).toEqual(['0', '1', '2'])
})

test('table expire after our commit: the old snapshot goes with what only it needed, its rows and its data file stay', async () => {
  const { home, catalog, location } = await place()
  const { metadata: old } = await catalog.load(TABLE)
  const first = currentSnapshot(old) as Snapshot
  await home.run(JOB, { adopt: 'none' }, { catalog })
  const report = await expire(catalog, { olderThan: Date.now() + 1000, keepLast: 1 })
  expect(report).toMatchObject({
    status: 'done',
    expired_snapshots: [String(first['snapshot-id'])],
    kept_snapshots: 1,
    failed: 0,
    removed: { data_files: 0, manifest_lists: 1, manifests: 0 },
  })
  const left = await files(location)
  expect(left).not.toContain(first['manifest-list'])
  expect(left.filter((one) => one.endsWith('by-spark.parquet'))).toHaveLength(1)
  expect(await departments(catalog)).toEqual(['0', '1', '2', 'new 0', 'new 1'])
  // The job goes on behind it, and nothing that the table names is missing.
  await input(home, 'later', 'later')
  expect(await home.run(JOB, {}, { catalog })).toMatchObject({ rows: 2, skipped_files: 1 })
  const verified = await verifyTable(await catalog.load(TABLE), { storage, current: true, now: Date.now() })
  expect(Object.keys(verified.counts).sort()).toEqual(['not-a-pseudonym', 'statistics'])
})

testWith('pyiceberg', 'PyIceberg reads it as it is after table expire', async () => {
  const { home, catalog } = await place()
  await home.run(JOB, { adopt: 'none' }, { catalog })
  await expire(catalog, { olderThan: Date.now() + 1000, keepLast: 1 })
  const { metadataLocation } = await catalog.load(TABLE)
  const script = `
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(args)
result = [len(table.metadata.snapshots), sorted(row['dept_id'] for row in table.scan().to_arrow().to_pylist())]
`
  expect(await pyiceberg<unknown>(script, metadataLocation)).toEqual([1, ['0', '1', '2', 'new 0', 'new 1']])
})

testWith('pyiceberg', 'PyIceberg reads it as it was and as it is after our commit', async () => {
  const { home, catalog } = await place()
  const before = (await catalog.load(TABLE)).metadataLocation
  await home.run(JOB, { adopt: 'none' }, { catalog })
  const after = (await catalog.load(TABLE)).metadataLocation
  const read = await pyiceberg<unknown>(
    `
from pyiceberg.table import StaticTable
def read(location):
    table = StaticTable.from_metadata(location)
    return [table.metadata.format_version, sorted(row['dept_id'] for row in table.scan().to_arrow().to_pylist())]
result = [read(location) for location in args]
`,
    [before, after],
  )
  expect(read).toEqual([
    [1, ['0', '1', '2']],
    [2, ['0', '1', '2', 'new 0', 'new 1']],
  ])
})

function expire(catalog: Catalog, options: Pick<ExpireTableOptions, 'olderThan' | 'keepLast' | 'plan'>) {
  const context = { clock: { ...waitlessClock(), wall: () => Date.now() }, random: Math.random, uuid: randomUUID }
  return catalog
    .load(TABLE)
    .then((state) => expireTable({ state, catalog, table: TABLE }, { runId: 'expiry', ...options }, context))
}

async function files(location: string): Promise<string[]> {
  const found: string[] = []
  for await (const { location: one } of storage.list(`${location}/`)) found.push(one)
  return found.sort()
}

/** A table of three rows in Glue, as Iceberg 0.13 wrote it, and one input of two. */
async function place(): Promise<{ home: Lake; glue: GlueFake; catalog: Catalog; location: string }> {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  await input(home, 'a', 'new')
  const location = join(home.dir, 'warehouse', 'db', 't')
  mkdirSync(join(location, 'data'), { recursive: true })
  const path = `${location}/data/00000-0-by-spark.parquet`
  await home.sql(
    `copy (select i::varchar as dept_id, 'pseudonym' as s_vin, '2022-02-27T00:00:00' as example_ts from range(3) t(i))
     to '${path}' (format parquet, field_ids {dept_id: 1, s_vin: 2, example_ts: 3})`,
  )
  const { bytes } = await storage.stat(path)
  const file: DataFile = { content: 'data', path, format: 'PARQUET', partition: new Map(), rows: 3, bytes }
  const glue = await glueFake()
  glue.tables.set('db.t', {
    Name: 't',
    DatabaseName: 'db',
    VersionId: '7',
    TableType: 'EXTERNAL_TABLE',
    Parameters: {
      table_type: 'ICEBERG',
      metadata_location: await writeV1Table(storage, location, SCHEMA, [file]),
    },
  })
  const outside = { clock: { ...waitlessClock(), wall: () => Date.now() }, random: Math.random, uuid: randomUUID }
  const warehouse = join(home.dir, 'warehouse')
  return { home, glue, location, catalog: glueCatalog({ client: glue.client(), storage, warehouse, ...outside }) }
}

async function input(home: Lake, name: string, department: string): Promise<void> {
  await home.sql(
    `copy (select '${department} ' || i as dept_id, 'VIN' || i as vin, '2026-01-01T00:00:00' as example_ts from range(2) t(i))
     to '{dir}/in/${name}.parquet'`,
  )
}

async function departments(catalog: Catalog): Promise<unknown[]> {
  const tables = new Map([['t', { state: await catalog.load(TABLE), storage }]])
  const { rows } = await runQuery('select dept_id from t order by dept_id', { storage, tables })
  return rows.map(([department]) => department)
}
