import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog, TableIdentifier } from '../../lib/iceberg/catalogs/catalog.ts'
import { currentSnapshot, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { expireSnapshots } from '../../lib/iceberg/operations/expire.ts'
import { overwriteFiles } from '../../lib/iceberg/operations/overwrite.ts'
import { replaceFiles } from '../../lib/iceberg/operations/replace.ts'
import { setProperties } from '../../lib/iceberg/operations/set-properties.ts'
import type { OperationContext, SnapshotOptions } from '../../lib/iceberg/operations/snapshot.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import type { Presence } from '../helpers/interop.ts'
import { waitlessClock } from '../iceberg/clock.ts'
import { namedFile, SIMPLE } from '../iceberg/tables.ts'

const TABLE: TableIdentifier = { database: 'db', name: 't' }

/**
 * What every Catalog must do.
 * @param open gives one without tables
 * @param presence of what stands behind it; where it is missing all are skipped, or fail where it must be there
 */
export function catalogContract(
  name: string,
  open: () => Promise<Catalog>,
  presence: Presence = { there: true },
): void {
  let time = 0
  // A server that has a clock of its own refuses what is said to be of long before its last word.
  const clock = { ...waitlessClock(), wall: () => (time = Math.max(time + 1, Date.now())) }
  const context: OperationContext = { clock, random: () => 0.5, uuid: randomUUID }
  const append = (catalog: Catalog, path: string, more: Partial<SnapshotOptions> = {}, ctx = context) =>
    appendFiles(
      catalog,
      TABLE,
      { schema: SIMPLE, create: { properties: { made: 'yes' } }, files: [namedFile(path)], runId: 'run', ...more },
      ctx,
    )

  describe(`catalog contract: ${name}`, { timeout: 60_000 }, () => {
    beforeEach((context) => {
      if (presence.there) return
      if (process.env.PSEUDOLAKE_REQUIRE_INTEROP === '1') throw new Error(presence.reason)
      context.skip(presence.reason)
    })

    test('a table is made together with its first rows and properties', async () => {
      const catalog = await open()
      const made = await append(catalog, '/a', { setProperties: { mark: '1' }, summary: { job: 'nightly' } })
      expect(made).toMatchObject({ attempts: 1, created: true, upgraded: false })
      const { metadata } = await catalog.load(TABLE)
      expect(metadata.location).toBe(await catalog.newTableLocation(TABLE))
      expect(metadata.properties).toMatchObject({ made: 'yes', mark: '1' })
      expect(currentSnapshot(metadata)).toMatchObject({
        'snapshot-id': made.snapshotId,
        'sequence-number': 1,
        summary: { operation: 'append', job: 'nightly', 'total-records': '1' },
      })
      expect(await paths(catalog)).toEqual(['/a'])
    })

    test('a table that is not there is not made by accident', async () => {
      const catalog = await open()
      await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'table/not-found' })
      const { create: _, ...withoutCreate } = { schema: SIMPLE, create: undefined, files: [], runId: 'r' }
      await expect(appendFiles(catalog, TABLE, withoutCreate, context)).rejects.toMatchObject({
        code: 'table/not-found',
      })
      await expect(setProperties(catalog, TABLE, { set: { a: 'b' } }, context)).rejects.toMatchObject({
        code: 'table/not-found',
      })
    })

    test('of 16 writers that start at once, the first one included that makes the table, every one is in the table once', async () => {
      const catalog = await open()
      const results = await Promise.all(Array.from({ length: 16 }, (_, i) => append(catalog, `/${i}`)))
      expect(results.filter(({ created }) => created)).toHaveLength(1)
      expect(await paths(catalog)).toEqual(results.map((_, i) => `/${i}`).sort())
      const { metadata } = await catalog.load(TABLE)
      expect(metadata.snapshots.map((snapshot) => snapshot['sequence-number'])).toEqual(results.map((_, i) => i + 1))
      expect(new Set(metadata.snapshots.map((snapshot) => snapshot['snapshot-id']))).toEqual(
        new Set(results.map(({ snapshotId }) => snapshotId)),
      )
      expect(currentSnapshot(metadata)?.summary['total-data-files']).toBe('16')
    })

    test('what a table has outlived is taken out of it, and its files are removed', async () => {
      const catalog = await open()
      for (const path of ['/a', '/b', '/c']) await append(catalog, path)
      const before = (await catalog.load(TABLE)).metadata
      const options = { runId: 'expiry', olderThan: before['last-updated-ms'] + 1, keepLast: 1 }
      const result = await expireSnapshots(catalog, TABLE, options, context)
      const { metadata } = await catalog.load(TABLE)
      expect(metadata.snapshots).toEqual(before.snapshots.slice(2))
      expect(result).toMatchObject({ snapshots: before.snapshots.slice(0, 2).map((each) => each['snapshot-id']) })
      expect(result.removed.counts).toMatchObject({ manifest_lists: 2, manifests: 0, data_files: 0 })
      expect(await paths(catalog)).toEqual(['/a', '/b', '/c'])
      await append(catalog, '/d')
      expect(await paths(catalog)).toEqual(['/a', '/b', '/c', '/d'])
    })

    test('a race leaves no file behind that no snapshot uses', async () => {
      const catalog = await open()
      await Promise.all(Array.from({ length: 6 }, (_, i) => append(catalog, `/${i}`)))
      const { metadata } = await catalog.load(TABLE)
      const lists: string[] = []
      for await (const { location } of catalog.storage.list(`${metadata.location}/metadata/`))
        if (location.includes('/snap-')) lists.push(location)
      expect(lists.sort()).toEqual(metadata.snapshots.map((snapshot) => snapshot['manifest-list']).sort())
    })

    test('a writer whose mark has moved is stopped in the try that sees it, and nothing of it is published', async () => {
      const catalog = await open()
      await append(catalog, '/a', { setProperties: { epoch: '1' } })
      let calls = 0
      const check = async (metadata: TableMetadata | undefined) => {
        // Somebody else commits between this writer's first look and its swap.
        if (calls++ === 0) await append(catalog, '/theirs', { setProperties: { epoch: '2' } })
        else if (metadata?.properties.epoch !== '1') throw new PseudolakeError('table/mark-changed', 'epoch 2')
      }
      const before = await metadataFiles(catalog)
      await expect(append(catalog, '/ours', { check })).rejects.toMatchObject({ code: 'table/mark-changed' })
      expect(calls).toBe(2)
      expect(await paths(catalog)).toEqual(['/a', '/theirs'])
      // What is new is the other's: a manifest and a list, and the metadata beside them.
      expect((await metadataFiles(catalog)).filter((file) => file.endsWith('.avro'))).toHaveLength(
        before.filter((file) => file.endsWith('.avro')).length + 2,
      )
    })

    test('gives up after the tries that the table allows, and says that nothing happened', async () => {
      const catalog = await open()
      await append(catalog, '/a', { setProperties: { 'commit.retry.num-retries': '2' } })
      let calls = 0
      const check = async () => {
        calls++
        await append(catalog, `/other-${calls}`)
      }
      await expect(append(catalog, '/ours', { check })).rejects.toMatchObject({
        code: 'table/conflict',
        context: { attempts: 3 },
      })
      expect(calls).toBe(3)
      expect(await paths(catalog)).not.toContain('/ours')
    })

    test('a commit whose answer was lost is found in the table, and not made twice', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      const lossy: Catalog = {
        ...catalog,
        async commit(...commit) {
          await catalog.commit(...commit)
          throw new PseudolakeError('table/commit-unknown', 'no answer')
        },
      }
      const { snapshotId } = await append(lossy, '/b')
      expect(await paths(catalog)).toEqual(['/a', '/b'])
      expect((await catalog.load(TABLE)).metadata['current-snapshot-id']).toBe(snapshotId)
      await setProperties(lossy, TABLE, { set: { k: 'v' } }, context)
      expect((await catalog.load(TABLE)).metadata.properties.k).toBe('v')
    })

    test('a commit that was told it lost, and had won, is found too', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      const lying: Catalog = {
        ...catalog,
        async commit(...commit) {
          await catalog.commit(...commit)
          throw new PseudolakeError('table/conflict', 'a retry below found it changed')
        },
      }
      await append(lying, '/b')
      expect(await paths(catalog)).toEqual(['/a', '/b'])
    })

    test('while an outcome stays unknown, nothing that it may need is deleted', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      let late: Parameters<Catalog['commit']> | undefined
      const silent: Catalog = {
        ...catalog,
        async commit(...commit) {
          late = commit
          throw new PseudolakeError('table/commit-unknown', 'no answer')
        },
      }
      await expect(append(silent, '/b')).rejects.toMatchObject({ code: 'table/commit-unknown' })
      expect(await paths(catalog)).toEqual(['/a'])
      // The request arrives after all.
      if (late) await catalog.commit(...late)
      expect(await paths(catalog)).toEqual(['/a', '/b'])
    })

    test('properties change without a snapshot, and those of other writers stay', async () => {
      const catalog = await open()
      await append(catalog, '/a', { setProperties: { theirs: 'x', old: 'y' } })
      const { table } = await setProperties(catalog, TABLE, { set: { ours: 'z' }, remove: ['old'] }, context)
      expect(table.metadata.properties).toMatchObject({ made: 'yes', theirs: 'x', ours: 'z' })
      expect(table.metadata.properties).not.toHaveProperty('old')
      expect(table.metadata.snapshots).toHaveLength(1)
      expect(table.metadata['metadata-log']).toHaveLength(1)
      expect((await catalog.load(TABLE)).metadata).toEqual(table.metadata)
    })

    test('files are replaced in one snapshot, and every other file stays', async () => {
      const catalog = await open()
      await append(catalog, '/a', { files: [namedFile('/a1', 10), namedFile('/a2', 20)] })
      await append(catalog, '/b')
      const { table } = await overwriteFiles(
        catalog,
        TABLE,
        { schema: SIMPLE, files: [namedFile('/c', 5)], remove: ['/a1'], runId: 'run' },
        context,
      )
      expect(await paths(catalog)).toEqual(['/a2', '/b', '/c'])
      expect(currentSnapshot(table.metadata)?.summary).toMatchObject({
        operation: 'overwrite',
        'deleted-records': '10',
        'total-records': '26',
      })
      // A file keeps the sequence number it came with, whoever rewrote its manifest: it says which deletes apply.
      for await (const { file, sequenceNumber } of planFiles(catalog.storage, table.metadata))
        expect([file.path, sequenceNumber]).toEqual([file.path, { '/a2': 1, '/b': 2, '/c': 3 }[file.path]])
    })

    test('files take the place of others beside an append, and keep the sequence number that says which deletes are theirs', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      await append(catalog, '/b')
      const { metadata } = await catalog.load(TABLE)
      const replace = replaceFiles(
        catalog,
        TABLE,
        {
          schema: SIMPLE,
          operation: 'replace',
          files: [namedFile('/ab', 2)],
          remove: new Map([
            ['/a', 1],
            ['/b', 2],
          ]),
          applied: new Set(),
          removeDeletes: new Set(),
          readAt: metadata['last-sequence-number'],
          runId: 'run',
        },
        context,
      )
      await Promise.all([replace, append(catalog, '/c')])
      expect(await paths(catalog)).toEqual(['/ab', '/c'])
      const { metadata: after } = await catalog.load(TABLE)
      expect(after.snapshots.map(({ summary }) => summary.operation).sort()).toEqual([
        'append',
        'append',
        'append',
        'replace',
      ])
    })

    test('a schema that grows comes with the files that need it, and only one of two writers grows it', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      const grown = (name: string) => ({
        ...SIMPLE,
        'schema-id': 1,
        fields: [...SIMPLE.fields, { id: 3, name, required: false, type: 'int' }],
      })
      const outcomes = await Promise.allSettled(
        ['x', 'y'].map((name) => append(catalog, `/${name}`, { schema: grown(name), growsFrom: 0 })),
      )
      expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([
        { reason: { code: 'table/changed' } },
      ])
      const { metadata } = await catalog.load(TABLE)
      expect(metadata.schemas).toHaveLength(2)
      expect(metadata['last-column-id']).toBe(3)
      expect(currentSnapshot(metadata)?.['schema-id']).toBe(metadata['current-schema-id'])
      expect(await paths(catalog)).toHaveLength(2)
    })

    test('snapshots that are expired are gone with the files that only they needed, while others commit', async () => {
      const catalog = await open()
      for (const path of ['/a', '/b', '/c']) await append(catalog, path)
      const { metadata } = await catalog.load(TABLE)
      const [expired] = await Promise.all([
        expireSnapshots(catalog, TABLE, { runId: 'run', keepLast: 1, olderThan: Number.MAX_SAFE_INTEGER }, context),
        append(catalog, '/d'),
      ])
      expect(expired.snapshots.length).toBeGreaterThanOrEqual(2)
      const { metadata: after } = await catalog.load(TABLE)
      expect(after.snapshots.length).toBe(4 - expired.snapshots.length)
      expect(await paths(catalog)).toEqual(['/a', '/b', '/c', '/d'])
      const lists = (await metadataFiles(catalog)).filter((file) => file.includes('/snap-'))
      expect(lists.sort()).toEqual(after.snapshots.map((snapshot) => snapshot['manifest-list']).sort())
      for (const id of expired.snapshots)
        expect(metadata.snapshots.map((snapshot) => snapshot['snapshot-id'])).toContain(id)
    })

    test('a table that is dropped is gone from the catalog, its data is not touched, and its name is free again', async () => {
      const catalog = await open()
      await expect(catalog.drop(TABLE)).rejects.toMatchObject({ code: 'table/not-found' })
      const data = `${await catalog.newTableLocation(TABLE)}/data/a`
      await catalog.storage.create(data, Uint8Array.of(1))
      await append(catalog, data)
      await append(catalog, '/b')
      await catalog.drop(TABLE)
      await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'table/not-found' })
      expect(await catalog.storage.read(data)).toEqual(Uint8Array.of(1))
      expect(await append(catalog, '/c')).toMatchObject({ created: true })
      expect(await paths(catalog)).toEqual(['/c'])
    })

    test('a file to be replaced that somebody took away stops the replacement', async () => {
      const catalog = await open()
      await append(catalog, '/a')
      const replace = (path: string) =>
        overwriteFiles(
          catalog,
          TABLE,
          { schema: SIMPLE, files: [namedFile(`${path}-new`)], remove: [path], runId: 'run' },
          context,
        )
      const outcomes = await Promise.allSettled([replace('/a'), replace('/a')])
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'table/files-gone' },
      })
      expect(await paths(catalog)).toEqual(['/a-new'])
    })
  })

  async function paths(catalog: Catalog): Promise<string[]> {
    const { metadata } = await catalog.load(TABLE)
    const found: string[] = []
    for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path)
    return found.sort()
  }

  async function metadataFiles(catalog: Catalog): Promise<string[]> {
    const found: string[] = []
    for await (const { location } of catalog.storage.list(`${await catalog.newTableLocation(TABLE)}/metadata/`))
      found.push(location)
    return found
  }
}
