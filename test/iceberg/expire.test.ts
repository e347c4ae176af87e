import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog } from '../../lib/iceberg/catalogs/catalog.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { expireSnapshots, planExpireSnapshots } from '../../lib/iceberg/operations/expire.ts'
import { removeOrphans } from '../../lib/iceberg/operations/orphans.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { BLOWS, crashStorage, Dead } from '../regression/crash-storage.ts'
import { DAY, days, locations } from './days.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const FOLDER = '/wh/db/t'

/** Six days of a table: a file a day, then one takes the place of the first two. Their snapshots are past five days, but for the last. */
async function history(kind: 'filesystem' | 'memory' = 'filesystem') {
  const time = days()
  const catalogOn = (on: Storage) =>
    kind === 'filesystem'
      ? filesystemCatalog({ storage: on, warehouse: '/wh', clock: time.clock })
      : memoryCatalog({ storage: on, warehouse: '/wh', clock: time.clock, uuid: randomUUID })
  const catalog = catalogOn(time.storage)
  const context = { clock: time.clock, random: () => 0.5, uuid: randomUUID }
  const options = { schema: SIMPLE, create: { properties: {} }, runId: 'run' }
  const write = async (name: string) => {
    await time.storage.create(`${FOLDER}/data/${name}`, new Uint8Array(100))
    return namedFile(`${FOLDER}/data/${name}`)
  }
  for (const name of ['a', 'b', 'c']) {
    await appendFiles(catalog, TABLE, { ...options, files: [await write(name)] }, context)
    time.pass(2)
  }
  const remove = ['a', 'b'].map((name) => `${FOLDER}/data/${name}`)
  await overwriteFiles(catalog, TABLE, { ...options, files: [await write('ab')], remove }, context)
  time.pass(2)
  return { ...time, raw: time.storage, catalog, catalogOn, context, write, options }
}

async function paths(catalog: Catalog): Promise<string[]> {
  const { metadata } = await catalog.load(TABLE)
  const found: string[] = []
  for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path.slice(FOLDER.length + 6))
  return found.sort()
}

/** Every file of the table is there, of every snapshot; what lies about beside is returned. */
async function lyingAbout(catalog: Catalog): Promise<string[]> {
  const { metadata, metadataLocation } = await catalog.load(TABLE)
  const reached = new Set([metadataLocation, ...metadata['metadata-log'].map((entry) => entry['metadata-file'])])
  for (const snapshot of metadata.snapshots) {
    reached.add(snapshot['manifest-list'] as string)
    for await (const { file } of planFiles(catalog.storage, metadata, snapshot['snapshot-id'])) {
      await catalog.storage.stat(file.path)
      reached.add(file.path)
    }
  }
  const all = await locations(catalog.storage, `${FOLDER}/`)
  return all.filter((location) => !reached.has(location) && !/-(?:m\d+|r\d+)\.avro$|version-hint/.test(location))
}

const expire = { runId: 'expiry' }

describe.each(['filesystem', 'memory'] as const)('expiry over the %s catalog', (kind) => {
  test('takes out what is old, and removes what only that needed', async () => {
    const { catalog, context, raw } = await history(kind)
    const before = await catalog.load(TABLE)
    const planned = await planExpireSnapshots(catalog, TABLE, {}, context)
    expect(await catalog.load(TABLE)).toEqual(before)
    const result = await expireSnapshots(catalog, TABLE, expire, context)
    expect(result).toMatchObject({ attempts: 1, upgraded: false, refs: [], resumed: 0 })
    expect(result.snapshots).toEqual(before.metadata.snapshots.slice(0, 2).map((each) => each['snapshot-id']))
    // a and b are in the third snapshot still.
    expect(result.removed).toMatchObject({
      outside: 0,
      failed: 0,
      counts: { data_files: 0, manifest_lists: 2, metadata: 0 },
    })
    expect(planned).toMatchObject({ snapshots: result.snapshots, removed: { counts: result.removed.counts } })
    expect(await paths(catalog)).toEqual(['ab', 'c'])
    expect(await lyingAbout(catalog)).toEqual([])

    const last = await expireSnapshots(catalog, TABLE, { ...expire, olderThan: context.clock.wall() }, context)
    expect(last.removed.counts).toMatchObject({ data_files: 2, manifest_lists: 1, delete_files: 0 })
    expect(await locations(raw, `${FOLDER}/data/`)).toEqual([`${FOLDER}/data/ab`, `${FOLDER}/data/c`])
    expect(await lyingAbout(catalog)).toEqual([])
    const none = await expireSnapshots(catalog, TABLE, { ...expire, olderThan: context.clock.wall() }, context)
    expect(none).toMatchObject({ attempts: 0, snapshots: [], removed: { bytes: 0 } })
  })

  test('two at once take the same away, and nothing that is needed', async () => {
    const { catalog, context } = await history(kind)
    await Promise.all(['one', 'two'].map((runId) => expireSnapshots(catalog, TABLE, { runId }, context)))
    expect((await catalog.load(TABLE)).metadata.snapshots).toHaveLength(2)
    expect(await paths(catalog)).toEqual(['ab', 'c'])
    expect(await lyingAbout(catalog)).toEqual([])
  })

  test('appends go on beside it', async () => {
    const { catalog, context, options, write } = await history(kind)
    const files = await Promise.all(['x', 'y', 'z'].map(write))
    await Promise.all([
      ...files.map((file) => appendFiles(catalog, TABLE, { ...options, files: [file] }, context)),
      expireSnapshots(catalog, TABLE, { ...expire, olderThan: context.clock.wall() }, context),
    ])
    expect(await paths(catalog)).toEqual(['ab', 'c', 'x', 'y', 'z'])
    expect(await lyingAbout(catalog)).toEqual([])
  })
})

test('metadata that the log has forgotten goes, unless a sleeping writer may still want its number', async () => {
  const { catalog, context, raw, pass } = await history()
  await setProperties(catalog, TABLE, { set: { 'write.metadata.previous-versions-max': '1' } }, context)
  const metadata = async () =>
    (await locations(raw, `${FOLDER}/metadata/v`)).flatMap((each) => /v(\d+)\.metadata/.exec(each)?.[1] ?? []).join()
  expect(await metadata()).toBe('1,2,3,4,5')
  // 4 is in the log, and 5 is the table.
  await expireSnapshots(catalog, TABLE, { ...expire, keepLast: 9 }, context)
  expect(await metadata()).toBe('4,5')
  for (let i = 0; i < 3; i++) await setProperties(catalog, TABLE, { set: { i: String(i) } }, context)
  expect((await expireSnapshots(catalog, TABLE, { ...expire, keepLast: 9 }, context)).removed.counts.metadata).toBe(0)
  expect(await metadata()).toBe('4,5,6,7,8')
  pass(3)
  await expireSnapshots(catalog, TABLE, { ...expire, keepLast: 9 }, context)
  expect(await metadata()).toBe('7,8')
})

test('a table that shares its files, and one of version 3, are refused', async () => {
  const { catalog, context } = await history()
  await setProperties(catalog, TABLE, { set: { 'gc.enabled': 'false' } }, context)
  for (const run of [
    () => expireSnapshots(catalog, TABLE, expire, context),
    () => planExpireSnapshots(catalog, TABLE, {}, context),
    () => removeOrphans(catalog, TABLE, {}, context),
  ])
    await expect(run()).rejects.toMatchObject({
      code: 'table/unsupported',
      message: expect.stringContaining('gc.enabled'),
    })
})

test('files outside the table’s folder are left: another table may have them too', async () => {
  const { catalog, context, options, raw } = await history()
  await raw.create('/elsewhere/x', new Uint8Array(100))
  await appendFiles(catalog, TABLE, { ...options, files: [namedFile('/elsewhere/x')] }, context)
  await overwriteFiles(catalog, TABLE, { ...options, files: [], remove: ['/elsewhere/x'] }, context)
  const { removed } = await expireSnapshots(
    catalog,
    TABLE,
    { ...expire, olderThan: context.clock.wall() + DAY },
    context,
  )
  expect(removed.outside).toBe(1)
  expect((await raw.stat('/elsewhere/x')).bytes).toBe(100)
})

test('after a commit of unknown outcome nothing is removed; the next expiry finishes it once the table tells', async () => {
  const { catalog, context, raw } = await history()
  const lost: Catalog = {
    ...catalog,
    async commit(...args) {
      await catalog.commit(...args)
      throw new PseudolakeError('table/commit-unknown', 'its answer was lost')
    },
    // What it would be told when it asks is lost, too.
    load: async (table) => {
      if (asked++ > 1) throw new PseudolakeError('storage/failed', 'no answer')
      return catalog.load(table)
    },
  }
  let asked = 0
  const before = await locations(raw, `${FOLDER}/data/`)
  const olderThan = context.clock.wall()
  await expect(expireSnapshots(lost, TABLE, { ...expire, olderThan }, context)).rejects.toMatchObject({
    code: 'table/commit-unknown',
  })
  expect(await locations(raw, `${FOLDER}/data/`)).toEqual(before)
  const next = await expireSnapshots(catalog, TABLE, expire, context)
  expect(next).toMatchObject({ attempts: 0, resumed: 1, removed: { counts: { data_files: 2, manifest_lists: 3 } } })
  expect(await lyingAbout(catalog)).toEqual([])
})

test('a file that cannot be removed does not stop the others, and the next expiry comes by again', async () => {
  const { raw, catalogOn, context, catalog } = await history()
  const stubborn: Storage = {
    ...raw,
    delete: async (location) => {
      if (location.endsWith('/data/a')) throw new PseudolakeError('storage/denied', 'no')
      return raw.delete(location)
    },
  }
  const olderThan = context.clock.wall()
  const first = await expireSnapshots(catalogOn(stubborn), TABLE, { ...expire, olderThan }, context)
  expect(first.removed).toMatchObject({ failed: 1, failures: [`${FOLDER}/data/a`] })
  expect(await locations(raw, `${FOLDER}/metadata/_expire`)).toHaveLength(1)
  const second = await expireSnapshots(catalog, TABLE, { ...expire, olderThan }, context)
  expect(second).toMatchObject({ attempts: 0, resumed: 1, removed: { failed: 0 } })
  expect(await lyingAbout(catalog)).toEqual([])
  expect(await locations(raw, `${FOLDER}/metadata/_expire`)).toEqual([])
})

describe.each(BLOWS)('an expiry that is struck: %s', (blow) => {
  test('at any step leaves a table that reads well, and the next one finishes it', async () => {
    const { operations } = await struck(0)
    expect(operations).toBeGreaterThan(25)
    for (let at = 1; at <= operations; at++) await struck(at)

    async function struck(at: number) {
      const home = await history()
      const crash = crashStorage(home.raw, at, blow)
      const olderThan = home.context.clock.wall()
      const options = { ...expire, olderThan }
      const failure = await expireSnapshots(home.catalogOn(crash.storage), TABLE, options, home.context).catch(
        (error: unknown) => error,
      )
      if (failure instanceof Error && !(failure instanceof Dead)) expect(failure).toBeInstanceOf(PseudolakeError)
      expect(await paths(home.catalog)).toEqual(['ab', 'c'])
      await lyingAbout(home.catalog)
      await expireSnapshots(home.catalog, TABLE, { runId: 'next', olderThan }, home.context)
      expect(await paths(home.catalog)).toEqual(['ab', 'c'])
      const left = await lyingAbout(home.catalog)
      const stray = left.filter((each) => !/\/_(?:tmp|expire)-/.test(each))
      expect(stray, `struck at ${crash.struck}`).toEqual([])
      home.pass(4)
      await expireSnapshots(home.catalog, TABLE, { runId: 'last', olderThan }, home.context)
      await removeOrphans(home.catalog, TABLE, {}, home.context)
      expect(await lyingAbout(home.catalog), `struck at ${crash.struck}`).toEqual([])
      return crash
    }
  })
})

describe('orphans', () => {
  test('go when nothing reaches them, after three days at least, and those that are needed stay', async () => {
    const { catalog, context, raw, pass } = await history()
    for (const name of ['data/old', 'data/wanted', 'metadata/lost-m0.avro', 'metadata/00003-x.metadata.json'])
      await raw.create(`${FOLDER}/${name}`, new Uint8Array(10))
    pass(3)
    await raw.create(`${FOLDER}/data/young`, new Uint8Array(10))
    const options = { isNeeded: (location: string) => location.endsWith('/wanted') }
    const dry = await removeOrphans(catalog, TABLE, { ...options, dry: true }, context)
    expect(await locations(raw, `${FOLDER}/data/old`)).toHaveLength(1)
    const real = await removeOrphans(catalog, TABLE, options, context)
    expect(real).toEqual(dry)
    expect(real).toMatchObject({ removed: { counts: { orphans: 3 }, bytes: 30 }, young: 1, needed: 1 })
    expect(await locations(raw, `${FOLDER}/data/`)).toEqual(
      ['a', 'ab', 'b', 'c', 'wanted', 'young'].map((name) => `${FOLDER}/data/${name}`),
    )
    await expect(removeOrphans(catalog, TABLE, { olderThanMs: 3 * DAY - 1 }, context)).rejects.toMatchObject({
      code: 'options/invalid',
    })
  })

  test('another table in a folder below keeps everything that is its own; other strangers go', async () => {
    const { catalog, context, raw, pass } = await history()
    const theirs = ['sub/t2/data/x', 'sub/t2/metadata/v1.metadata.json', 'sub/t2/metadata/m0.avro']
    for (const name of [...theirs, 'sub/stranger', 'part=1/x.parquet', 'loose'])
      await raw.create(`${FOLDER}/${name}`, new Uint8Array(10))
    pass(9)
    expect((await removeOrphans(catalog, TABLE, {}, context)).removed.counts.orphans).toBe(3)
    expect(await locations(raw, `${FOLDER}/sub/`)).toEqual(theirs.map((name) => `${FOLDER}/${name}`).sort())
  })

  test('what is published while they are searched for stays', async () => {
    const { catalog, context, raw, pass, options } = await history()
    const late = await Promise.all(
      ['taken over', 'not'].map(async (name) => {
        await raw.create(`${FOLDER}/data/${name}`, new Uint8Array(10))
        return namedFile(`${FOLDER}/data/${name}`)
      }),
    )
    pass(9)
    const slow: Storage = {
      ...raw,
      async *list(prefix) {
        yield* raw.list(prefix)
        await appendFiles(catalog, TABLE, { ...options, files: late.slice(0, 1) }, context)
      },
    }
    const { removed } = await removeOrphans({ storage: slow, load: catalog.load }, TABLE, {}, context)
    expect(removed.counts.orphans).toBe(1)
    expect(await locations(raw, `${FOLDER}/data/taken over`)).toHaveLength(1)
  })

  test('nothing goes where a file of the table cannot be read', async () => {
    const { catalog, context, raw, pass } = await history()
    await raw.create(`${FOLDER}/data/old`, new Uint8Array(10))
    pass(9)
    const { metadata } = await catalog.load(TABLE)
    await raw.delete(metadata.snapshots[1]?.['manifest-list'] as string)
    await expect(removeOrphans(catalog, TABLE, {}, context)).rejects.toMatchObject({ code: 'storage/not-found' })
    expect(await locations(raw, `${FOLDER}/data/old`)).toHaveLength(1)
  })
})
