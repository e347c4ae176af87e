import { gunzipSync, gzipSync } from 'node:zlib'
import { PseudolakeError } from '../core/errors.ts'
import { type Json, type JsonObject, parseJson, stringifyJson } from '../core/json.ts'
import type { Schema } from './types.ts'

/**
 * Table metadata: metadata.json (Iceberg specification, "Table Metadata" and appendix C). Pure.
 *
 * Keys are the specification's own, and fields that this code does not know stay where they are: what another writer put there, and what
 * a later version of the format adds, comes back unchanged when we commit.
 */

export interface TableMetadata {
  readonly 'format-version': 1 | 2 | 3
  readonly 'table-uuid': string
  /** No slash at the end. */
  readonly location: string
  readonly 'last-sequence-number': number
  readonly 'last-updated-ms': number
  readonly 'last-column-id': number
  readonly schemas: readonly Schema[]
  readonly 'current-schema-id': number
  readonly 'partition-specs': readonly PartitionSpec[]
  readonly 'default-spec-id': number
  readonly 'last-partition-id': number
  readonly 'sort-orders': readonly SortOrder[]
  readonly 'default-sort-order-id': number
  readonly properties: Readonly<Record<string, string>>
  /** Missing while the table has no snapshot. */
  readonly 'current-snapshot-id'?: bigint
  readonly snapshots: readonly Snapshot[]
  readonly 'snapshot-log': readonly SnapshotLogEntry[]
  readonly 'metadata-log': readonly MetadataLogEntry[]
  readonly refs: Readonly<Record<string, SnapshotRef>>
}

export interface PartitionSpec {
  readonly 'spec-id': number
  readonly fields: readonly PartitionField[]
}

export interface PartitionField {
  readonly 'source-id': number
  readonly 'field-id': number
  readonly name: string
  readonly transform: string
}

export interface SortOrder {
  readonly 'order-id': number
  readonly fields: readonly { readonly 'source-id': number; readonly transform: string }[]
}

export interface Snapshot {
  readonly 'snapshot-id': bigint
  readonly 'parent-snapshot-id'?: bigint
  readonly 'sequence-number': number
  readonly 'timestamp-ms': number
  /** Missing in format version 1, where `manifests` may stand in its place. */
  readonly 'manifest-list'?: string
  readonly summary: Readonly<Record<string, string>>
  readonly 'schema-id'?: number
}

export interface SnapshotLogEntry {
  readonly 'timestamp-ms': number
  readonly 'snapshot-id': bigint
}

export interface MetadataLogEntry {
  readonly 'timestamp-ms': number
  readonly 'metadata-file': string
}

export interface SnapshotRef {
  readonly 'snapshot-id': bigint
  readonly type: 'branch' | 'tag'
  /** Of a branch: as many of its newest snapshots are kept, whatever their age. */
  readonly 'min-snapshots-to-keep'?: number
  /** Of a branch: snapshots that are younger are kept. */
  readonly 'max-snapshot-age-ms'?: number
  /** When the ref itself goes; main never does. */
  readonly 'max-ref-age-ms'?: number
}

/** Partition field ids start above this (specification, "Partition Evolution"). */
export const LAST_PARTITION_ID_OF_NONE = 999
export const MAIN = 'main'

/**
 * Reads metadata.json of format version 1, 2 or 3, gzipped or not. Version 1's single schema and spec are put where version 2 has them;
 * the version itself stays 1 until a commit upgrades it.
 * @throws PseudolakeError `table/invalid` with the field at fault; `table/unsupported` for a later version
 */
export function parseMetadata(bytes: Uint8Array, location: string): TableMetadata {
  const invalid = (what: string, cause: unknown) =>
    new PseudolakeError('table/invalid', `${location}: ${what}`, { location }, { cause })
  let json: Json
  try {
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
    json = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(plain))
  } catch (cause) {
    throw invalid('is not JSON', cause)
  }
  return metadataFrom(json, location)
}

/** As `parseMetadata`, of JSON that was read already (with lossless 64-bit integers), as a REST catalog answers with. */
export function metadataFrom(json: Json | undefined, location: string): TableMetadata {
  const invalid = (what: string) => new PseudolakeError('table/invalid', `${location}: ${what}`, { location })
  if (!isObject(json)) throw invalid('is not a JSON object')
  const version = json['format-version']
  if (version !== 1 && version !== 2 && version !== 3) {
    if (typeof version !== 'number') throw invalid('format-version is missing')
    throw new PseudolakeError('table/unsupported', `${location}: Iceberg format version ${version} is not known`, {
      location,
    })
  }

  const reader = fieldReader(json, invalid)
  const { schema: v1Schema, 'partition-spec': v1Spec, ...kept } = json
  const schemas = json.schemas ?? (isObject(v1Schema) ? [{ 'schema-id': 0, ...v1Schema }] : undefined)
  const specs =
    json['partition-specs'] ?? (Array.isArray(v1Spec) ? [{ 'spec-id': 0, fields: numberFields(v1Spec) }] : [])
  const current = json['current-snapshot-id']
  const { 'current-snapshot-id': _, ...rest } = kept
  const snapshots = reader.list('snapshots').map((snapshot) => snapshotFrom(snapshot, invalid))
  const currentId =
    current === undefined || current === null || Number(current) === -1 ? undefined : BigInt(current as number)
  if (currentId !== undefined && !snapshots.some((snapshot) => snapshot['snapshot-id'] === currentId))
    throw invalid('current-snapshot-id names no snapshot')

  const metadata = {
    ...rest,
    'format-version': version,
    // Optional in version 1; the first commit then gives the table one.
    'table-uuid': version === 1 && json['table-uuid'] === undefined ? '' : reader.text('table-uuid'),
    location: reader.text('location').replace(/(?<=.)\/+$/, ''),
    'last-sequence-number': version === 1 ? 0 : reader.integer('last-sequence-number'),
    'last-updated-ms': reader.integer('last-updated-ms'),
    'last-column-id': reader.integer('last-column-id'),
    schemas: requireList(schemas, 'schemas', invalid) as unknown as Schema[],
    'current-schema-id': version === 1 ? reader.integer('current-schema-id', 0) : reader.integer('current-schema-id'),
    'partition-specs': requireList(specs, 'partition-specs', invalid) as unknown as PartitionSpec[],
    'default-spec-id': version === 1 ? reader.integer('default-spec-id', 0) : reader.integer('default-spec-id'),
    'last-partition-id': lastPartitionId(json, specs as readonly Json[]),
    'sort-orders': (json['sort-orders'] as unknown as SortOrder[] | undefined) ?? [{ 'order-id': 0, fields: [] }],
    'default-sort-order-id': reader.integer('default-sort-order-id', 0),
    properties: (json.properties ?? {}) as Record<string, string>,
    ...(currentId === undefined ? {} : { 'current-snapshot-id': currentId }),
    snapshots,
    'snapshot-log': reader.list('snapshot-log').map((entry) => withId(entry, invalid)),
    'metadata-log': reader.list('metadata-log') as unknown as MetadataLogEntry[],
    refs: refsFrom(json.refs, currentId, invalid),
  } satisfies TableMetadata & Record<string, unknown>
  if (!metadata.schemas.some((schema) => schema['schema-id'] === metadata['current-schema-id']))
    throw invalid('current-schema-id names no schema')
  if (!metadata['partition-specs'].some((spec) => spec['spec-id'] === metadata['default-spec-id']))
    throw invalid('default-spec-id names no partition spec')
  return metadata
}

/** The bytes of metadata.json; gzipped where the file's name says so. */
export function serializeMetadata(metadata: TableMetadata, compression: 'none' | 'gzip' = 'none'): Uint8Array {
  const bytes = new TextEncoder().encode(stringifyJson(metadata))
  return compression === 'gzip' ? gzipSync(bytes) : bytes
}

export function currentSchema(metadata: TableMetadata): Schema {
  return metadata.schemas.find((schema) => schema['schema-id'] === metadata['current-schema-id']) as Schema
}

export function defaultSpec(metadata: TableMetadata): PartitionSpec {
  return metadata['partition-specs'].find((spec) => spec['spec-id'] === metadata['default-spec-id']) as PartitionSpec
}

export function snapshotById(metadata: TableMetadata, id: bigint): Snapshot | undefined {
  return metadata.snapshots.find((snapshot) => snapshot['snapshot-id'] === id)
}

export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  const id = metadata['current-snapshot-id']
  return id === undefined ? undefined : snapshotById(metadata, id)
}

/** A Puffin file that the metadata names (Iceberg specification, "Table Statistics" and "Partition Statistics"). */
export interface StatisticsFile {
  readonly snapshotId: bigint | undefined
  readonly path: string
  readonly bytes: number | undefined
}

export function statisticsFiles(metadata: TableMetadata): StatisticsFile[] {
  return STATISTICS.flatMap((name) => statisticsList(metadata, name)).flatMap((each) => {
    const { 'statistics-path': path, 'file-size-in-bytes': bytes, 'snapshot-id': id } = each
    if (typeof path !== 'string') return []
    const snapshotId = typeof id === 'bigint' || typeof id === 'number' ? BigInt(id) : undefined
    return [{ snapshotId, path, bytes: bytes === undefined ? undefined : Number(bytes) }]
  })
}

/** The metadata without the statistics of some snapshots. */
export function withoutStatistics(metadata: TableMetadata, snapshots: ReadonlySet<bigint>): TableMetadata {
  const changed: Record<string, unknown> = {}
  for (const name of STATISTICS) {
    const list = statisticsList(metadata, name)
    const kept = list.filter(({ 'snapshot-id': id }) => id === undefined || !snapshots.has(BigInt(id as bigint)))
    if (kept.length < list.length) changed[name] = kept
  }
  return { ...metadata, ...changed }
}

const STATISTICS = ['statistics', 'partition-statistics'] as const

function statisticsList(metadata: TableMetadata, name: (typeof STATISTICS)[number]): Record<string, unknown>[] {
  const list = (metadata as unknown as Record<string, unknown>)[name]
  return Array.isArray(list) ? (list as Record<string, unknown>[]) : []
}

/** Field ids of the table's default sort order. */
export function sortedBy(metadata: TableMetadata): number[] {
  const order = metadata['sort-orders'].find((each) => each['order-id'] === metadata['default-sort-order-id'])
  return (order?.fields ?? []).map((field) => field['source-id'])
}

type Invalid = (what: string) => PseudolakeError

function fieldReader(json: JsonObject, invalid: Invalid) {
  return {
    text(name: string): string {
      const value = json[name]
      if (typeof value !== 'string' || value === '') throw invalid(`${name}: expected a text`)
      return value
    },
    integer(name: string, missing?: number): number {
      const value = json[name] ?? missing
      if (!Number.isSafeInteger(value)) throw invalid(`${name}: expected an integer`)
      return value as number
    },
    list(name: string): readonly JsonObject[] {
      const value = json[name] ?? []
      if (!Array.isArray(value) || !value.every(isObject)) throw invalid(`${name}: expected a list of objects`)
      return value
    },
  }
}

function requireList(value: Json | undefined, name: string, invalid: Invalid): readonly Json[] {
  if (!Array.isArray(value) || value.length === 0 || !value.every(isObject))
    throw invalid(`${name}: expected a list, not empty`)
  return value
}

function snapshotFrom(json: JsonObject, invalid: Invalid): Snapshot {
  const parent = json['parent-snapshot-id']
  const { 'parent-snapshot-id': _, ...rest } = json
  return {
    ...rest,
    'snapshot-id': int64(json['snapshot-id'], 'snapshot-id', invalid),
    ...(parent === undefined || parent === null || Number(parent) === -1
      ? {}
      : { 'parent-snapshot-id': int64(parent, 'parent-snapshot-id', invalid) }),
    'sequence-number': Number(json['sequence-number'] ?? 0),
    'timestamp-ms': Number(json['timestamp-ms']),
    summary: (json.summary ?? {}) as Record<string, string>,
  }
}

function withId(json: JsonObject, invalid: Invalid): SnapshotLogEntry {
  return {
    'timestamp-ms': Number(json['timestamp-ms']),
    'snapshot-id': int64(json['snapshot-id'], 'snapshot-log', invalid),
  }
}

/** A table without refs (version 1, older writers) has the one that everybody means. */
function refsFrom(json: Json | undefined, current: bigint | undefined, invalid: Invalid): Record<string, SnapshotRef> {
  if (json !== undefined && json !== null && !isObject(json)) throw invalid('refs: expected an object')
  const refs: Record<string, SnapshotRef> = {}
  for (const [name, ref] of Object.entries(json ?? {})) {
    if (!isObject(ref)) throw invalid('refs: expected objects')
    refs[name] = {
      ...ref,
      'snapshot-id': int64(ref['snapshot-id'], 'refs', invalid),
      type: ref.type as 'branch' | 'tag',
    }
  }
  if (current !== undefined && refs[MAIN] === undefined) refs[MAIN] = { 'snapshot-id': current, type: 'branch' }
  return refs
}

function int64(value: Json | undefined, name: string, invalid: Invalid): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(`${name}: expected an integer`)
  return BigInt(value)
}

/** Version 1 specs may lack field ids: they are 1000, 1001, … in order. */
function numberFields(fields: readonly Json[]): Json[] {
  return fields.map((field, i) => ({ 'field-id': LAST_PARTITION_ID_OF_NONE + 1 + i, ...(field as JsonObject) }))
}

function lastPartitionId(json: JsonObject, specs: readonly Json[]): number {
  const given = json['last-partition-id']
  if (typeof given === 'number') return given
  const ids = specs.flatMap((spec) => (spec as unknown as PartitionSpec).fields.map((field) => field['field-id']))
  return Math.max(LAST_PARTITION_ID_OF_NONE, ...ids)
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
