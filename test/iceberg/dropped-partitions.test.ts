/** Tables that were partitioned once: format version 1 keeps each dropped field as one that is null in every file. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseJson, stringifyJson } from '../../lib/core/json.ts'
import { filesystemCatalog } from '../../lib/iceberg/catalogs/filesystem.ts'
import { currentSnapshot, type PartitionSpec } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import { manifestsOf, planFiles } from '../../lib/iceberg/scan.ts'
import { days } from './days.ts'
import { SIMPLE, simpleFile } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const VOID = {
  'spec-id': 1,
  fields: [{ 'source-id': 2, 'field-id': 1000, name: 'name_x', transform: 'void' }],
}

async function once(specs: readonly PartitionSpec[]) {
  const { storage, clock } = days()
  const catalog = filesystemCatalog({ storage, warehouse: '/wh', clock })
  const append = async (name: string, create?: { properties: Record<string, string> }) => {
    const files = [await simpleFile(storage, '/wh/db/t', name, [1])]
    const options = { schema: SIMPLE, runId: name, files, ...(create && { create }) }
    return appendFiles(catalog, TABLE, options, { clock, random: () => 0.5, uuid: randomUUID })
  }
  const { table } = await append('a', { properties: {} })
  const json = parseJson(Buffer.from(await storage.read(table.metadataLocation)).toString()) as Record<string, unknown>
  const changed = { ...json, 'partition-specs': specs, 'default-spec-id': 1, 'last-partition-id': 1000 }
  await storage.replace(table.metadataLocation, Buffer.from(stringifyJson(changed)))
  return { catalog, append }
}

test('where there is a spec without fields too, files are of that one, and are found', async () => {
  const { catalog, append } = await once([{ 'spec-id': 0, fields: [] }, VOID])
  await append('b')
  const { metadata } = await catalog.load(TABLE)
  expect(metadata['default-spec-id']).toBe(1)
  const manifests = await manifestsOf(catalog.storage, currentSnapshot(metadata) as never)
  expect(manifests.map(({ specId }) => specId)).toEqual([0, 0])
  const found = []
  for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path)
  expect(found).toHaveLength(2)
})

test('where there is none, the table is refused by name and nothing is written', async () => {
  const { append } = await once([
    { ...VOID, 'spec-id': 0, fields: [{ ...VOID.fields[0], transform: 'day' } as never] },
    VOID,
  ])
  await expect(append('b')).rejects.toMatchObject({
    code: 'table/unsupported',
    message: expect.stringContaining('was partitioned'),
  })
})
