import { expect, test } from 'vitest'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation, tableSpelling } from '../../lib/iceberg/locations.ts'
import { type ManifestEntry, type ManifestOf, manifestFileOf, writeManifest } from '../../lib/iceberg/manifest.ts'
import { type ManifestFile, writeManifestList } from '../../lib/iceberg/manifest-list.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { everywhere, planFiles } from '../../lib/iceberg/scan.ts'
import { applyUpdates, createUpdates, snapshotUpdates } from '../../lib/iceberg/updates.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { namedFile, SIMPLE, utf8 } from './tables.ts'

const SPEC = { 'spec-id': 0, fields: [] }
const FILE_PATH = 2147483546

test('deletes are noted for the files they may touch: by sequence number, by the file they name, by the paths they span', async () => {
  const deletes: [string, number, Partial<DataFile>][] = [
    ['/d/all', 5, { content: 'position-deletes' }],
    ['/d/before', 1, { content: 'position-deletes' }],
    ['/d/named', 5, { content: 'position-deletes', referencedDataFile: '/data/b' }],
    ['/d/span', 5, { content: 'position-deletes', ...span('/data/b', '/data/c') }],
    ['/d/same', 2, { content: 'position-deletes' }],
    ['/d/equality', 2, { content: 'equality-deletes', equalityIds: [1] }],
  ]
  const planned = await plan(
    [
      ['/data/a', 1],
      ['/data/b', 2],
    ],
    deletes,
  )
  expect(planned).toEqual({
    '/data/a': ['/d/all', '/d/before', '/d/same', '/d/equality'],
    // A position delete may be about a file of its own commit; an equality delete never is.
    '/data/b': ['/d/all', '/d/named', '/d/span', '/d/same'],
  })
})

test('equality deletes of a spec whose fields were all dropped are about the whole table', () => {
  const spec = (id: number, ...transforms: string[]) => ({
    'spec-id': id,
    fields: transforms.map((transform, i) => ({ 'source-id': 1, 'field-id': 1000 + i, name: `f${i}`, transform })),
  })
  const metadata = {
    'partition-specs': [spec(0), spec(1, 'identity'), spec(2, 'void', 'void'), spec(3, 'void', 'day')],
  }
  const isEverywhere = everywhere(metadata as unknown as TableMetadata)
  const file = { ...namedFile('/d'), partition: new Map([[1000, null]]) }
  expect([1, 2, 3].map((specId) => isEverywhere({ specId } as ManifestFile, file))).toEqual([false, true, false])
  expect(isEverywhere({ specId: 0 } as ManifestFile, namedFile('/d'))).toBe(true)
})

test('a removed file is not in the plan, and an earlier snapshot still has it', async () => {
  const { storage, metadata } = await table()
  const names = async (id?: bigint) => {
    const found: string[] = []
    for await (const { file } of planFiles(storage, metadata, id)) found.push(file.path)
    return found
  }
  expect(await names()).toEqual([])
  expect(await names(1n)).toEqual(['/data/a'])
  await expect(names(9n)).rejects.toMatchObject({ code: 'table/not-found' })
})

test('a manifest cut short, which may look whole, is refused', async () => {
  const { storage, metadata, manifest } = await table()
  const bytes = await storage.read(manifest.path)
  await storage.replace(manifest.path, bytes.slice(0, -1))
  await expect(planFiles(storage, metadata, 1n).next()).rejects.toMatchObject({
    code: 'table/invalid',
    context: { location: manifest.path },
  })
})

test('locations are found however their writer spelt them', () => {
  expect(storageLocation('file:/a b/c%20d')).toBe('/a b/c%20d')
  expect(storageLocation('file:///a')).toBe('/a')
  expect(storageLocation('file://localhost/a')).toBe('/a')
  expect(storageLocation('s3a://bucket/key')).toBe('s3://bucket/key')
  expect(storageLocation('/a')).toBe('/a')
  expect(storageLocation('memory:/a')).toBe('memory:/a')
  expect(tableSpelling('file:///lake/a%20b/')).toBe('/lake/a b')
  expect(tableSpelling('/')).toBe('/')
})

function span(lower: string, upper: string): Partial<DataFile> {
  return { lowerBounds: new Map([[FILE_PATH, utf8(lower)]]), upperBounds: new Map([[FILE_PATH, utf8(upper)]]) }
}

function existing(file: DataFile, sequenceNumber: number, status: ManifestEntry['status'] = 'existing'): ManifestEntry {
  return { status, snapshotId: 1n, sequenceNumber, fileSequenceNumber: sequenceNumber, file }
}

async function plan(data: [string, number][], deletes: [string, number, Partial<DataFile>][]) {
  const storage = memoryStorage()
  const manifests = [
    await put(
      storage,
      'm-data',
      'data',
      data.map(([path, sequence]) => existing(namedFile(path), sequence)),
    ),
    await put(
      storage,
      'm-deletes',
      'deletes',
      deletes.map(([path, sequence, more]) => existing({ ...namedFile(path), ...more }, sequence)),
    ),
  ]
  const metadata = await snapshot(storage, undefined, 1n, manifests)
  const planned: Record<string, string[]> = {}
  for await (const { file, deletes: found } of planFiles(storage, metadata))
    planned[file.path] = found.map(({ path }) => path)
  return planned
}

async function table() {
  const storage = memoryStorage()
  const manifest = await put(storage, 'm1', 'data', [existing(namedFile('/data/a'), 1)])
  const first = await snapshot(storage, undefined, 1n, [manifest])
  const removed = await put(storage, 'm2', 'data', [existing(namedFile('/data/a'), 1, 'deleted')])
  return { storage, manifest, metadata: await snapshot(storage, first, 2n, [removed]) }
}

async function put(
  storage: ReturnType<typeof memoryStorage>,
  name: string,
  content: 'data' | 'deletes',
  entries: ManifestEntry[],
): Promise<ManifestFile> {
  const of: ManifestOf = { schema: SIMPLE, spec: SPEC, content, entries }
  const bytes = writeManifest(of)
  const path = `memory:/t/${name}.avro`
  await storage.create(path, bytes)
  return manifestFileOf(of, { path, bytes: bytes.length }, 1n, 5)
}

async function snapshot(
  storage: ReturnType<typeof memoryStorage>,
  base: TableMetadata | undefined,
  id: bigint,
  manifests: ManifestFile[],
): Promise<TableMetadata> {
  const list = `memory:/t/snap-${id}.avro`
  const sequenceNumber = Number(id)
  await storage.create(
    list,
    writeManifestList({ snapshotId: id, parentSnapshotId: undefined, sequenceNumber, manifests }),
  )
  const made =
    base ??
    applyUpdates(
      undefined,
      undefined,
      createUpdates({ uuid: 'u', location: 'memory:/t', schema: SIMPLE, properties: {} }),
      1,
    )
  return applyUpdates(
    made,
    '/v1',
    snapshotUpdates({
      'snapshot-id': id,
      'sequence-number': sequenceNumber,
      'timestamp-ms': Number(id),
      'manifest-list': list,
      summary: { operation: 'append' },
    }),
    Number(id),
  )
}
