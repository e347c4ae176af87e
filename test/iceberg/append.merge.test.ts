import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { memoryCatalog } from '../../lib/iceberg/catalogs/memory.ts'
import type { ManifestFile } from '../../lib/iceberg/manifest-list.ts'
import { currentSnapshot, type Snapshot } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { mergeGroups } from '../../lib/iceberg/operations/merge.ts'
import { manifestsOf, planFiles } from '../../lib/iceberg/scan.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import { waitlessClock } from './clock.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }

test('many small commits end in few manifests, and every file keeps the sequence number it came with', async () => {
  const { catalog, append } = open({ 'commit.manifest.min-count-to-merge': '5' })
  for (let i = 1; i <= 23; i++) await append(`/${i}`)
  const { metadata } = await catalog.load(TABLE)
  const manifests = await manifestsOf(catalog.storage, currentSnapshot(metadata) as Snapshot)
  expect(manifests.length).toBeLessThanOrEqual(6)
  expect(manifests.reduce((sum, manifest) => sum + manifest.addedFiles + manifest.existingFiles, 0)).toBe(23)
  const found = new Map<string, number>()
  for await (const { file, sequenceNumber } of planFiles(catalog.storage, metadata)) {
    expect(found.has(file.path)).toBe(false)
    found.set(file.path, sequenceNumber)
  }
  expect(found).toEqual(new Map([...found.keys()].map((path) => [path, Number(path.slice(1))])))
  expect(found.size).toBe(23)
  expect(currentSnapshot(metadata)?.summary['total-data-files']).toBe('23')
})

test('small manifests are grouped from the oldest on, and one that is well filled is left alone', async () => {
  const { catalog, append } = open({})
  await append('/a')
  const { metadata } = await catalog.load(TABLE)
  const [one] = await manifestsOf(catalog.storage, currentSnapshot(metadata) as Snapshot)
  // Newest first, as lists have them.
  const sizesOf = (...bytes: number[]) =>
    mergeGroups(
      {
        ...metadata,
        properties: { 'commit.manifest.min-count-to-merge': '3', 'commit.manifest.target-size-bytes': '100' },
      },
      bytes.map((size) => ({ ...(one as ManifestFile), bytes: size })),
    ).map((group) => group.map((manifest) => manifest.bytes))
  expect(sizesOf(10, 10)).toEqual([[10], [10]])
  expect(sizesOf(10, 10, 10)).toEqual([[10, 10, 10]])
  // The older two are merged as they fill a manifest; the newest waits for more.
  expect(sizesOf(30, 40, 50)).toEqual([[30], [40, 50]])
  expect(sizesOf(10, 10, 95)).toEqual([[10], [10], [95]])
  expect(sizesOf(10, 5, 95)).toEqual([[10], [5], [95]])
  expect(sizesOf(1, 1, 90)).toEqual([[1, 1, 90]])
})

test('manifests of deletes, of other specs and encrypted ones are never merged', async () => {
  const { catalog, append } = open({ 'commit.manifest.min-count-to-merge': '2' })
  await append('/a')
  const { metadata } = await catalog.load(TABLE)
  const [manifest] = await manifestsOf(catalog.storage, currentSnapshot(metadata) as Snapshot)
  const one = manifest as ManifestFile
  const partitioned = {
    'spec-id': 1,
    fields: [{ 'source-id': 1, 'field-id': 1000, name: 'id', transform: 'identity' }],
  }
  const list: ManifestFile[] = [
    one,
    { ...one, content: 'deletes' },
    { ...one, specId: 1 },
    { ...one, keyMetadata: new Uint8Array(1) },
    one,
  ]
  const groups = mergeGroups({ ...metadata, 'partition-specs': [...metadata['partition-specs'], partitioned] }, list)
  expect(groups.filter((group) => group.length > 1)).toEqual([[one, one]])
  expect(groups.flat()).toHaveLength(5)
})

test('merging can be switched off', async () => {
  const { catalog, append } = open({
    'commit.manifest.min-count-to-merge': '2',
    'commit.manifest-merge.enabled': 'false',
  })
  for (let i = 1; i <= 6; i++) await append(`/${i}`)
  const { metadata } = await catalog.load(TABLE)
  expect(await manifestsOf(catalog.storage, currentSnapshot(metadata) as Snapshot)).toHaveLength(6)
})

function open(properties: Record<string, string>) {
  const clock = waitlessClock()
  const catalog = memoryCatalog({ storage: memoryStorage(), warehouse: 'memory:/wh', clock, uuid: randomUUID })
  const append = (path: string) =>
    appendFiles(
      catalog,
      TABLE,
      { schema: SIMPLE, create: { properties }, files: [namedFile(path)], runId: 'run' },
      { clock, random: () => 0, uuid: randomUUID },
    )
  return { catalog, append }
}
