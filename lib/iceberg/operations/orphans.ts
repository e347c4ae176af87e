import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { Catalog, TableIdentifier, TableState } from '../catalogs/catalog.ts'
import { LocationSet } from '../location-set.ts'
import { storageLocation } from '../locations.ts'
import { requireExpirable } from './expire.ts'
import { IN_FLIGHT_MS, type LyingFile, lyingFiles } from './lying-files.ts'
import { reachAll } from './reach.ts'
import { foldersOf, type Removed, Remover } from './remove-files.ts'
import type { OperationContext } from './snapshot.ts'

export interface OrphanOptions {
  /** Milliseconds; nothing younger than three days is removed. @default 3 days */
  readonly olderThanMs?: number
  /** Files that somebody may still publish, whatever their age: they stay. */
  readonly isNeeded?: (location: string) => boolean
  /** Counts and removes nothing. @default false */
  readonly dry?: boolean
  /** After each file that was removed. */
  readonly onRemoved?: (removed: number) => void
}

export interface OrphanResult {
  readonly removed: Removed
  /** Orphans that are younger than asked for. */
  readonly young: number
  /** Orphans that `isNeeded` wants kept. */
  readonly needed: number
}

/** Orphans that are held before they are removed: the table is read again in between. */
const TOGETHER = 1000

/**
 * Removes files under the table's folder that nothing in it reaches, as `lyingFiles` finds them. Right before they go, the table is looked
 * at again: what was published meanwhile is none. Folders outside, to which properties may send files, are not searched.
 * @throws PseudolakeError `options/invalid` for an age below three days; `storage/not-found`, `table/invalid` where something that the
 *   table has cannot be read: what is an orphan is not known then, and nothing is removed
 */
export async function removeOrphans(
  catalog: Pick<Catalog, 'storage' | 'load'>,
  table: TableIdentifier,
  options: OrphanOptions,
  { clock, signal }: Pick<OperationContext, 'clock' | 'signal'>,
): Promise<OrphanResult> {
  const { olderThanMs = IN_FLIGHT_MS, isNeeded = () => false, dry = false, onRemoved } = options
  requireOrphanAge(olderThanMs)
  const { storage } = catalog
  const reached = new LocationSet()
  let state = await catalog.load(table)
  requireExpirable(state.metadata)
  await reachAll(storage, state, reached, signal)
  const remover = new Remover({
    storage,
    roots: foldersOf(state.metadata),
    dry,
    ...(signal && { signal }),
    ...(onRemoved && { onRemoved }),
  })
  const now = clock.wall()
  let [young, needed] = [0, 0]
  let found: LyingFile[] = []
  for await (const file of lyingFiles(storage, state, reached, signal)) {
    if (file.kind !== 'orphan') continue
    if (now - file.modified < olderThanMs) young++
    else if (isNeeded(file.location)) needed++
    else if (found.push(file) >= TOGETHER) await removeFound()
  }
  await removeFound()
  await removeUploads()
  return { removed: remover.removed, young, needed }

  /** Who may not ask for them leaves them to the bucket's own rule. */
  async function removeUploads(): Promise<void> {
    try {
      for await (const upload of storage.unfinished?.(`${storageLocation(state.metadata.location)}/`) ?? []) {
        signal?.throwIfAborted()
        const { location } = upload
        if (now - upload.begun < olderThanMs) young++
        else if (isNeeded(location)) needed++
        else await remover.add({ kind: 'uploads', location, remove: () => upload.abort() })
      }
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/denied', 'storage/unsupported')) throw error
    }
    await remover.settle()
  }

  async function removeFound(): Promise<void> {
    const orphans = found
    found = []
    if (orphans.length === 0) return
    state = await newest(catalog, table, state)
    await reachAll(storage, state, reached, signal)
    for (const { location, bytes } of orphans)
      if (!reached.has(location)) await remover.add({ kind: 'orphans', location, bytes })
    await remover.settle()
  }
}

/** @throws PseudolakeError `options/invalid` */
export function requireOrphanAge(olderThanMs: number): void {
  if (olderThanMs >= IN_FLIGHT_MS) return
  throw new PseudolakeError(
    'options/invalid',
    'orphans: expected an age of at least 3 days: a run that sleeps may be about to publish what is younger',
  )
}

async function newest(catalog: Pick<Catalog, 'load'>, table: TableIdentifier, before: TableState): Promise<TableState> {
  const state = await catalog.load(table)
  if (state.metadata['table-uuid'] === before.metadata['table-uuid']) return state
  const { location } = state.metadata
  throw new PseudolakeError('table/changed', `${location}: the table was dropped and made again meanwhile`, {
    location,
  })
}
