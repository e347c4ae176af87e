import { PseudolakeError } from '../core/errors.ts'
import {
  LAST_PARTITION_ID_OF_NONE,
  MAIN,
  type PartitionSpec,
  type Snapshot,
  type SortOrder,
  type TableMetadata,
  withoutStatistics,
} from './metadata.ts'
import { highestFieldId } from './schema.ts'
import type { Schema } from './types.ts'

/**
 * Changes of a table as data, in the words of Iceberg's REST catalog (`TableUpdate`): a REST catalog sends them as they are, every other
 * one applies them here and swaps the metadata file. Pure; the time is handed in.
 */
export type TableUpdate =
  | { readonly action: 'assign-uuid'; readonly uuid: string }
  | { readonly action: 'upgrade-format-version'; readonly 'format-version': 2 }
  | { readonly action: 'set-location'; readonly location: string }
  | { readonly action: 'add-schema'; readonly schema: Schema }
  | { readonly action: 'set-current-schema'; readonly 'schema-id': number }
  | { readonly action: 'add-spec'; readonly spec: PartitionSpec }
  | { readonly action: 'set-default-spec'; readonly 'spec-id': number }
  | { readonly action: 'add-sort-order'; readonly 'sort-order': SortOrder }
  | { readonly action: 'set-default-sort-order'; readonly 'sort-order-id': number }
  | { readonly action: 'set-properties'; readonly updates: Readonly<Record<string, string>> }
  | { readonly action: 'remove-properties'; readonly removals: readonly string[] }
  | { readonly action: 'add-snapshot'; readonly snapshot: Snapshot }
  | {
      readonly action: 'set-snapshot-ref'
      readonly 'ref-name': string
      readonly type: 'branch'
      readonly 'snapshot-id': bigint
    }
  /** Statistics of the snapshots go with them. */
  | { readonly action: 'remove-snapshots'; readonly 'snapshot-ids': readonly bigint[] }
  | { readonly action: 'remove-snapshot-ref'; readonly 'ref-name': string }

/** Everything that makes a new, unpartitioned and unsorted table of format version 2; -1 is REST's word for "the one just added". */
export function createUpdates(table: {
  readonly uuid: string
  readonly location: string
  readonly schema: Schema
  readonly properties: Readonly<Record<string, string>>
}): TableUpdate[] {
  return [
    { action: 'assign-uuid', uuid: table.uuid },
    { action: 'upgrade-format-version', 'format-version': 2 },
    { action: 'set-location', location: table.location },
    { action: 'add-schema', schema: table.schema },
    { action: 'set-current-schema', 'schema-id': -1 },
    { action: 'add-spec', spec: { 'spec-id': 0, fields: [] } },
    { action: 'set-default-spec', 'spec-id': -1 },
    { action: 'add-sort-order', 'sort-order': { 'order-id': 0, fields: [] } },
    { action: 'set-default-sort-order', 'sort-order-id': -1 },
    { action: 'set-properties', updates: table.properties },
  ]
}

/** Makes `snapshot` the head of main. */
export function snapshotUpdates(snapshot: Snapshot): TableUpdate[] {
  return [
    { action: 'add-snapshot', snapshot },
    { action: 'set-snapshot-ref', 'ref-name': MAIN, type: 'branch', 'snapshot-id': snapshot['snapshot-id'] },
  ]
}

const DEFAULT_PREVIOUS_VERSIONS = 100

/**
 * The metadata after `updates`.
 * @param base undefined for a table that is being made
 * @param baseLocation the file that `base` was read from: goes into the metadata log
 * @param wallMs milliseconds since 1970; a clock behind the table's last update counts as equal to it, as readers refuse logs that go back
 * @throws PseudolakeError `internal/bug` when an update does not fit
 */
export function applyUpdates(
  base: TableMetadata | undefined,
  baseLocation: string | undefined,
  updates: readonly TableUpdate[],
  wallMs: number,
): TableMetadata {
  const now = Math.max(wallMs, base?.['last-updated-ms'] ?? 0)
  let table: TableMetadata = base ?? EMPTY
  for (const update of updates) table = apply(table, update)
  if (table['table-uuid'] === '' || table.location === '' || table.schemas.length === 0)
    throw new PseudolakeError('internal/bug', 'a table needs a uuid, a location and a schema')
  return {
    ...table,
    'last-updated-ms': Math.max(now, ...table.snapshots.slice(-1).map((snapshot) => snapshot['timestamp-ms'])),
    'metadata-log': baseLocation === undefined ? [] : grownLog(table, base as TableMetadata, baseLocation),
  }
}

const EMPTY: TableMetadata = {
  'format-version': 2,
  'table-uuid': '',
  location: '',
  'last-sequence-number': 0,
  'last-updated-ms': 0,
  'last-column-id': 0,
  schemas: [],
  'current-schema-id': -1,
  'partition-specs': [],
  'default-spec-id': -1,
  'last-partition-id': LAST_PARTITION_ID_OF_NONE,
  'sort-orders': [],
  'default-sort-order-id': -1,
  properties: {},
  snapshots: [],
  'snapshot-log': [],
  'metadata-log': [],
  refs: {},
}

function apply(table: TableMetadata, update: TableUpdate): TableMetadata {
  switch (update.action) {
    case 'assign-uuid':
      return { ...table, 'table-uuid': update.uuid }
    case 'upgrade-format-version':
      return upgraded(table)
    case 'set-location':
      return { ...table, location: update.location }
    case 'add-schema':
      return {
        ...table,
        schemas: [...table.schemas, update.schema],
        'last-column-id': Math.max(table['last-column-id'], highestFieldId(update.schema)),
      }
    case 'set-current-schema':
      return { ...table, 'current-schema-id': pick(update['schema-id'], table.schemas.at(-1)?.['schema-id']) }
    case 'add-spec':
      return { ...table, 'partition-specs': [...table['partition-specs'], update.spec] }
    case 'set-default-spec':
      return { ...table, 'default-spec-id': pick(update['spec-id'], table['partition-specs'].at(-1)?.['spec-id']) }
    case 'add-sort-order':
      return { ...table, 'sort-orders': [...table['sort-orders'], update['sort-order']] }
    case 'set-default-sort-order':
      return {
        ...table,
        'default-sort-order-id': pick(update['sort-order-id'], table['sort-orders'].at(-1)?.['order-id']),
      }
    case 'set-properties':
      return { ...table, properties: { ...table.properties, ...update.updates } }
    case 'remove-properties':
      return {
        ...table,
        properties: Object.fromEntries(
          Object.entries(table.properties).filter(([key]) => !update.removals.includes(key)),
        ),
      }
    case 'add-snapshot':
      return withSnapshot(table, update.snapshot)
    case 'set-snapshot-ref':
      return withMain(table, update['snapshot-id'])
    case 'remove-snapshots':
      return withoutSnapshots(table, new Set(update['snapshot-ids']))
    case 'remove-snapshot-ref':
      return withoutRef(table, update['ref-name'])
  }
}

function withSnapshot(table: TableMetadata, snapshot: Snapshot): TableMetadata {
  if (table.snapshots.some((each) => each['snapshot-id'] === snapshot['snapshot-id']))
    throw new PseudolakeError('internal/bug', 'a snapshot id must be new to the table')
  if (snapshot['sequence-number'] <= table['last-sequence-number'])
    throw new PseudolakeError('internal/bug', 'a sequence number must be above the last one')
  return {
    ...table,
    snapshots: [...table.snapshots, snapshot],
    'last-sequence-number': snapshot['sequence-number'],
  }
}

/** The snapshot log takes the snapshot's own time: Iceberg's expiry refuses a log that does not end with the current snapshot. */
function withMain(table: TableMetadata, id: bigint): TableMetadata {
  const snapshot = table.snapshots.find((each) => each['snapshot-id'] === id)
  if (!snapshot) throw new PseudolakeError('internal/bug', 'main must name a snapshot of the table')
  return {
    ...table,
    'current-snapshot-id': id,
    'snapshot-log': [...table['snapshot-log'], { 'timestamp-ms': snapshot['timestamp-ms'], 'snapshot-id': id }],
    refs: { ...table.refs, [MAIN]: { ...table.refs[MAIN], 'snapshot-id': id, type: 'branch' } },
  }
}

/**
 * What the log says before an entry that names a removed snapshot is dropped too: whoever travels in time by the log must not be led to
 * a snapshot that was not the current one then.
 */
function withoutSnapshots(table: TableMetadata, ids: ReadonlySet<bigint>): TableMetadata {
  if (Object.values(table.refs).some((ref) => ids.has(ref['snapshot-id'])))
    throw new PseudolakeError('internal/bug', 'a snapshot that a branch or tag names must stay')
  const log = table['snapshot-log']
  const last = log.findLastIndex((entry) => ids.has(entry['snapshot-id']))
  return {
    ...withoutStatistics(table, ids),
    snapshots: table.snapshots.filter((snapshot) => !ids.has(snapshot['snapshot-id'])),
    'snapshot-log': log.slice(last + 1),
  }
}

function withoutRef(table: TableMetadata, name: string): TableMetadata {
  if (name === MAIN) throw new PseudolakeError('internal/bug', 'main must stay')
  const { [name]: _, ...refs } = table.refs
  return { ...table, refs }
}

/** Version 1's files count as sequence number 0, and its single schema and spec were moved when it was read: only the number changes. */
function upgraded(table: TableMetadata): TableMetadata {
  if (table['format-version'] > 2)
    throw new PseudolakeError('internal/bug', `format version ${table['format-version']} cannot become 2`)
  return { ...table, 'format-version': 2 }
}

function grownLog(table: TableMetadata, base: TableMetadata, baseLocation: string) {
  const asked = Number(table.properties['write.metadata.previous-versions-max'] ?? DEFAULT_PREVIOUS_VERSIONS)
  const kept = Number.isSafeInteger(asked) && asked >= 1 ? asked : DEFAULT_PREVIOUS_VERSIONS
  const entry = { 'timestamp-ms': base['last-updated-ms'], 'metadata-file': baseLocation }
  return [...table['metadata-log'], entry].slice(-kept)
}

function pick(id: number, last: number | undefined): number {
  return id === -1 && last !== undefined ? last : id
}
