import { PseudolakeError } from '../../core/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import { commit } from '../commit.ts'
import { storageLocation } from '../locations.ts'
import { type Snapshot, snapshotById, type TableMetadata } from '../metadata.ts'
import { applyUpdates, type TableUpdate } from '../updates.ts'
import { goneSnapshots, journalLocation, type Unfinished, unfinishedExpiries, writeJournal } from './expire-journal.ts'
import { removeOldMetadata } from './old-metadata.ts'
import { foldersOf, type Removed, Remover } from './remove-files.ts'
import { type Expiry, planExpiry, type RetentionPolicy } from './retention.ts'
import type { OperationContext } from './snapshot.ts'
import { sweep } from './sweep.ts'
import { requireRunId, upgradeUpdates } from './writable.ts'

/**
 * Takes snapshots that a table has outlived out of it, and then the files that only they needed, in this order: a reader of the table never
 * meets a file that is gone, wherever it is cut short. Files that no snapshot ever had are `removeOrphans`' matter.
 */

export interface ExpireOptions extends Pick<RetentionPolicy, 'olderThan' | 'keepLast'> {
  /** Snapshots of a table that stay whatever their age; asked in every try. */
  readonly keep?: (metadata: TableMetadata) => ReadonlySet<bigint>
  /** In the name of what is written, `[A-Za-z0-9-]{1,64}`. */
  readonly runId: string
  /** After each file that was removed. */
  readonly onRemoved?: (removed: number) => void
}

export interface ExpireResult {
  readonly table: TableState
  /** Tries that the commit took; 0 where no snapshot and no ref was to go. */
  readonly attempts: number
  /** Whether this commit made a table of format version 1 one of version 2. */
  readonly upgraded: boolean
  readonly snapshots: readonly bigint[]
  readonly refs: readonly string[]
  readonly removed: Removed
  /** Earlier expiries that were cut short and are finished now. */
  readonly resumed: number
}

/**
 * Memory: 16 to 32 bytes for each file of the table, and the manifests' entries of the lists that are compared.
 * @throws PseudolakeError `table/conflict`, `table/unsupported` (format version 3, `gc.enabled=false`); `table/commit-unknown`, after which
 *   nothing was removed: the next expiry finishes it, if the table says that it happened
 */
export async function expireSnapshots(
  catalog: Catalog,
  table: TableIdentifier,
  options: ExpireOptions,
  context: OperationContext,
): Promise<ExpireResult> {
  requireRunId(options.runId)
  const { storage } = catalog
  const { clock, signal } = context
  const before = await catalog.load(table)
  requireExpirable(before.metadata)
  const unfinished = await unfinishedExpiries(storage, before.metadata, clock.wall())
  const done = await commitExpiry(catalog, table, options, context)
  const state = done?.state ?? before
  const remover = new Remover({
    storage,
    roots: foldersOf(state.metadata),
    dry: false,
    ...(signal && { signal }),
    ...(options.onRemoved && { onRemoved: options.onRemoved }),
  })
  const mine: Unfinished[] = done ? [{ location: done.journal, gone: done.gone, over: true }] : []
  await finish(storage, state.metadata, [...unfinished, ...mine], remover, signal)
  await removeOldMetadata(storage, state, clock.wall(), remover, signal)
  return {
    table: state,
    attempts: done?.attempts ?? 0,
    upgraded: done?.upgraded ?? false,
    snapshots: done?.gone.map(({ id }) => id) ?? [],
    refs: done?.refs ?? [],
    removed: remover.removed,
    resumed: unfinished.filter(({ gone }) => gone.length > 0).length,
  }
}

export type ExpirePlan = Omit<ExpireResult, 'attempts' | 'upgraded'>

/** What `expireSnapshots` would do now; writes nothing. */
export async function planExpireSnapshots(
  { storage, load }: Pick<Catalog, 'storage' | 'load'>,
  table: TableIdentifier,
  options: Omit<ExpireOptions, 'runId' | 'onRemoved'>,
  { clock, signal }: Pick<OperationContext, 'clock' | 'signal'>,
): Promise<ExpirePlan> {
  const state = await load(table)
  const { metadata } = state
  requireExpirable(metadata)
  const now = clock.wall()
  const unfinished = await unfinishedExpiries(storage, metadata, now)
  const expiry = expiryOf(metadata, options, now)
  const after = applyUpdates(metadata, state.metadataLocation, removals(expiry), now)
  const remover = new Remover({ storage, roots: foldersOf(metadata), dry: true, ...(signal && { signal }) })
  const gone = [...unfinished.flatMap((each) => each.gone), ...goneSnapshots(metadata, expiry.snapshots)]
  if (gone.length > 0) await sweep({ storage, metadata: after, gone, remover, ...(signal && { signal }) })
  await removeOldMetadata(storage, state, now, remover, signal)
  return {
    table: state,
    snapshots: expiry.snapshots.map((snapshot) => snapshot['snapshot-id']),
    refs: expiry.refs,
    removed: remover.removed,
    resumed: unfinished.filter((each) => each.gone.length > 0).length,
  }
}

/**
 * Files of a table that shares them must not be removed by what one table says of them.
 * @throws PseudolakeError `table/unsupported`
 */
export function requireExpirable({ location, properties, 'format-version': version }: TableMetadata): void {
  const unsupported = (what: string) => new PseudolakeError('table/unsupported', `${location}: ${what}`, { location })
  if (version === 3) throw unsupported('tables of format version 3 are read, not written')
  if (properties['gc.enabled']?.trim().toLowerCase() === 'false')
    throw unsupported('gc.enabled is false: its files may be other tables’ too, so nothing is removed')
}

function expiryOf(metadata: TableMetadata, { olderThan, keepLast, keep }: Omit<ExpireOptions, 'runId'>, now: number) {
  return planExpiry(metadata, {
    now,
    ...(olderThan !== undefined && { olderThan }),
    ...(keepLast !== undefined && { keepLast }),
    ...(keep && { keep: keep(metadata) }),
  })
}

function removals({ snapshots, refs }: Expiry): TableUpdate[] {
  const ids = snapshots.map((snapshot: Snapshot) => snapshot['snapshot-id'])
  return [
    ...refs.map((name) => ({ action: 'remove-snapshot-ref', 'ref-name': name }) as const),
    ...(ids.length > 0 ? [{ action: 'remove-snapshots', 'snapshot-ids': ids } as const] : []),
  ]
}

/** Thrown by a try that finds that somebody else expired it all. */
class NothingToExpire extends Error {}

async function commitExpiry(
  catalog: Catalog,
  table: TableIdentifier,
  options: ExpireOptions,
  context: OperationContext,
) {
  let expiry: Expiry = { snapshots: [], refs: [] }
  let gone: ReturnType<typeof goneSnapshots> = []
  let journal = ''
  let upgraded = false
  try {
    const { state, attempts } = await commit(
      {
        catalog,
        table,
        create: false,
        prepared: [],
        uses: (_, file) => file === journal,
        // Another expiry of the same snapshots is as good as this one: what is to be removed then is the same.
        isIn: (metadata) =>
          gone.every(({ id }) => !snapshotById(metadata, id)) &&
          expiry.refs.every((name) => !Object.hasOwn(metadata.refs, name)),
        async stage(base, attempt, files) {
          if (!base) return []
          const { metadata } = base
          requireExpirable(metadata)
          expiry = expiryOf(metadata, options, context.clock.wall())
          if (expiry.snapshots.length + expiry.refs.length === 0) throw new NothingToExpire()
          gone = goneSnapshots(metadata, expiry.snapshots)
          const upgrade = upgradeUpdates(metadata, context.uuid)
          const assigned = upgrade.find((update) => update.action === 'assign-uuid')
          upgraded = upgrade.length > 0
          journal = journalLocation(metadata, options.runId, attempt)
          files.push(journal)
          await writeJournal(catalog.storage, journal, assigned?.uuid ?? metadata['table-uuid'], gone)
          return [...upgrade, ...removals(expiry)]
        },
      },
      context,
    )
    // By the catalog's answer: what it kept, for whatever reason, is needed.
    const absent = gone.filter(({ id }) => !snapshotById(state.metadata, id))
    return { state, attempts, upgraded, gone: absent, refs: expiry.refs, journal }
  } catch (error) {
    if (error instanceof NothingToExpire) return undefined
    throw error
  }
}

/** A list of what is to be removed goes last; one that something is left of stays. */
async function finish(
  storage: Storage,
  metadata: TableMetadata,
  expiries: readonly Unfinished[],
  remover: Remover,
  signal: AbortSignal | undefined,
): Promise<void> {
  const gone = expiries.flatMap((each) => each.gone)
  if (gone.length > 0) await sweep({ storage, metadata, gone, remover, ...(signal && { signal }) })
  if (remover.removed.failed > 0) return
  for (const { location, over } of expiries) if (over) await storage.delete(storageLocation(location))
}
