/** Tables in Glue and in a REST catalog, over a store that speaks S3: written by turns by us, Spark, Trino and PyIceberg, read alike by all. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetTableCommand } from '@aws-sdk/client-glue'
import { afterAll, expect } from 'vitest'
import type { Catalog, TableIdentifier } from '../../lib/iceberg/catalogs/catalog.ts'
import { glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { noAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { runQuery } from '../../pipelines/query/run.ts'
import { verifyTable } from '../../pipelines/verify/verify.ts'
import { motoGlue, pyicebergCatalog, restServer, sparkCatalog, trino } from '../helpers/catalog-servers.ts'
import { duckdbIceberg, pyiceberg, spark, testWith } from '../helpers/interop.ts'
import { CREDENTIALS, REGION, s3Over } from '../helpers/s3/open.ts'
import { versitygwForPyarrow } from '../helpers/s3/versitygw.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { SIMPLE, simpleFile } from '../iceberg/tables.ts'

const dir = mkdtempSync(join(tmpdir(), 'pseudolake-catalogs-'))
const stops: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const stop of stops.reverse()) await stop()
  rmSync(dir, { recursive: true, force: true })
})

const TABLE: TableIdentifier = { database: 'db', name: 'pseudo_table' }
const clock = { ...waitlessClock(), wall: () => Date.now() }
const context = { clock, random: Math.random, uuid: randomUUID }

testWith(
  ['versitygw', 'moto', 'rest-catalog', 'spark', 'trino', 'pyiceberg', 'duckdb'],
  'we, Spark, Trino and PyIceberg write one table by turns, in Glue and in a REST catalog, and every reader sees the same rows',
  async () => {
    const s3 = await versitygwForPyarrow('lake')
    stops.push(() => s3.stop())
    const storage = s3Over(s3.endpoint)
    const [glue, rest] = await Promise.all([motoGlue(), restServer(join(dir, 'rest'), s3, 's3://lake/rest')])
    stops.push(glue.stop, rest.stop)
    const catalogs = {
      glue: glueCatalog({
        client: glue.client(),
        storage,
        warehouse: 's3://lake/ours',
        create: 'database',
        ...context,
      }),
      rest: restCatalog({
        uri: rest.uri,
        auth: noAuth(),
        storage,
        root: 's3://lake/ours-rest',
        create: 'database',
        ...context,
      }),
    }
    const both = Object.entries(catalogs)
    const add = async (table: TableIdentifier, name: string, ids: number[]) => {
      for (const [, catalog] of both) await append(catalog, storage, table, name, ids)
    }
    const live = new Map([1, 2, 3, 4, 5].map((id) => [id, `name ${id}`]))
    const expected = () => [...live].sort(([a], [b]) => a - b)

    await add(TABLE, 'a', [1, 2, 3])
    await add(TABLE, 'b', [4, 5])

    const bySpark = await spark<unknown>(
      `
result = []
for c in ('glue', 'rest'):
    seen = rows(f'select id, name from {c}.db.pseudo_table order by id')
    rows(f"insert into {c}.db.pseudo_table values (100, 'spark'), (101, 'spark')")
    rows(f"alter table {c}.db.pseudo_table set tblproperties ('write.delete.mode'='merge-on-read')")
    rows(f'delete from {c}.db.pseudo_table where id in (2, 101)')
    rows(f"create table {c}.db.by_spark (id bigint, name string) using iceberg tblproperties ('format-version'='1')")
    rows(f"insert into {c}.db.by_spark values (1, 'spark')")
    result.append(seen)
`,
      null,
      {
        settings: {
          ...sparkCatalog('glue', s3, { glue: glue.url }),
          ...sparkCatalog('rest', s3, { rest: rest.uri }),
        },
        env: { ...s3.env },
      },
    )
    expect(bySpark).toEqual([expected(), expected()])
    live.delete(2)
    live.set(100, 'spark')
    await add(TABLE, 'c', [6])
    live.set(6, 'name 6')

    const athena = await trino(join(dir, 'trino'), s3, glue.url, rest.uri)
    stops.push(athena.stop)
    for (const [name] of both) {
      const table = `${name}.db.pseudo_table`
      expect(await athena.query(`select id, name from ${table} order by id`)).toEqual(expected())
      await athena.query(`insert into ${table} values (200, 'trino'), (201, 'trino')`)
      // Position deletes, as Athena writes them.
      await athena.query(`delete from ${table} where id = 100 or id = 3`)
      await athena.query(`update ${table} set name = 'changed' where id = 200`)
      expect(
        await athena.query(`select sum(record_count) from "${name}"."db"."pseudo_table$files" where content = 1`),
      ).toEqual([[5]])
    }
    live.delete(100)
    live.delete(3)
    live.set(200, 'changed').set(201, 'trino')
    await add(TABLE, 'd', [7])
    live.set(7, 'name 7')

    for (const [name, catalog] of both) {
      const state = await catalog.load(TABLE)
      const deletes = new Set<string>()
      for await (const planned of planFiles(storage, state.metadata))
        for (const { path } of planned.deletes) deletes.add(path)
      expect([name, deletes.size > 1]).toEqual([name, true])
      expect(await queried(catalog, storage)).toEqual(expected())
    }

    for (const [name] of both) {
      const properties = pyicebergCatalog(s3, name === 'glue' ? { glue: glue.url } : { rest: rest.uri })
      const byPython = await pyiceberg<{ seen: unknown; upgraded: number }>(
        `
import pyarrow as pa
from pyiceberg.catalog import load_catalog
catalog = load_catalog('c', **args)
table = catalog.load_table('db.pseudo_table')
seen = sorted(list(row.values()) for row in table.scan().to_arrow().to_pylist())
schema = pa.schema([('id', pa.int64()), ('name', pa.string())])
table.append(pa.table({'id': [300], 'name': ['python']}, schema=schema))
made = catalog.create_table('db.by_python', schema, location=f"s3://lake/python/{args['type']}")
made.append(pa.table({'id': [1], 'name': ['python']}, schema=schema))
result = {'seen': seen}
`,
        properties,
      )
      expect([name, byPython.seen]).toEqual([name, expected()])
    }
    live.set(300, 'python')
    await add(TABLE, 'e', [8])
    live.set(8, 'name 8')

    // Tables that others made, format version 1 among them.
    for (const name of ['by_spark', 'by_python']) await add({ database: 'db', name }, 'ours', [2])

    const secret = `create secret (type s3, key_id '${CREDENTIALS.accessKeyId}', secret '${CREDENTIALS.secretAccessKey}', endpoint '${new URL(s3.endpoint).host}', url_style 'path', use_ssl false, region '${REGION}')`
    for (const [name, catalog] of both) {
      const { metadata, metadataLocation } = await catalog.load(TABLE)
      expect(await athena.query(`select id, name from ${name}.db.pseudo_table order by id`)).toEqual(expected())
      expect(await athena.query(`select name from ${name}.db.by_spark order by id`)).toEqual([['spark'], ['name 2']])
      expect(await athena.query(`select name from ${name}.db.by_python order by id`)).toEqual([['python'], ['name 2']])
      const byDuckdb =
        name === 'glue'
          ? await duckdbIceberg(`select id, name from iceberg_scan('${metadataLocation}') order by id`, [secret])
          : await duckdbIceberg('select id, name from r.db.pseudo_table order by id', [
              secret,
              `attach '' as r (type iceberg, endpoint '${rest.uri}', authorization_type 'none')`,
            ])
      expect([name, byDuckdb.map((row) => [Number(row.id), row.name])]).toEqual([name, expected()])
      expect(await queried(catalog, storage)).toEqual(expected())
      const report = await verifyTable({ metadata, metadataLocation }, { storage, current: true, now: Date.now() })
      expect([name, report.findings]).toEqual([name, []])
      expect((await catalog.load({ database: 'db', name: 'by_spark' })).metadata['format-version']).toBe(2)
    }
    const { Table } = await glue.client().send(new GetTableCommand({ DatabaseName: 'db', Name: 'pseudo_table' }))
    expect(Table?.Parameters).toMatchObject({ table_type: 'ICEBERG', previous_metadata_location: expect.any(String) })
    expect(Table?.StorageDescriptor?.Columns?.map(({ Name, Type }) => [Name, Type])).toEqual([
      ['id', 'bigint'],
      ['name', 'string'],
    ])
    const seen = await spark<unknown>(
      `result = [rows(f'select id, name from {c}.db.pseudo_table order by id') for c in ('glue', 'rest')]`,
      null,
      {
        settings: {
          ...sparkCatalog('glue', s3, { glue: glue.url }),
          ...sparkCatalog('rest', s3, { rest: rest.uri }),
        },
        env: { ...s3.env },
      },
    )
    expect(seen).toEqual([expected(), expected()])
  },
  300_000,
)

async function append(catalog: Catalog, storage: Storage, table: TableIdentifier, name: string, ids: number[]) {
  const location = await catalog.load(table).then(
    ({ metadata }) => metadata.location,
    () => catalog.newTableLocation(table),
  )
  const files = [await simpleFile(storage, location, name, ids)]
  await appendFiles(catalog, table, { schema: SIMPLE, create: { properties: {} }, files, runId: 'run' }, context)
}

async function queried(catalog: Catalog, storage: Storage): Promise<unknown[]> {
  const tables = new Map([['t', { state: await catalog.load(TABLE), storage }]])
  const { rows } = await runQuery('select id, name from t order by id', { storage, tables })
  return rows.map(([id, name]) => [Number(id), name])
}
