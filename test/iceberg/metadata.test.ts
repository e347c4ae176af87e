import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseJson, stringifyJson } from '../../lib/core/json.ts'
import { currentSnapshot, parseMetadata, serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { newSnapshotId, summaryOf } from '../../lib/iceberg/snapshot.ts'
import { applyUpdates, createUpdates, snapshotUpdates } from '../../lib/iceberg/updates.ts'
import { namedFile, SIMPLE } from './tables.ts'

const ID = '9223372036854775807'
const V2 = {
  'format-version': 2,
  'table-uuid': 'f7c0a2c5-0000-4000-8000-000000000000',
  location: '/wh/db/t/',
  'last-sequence-number': 1,
  'last-updated-ms': 1000,
  'last-column-id': 2,
  schemas: [SIMPLE],
  'current-schema-id': 0,
  'partition-specs': [{ 'spec-id': 0, fields: [] }],
  'default-spec-id': 0,
  'last-partition-id': 999,
  'sort-orders': [{ 'order-id': 0, fields: [] }],
  'default-sort-order-id': 0,
  properties: { owner: 'spark' },
  'current-snapshot-id': BigInt(ID),
  snapshots: [
    {
      'snapshot-id': BigInt(ID),
      'sequence-number': 1,
      'timestamp-ms': 1000,
      'manifest-list': '/wh/db/t/metadata/snap.avro',
      summary: { operation: 'append', 'total-records': '5' },
      'schema-id': 0,
      'first-row-id': 0,
    },
  ],
  'snapshot-log': [{ 'timestamp-ms': 1000, 'snapshot-id': BigInt(ID) }],
  'metadata-log': [],
  refs: { main: { 'snapshot-id': BigInt(ID), type: 'branch', 'max-ref-age-ms': 5 } },
  statistics: [{ 'snapshot-id': BigInt(ID), 'statistics-path': '/s' }],
  'from-the-future': { deep: [1, { id: BigInt(ID) }] },
}
const parse = (json: object) => parseMetadata(new TextEncoder().encode(stringifyJson(json)), '/t/v1.metadata.json')

test('fields of other writers, and ids beyond 2^53 in them, come back unchanged', () => {
  const again = parseJson(new TextDecoder().decode(serializeMetadata(parse(V2))))
  // The slash goes, as Iceberg's own library strips it.
  expect(again).toEqual({ ...V2, location: '/wh/db/t' })
})

test.each([-1, null, undefined])('current-snapshot-id %s means that there is none', (none) => {
  const metadata = parse({ ...V2, 'current-snapshot-id': none, snapshots: [], 'snapshot-log': [], refs: {} })
  expect(metadata).not.toHaveProperty('current-snapshot-id')
  expect(currentSnapshot(metadata)).toBeUndefined()
})

test('lists that a writer left out are empty, and a table without refs has its main branch', () => {
  const { refs: _, 'metadata-log': __, 'snapshot-log': ___, properties: ____, ...less } = V2
  expect(parse(less)).toMatchObject({
    'metadata-log': [],
    'snapshot-log': [],
    properties: {},
    refs: { main: { 'snapshot-id': BigInt(ID), type: 'branch' } },
  })
})

test('version 1 is read with its schema and spec where version 2 has them', () => {
  const { schemas: _, 'partition-specs': __, 'last-sequence-number': ___, 'table-uuid': ____, ...v1 } = V2
  const metadata = parse({
    ...v1,
    'format-version': 1,
    schema: { type: 'struct', fields: SIMPLE.fields },
    'partition-spec': [{ 'source-id': 1, name: 'id', transform: 'identity' }],
    'last-partition-id': undefined,
  })
  expect(metadata.schemas).toEqual([SIMPLE])
  expect(metadata['partition-specs'][0]?.fields).toEqual([
    { 'field-id': 1000, 'source-id': 1, name: 'id', transform: 'identity' },
  ])
  expect(metadata['last-partition-id']).toBe(1000)
})

test('gzipped metadata is read, whatever its name', () => {
  expect(parseMetadata(gzipSync(stringifyJson(V2)), 'x')['table-uuid']).toBe(V2['table-uuid'])
})

test.each([
  ['no JSON', '{"format-version": 2', /is not JSON/],
  ['no object', '[]', /not a JSON object/],
  ['no version', '{}', /format-version/],
  ['no schema', stringifyJson({ ...V2, schemas: [] }), /schemas/],
  ['a current schema that is not there', stringifyJson({ ...V2, 'current-schema-id': 4 }), /current-schema-id/],
  ['a spec that is not there', stringifyJson({ ...V2, 'default-spec-id': 4 }), /default-spec-id/],
  ['a snapshot that is not there', stringifyJson({ ...V2, 'current-snapshot-id': 5 }), /current-snapshot-id/],
  ['an id that was rounded', stringifyJson(V2).replaceAll(ID, '9.3e18'), /snapshot-id/],
])('metadata with %s is refused with the file and the field', (_, text, message) => {
  const read = () => parseMetadata(new TextEncoder().encode(text), '/t/v1.metadata.json')
  expect(read).toThrow(expect.objectContaining({ code: 'table/invalid' }))
  expect(read).toThrow(message)
  expect(read).toThrow(/\/t\/v1.metadata.json/)
})

test('a version that is not known yet is unsupported, not invalid', () => {
  expect(() => parse({ ...V2, 'format-version': 4 })).toThrow(expect.objectContaining({ code: 'table/unsupported' }))
})

test('a commit grows both logs in step, and trims the metadata log to what the table asks', () => {
  let metadata = applyUpdates(undefined, undefined, createUpdates({ ...CREATE, properties: PREVIOUS_2 }), 1000)
  for (let i = 1; i <= 5; i++) {
    const snapshot = { ...SNAPSHOT, 'snapshot-id': BigInt(i), 'sequence-number': i, 'timestamp-ms': 1000 + i }
    metadata = applyUpdates(metadata, `/v${i}`, snapshotUpdates(snapshot), 1000 + i)
  }
  expect(metadata['metadata-log']).toEqual([
    { 'timestamp-ms': 1003, 'metadata-file': '/v4' },
    { 'timestamp-ms': 1004, 'metadata-file': '/v5' },
  ])
  expect(metadata['snapshot-log'].map((entry) => entry['snapshot-id'])).toEqual([1n, 2n, 3n, 4n, 5n])
  expect(metadata).toMatchObject({
    'current-snapshot-id': 5n,
    'last-sequence-number': 5,
    'last-updated-ms': 1005,
    refs: { main: { 'snapshot-id': 5n, type: 'branch' } },
  })
})

test('a clock that went back does not make the logs go back', () => {
  const made = applyUpdates(undefined, undefined, createUpdates(CREATE), 5000)
  const next = applyUpdates(made, '/v1', [{ action: 'set-properties', updates: { a: 'b' } }], 10)
  expect(next['last-updated-ms']).toBe(5000)
})

test('snapshot ids are positive, below 2^63, and new to the table', () => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      const id = newSnapshotId(
        () => uuid,
        () => false,
      )
      expect(id > 0n && id < 2n ** 63n).toBe(true)
    }),
  )
  const uuids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']
  const taken = newSnapshotId(
    () => uuids[0] as string,
    () => false,
  )
  expect(
    newSnapshotId(
      () => uuids.shift() as string,
      (id) => id === taken,
    ),
  ).not.toBe(taken)
})

test('a summary counts this change, goes on from the totals before, and invents none that are missing', () => {
  const change = { operation: 'overwrite', added: [namedFile('/a', 7)], removed: [namedFile('/b', 3)] } as const
  const before = { ...SNAPSHOT, summary: { operation: 'append', 'total-records': '10', 'total-data-files': '2' } }
  expect(summaryOf(change, before, { job: 'nightly', 'added-records': '999', operation: 'append' })).toEqual({
    operation: 'overwrite',
    job: 'nightly',
    'added-data-files': '1',
    'added-records': '7',
    'added-files-size': '100',
    'deleted-data-files': '1',
    'deleted-records': '3',
    'removed-files-size': '100',
    'changed-partition-count': '1',
    'total-records': '14',
    'total-data-files': '2',
  })
})

test('an empty snapshot carries the totals of deletes that others wrote', () => {
  const before = {
    ...SNAPSHOT,
    summary: { operation: 'delete', 'total-position-deletes': '4', 'total-delete-files': '1' },
  }
  expect(summaryOf({ operation: 'append', added: [], removed: [] }, before)).toEqual({
    operation: 'append',
    'total-position-deletes': '4',
    'total-delete-files': '1',
  })
})

const CREATE = { uuid: V2['table-uuid'], location: '/wh/db/t', schema: SIMPLE, properties: {} }
const PREVIOUS_2 = { 'write.metadata.previous-versions-max': '2' }
const SNAPSHOT = {
  'snapshot-id': 1n,
  'sequence-number': 1,
  'timestamp-ms': 1,
  'manifest-list': '/l',
  summary: { operation: 'append' },
}
