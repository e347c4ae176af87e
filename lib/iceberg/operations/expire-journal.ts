import type { Storage, StoredObject } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'
import { type Snapshot, snapshotById, statisticsFiles, type TableMetadata } from '../metadata.ts'
import { IN_FLIGHT_MS } from './lying-files.ts'
import { type GoneSnapshot, readIfThere } from './sweep.ts'

/**
 * What an expiry is about to take away, written before its commit: the metadata that knows the snapshots is not the table's any more
 * after it. An expiry that was killed, or that never heard whether its commit happened, is finished from here by the next one. Whether
 * the commit happened, the table says: its snapshots are gone, or they are there.
 */

const VERSION = 1

interface Journal {
  readonly version: typeof VERSION
  readonly table: string
  readonly snapshots: readonly { readonly id: string; readonly list?: string; readonly statistics: readonly string[] }[]
}

export function journalLocation({ location }: TableMetadata, runId: string, attempt: number): string {
  return `${location}/metadata/${PREFIX}${runId}-${attempt}.json`
}

/** In front of the name: readers of tables skip what begins so. */
const PREFIX = '_expire-'

export function goneSnapshots(metadata: TableMetadata, snapshots: readonly Snapshot[]): GoneSnapshot[] {
  const statistics = statisticsFiles(metadata)
  return snapshots.map(({ 'snapshot-id': id, 'manifest-list': list }) => ({
    id,
    list,
    statistics: statistics.flatMap(({ snapshotId, path }) => (snapshotId === id ? [path] : [])),
  }))
}

export async function writeJournal(
  storage: Storage,
  location: string,
  table: string,
  gone: readonly GoneSnapshot[],
): Promise<void> {
  const journal: Journal = {
    version: VERSION,
    table,
    snapshots: gone.map(({ id, list, statistics }) => ({
      id: id.toString(),
      ...(list !== undefined && { list }),
      statistics,
    })),
  }
  await storage.create(storageLocation(location), new TextEncoder().encode(JSON.stringify(journal)))
}

export interface Unfinished {
  readonly location: string
  /** Those of its snapshots that the table has no longer. */
  readonly gone: readonly GoneSnapshot[]
  /** Whether nothing more will come of it. */
  readonly over: boolean
}

/** What earlier expiries left to do, as far as the table says that their commits happened. */
export async function unfinishedExpiries(
  storage: Storage,
  metadata: TableMetadata,
  now: number,
): Promise<readonly Unfinished[]> {
  const found: StoredObject[] = []
  for await (const object of storage.list(`${storageLocation(metadata.location)}/metadata/${PREFIX}`))
    found.push(object)
  const unfinished: Unfinished[] = []
  for (const { location, modified } of found) {
    const journal = parsed(await readIfThere(storage, location))
    // Of another table that was here before, of a later version, or cut off: the search for orphans has it one day.
    if (!journal || journal.table !== metadata['table-uuid']) continue
    const snapshots = journal.snapshots.map(({ id, list, statistics }) => ({ id: BigInt(id), list, statistics }))
    const gone = snapshots.filter(({ id }) => !snapshotById(metadata, id))
    // A commit whose answer was lost may still land.
    const over = gone.length === snapshots.length || now - modified >= IN_FLIGHT_MS
    unfinished.push({ location, gone, over })
  }
  return unfinished
}

function parsed(bytes: Uint8Array | undefined): Journal | undefined {
  try {
    const journal = JSON.parse(new TextDecoder().decode(bytes)) as Journal
    const known =
      journal.version === VERSION &&
      journal.snapshots.every(({ id, statistics }) => /^\d+$/.test(id) && Array.isArray(statistics))
    return known ? journal : undefined
  } catch {
    return undefined
  }
}
