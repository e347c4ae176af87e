import { randomUUID } from 'node:crypto'
import type { Table } from '@aws-sdk/client-glue'
import { expect, test } from 'vitest'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { type GlueCatalogOptions, glueCatalog } from '../../lib/iceberg/catalogs/glue.ts'
import { hiveType } from '../../lib/iceberg/catalogs/glue-table.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import type { OperationContext, SnapshotOptions } from '../../lib/iceberg/operations/snapshot.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Type } from '../../lib/iceberg/types.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { type GlueFake, type GlueFault, glueFake } from '../helpers/glue-fake.ts'
import { waitlessClock } from './clock.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const context: OperationContext = { clock: waitlessClock(), random: () => 0.5, uuid: randomUUID }

test('what a commit tells Glue: the pointer, the columns of all schemas with their ids, no partition keys', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  const first = glue.tables.get('db.t')
  expect(first).toMatchObject({
    TableType: 'EXTERNAL_TABLE',
    PartitionKeys: [],
    Parameters: {
      table_type: 'ICEBERG',
      metadata_location: expect.stringMatching(/\/metadata\/00000-.*\.metadata\.json$/),
    },
    StorageDescriptor: {
      Location: 'memory:/wh/db/t',
      Columns: [
        { Name: 'id', Type: 'bigint', Parameters: field(1, true) },
        { Name: 'name', Type: 'string', Parameters: field(2, true) },
      ],
    },
  })
  expect(first?.Parameters).not.toHaveProperty('previous_metadata_location')

  const renamed = {
    ...SIMPLE,
    'schema-id': 1,
    fields: [SIMPLE.fields[0] as never, { id: 3, name: 'day', required: false, type: 'date', doc: 'x'.repeat(300) }],
  }
  await append(catalog, '/b', { schema: renamed, growsFrom: 0 })
  const second = glue.tables.get('db.t')
  expect(second?.StorageDescriptor?.Columns).toEqual([
    { Name: 'id', Type: 'bigint', Parameters: field(1, true) },
    { Name: 'day', Type: 'date', Comment: 'x'.repeat(255), Parameters: field(3, true) },
    { Name: 'name', Type: 'string', Parameters: field(2, false) },
  ])
  expect(second?.Parameters?.previous_metadata_location).toBe(first?.Parameters?.metadata_location)
  expect(glue.requests.at(-1)).toMatchObject({ action: 'UpdateTable', input: { VersionId: '0', SkipArchive: true } })
})

test('an append asks Glue three times and the store five, however much is in the table', async () => {
  const glue = await glueFake()
  const asked: string[] = []
  const inner = memoryStorage()
  const storage: Storage = {
    ...inner,
    read: (location) => {
      asked.push('read')
      return inner.read(location)
    },
    create: (location, bytes) => {
      asked.push('create')
      return inner.create(location, bytes)
    },
  }
  const catalog = open(glue, storage)
  for (let i = 0; i < 5; i++) await append(catalog, `/${i}`)
  asked.length = 0
  glue.calls.length = 0
  await append(catalog, '/last')
  expect(glue.calls).toEqual(['GetTable', 'GetTable', 'UpdateTable'])
  expect(asked.sort()).toEqual(['create', 'create', 'create', 'read', 'read'])
})

test('what others put into Glue’s table stays through a commit of ours', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  const made = glue.tables.get('db.t') as Table
  const theirs = {
    Description: 'vehicles',
    Owner: 'fleet',
    Retention: 7,
    LastAccessTime: 1_767_225_600,
    Parameters: { ...made.Parameters, classification: 'iceberg', EXTERNAL: 'TRUE' },
    StorageDescriptor: {
      ...made.StorageDescriptor,
      Columns: [{ Name: 'id', Type: 'bigint', Comment: 'theirs' }],
      SerdeInfo: { SerializationLibrary: 'x', Parameters: { 'serialization.format': '1' } },
      InputFormat: 'org.apache.hadoop.mapred.FileInputFormat',
      Compressed: false,
    },
  }
  glue.tables.set('db.t', { ...made, ...theirs } as never)
  await append(catalog, '/b')
  const { Columns: _, ...descriptor } = theirs.StorageDescriptor
  expect(glue.tables.get('db.t')).toMatchObject({
    ...theirs,
    Parameters: { classification: 'iceberg', EXTERNAL: 'TRUE', table_type: 'ICEBERG' },
    StorageDescriptor: { ...descriptor, Columns: [{ Name: 'id', Comment: 'theirs' }, { Name: 'name' }] },
  })
})

for (const fault of ['lost', 'lost-500', 'retried'] as const)
  for (const [action, existing] of [
    ['CreateTable', false],
    ['UpdateTable', true],
  ] as const)
    test(`${action} that succeeded (${fault}) is known to have, and is made once`, async () => {
      const { glue, catalog } = await opened()
      if (existing) await append(catalog, '/a')
      glue.fault(action, fault)
      expect(await append(catalog, '/b')).toMatchObject({ attempts: 1 })
      expect(await paths(catalog)).toEqual(existing ? ['/a', '/b'] : ['/b'])
      await noGarbage(catalog)
    })

for (const fault of ['reset', '500', '503', 'late'] as const)
  test(`an UpdateTable of open outcome (${fault}) is unknown, deletes nothing, and may still arrive`, async () => {
    const { glue, catalog } = await opened()
    await append(catalog, '/a')
    glue.fault('UpdateTable', fault)
    const before = glue.calls.length
    await expect(append(catalog, '/b')).rejects.toMatchObject({ code: 'table/commit-unknown' })
    // Sent once: whatever it did, it did once.
    expect(glue.calls.slice(before).filter((action) => action === 'UpdateTable')).toHaveLength(1)
    expect(await paths(catalog)).toEqual(['/a'])
    expect((await metadataFiles(catalog)).filter((file) => file.endsWith('.metadata.json'))).toHaveLength(2)
    glue.arrive()
    expect(await paths(catalog)).toEqual(fault === 'late' ? ['/a', '/b'] : ['/a'])
  })

test('a CreateTable of open outcome is unknown, and its table is whole when it arrives', async () => {
  const { glue, catalog } = await opened()
  glue.fault('CreateTable', 'late')
  await expect(append(catalog, '/a')).rejects.toMatchObject({ code: 'table/commit-unknown' })
  await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'table/not-found' })
  glue.arrive()
  expect(await paths(catalog)).toEqual(['/a'])
})

test('an open outcome is settled by another’s commit: ours can no longer land, and is tried again', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  glue.fault('UpdateTable', 'late')
  let looks = 0
  const clock = waitlessClock()
  const watched = open(glue, catalog.storage, {
    clock: {
      ...clock,
      async sleep(ms) {
        // While this writer looks for its answer, another one commits.
        if (looks++ === 1) await append(catalog, '/theirs')
        await clock.sleep(ms)
      },
    },
  })
  expect(await append(watched, '/ours')).toMatchObject({ attempts: 2 })
  glue.arrive()
  expect(await paths(catalog)).toEqual(['/a', '/ours', '/theirs'])
})

test('throttled calls are repeated, and say what was throttled when it does not end', async () => {
  const { glue, catalog } = await opened()
  for (const action of ['GetTable', 'CreateTable']) glue.fault(action, 'throttled', 5)
  await append(catalog, '/a')
  glue.fault('UpdateTable', 'throttled', 5)
  await append(catalog, '/b')
  expect(await paths(catalog)).toEqual(['/a', '/b'])
  await noGarbage(catalog)
  glue.fault('UpdateTable', 'throttled', 50)
  await expect(append(catalog, '/c')).rejects.toMatchObject({
    code: 'catalog/unavailable',
    message: expect.stringContaining('glue:UpdateTable of db.t was throttled'),
  })
  await noGarbage(catalog)
})

test('who is told to stop asks for some seconds more, not for as long as the retries last', async () => {
  const run = new AbortController()
  const clock = waitlessClock()
  const { catalog, glue } = await opened({ clock, signal: run.signal })
  await append(catalog, '/a')
  glue.fault('GetTable', 'throttled', 50)
  run.abort(new Error('SIGTERM'))
  await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'catalog/unavailable' })
  expect(clock.waits.length).toBeGreaterThan(0)
  expect(clock.waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(5_000)
})

test('reading is repeated whatever went wrong', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  for (const fault of ['500', 'reset', '503', 'throttled'] as const) glue.fault('GetTable', fault)
  expect(await paths(catalog)).toEqual(['/a'])
})

test('a GetTable that fails in a commit leaves nothing behind', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  const check = async () => glue.fault('GetTable', '500', 8)
  await expect(append(catalog, '/b', { check })).rejects.toMatchObject({ code: 'catalog/unavailable' })
  await noGarbage(catalog)
})

test('a conflict is taken back: no metadata file stays that Glue never named', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  let raced = false
  const check = async () => {
    if (raced) return
    raced = true
    await append(catalog, '/theirs')
  }
  expect(await append(catalog, '/ours', { check })).toMatchObject({ attempts: 2 })
  expect(await paths(catalog)).toEqual(['/a', '/ours', '/theirs'])
  await noGarbage(catalog)
  expect(glue.calls.filter((action) => action === 'UpdateTable')).toHaveLength(2)
})

for (const [fault, action, says] of [
  ['denied', 'GetTable', /glue:GetTable of db\.t was denied .*must grant DESCRIBE on the table/],
  ['denied', 'UpdateTable', /glue:UpdateTable of db\.t was denied .*ALTER on the table/],
  ['lake-formation', 'UpdateTable', /denied by Lake Formation: it must grant ALTER on the table/],
  [
    'lake-formation',
    'CreateTable',
    /Lake Formation: it must grant CREATE_TABLE on the database and data location access/,
  ],
  ['denied', 'CreateDatabase', /glue:CreateDatabase of database db was denied .*CREATE_DATABASE on the catalog/],
  ['lake-formation', 'DeleteTable', /glue:DeleteTable of db\.t was denied by Lake Formation: it must grant DROP/],
  ['limit', 'UpdateTable', /a limit of Glue is reached/],
] satisfies [GlueFault, string, RegExp][])
  test(`${action} ${fault}: the action and the grant are named, and nothing is left`, async () => {
    const { glue, catalog } = await opened({ create: 'database' }, action === 'CreateDatabase' ? [] : ['db'])
    if (action === 'UpdateTable' || action === 'DeleteTable') await append(catalog, '/a')
    glue.fault(action, fault, 2)
    const work = action === 'DeleteTable' ? catalog.drop(TABLE) : append(catalog, '/b')
    await expect(work).rejects.toMatchObject({
      code: fault === 'limit' ? 'catalog/refused' : 'catalog/denied',
      message: expect.stringMatching(says),
    })
    const left = (await metadataFiles(catalog)).filter((file) => file.endsWith('.metadata.json'))
    expect(left).toHaveLength(glue.tables.size)
  })

test('a database is made only where that is allowed; where it is not, that is said before anything is written', async () => {
  const { glue, catalog } = await opened({ create: 'database' }, [])
  await append(catalog, '/a')
  expect(glue.databases).toEqual(new Set(['db']))

  const strict = await opened({}, [])
  await expect(append(strict.catalog, '/a')).rejects.toMatchObject({
    code: 'table/not-found',
    message: expect.stringContaining('output.create: database'),
  })
  expect(await metadataFiles(strict.catalog)).toEqual([])
  // A role that may not look finds out by CreateTable.
  strict.glue.fault('GetDatabase', 'denied')
  await expect(append(open(strict.glue), '/a')).rejects.toMatchObject({ code: 'table/not-found' })

  const never = await opened({ create: 'never' })
  await expect(append(never.catalog, '/a')).rejects.toMatchObject({ code: 'table/not-found' })
  expect(never.glue.tables.size).toBe(0)
})

for (const [what, table, code, says] of [
  ['a plain table', { Parameters: { classification: 'parquet' } }, 'table/unsupported', /no Iceberg table/],
  ['a Hudi table', { Parameters: { table_type: 'HUDI' } }, 'table/unsupported', /of type HUDI/],
  ['a view', { TableType: 'VIRTUAL_VIEW', Parameters: { presto_view: 'true' } }, 'table/unsupported', /is a view/],
  ['an Iceberg view', { Parameters: { table_type: 'ICEBERG-VIEW' } }, 'table/unsupported', /is a view/],
  [
    'an Iceberg table without metadata',
    { Parameters: { table_type: 'iceberg' } },
    'table/invalid',
    /no metadata_location/,
  ],
  [
    'a table whose metadata is gone',
    { Parameters: { table_type: 'ICEBERG', metadata_location: 'memory:/gone.metadata.json' } },
    'table/invalid',
    /it is not there/,
  ],
] as const)
  test(`${what} in the place of the table is refused and left as it is`, async () => {
    const { glue, catalog } = await opened()
    const there = { Name: 't', DatabaseName: 'db', VersionId: '0', ...table }
    glue.tables.set('db.t', there)
    await expect(append(catalog, '/a')).rejects.toMatchObject({ code, message: expect.stringMatching(says) })
    if (code === 'table/unsupported') await expect(catalog.drop(TABLE)).rejects.toMatchObject({ code })
    expect(glue.tables.get('db.t')).toEqual(there)
  })

test('names that Glue would change, and a table at the root of a bucket, are refused', async () => {
  const { catalog, glue } = await opened()
  for (const table of [
    { database: 'db', name: 'Vehicles' },
    { database: 'my-db', name: 't' },
    { database: 'db', name: 'x'.repeat(256) },
    { database: '', name: 't' },
  ])
    await expect(catalog.newTableLocation(table)).rejects.toMatchObject({ code: 'options/invalid' })
  await append(catalog, '/a')
  const { metadata, metadataLocation } = await catalog.load(TABLE)
  const atRoot = { metadata: { ...metadata, location: 's3://bucket' }, metadataLocation }
  await expect(catalog.commit(TABLE, atRoot, [])).rejects.toMatchObject({
    code: 'table/unsupported',
    message: expect.stringContaining('root of a bucket'),
  })
  expect(glue.tables.get('db.t')?.VersionId).toBe('0')
})

test('a resource link leads to the table that it names, for reading and for writing', async () => {
  const { glue, catalog } = await opened({}, ['db', 'shared'])
  await append(catalog, '/a')
  glue.tables.set('shared.link', {
    Name: 'link',
    DatabaseName: 'shared',
    TargetTable: { CatalogId: '123456789012', DatabaseName: 'db', Name: 't' },
  })
  const link = { database: 'shared', name: 'link' }
  await appendFiles(catalog, link, { schema: SIMPLE, files: [namedFile('/b')], runId: 'run' }, context)
  expect(await paths(catalog)).toEqual(['/a', '/b'])
  expect(glue.tables.get('shared.link')?.VersionId).toBeUndefined()
})

test('a writer that sends no version is noticed at our next try, and its table is built upon', async () => {
  const { glue, catalog } = await opened()
  await append(catalog, '/a')
  let overwrote = false
  const check = async () => {
    if (overwrote) return
    overwrote = true
    await lockless(glue, catalog, '/theirs')
  }
  expect(await append(catalog, '/ours', { check })).toMatchObject({ attempts: 2 })
  expect(await paths(catalog)).toEqual(['/a', '/ours', '/theirs'])
})

test('files that fall out of the metadata log are removed, as tables made here ask', async () => {
  const { catalog } = await opened()
  await append(catalog, '/a', { setProperties: { 'write.metadata.previous-versions-max': '2' } })
  for (let i = 0; i < 5; i++) await setProperties(catalog, TABLE, { set: { n: String(i) } }, context)
  const left = (await metadataFiles(catalog)).filter((file) => file.endsWith('.metadata.json'))
  expect(left.map((file) => /\/(\d+)-/.exec(file)?.[1]).sort()).toEqual(['00003', '00004', '00005'])
})

test('Hive’s names of Iceberg’s types', () => {
  const types: [Type, string][] = [
    ['long', 'bigint'],
    ['decimal(9, 2)', 'decimal(9,2)'],
    ['timestamptz', 'timestamp'],
    ['time', 'string'],
    ['uuid', 'string'],
    ['fixed[16]', 'binary'],
    ['int', 'int'],
    ['boolean', 'boolean'],
    ['timestamp_ns', 'timestamp_ns'],
    [
      {
        type: 'list',
        'element-id': 2,
        'element-required': false,
        element: {
          type: 'struct',
          fields: [
            { id: 3, name: 'a', required: false, type: 'long' },
            {
              id: 4,
              name: 'm',
              required: false,
              type: {
                type: 'map',
                'key-id': 5,
                key: 'string',
                'value-id': 6,
                value: 'double',
                'value-required': false,
              },
            },
          ],
        },
      },
      'array<struct<a:bigint,m:map<string,double>>>',
    ],
  ]
  for (const [type, hive] of types) expect(hiveType(type)).toBe(hive)
})

function field(id: number, current: boolean) {
  return { 'iceberg.field.id': String(id), 'iceberg.field.optional': 'true', 'iceberg.field.current': String(current) }
}

async function opened(options: Partial<GlueCatalogOptions> = {}, databases: string[] = ['db']) {
  const glue = await glueFake(databases)
  return { glue, catalog: open(glue, memoryStorage(), options) }
}

function open(glue: GlueFake, storage = memoryStorage(), options: Partial<GlueCatalogOptions> = {}): Catalog {
  const outside = { clock: waitlessClock(), random: () => 0.5, uuid: randomUUID }
  return glueCatalog({ client: glue.client(), storage, warehouse: 'memory:/wh', ...outside, ...options })
}

function append(catalog: Catalog, path: string, more: Partial<SnapshotOptions> = {}) {
  const options = { schema: SIMPLE, create: { properties: {} }, files: [namedFile(path)], runId: 'run', ...more }
  return appendFiles(catalog, TABLE, options, context)
}

/** A commit as a writer makes it that believes in another lock: it does not say which version it replaces. */
async function lockless(glue: GlueFake, catalog: Catalog, path: string): Promise<void> {
  const careless = open(glue, catalog.storage, {
    client: {
      send: ((command: { input: { VersionId?: string } }) => {
        delete command.input.VersionId
        return glue.client().send(command as never)
      }) as never,
    },
  })
  await append(careless, path)
}

async function paths(catalog: Catalog): Promise<string[]> {
  const { metadata } = await catalog.load(TABLE)
  const found: string[] = []
  for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path)
  return found.sort()
}

async function metadataFiles(catalog: Catalog): Promise<string[]> {
  const found: string[] = []
  for await (const { location } of catalog.storage.list('memory:/wh/')) found.push(location)
  return found
}

/** Every metadata file and list is one that the table names. */
async function noGarbage(catalog: Catalog): Promise<void> {
  const { metadata, metadataLocation } = await catalog.load(TABLE)
  const named = [
    metadataLocation,
    ...metadata['metadata-log'].map((entry) => entry['metadata-file']),
    ...metadata.snapshots.map((snapshot) => snapshot['manifest-list']),
  ]
  const found = (await metadataFiles(catalog)).filter((file) => /\.metadata\.json$|\/snap-/.test(file))
  expect(found.sort()).toEqual(named.sort())
}
