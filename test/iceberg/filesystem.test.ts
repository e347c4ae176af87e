import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { findNewest } from '../../lib/iceberg/catalogs/metadata-versions.ts'
import { parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { waitlessClock } from './clock.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const FOLDER = 'memory:/wh/db/t'

test('the layout is that of a Hadoop table: numbered metadata files and a hint', async () => {
  const { storage, append } = open()
  await append('/a')
  await append('/b')
  const names = (await list(storage)).filter((name) => !name.endsWith('.avro'))
  expect(names).toEqual(['v1.metadata.json', 'v2.metadata.json', 'version-hint.text'])
  expect(await text(storage, 'version-hint.text')).toBe('2')
})

test.each([
  ['stale', '1'],
  ['missing', undefined],
  ['garbage', 'v2 probably'],
  ['ahead of the table', '99'],
  ['empty', ''],
])('a version hint that is %s misleads nobody, and the next commit repairs it', async (_, hint) => {
  const { storage, catalog, append } = open()
  for (const path of ['/a', '/b', '/c']) await append(path)
  if (hint === undefined) await storage.delete(`${FOLDER}/metadata/version-hint.text`)
  else await put(storage, 'version-hint.text', hint)

  expect((await openTable(storage, FOLDER)).metadataLocation).toBe(`${FOLDER}/metadata/v3.metadata.json`)
  await append('/d')
  expect(await paths(storage, await catalog.load(TABLE))).toEqual(['/a', '/b', '/c', '/d'])
  // One that is ahead is left: writers go on from what is there, and lowering it could undo a faster writer's.
  if (hint !== '99') expect(await text(storage, 'version-hint.text')).toBe('4')
})

test('what a writer that was killed left of the hint is set right without a commit, and a table that is right is not touched', async () => {
  const { storage, catalog, append } = open()
  for (const path of ['/a', '/b']) await append(path)
  await put(storage, 'version-hint.text', '1')
  await catalog.load(TABLE)
  expect(await text(storage, 'version-hint.text')).toBe('1')
  await catalog.settle?.(TABLE)
  expect(await text(storage, 'version-hint.text')).toBe('2')
  await catalog.load(TABLE)
  await put(storage, 'version-hint.text', '1')
  await catalog.settle?.(TABLE)
  expect(await text(storage, 'version-hint.text')).toBe('1')
})

test('a hint that cannot be written does not fail the commit', async () => {
  const storage = memoryStorage()
  const { append, catalog } = open({
    ...storage,
    replace: async (location) => {
      throw new PseudolakeError('storage/denied', `no writing of ${location}`)
    },
  })
  await append('/a')
  await append('/b')
  expect(await paths(storage, await catalog.load(TABLE))).toEqual(['/a', '/b'])
})

test('a checksum that Hadoop left for the hint does not outlive the hint it was made of', async () => {
  const { storage, append } = open()
  await append('/a')
  await put(storage, '.version-hint.text.crc', 'crc of another text')
  await append('/b')
  expect(await list(storage)).not.toContain('.version-hint.text.crc')
})

test('a writer that slept while its version number was removed does not take the number over', async () => {
  const { storage, catalog, append } = open()
  await append('/a')
  const base = await catalog.load(TABLE)
  for (const path of ['/b', '/c', '/d']) await append(path)
  // Old versions are cleaned up: 2, which the sleeper is about to write, and 3.
  for (const version of [1, 2, 3]) await storage.delete(`${FOLDER}/metadata/v${version}.metadata.json`)

  await expect(
    catalog.commit(TABLE, base, [{ action: 'set-properties', updates: { mark: 'stale' } }]),
  ).rejects.toMatchObject({ code: 'table/conflict' })
  expect(await list(storage)).not.toContain('v2.metadata.json')
  expect((await catalog.load(TABLE)).metadata.properties).not.toHaveProperty('mark')
})

test('the sleeper is found out even where the metadata log still names the version it replaced', async () => {
  const { storage, catalog, append } = open()
  await append('/a')
  const base = await catalog.load(TABLE)
  await append('/b')
  await append('/c')
  expect((await catalog.load(TABLE)).metadata['metadata-log'].map((entry) => entry['metadata-file'])).toContain(
    `${FOLDER}/metadata/v2.metadata.json`,
  )
  await storage.delete(`${FOLDER}/metadata/v2.metadata.json`)
  await expect(catalog.commit(TABLE, base, [])).rejects.toMatchObject({ code: 'table/conflict' })
})

test('a commit that others built upon before it was checked stands', async () => {
  const storage = memoryStorage()
  const others = open(storage)
  await others.append('/a')
  await others.append('/limit', { 'write.metadata.previous-versions-max': '2' })
  // Right after the create, before the check, five more commits: more than the metadata log holds.
  let raced = false
  const { append, catalog } = open({
    ...storage,
    async create(location, bytes) {
      const created = await storage.create(location, bytes)
      if (location.endsWith('v3.metadata.json') && !raced) {
        raced = true
        for (let i = 0; i < 5; i++) await others.append(`/other-${i}`)
      }
      return created
    },
  })
  const { attempts } = await append('/ours')
  expect(attempts).toBe(1)
  expect(await paths(storage, await catalog.load(TABLE))).toContain('/ours')
  expect(await paths(storage, await catalog.load(TABLE))).toHaveLength(8)
})

test('a create whose answer was lost is recognised by its bytes', async () => {
  for (const code of ['storage/failed', 'storage/conflict'] as const) {
    const storage = memoryStorage()
    const { append, catalog } = open({
      ...storage,
      async create(location, bytes) {
        const created = await storage.create(location, bytes)
        if (location.endsWith('.metadata.json')) throw new PseudolakeError(code, 'the answer was lost')
        return created
      },
    })
    expect(await append('/a')).toMatchObject({ attempts: 1 })
    expect(await append('/b')).toMatchObject({ attempts: 1 })
    expect(await paths(storage, await catalog.load(TABLE))).toEqual(['/a', '/b'])
  }
})

test('a create that failed and left nothing is an unknown outcome: the request may still arrive', async () => {
  const storage = memoryStorage()
  const { append } = open({
    ...storage,
    async create(location, bytes) {
      if (location.endsWith('.metadata.json')) throw new PseudolakeError('storage/failed', 'reset by peer')
      return storage.create(location, bytes)
    },
  })
  await expect(append('/a')).rejects.toMatchObject({ code: 'table/commit-unknown' })
  expect((await list(storage)).filter((name) => name.endsWith('.avro'))).toHaveLength(2)
})

test('a refusal before anything happened leaves nothing behind', async () => {
  const storage = memoryStorage()
  const { append } = open({
    ...storage,
    async create(location, bytes) {
      if (location.endsWith('.metadata.json')) throw new PseudolakeError('storage/full', 'no room')
      return storage.create(location, bytes)
    },
  })
  await expect(append('/a')).rejects.toMatchObject({ code: 'storage/full' })
  expect(await list(storage)).toEqual([])
})

test("a folder of another catalog's table is read, and never written", async () => {
  const { storage, append } = open()
  await append('/a')
  const { metadata } = await openTable(storage, FOLDER)
  const foreign = memoryStorage()
  for (const name of ['00009-b.metadata.json', '00010-a.metadata.json'])
    await foreign.create(`${FOLDER}/metadata/${name}`, serializeMetadata(metadata))
  expect((await openTable(foreign, FOLDER)).metadataLocation).toBe(`${FOLDER}/metadata/00010-a.metadata.json`)
  await expect(open(foreign).append('/b')).rejects.toMatchObject({ code: 'table/unsupported' })
})

test('a table that writes gzipped metadata goes on doing so, under the name all its writers compete for', async () => {
  const { storage, catalog, append } = open()
  await append('/a', { 'write.metadata.compression-codec': 'gzip' })
  await append('/b')
  expect(await list(storage)).toContain('v2.gz.metadata.json')
  expect(await paths(storage, await catalog.load(TABLE))).toEqual(['/a', '/b'])
})

test('a table name that could lead out of the warehouse is refused', async () => {
  const { catalog } = open()
  for (const name of ['..', 'a/b', '', '.hidden', 'a\\b'])
    await expect(catalog.newTableLocation({ database: 'db', name })).rejects.toMatchObject({ code: 'options/invalid' })
})

test('a table of format version 1 becomes one of version 2 with the first commit, which says so', async () => {
  const { storage, catalog, append, context } = open()
  const v1 = {
    'format-version': 1,
    location: FOLDER,
    'last-updated-ms': 1,
    'last-column-id': 2,
    schema: SIMPLE,
    'partition-spec': [],
    properties: {},
    snapshots: [],
    'current-snapshot-id': -1,
  }
  await put(storage, 'v1.metadata.json', JSON.stringify(v1))
  expect(await append('/a')).toMatchObject({ upgraded: true, created: false })
  const { metadata } = await catalog.load(TABLE)
  expect(metadata).toMatchObject({ 'format-version': 2, 'last-sequence-number': 1, 'current-schema-id': 0 })
  expect(metadata['table-uuid']).toMatch(/^[0-9a-f-]{36}$/)
  expect(metadata).not.toHaveProperty('schema')
  expect(await setProperties(catalog, TABLE, { set: { a: 'b' } }, context)).toMatchObject({ upgraded: false })
})

test('a partitioned table and one of version 3 are refused before anything is written', async () => {
  for (const change of [
    { 'format-version': 3 as const },
    {
      'partition-specs': [
        { 'spec-id': 0, fields: [{ 'source-id': 1, 'field-id': 1000, name: 'id', transform: 'identity' }] },
      ],
    },
  ]) {
    const { storage, catalog, append } = open()
    await append('/a')
    const { metadata } = await catalog.load(TABLE)
    await storage.create(
      `${FOLDER}/metadata/v2.metadata.json`,
      serializeMetadata({ ...metadata, ...change, 'next-row-id': 0 } as never),
    )
    const before = await list(storage)
    await expect(append('/b')).rejects.toMatchObject({ code: 'table/unsupported' })
    expect(await list(storage)).toEqual(before)
  }
})

function open(storage: Storage = memoryStorage()) {
  const clock = waitlessClock()
  const catalog = filesystemCatalog({ storage, warehouse: 'memory:/wh', clock })
  const context = { clock, random: () => 0.5, uuid: randomUUID }
  const append = (path: string, setProperties: Record<string, string> = {}) =>
    appendFiles(
      catalog,
      TABLE,
      { schema: SIMPLE, create: { properties: {} }, files: [namedFile(path)], runId: 'run', setProperties },
      context,
    )
  return { storage, catalog, append, context }
}

async function paths(storage: Storage, { metadata }: TableState): Promise<string[]> {
  const found: string[] = []
  for await (const { file } of planFiles(storage, metadata)) found.push(file.path)
  return found.sort()
}

async function list(storage: Storage): Promise<string[]> {
  const names: string[] = []
  for await (const { location } of storage.list(`${FOLDER}/metadata/`))
    names.push(location.slice(FOLDER.length + '/metadata/'.length))
  return names.sort()
}

async function put(storage: Storage, name: string, content: string): Promise<void> {
  await storage.replace(`${FOLDER}/metadata/${name}`, new TextEncoder().encode(content))
}

async function text(storage: Storage, name: string): Promise<string> {
  return new TextDecoder().decode(await storage.read(`${FOLDER}/metadata/${name}`))
}

test('what was serialized is what is parsed', async () => {
  const { storage, append } = open()
  await append('/a')
  const { metadata } = await openTable(storage, `${FOLDER}/metadata/v1.metadata.json`)
  expect(parseMetadata(serializeMetadata(metadata, 'gzip'), 'x')).toEqual(metadata)
})

test('a first version that is just being written is no table of another catalog', async () => {
  const storage = memoryStorage()
  await storage.create('memory:/w/db/t/metadata/_tmp-1-v1.metadata.json', new Uint8Array(1))
  expect(await findNewest(storage, 'memory:/w/db/t')).toBeUndefined()
  await storage.create('memory:/w/db/t/metadata/00000-1.metadata.json', new Uint8Array(1))
  await expect(findNewest(storage, 'memory:/w/db/t')).rejects.toMatchObject({ code: 'table/unsupported' })
})

test('behind its create a commit asks once what the hint says, and for newer versions at the same time', async () => {
  const { storage, append } = open()
  await append('/a')
  const asked: string[] = []
  let answer = () => {}
  const held = new Promise<void>((resolve) => {
    answer = resolve
  })
  const { read, stat, create } = storage
  let created = false
  storage.create = async (location, bytes) => {
    const made = await create.call(storage, location, bytes)
    created ||= location.endsWith('/v2.metadata.json')
    return made
  }
  storage.read = async (location, options) => {
    if (created) asked.push(location.slice(`${FOLDER}/metadata/`.length))
    // Answered when the others were asked for.
    if (asked.length === 4) answer()
    if (created && location.endsWith('.text')) await held
    return read.call(storage, location, options)
  }
  storage.stat = (location) => {
    if (created) asked.push(location.slice(`${FOLDER}/metadata/`.length))
    if (asked.length === 4) answer()
    return stat.call(storage, location)
  }
  await append('/b')
  expect(asked.sort()).toEqual(['v3.gz.metadata.json', 'v3.metadata.json', 'v3.metadata.json.gz', 'version-hint.text'])
})
