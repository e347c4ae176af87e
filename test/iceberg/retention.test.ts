import { describe, expect, test } from 'vitest'
import { parseMetadata, type SnapshotRef, serializeMetadata, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { planExpiry, type RetentionPolicy } from '../../lib/iceberg/operations/retention.ts'
import { applyUpdates, createUpdates } from '../../lib/iceberg/updates.ts'
import { DAY } from './days.ts'
import { SIMPLE } from './tables.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')

/** Snapshots by id: their age in days, and their parent. */
type Snapshots = Readonly<Record<number, readonly [age: number, parent?: number]>>

function tableOf(
  snapshots: Snapshots,
  refs: Readonly<Record<string, Omit<SnapshotRef, 'snapshot-id'> & { id: number }>>,
  properties: Record<string, string> = {},
): TableMetadata {
  const made = applyUpdates(
    undefined,
    undefined,
    createUpdates({ uuid: 'u', location: '/t', schema: SIMPLE, properties }),
    NOW,
  )
  return {
    ...made,
    snapshots: Object.entries(snapshots).map(([id, [age, parent]], i) => ({
      'snapshot-id': BigInt(id),
      ...(parent === undefined ? {} : { 'parent-snapshot-id': BigInt(parent) }),
      'sequence-number': i + 1,
      'timestamp-ms': NOW - age * DAY,
      'manifest-list': `/t/metadata/snap-${id}.avro`,
      summary: { operation: 'append' },
    })),
    'current-snapshot-id': BigInt(refs.main?.id ?? 0),
    refs: Object.fromEntries(
      Object.entries(refs).map(([name, { id, ...ref }]) => [name, { ...ref, 'snapshot-id': BigInt(id) }]),
    ),
  }
}

function expired(metadata: TableMetadata, policy: Partial<RetentionPolicy> = {}) {
  const { snapshots, refs } = planExpiry(metadata, { now: NOW, ...policy })
  return { snapshots: snapshots.map((snapshot) => Number(snapshot['snapshot-id'])), refs }
}

const CHAIN: Snapshots = { 1: [30], 2: [20, 1], 3: [10, 2], 4: [2, 3], 5: [1, 4] }
const main = { id: 5, type: 'branch' as const }

describe('the retention policy of the specification', () => {
  test('main keeps what is younger than five days, and always its head', () => {
    expect(expired(tableOf(CHAIN, { main })).snapshots).toEqual([1, 2, 3])
    expect(expired(tableOf({ 1: [30], 2: [20, 1] }, { main: { ...main, id: 2 } })).snapshots).toEqual([1])
  })

  test('options go before the table’s properties, and those before the defaults', () => {
    const properties = {
      'history.expire.max-snapshot-age-ms': String(15 * DAY),
      'history.expire.min-snapshots-to-keep': '4',
    }
    expect(expired(tableOf(CHAIN, { main }, { ...properties, 'history.expire.min-snapshots-to-keep': '1' }))).toEqual({
      snapshots: [1, 2],
      refs: [],
    })
    expect(expired(tableOf(CHAIN, { main }, properties)).snapshots).toEqual([1])
    expect(expired(tableOf(CHAIN, { main }, properties), { olderThan: NOW, keepLast: 2 }).snapshots).toEqual([1, 2, 3])
    expect(expired(tableOf(CHAIN, { main }), { olderThan: 0 }).snapshots).toEqual([])
  })

  test('a branch’s own words go before options: they are what somebody asked for this branch', () => {
    const kept = { ...main, 'min-snapshots-to-keep': 3, 'max-snapshot-age-ms': DAY / 2 }
    expect(expired(tableOf(CHAIN, { main: kept }), { olderThan: 0, keepLast: 1 }).snapshots).toEqual([1, 2])
  })

  test('tags and branches hold their snapshots, the tag just the one', () => {
    const refs = { main, tagged: { id: 2, type: 'tag' as const } }
    expect(expired(tableOf(CHAIN, refs)).snapshots).toEqual([1, 3])
    const branch = { main, side: { id: 3, type: 'branch' as const, 'min-snapshots-to-keep': 2 } }
    expect(expired(tableOf(CHAIN, branch)).snapshots).toEqual([1])
  })

  test('a ref goes when it is older than it was made to be; main never does', () => {
    const old = { 'max-ref-age-ms': 5 * DAY }
    const refs = {
      main: { ...main, id: 3, ...old },
      young: { id: 4, type: 'tag' as const, ...old },
      old: { id: 2, type: 'tag' as const, ...old },
      lost: { id: 99, type: 'tag' as const },
    }
    expect(expired(tableOf(CHAIN, refs))).toEqual({ snapshots: [1, 2], refs: ['old', 'lost'] })
    const properties = { 'history.expire.max-ref-age-ms': String(15 * DAY) }
    expect(expired(tableOf(CHAIN, { main, t: { id: 2, type: 'tag' } }, properties)).refs).toEqual(['t'])
  })

  test('a snapshot that no branch came through stays while it is young: it may be about to be published', () => {
    const staged: Snapshots = { ...CHAIN, 6: [1, 3], 7: [9, 3] }
    expect(expired(tableOf(staged, { main })).snapshots).toEqual([1, 2, 3, 7])
  })

  test('what must be kept is kept, with the ref that names it', () => {
    const refs = { main, t: { id: 2, type: 'tag' as const, 'max-ref-age-ms': 1 } }
    expect(expired(tableOf(CHAIN, refs), { keep: new Set([2n]) })).toEqual({ snapshots: [1, 3], refs: [] })
  })

  test('a chain that goes in a circle or ends in nothing does not keep it busy', () => {
    expect(expired(tableOf({ 1: [30, 2], 2: [20, 1] }, { main: { ...main, id: 2 } })).snapshots).toEqual([1])
    expect(expired(tableOf({ 2: [20, 1] }, { main: { ...main, id: 2 } })).snapshots).toEqual([])
  })
})

test('snapshots that go take their statistics and what the log says before them along', () => {
  const metadata = {
    ...tableOf(CHAIN, { main }),
    'snapshot-log': [1, 2, 3, 4, 5].map((id) => ({ 'timestamp-ms': NOW, 'snapshot-id': BigInt(id) })),
    statistics: [2n, 5n].map((id) => ({ 'snapshot-id': id, 'statistics-path': `/t/metadata/${id}.stats` })),
  }
  const after = applyUpdates(
    metadata,
    '/t/metadata/v5.metadata.json',
    [{ action: 'remove-snapshots', 'snapshot-ids': [1n, 2n] }],
    NOW,
  )
  expect(after.snapshots.map((snapshot) => snapshot['snapshot-id'])).toEqual([3n, 4n, 5n])
  expect(after['snapshot-log'].map((entry) => entry['snapshot-id'])).toEqual([3n, 4n, 5n])
  expect(parseMetadata(serializeMetadata(after), '/m')).toMatchObject({
    statistics: [{ 'statistics-path': '/t/metadata/5.stats' }],
  })
  expect(() => applyUpdates(metadata, '/m', [{ action: 'remove-snapshots', 'snapshot-ids': [5n] }], NOW)).toThrow(
    /must stay/,
  )
  expect(() => applyUpdates(metadata, '/m', [{ action: 'remove-snapshot-ref', 'ref-name': 'main' }], NOW)).toThrow(
    /main must stay/,
  )
})
