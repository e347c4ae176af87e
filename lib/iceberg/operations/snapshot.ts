import { PseudolakeError } from '../../core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import { type CommitContext, commit } from '../commit.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { type ManifestFile, writeManifestList } from '../manifest-list.ts'
import type { TableMetadata } from '../metadata.ts'
import { currentSchema, currentSnapshot, type Snapshot, snapshotById } from '../metadata.ts'
import { type PreparedManifests, prepareManifests } from '../prepare.ts'
import { manifestsOf } from '../scan.ts'
import { newSnapshotId, type Operation, summaryOf } from '../snapshot.ts'
import type { Schema } from '../types.ts'
import { createUpdates, snapshotUpdates, type TableUpdate } from '../updates.ts'
import { requireFields, requireRunId, requireWritable, specToWrite, upgradeUpdates } from './writable.ts'

/** What append and overwrite have in common: one snapshot, and what changes with it, in one commit. */

export interface SnapshotOptions {
  /** Data files to add, with metrics and field ids of `schema`; none makes an empty snapshot. */
  readonly files: readonly DataFile[]
  /**
   * Of whose age the rows of the files are: deletes of higher sequence numbers are about them. @default the new snapshot's own, as new rows
   * have it
   */
  readonly dataSequence?: number
  /** The schema whose field ids the files carry; the new table's, where one is made. */
  readonly schema: Schema
  /** Makes the table with this commit where there is none. Without it a missing table is `table/not-found`. */
  readonly create?: {
    readonly properties: Readonly<Record<string, string>>
    /** Of the new table, where something that is written before needs to know it. @default a random one */
    readonly uuid?: string
  }
  /** `schema` is the table's with columns more: becomes its current one in the same swap, if that of this id still is. */
  readonly growsFrom?: number
  /** Table properties to set in the same swap. */
  readonly setProperties?: Readonly<Record<string, string>>
  /** Keys of the snapshot's summary beside the counted ones. */
  readonly summary?: Readonly<Record<string, string>>
  /**
   * Called in every try with the table it builds on, undefined for none: throw to stop. An append is never refused by Iceberg itself, so
   * this is what keeps a second runner or one that slept too long from adding its files twice.
   */
  readonly check?: (metadata: TableMetadata | undefined) => void | Promise<void>
  /** In the name of every file written, `[A-Za-z0-9-]{1,64}`: whose it is when something is left over. */
  readonly runId: string
}

export interface OperationContext extends CommitContext {
  /** A random UUID. */
  readonly uuid: () => string
}

export interface SnapshotResult {
  readonly table: TableState
  readonly snapshotId: bigint
  /** Tries it took, 1 without a conflict. */
  readonly attempts: number
  readonly created: boolean
  /** Whether this commit made a table of format version 1 one of version 2. */
  readonly upgraded: boolean
}

/** How the manifests of a table go on into the next snapshot. */
export interface Carried {
  readonly manifests: readonly ManifestFile[]
  readonly removed: readonly DataFile[]
}

export interface Carrying {
  readonly metadata: TableMetadata
  readonly manifests: readonly ManifestFile[]
  readonly snapshotId: bigint
  readonly sequenceNumber: number
  /** Location for the n-th further manifest of this commit. */
  nameOf(n: string): string
  /** Takes the location of each file before it is written. */
  readonly written: string[]
}

/**
 * @param carry what becomes of the table's manifests, in each try
 * @throws PseudolakeError `table/conflict`, `table/commit-unknown`, `table/unsupported`, `table/schema-changed`, and what `check` throws.
 *   Whatever the failure, the data files are the caller's to keep or remove; after `table/commit-unknown` they must stay.
 */
export async function commitSnapshot(
  catalog: Catalog,
  table: TableIdentifier,
  options: SnapshotOptions,
  operation: Operation,
  carry: (carrying: Carrying) => Promise<Carried>,
  context: OperationContext,
): Promise<SnapshotResult> {
  const { files, dataSequence, schema, create, growsFrom, setProperties = {}, summary, check, runId } = options
  const { storage } = catalog
  const { uuid } = context
  requireRunId(runId)
  requireDistinct(files)

  const commitId = `${runId}-${uuid()}`
  const prepared: string[] = []
  let manifests: PreparedManifests | undefined
  let snapshotId: bigint | undefined
  let pinned: string | undefined
  let created = false
  let upgraded = false

  const { state, attempts } = await commit(
    { catalog, table, create: create !== undefined, stage, isIn, uses, prepared },
    context,
  )
  return { table: state, snapshotId: snapshotId as bigint, attempts, created, upgraded }

  async function stage(base: TableState | undefined, attempt: number, written: string[]): Promise<TableUpdate[]> {
    const metadata = base?.metadata
    if (metadata) {
      requireWritable(metadata)
      requireSameTable(metadata)
      if (growsFrom === undefined) requireFields(metadata, schema)
      else requireSchema(metadata, growsFrom)
    }
    await check?.(metadata)
    const grows = metadata !== undefined && growsFrom !== undefined
    created = metadata === undefined
    upgraded = metadata?.['format-version'] === 1

    const first: TableUpdate[] = metadata
      ? upgradeUpdates(metadata, uuid)
      : createUpdates({
          uuid: create?.uuid ?? uuid(),
          location: await catalog.newTableLocation(table),
          schema,
          properties: create?.properties ?? {},
        })
    const location = metadata?.location ?? (await catalog.newTableLocation(table))
    const nameOf = (n: string) => `${location}/metadata/${commitId}-${n}.avro`
    snapshotId ??= newSnapshotId(uuid, (id) => metadata !== undefined && snapshotById(metadata, id) !== undefined)
    manifests ??= await prepareManifests(
      storage,
      {
        schema: metadata && !grows ? currentSchema(metadata) : schema,
        spec: (metadata && specToWrite(metadata)) ?? { 'spec-id': 0, fields: [] },
        files,
        snapshotId,
        ...(dataSequence !== undefined && { dataSequence }),
      },
      (n) => nameOf(`m${n}`),
      prepared,
    )

    const parent = metadata && currentSnapshot(metadata)
    const sequenceNumber = (metadata?.['last-sequence-number'] ?? 0) + 1
    const carried: Carried = metadata
      ? await carry({
          metadata,
          manifests: parent ? await manifestsOf(storage, parent) : [],
          snapshotId,
          sequenceNumber,
          nameOf,
          written,
        })
      : { manifests: [], removed: [] }

    const list = `${location}/metadata/snap-${snapshotId}-${attempt}-${commitId}.avro`
    written.push(list)
    await storage.create(
      storageLocation(list),
      writeManifestList({
        snapshotId,
        parentSnapshotId: parent?.['snapshot-id'],
        sequenceNumber,
        manifests: [...manifests.listed(sequenceNumber), ...carried.manifests],
      }),
    )

    const snapshot: Snapshot = {
      'snapshot-id': snapshotId,
      ...(parent ? { 'parent-snapshot-id': parent['snapshot-id'] } : {}),
      'sequence-number': sequenceNumber,
      'timestamp-ms': Math.max(context.clock.wall(), metadata?.['last-updated-ms'] ?? 0),
      'manifest-list': list,
      summary: summaryOf({ operation, added: files, removed: carried.removed }, parent, summary),
      'schema-id': (grows ? undefined : metadata?.['current-schema-id']) ?? schema['schema-id'],
    }
    const growth: TableUpdate[] = [
      { action: 'add-schema', schema },
      { action: 'set-current-schema', 'schema-id': schema['schema-id'] },
    ]
    return [
      ...first,
      ...(grows ? growth : []),
      ...(Object.keys(setProperties).length > 0 ? [{ action: 'set-properties', updates: setProperties } as const] : []),
      ...snapshotUpdates(snapshot),
    ]
  }

  function requireSchema(metadata: TableMetadata, id: number): void {
    if (metadata['current-schema-id'] === id) return
    throw new PseudolakeError('table/changed', `${metadata.location}: its schema changed meanwhile`, {
      location: metadata.location,
    })
  }

  function isIn(metadata: TableMetadata): boolean {
    return snapshotId !== undefined && snapshotById(metadata, snapshotId) !== undefined
  }

  /** Lists other than the committed one are of no use; other files (merged, rewritten manifests) may be used by any later try. */
  function uses(metadata: TableMetadata, file: string): boolean {
    if (!/\/snap-[^/]+$/.test(file)) return true
    return snapshotId !== undefined && snapshotById(metadata, snapshotId)?.['manifest-list'] === file
  }

  function requireSameTable(metadata: TableMetadata): void {
    if (pinned !== undefined && pinned !== metadata['table-uuid'])
      throw new PseudolakeError('table/conflict', `${metadata.location} was dropped and made again by somebody else`, {
        location: metadata.location,
      })
    pinned = metadata['table-uuid']
  }
}

/** A path twice in one snapshot gives undefined results (specification, "Manifests"). */
function requireDistinct(files: readonly DataFile[]): void {
  if (new Set(files.map(({ path }) => path)).size !== files.length)
    throw new PseudolakeError('options/invalid', 'files: expected each path once')
}
