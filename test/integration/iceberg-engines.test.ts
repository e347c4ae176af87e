/** Tables of our writing, judged by the engines that our users read them with. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { currentSnapshot, type Snapshot } from '../../lib/iceberg/metadata.ts'
import { dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import { manifestsOf, planFiles } from '../../lib/iceberg/scan.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { duckdbIceberg, pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { int64, SIMPLE, simpleFile, type TestColumn, utf8, writeData } from '../iceberg/tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'pseudolake-iceberg-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const storage = localStorage()

const TYPES: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    ['b', 'boolean'],
    ['i', 'int'],
    ['l', 'long'],
    ['f', 'float'],
    ['d', 'double'],
    ['dec', 'decimal(9, 2)'],
    ['day', 'date'],
    ['ts', 'timestamp'],
    ['tz', 'timestamptz'],
    ['s', 'string'],
    ['bin', 'binary'],
    ['pseudonym', 'string'],
  ].map(([name, type], i) => ({ id: i + 1, name: name as string, type: type as string, required: false })),
}

const LONG_TEXT = `${'a'.repeat(15)}\u{1F697}zz`

testWith(
  ['pyiceberg', 'duckdb', 'spark'],
  'every type reads back exactly, and filters that use our bounds lose no row',
  async () => {
    const { catalog, table, location, context } = open('types')
    const file = await writeData(storage, `${location}/data/types.parquet`, typesColumns(), 2)
    const properties = { 'write.metadata.metrics.column.pseudonym': 'counts' }
    await appendFiles(
      catalog,
      table,
      {
        schema: TYPES,
        create: { properties },
        files: [dataFileFrom(file, TYPES, metricsModes(TYPES, properties))],
        runId: 'run',
      },
      context,
    )
    const metadata = `${location}/metadata/v1.metadata.json`

    const expected = [
      [false, -5, '-9007199254740993', -1.5, -2.5, '-123.45', '1969-12-31', '1969-12-31T23:59:59.999999', 'aa', '00'],
      [true, 7, '9007199254740993', 1.5, 2.5, '99.01', '2026-01-02', '2026-01-02T03:04:05.123456', LONG_TEXT, 'ff'],
      [null, null, null, null, null, null, null, null, null, null],
    ]
    const py = await pyiceberg<unknown[][]>(
      `
from pyiceberg.table import StaticTable
t = StaticTable.from_metadata(args)
rows = t.scan().to_arrow().to_pylist()
result = [[r['b'], r['i'], None if r['l'] is None else str(r['l']), r['f'], r['d'], r['dec'], r['day'], r['ts'], r['s'], r['bin']] for r in rows]
bounds = t.inspect.files().to_pylist()[0]['readable_metrics']
result.append([bounds['l']['lower_bound'], bounds['l']['upper_bound'], str(bounds['dec']['lower_bound']), str(bounds['ts']['upper_bound']), bounds['s']['upper_bound'], bounds['pseudonym']['lower_bound'], bounds['pseudonym']['value_count'], bounds['l']['null_value_count']])
for f in args_filters: result.append([f, t.scan(row_filter=f).to_arrow().num_rows])
`.replace('args_filters', JSON.stringify(FILTERS)),
      metadata,
    )
    expect(py.slice(0, 3)).toEqual(expected)
    expect(py[3]?.slice(2)).toEqual(['-123.45', '2026-01-02 03:04:05.123456', `${'a'.repeat(15)}\u{1F698}`, null, 3, 1])
    expect(py.slice(4)).toEqual(FILTERS.map((filter) => [filter, 1]))

    const duck = await duckdbIceberg(
      `select count(*) n, ${FILTERS.map((filter, i) => `(select count(*) from iceberg_scan('${metadata}') where ${filter}) f${i}`).join(', ')} from iceberg_scan('${location}')`,
    )
    expect(duck).toEqual([{ n: '3', ...Object.fromEntries(FILTERS.map((_, i) => [`f${i}`, '1'])) }])
    expect(await duckdbIceberg(`select l, dec, ts, tz, s from iceberg_scan('${location}') where i = 7`)).toEqual([
      {
        l: '9007199254740993',
        dec: '99.01',
        ts: '2026-01-02 03:04:05.123456',
        tz: '2026-01-02 03:04:05.123456+00',
        s: LONG_TEXT,
      },
    ])

    const sparkRows = await spark<unknown[][]>(
      `
result = rows("select b, i, cast(l as string), f, d, dec, day, date_format(ts, \\"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\\"), s, lower(hex(bin)) from h.db.types order by i nulls last")
for f in args: result.append([f, rows('select count(*) from h.db.types where ' + f)[0][0]])
`,
      FILTERS,
      { catalogs: { h: folder } },
    )
    expect(sparkRows.slice(0, 3)).toEqual(expected)
    expect(sparkRows.slice(3)).toEqual(FILTERS.map((filter) => [filter, 1]))
  },
)

testWith(
  ['spark', 'duckdb', 'pyiceberg'],
  'Spark and we write the same table by turns, rows deleted by Spark stay deleted, and nothing is lost',
  async () => {
    const { catalog, table, location, context } = open('turns')
    const add = async (name: string, ids: number[]) =>
      appendFiles(
        catalog,
        table,
        {
          schema: SIMPLE,
          create: { properties: {} },
          files: [await simpleFile(storage, location, name, ids)],
          runId: 'run',
          setProperties: { [`mark.${name}`]: String(ids.length) },
        },
        context,
      )
    await add('a', [1, 2, 3])
    await add('b', [4, 5])
    await overwriteFiles(
      catalog,
      table,
      {
        schema: SIMPLE,
        remove: [`${location}/data/a.parquet`],
        files: [await simpleFile(storage, location, 'a2', [1, 2, 30])],
        runId: 'run',
      },
      context,
    )
    await setProperties(catalog, table, { set: { owner: 'us' } }, context)

    const theirs = await spark<unknown>(
      `
before = rows('select id, name from h.db.turns order by id')
rows("insert into h.db.turns select /*+ coalesce(1) */ * from values (100, 'spark'), (101, 'spark') as v(id, name)")
rows("alter table h.db.turns set tblproperties ('write.delete.mode'='merge-on-read', 'commit.manifest.min-count-to-merge'='3')")
rows('delete from h.db.turns where id = 30')
rows('delete from h.db.turns where id = 100')
rows("create table h.db.old (id bigint, name string) using iceberg tblproperties ('format-version'='1')")
rows("insert into h.db.old values (1, 'spark')")
rows("create table h.db.parts (id bigint, name string) using iceberg partitioned by (id)")
result = before
`,
      null,
      { catalogs: { h: folder } },
    )
    expect(theirs).toEqual([1, 2, 4, 5, 30].map((id) => [id, `name ${id}`]))

    // Spark left a checksum beside its hint; ours must not make it a lie that Spark then trips over.
    const { table: after } = await add('c', [6])
    expect(after.metadata.properties).toMatchObject({ owner: 'us', 'mark.a': '3', 'mark.c': '1' })
    const planned = []
    for await (const file of planFiles(storage, after.metadata)) planned.push(file)
    expect(planned.reduce((sum, { file }) => sum + file.rows, 0)).toBe(8)
    expect(planned.some(({ deletes }) => deletes.length > 0)).toBe(true)
    // Merged by us, as the property asks, deletes aside.
    const manifests = await manifestsOf(storage, currentSnapshot(after.metadata) as Snapshot)
    expect(manifests.filter(({ content }) => content === 'data').length).toBeLessThanOrEqual(3)

    const old = open('old')
    const upgrade = await appendFiles(
      old.catalog,
      old.table,
      { schema: SIMPLE, files: [await simpleFile(storage, old.location, 'new', [2])], runId: 'run' },
      old.context,
    )
    expect(upgrade.upgraded).toBe(true)
    const parts = open('parts')
    await expect(
      appendFiles(parts.catalog, parts.table, { schema: SIMPLE, files: [], runId: 'run' }, parts.context),
    ).rejects.toMatchObject({ code: 'table/unsupported' })

    const live = [1, 2, 4, 5, 6, 101]
    const found = await spark<unknown>(
      `
one = [r[0] for r in rows('select id from h.db.turns order by id')]
rows("call h.system.rewrite_data_files(table => 'db.turns', options => map('rewrite-all','true'))")
two = [r[0] for r in rows('select id from h.db.turns order by id')]
three = [r[0] for r in rows("select operation from h.db.turns.snapshots order by committed_at")]
rows("call h.system.expire_snapshots(table => 'db.turns', older_than => timestamp '2999-01-01 00:00:00', retain_last => 1)")
four = [r[0] for r in rows('select id from h.db.turns order by id')]
five = [list(r) for r in rows('select * from h.db.old order by id')]
result = [one, two, three, four, five]
`,
      null,
      { catalogs: { h: folder } },
    )
    expect(found).toEqual([
      live,
      live,
      ['append', 'append', 'overwrite', 'append', expect.any(String), expect.any(String), 'append', 'replace'],
      live,
      [
        [1, 'spark'],
        [2, 'name 2'],
      ],
    ])
    await add('d', [7])
    const { metadataLocation } = await openTable(storage, location)
    const ids = await duckdbIceberg(`select id from iceberg_scan('${location}') order by id`)
    expect(ids.map(({ id }) => Number(id))).toEqual([...live.slice(0, 5), 7, 101])
    const py = await pyiceberg<number[]>(
      `
from pyiceberg.table import StaticTable
result = sorted(r['id'] for r in StaticTable.from_metadata(args).scan().to_arrow().to_pylist())
`,
      metadataLocation,
    )
    expect(py).toEqual([...live.slice(0, 5), 7, 101])
  },
  240_000,
)

testWith('pyiceberg', 'a table that PyIceberg made is read: its rows, its schema and its deletes', async () => {
  const warehouse = join(folder, 'py')
  const made = await pyiceberg<{ metadata: string; location: string }>(
    `
import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata
from pyiceberg.types import NestedField, StringType, LongType, ListType
class Files(NoopCatalog):
    version = 0
    def put(self, metadata):
        self.version += 1
        location = f'{metadata.location}/metadata/{self.version:05d}-x.metadata.json'
        ToOutputFile.table_metadata(metadata, PyArrowFileIO().new_output(location))
        return location
    def commit_table(self, table, requirements, updates):
        metadata = update_table_metadata(table.metadata, updates)
        return CommitTableResponse(metadata=metadata, metadata_location=self.put(metadata))
os.makedirs(args + '/db/t')
catalog = Files('files')
schema = Schema(NestedField(1, 'id', LongType(), required=False), NestedField(2, 'tags', ListType(3, StringType(), element_required=False), required=False))
metadata = new_table_metadata(schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, 'file://' + args + '/db/t', {})
t = Table(('db', 't'), metadata, catalog.put(metadata), PyArrowFileIO(), catalog)
for i in range(3): t.append(pa.table({'id': [i, i + 10], 'tags': [['a'], None]}, schema=pa.schema([('id', pa.int64()), ('tags', pa.list_(pa.string()))])))
t.delete('id = 1')
result = {'metadata': t.metadata_location, 'location': t.location()}
`,
    warehouse,
  )
  for (const location of [made.metadata, made.location]) {
    const { metadata } = await openTable(storage, location)
    let rows = 0
    for await (const { file } of planFiles(storage, metadata)) {
      rows += file.rows
      expect(file.valueCounts?.get(1)).toBe(file.rows)
      expect((await storage.stat(storageLocation(file.path))).bytes).toBe(file.bytes)
    }
    expect(rows).toBe(5)
    expect(metadata.schemas[0]?.fields.map(({ name }) => name)).toEqual(['id', 'tags'])
  }
})

/** Each is true of one row, and false of every value beyond a bound that is too tight. */
const FILTERS = [
  'b = true',
  'i >= 7',
  'i < 0',
  'l = 9007199254740993',
  'l < -9007199254740992',
  'd >= 2.5',
  'dec < -100',
  "day <= '1969-12-31'",
  `s > '${'a'.repeat(15)}'`,
  `s = '${LONG_TEXT}'`,
  "pseudonym = 'p2'",
  's is null',
]

function typesColumns(): TestColumn[] {
  const bytes = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer as ArrayBuffer)
  const micros = 1_767_323_045_123_456n
  const column = (
    fieldId: number,
    physical: TestColumn['physical'],
    values: unknown[],
    bounds: readonly [Uint8Array, Uint8Array],
    logical?: TestColumn['logical'],
  ): TestColumn => ({
    name: TYPES.fields[fieldId - 1]?.name as string,
    fieldId,
    physical,
    values: [...values, null],
    bounds,
    ...(logical ? { logical } : {}),
  })
  return [
    column(1, 'BOOLEAN', [false, true], [Uint8Array.of(0), Uint8Array.of(1)]),
    column(2, 'INT32', [-5, 7], [bytes(Int32Array.of(-5)), bytes(Int32Array.of(7))]),
    column(3, 'INT64', [-9007199254740993n, 9007199254740993n], [int64(-9007199254740993n), int64(9007199254740993n)]),
    column(4, 'FLOAT', [-1.5, 1.5], [bytes(Float32Array.of(-1.5)), bytes(Float32Array.of(1.5))]),
    column(5, 'DOUBLE', [-2.5, 2.5], [bytes(Float64Array.of(-2.5)), bytes(Float64Array.of(2.5))]),
    column(6, 'INT32', [-123.45, 99.01], [bytes(Int32Array.of(-12345)), bytes(Int32Array.of(9901))], {
      type: 'decimal',
      precision: 9,
      scale: 2,
    }),
    column(
      7,
      'INT32',
      [new Date('1969-12-31'), new Date('2026-01-02')],
      [bytes(Int32Array.of(-1)), bytes(Int32Array.of(20455))],
      { type: 'date' },
    ),
    column(8, 'INT64', [-1n, micros], [int64(-1), int64(micros)], { type: 'timestamp', unit: 'micros', utc: false }),
    column(9, 'INT64', [-1n, micros], [int64(-1), int64(micros)], { type: 'timestamp', unit: 'micros', utc: true }),
    column(10, 'BYTE_ARRAY', ['aa', LONG_TEXT], [utf8('aa'), utf8(LONG_TEXT)], { type: 'string' }),
    column(11, 'BYTE_ARRAY', [Uint8Array.of(0), Uint8Array.of(255)], [Uint8Array.of(0), Uint8Array.of(255)]),
    column(12, 'BYTE_ARRAY', ['p1', 'p2'], [utf8('p1'), utf8('p2')], { type: 'string' }),
  ]
}

function open(name: string) {
  const clock = { ...waitlessClock(), wall: () => Date.now() }
  const catalog = filesystemCatalog({ storage, warehouse: folder, clock })
  const table = { database: 'db', name }
  return { catalog, table, location: `${folder}/db/${name}`, context: { clock, random: Math.random, uuid: randomUUID } }
}
