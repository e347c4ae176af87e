/** Where the ledgers of a table's jobs lie, which of them are still read, and what of runs that have not ended lies beside them. */

import type { TableIdentifier } from '../../lib/iceberg/catalogs/catalog.ts'
import { LocationSet } from '../../lib/iceberg/location-set.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { readIfThere } from '../../lib/iceberg/operations/sweep.ts'
import type { Storage, StoredObject } from '../../lib/storage/storage.ts'
import { begunRun, listedFiles } from '../batch/unpublished.ts'
import { isHeader, type LedgerRef, readLedgerFile } from '../ledger-file.ts'
import { dataFolder, markProperty, readMark } from '../marks.ts'

const MARK_PREFIX = markProperty('')

/** Jobs that have a batch mark in the table. */
export function markedJobs({ properties }: TableMetadata): string[] {
  return Object.keys(properties)
    .filter((name) => name.startsWith(MARK_PREFIX))
    .map((name) => name.slice(MARK_PREFIX.length))
    .sort()
}

export interface LedgerFolders {
  /** Files of the chains that marks name. */
  readonly reached: LocationSet
  /** Folders of ledgers, with the epoch below which no ledger is needed any more. */
  readonly folders: ReadonlyMap<string, number>
}

/** @throws PseudolakeError `table/mark-unreadable`: which ledgers are needed is not known then */
export async function ledgerFolders(storage: Storage, metadata: TableMetadata): Promise<LedgerFolders> {
  const reached = new LocationSet()
  const folders = new Map<string, number>()
  for (const job of markedJobs(metadata)) {
    let ref: LedgerRef | undefined = readMark(metadata.properties, job)?.ledger
    while (ref) {
      const { location }: LedgerRef = ref
      reached.add(location)
      folders.set(folderOf(location), epochOf(location))
      let previous: LedgerRef | undefined
      for await (const value of readLedgerFile(storage, ref)) if (isHeader(value)) previous = value.previous
      ref = previous
    }
  }
  return { reached, folders }
}

/** Names of the data files that the table's jobs say they wrote, each location once. @throws as `ledgerFolders` */
export async function ledgerFiles(storage: Storage, metadata: TableMetadata): Promise<LocationSet> {
  const files = new LocationSet()
  const data = `${dataFolder(metadata)}/`
  for (const job of markedJobs(metadata)) {
    let ref: LedgerRef | undefined = readMark(metadata.properties, job)?.ledger
    while (ref) {
      let previous: LedgerRef | undefined
      for await (const value of readLedgerFile(storage, ref)) {
        if (isHeader(value)) previous = value.previous
        else for (const name of value.files) files.add(`${data}${name}`)
      }
      ref = previous
    }
  }
  return files
}

export interface LedgerRoots {
  /** Folders of all ledgers of the table, without slash at the end. */
  readonly ledgers: readonly string[]
  /** Folders in which finished files are listed that no commit has published yet. */
  readonly unpublished: readonly string[]
}

/**
 * Where the marks say that ledgers are, and where they are by default: a run that never committed has no mark.
 * @param state `output.state` of a configuration, where one is at hand
 * @param table its name in a catalog, where it was named: its folder may be called otherwise
 */
export function ledgerRoots(
  metadata: TableMetadata,
  folders: Iterable<string>,
  state?: string,
  table?: TableIdentifier,
): LedgerRoots {
  const warehouse = folderOf(folderOf(storageLocation(metadata.location)))
  const uuid = metadata['table-uuid']
  const [name, database] = storageLocation(metadata.location).split('/').reverse()
  const states = new Set([
    `${warehouse}/_pseudolake`,
    ...(state === undefined ? [] : [state]),
    ...[...folders].map((folder) => folderOf(folderOf(folder))),
  ])
  const names = new Set([`${database}.${name}`, ...(table ? [`${table.database}.${table.name}`] : [])])
  return {
    ledgers: uuid === '' ? [] : [...states].map((each) => `${each}/${uuid}`),
    unpublished: [...states].flatMap((each) => [...names].map((called) => `${each}/unpublished/${called}`)),
  }
}

/** What runs that have not ended may still publish, and what the next run may take over from those that were killed. */
export class Waiting {
  readonly #files = new LocationSet()
  readonly #runs = new Set<string>()
  readonly #folders: readonly string[]

  private constructor(folders: readonly string[]) {
    this.#folders = folders.map((folder) => `${folder}/`)
  }

  static async read(storage: Storage, folders: readonly string[], signal?: AbortSignal): Promise<Waiting> {
    const waiting = new Waiting(folders)
    for (const folder of folders)
      for await (const { location } of storage.list(`${folder}/`)) {
        signal?.throwIfAborted()
        const name = nameOf(location)
        const run = begunRun(name)
        if (run !== undefined) waiting.#runs.add(run)
        if (!name.endsWith('.json') || name.startsWith('_')) continue
        const bytes = await readIfThere(storage, location)
        const files = bytes && listedFiles(bytes)
        for (const file of files ?? []) waiting.#files.add(storageLocation(file))
        // Of a later version, perhaps: then all that its run wrote counts as listed.
        if (bytes && !files) waiting.#runs.add(name.replace(/-\d+\.json$/, ''))
      }
    return waiting
  }

  /** Whether the file must stay: its run has begun and not ended, or it is listed for the next one, or is such a list. */
  has(location: string): boolean {
    const name = nameOf(location)
    if (this.#files.has(location)) return true
    if (this.#folders.some((folder) => location.startsWith(folder)) && !name.startsWith('_')) return true
    for (const run of this.#runs)
      if (name.startsWith(`${run}-`) || name.includes(`-${run}-`) || name.endsWith(`-${run}.jsonl`)) return true
    return false
  }
}

export interface LyingLedger extends StoredObject {
  /** `earlier-ledger`: taken up by a later one. */
  readonly kind: 'earlier-ledger' | 'orphan'
}

/** Files under a table's ledger folders that no mark names. */
export async function* lyingLedgers(
  storage: Storage,
  { ledgers, unpublished }: LedgerRoots,
  { reached, folders }: LedgerFolders,
  signal?: AbortSignal,
): AsyncGenerator<LyingLedger, void, undefined> {
  for (const root of [...ledgers, ...unpublished])
    for await (const object of storage.list(`${root}/`)) {
      signal?.throwIfAborted()
      if (reached.has(object.location)) continue
      const needed = folders.get(folderOf(object.location))
      const epoch = epochOf(object.location)
      yield { ...object, kind: needed !== undefined && epoch > 0 && epoch < needed ? 'earlier-ledger' : 'orphan' }
    }
}

export function folderOf(location: string): string {
  return location.slice(0, location.lastIndexOf('/'))
}

/** The epoch in a ledger's name; 0 where it has another form. */
export function epochOf(location: string): number {
  return Number(/\/(\d{8,})-[^/]*\.jsonl$/.exec(location)?.[1] ?? 0)
}

function nameOf(location: string): string {
  return location.slice(location.lastIndexOf('/') + 1)
}
