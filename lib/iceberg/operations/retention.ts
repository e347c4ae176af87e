import { MAIN, type Snapshot, type SnapshotRef, snapshotById, type TableMetadata } from '../metadata.ts'

/**
 * Which snapshots and refs a table has outlived (Iceberg specification, "Snapshot Retention Policy"). Pure.
 *
 * A branch keeps its newest snapshots and those that are young; a tag keeps the one it names; a branch or tag that is older than it was
 * made to be goes, and main never does. Snapshots that no branch came through (staged, or left behind by a rollback) are kept while they
 * are young, as Iceberg's own library does: somebody may be about to publish one.
 */

export interface RetentionPolicy {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Snapshots of an earlier time are expired, where their branch says nothing else. @default by `history.expire.max-snapshot-age-ms` (5 days) */
  readonly olderThan?: number
  /** Snapshots that each branch keeps, where it says nothing else. @default `history.expire.min-snapshots-to-keep` (1) */
  readonly keepLast?: number
  /** Snapshots that stay whatever their age. */
  readonly keep?: ReadonlySet<bigint>
}

export interface Expiry {
  readonly snapshots: readonly Snapshot[]
  /** Names of branches and tags. */
  readonly refs: readonly string[]
}

const DEFAULT_MAX_SNAPSHOT_AGE_MS = 5 * 24 * 3_600_000
const DEFAULT_MIN_SNAPSHOTS = 1

export function planExpiry(metadata: TableMetadata, policy: RetentionPolicy): Expiry {
  const { now, keep = new Set() } = policy
  const { properties } = metadata
  const age = number(properties['history.expire.max-snapshot-age-ms'], DEFAULT_MAX_SNAPSHOT_AGE_MS)
  const olderThan = policy.olderThan ?? now - age
  const keepLast =
    policy.keepLast ?? Math.max(1, number(properties['history.expire.min-snapshots-to-keep'], DEFAULT_MIN_SNAPSHOTS))
  const maxRefAge = number(properties['history.expire.max-ref-age-ms'], Number.POSITIVE_INFINITY)

  const refs = Object.entries(metadata.refs).filter(([name, ref]) => !isKept(name, ref))
  const gone = new Set(refs.map(([name]) => name))
  const retained = new Set<bigint>()
  const referenced = new Set<bigint>()
  for (const [name, ref] of Object.entries(metadata.refs)) {
    if (gone.has(name)) continue
    if (ref.type === 'tag') {
      retained.add(ref['snapshot-id'])
      referenced.add(ref['snapshot-id'])
      continue
    }
    const least = ref['min-snapshots-to-keep'] ?? keepLast
    const own = ref['max-snapshot-age-ms']
    const before = own === undefined ? olderThan : now - own
    let open = true
    let count = 0
    for (const snapshot of ancestry(metadata, ref['snapshot-id'])) {
      referenced.add(snapshot['snapshot-id'])
      open &&= count < least || snapshot['timestamp-ms'] >= before
      if (open) retained.add(snapshot['snapshot-id'])
      count++
    }
  }
  const isExpired = (snapshot: Snapshot) => {
    const id = snapshot['snapshot-id']
    if (retained.has(id) || keep.has(id)) return false
    return referenced.has(id) || snapshot['timestamp-ms'] < olderThan
  }
  return { snapshots: metadata.snapshots.filter(isExpired), refs: [...gone] }

  function isKept(name: string, ref: SnapshotRef): boolean {
    if (name === MAIN || keep.has(ref['snapshot-id'])) return true
    const snapshot = snapshotById(metadata, ref['snapshot-id'])
    return snapshot !== undefined && now - snapshot['timestamp-ms'] <= (ref['max-ref-age-ms'] ?? maxRefAge)
  }
}

/**
 * Snapshots that no ref leads to and that are younger than the table keeps such ones (`history.expire.max-snapshot-age-ms`, 5 days): staged for
 * somebody to publish, or left behind by a rollback that may be taken back.
 */
export function youngLoose(metadata: TableMetadata, now: number): bigint[] {
  const { refs, snapshots, properties } = metadata
  const age = number(properties['history.expire.max-snapshot-age-ms'], DEFAULT_MAX_SNAPSHOT_AGE_MS)
  const reached = new Set<bigint>()
  for (const { 'snapshot-id': head } of Object.values(refs))
    for (const { 'snapshot-id': id } of ancestry(metadata, head)) reached.add(id)
  return snapshots.flatMap(({ 'snapshot-id': id, 'timestamp-ms': made }) =>
    reached.has(id) || made < now - age ? [] : [id],
  )
}

/** A snapshot and those it came out of, the newest first, as far as they are there. */
export function* ancestry(metadata: TableMetadata, from: bigint | undefined): Generator<Snapshot, void, undefined> {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  const seen = new Set<bigint>()
  for (let id = from; id !== undefined && !seen.has(id); ) {
    const snapshot = byId.get(id)
    if (!snapshot) return
    seen.add(id)
    yield snapshot
    id = snapshot['parent-snapshot-id']
  }
}

function number(text: string | undefined, missing: number): number {
  const value = Number(text)
  return text !== undefined && Number.isFinite(value) && value >= 0 ? value : missing
}
