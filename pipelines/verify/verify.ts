/**
 * Whether a table is what it says: every file that its snapshots reach, the pins of its replaced columns, the marks of its jobs, and what
 * lies about that nothing reaches. Reads and never writes. Memory does not grow with the data, and by 32 bytes a file with the table.
 */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { TableIdentifier, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import { currentSnapshot, statisticsFiles, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { openTable } from '../../lib/iceberg/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { ledgerRoots, Waiting } from '../tables/ledgers.ts'
import { checkDataFile, type DataFileChecks } from './data-file.ts'
import { type Finding, type FindingKind, Findings } from './findings.ts'
import { nothingReached, type Reached, reachableFiles } from './manifests.ts'
import { checkMarks, type JobSummary } from './marks.ts'
import { findLedgerOrphans, findTableOrphans, type OrphanChecks } from './orphans.ts'
import { protectedColumns } from './protected.ts'
import { checkStreams, type StreamSummary } from './streams.ts'

export interface VerifyOptions {
  readonly storage: Storage
  /** The state is what the table's catalog names now. Without a catalog its folder is asked whether there is a newer one. @default false */
  readonly current?: boolean
  /** `output.state` of a configuration: where the ledgers of runs that never committed are, if not in the warehouse. */
  readonly ledgers?: string
  /** Its name in a catalog, where it was named. */
  readonly table?: TableIdentifier
  /** Every page of every column, in place of footers, dictionaries and first pages of replaced columns. @default false */
  readonly full?: boolean
  /** Milliseconds since 1970: what is an orphan's age. */
  readonly now: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: VerifyProgress) => void
}

export interface VerifyProgress {
  readonly files: number
  /** Of the current snapshot; those of older ones come on top. */
  readonly totalFiles: number
  readonly bytes: number
  readonly findings: number
}

/** Keys as `--json` prints them. */
export interface VerifyReport {
  readonly status: 'clean' | 'needs-a-look'
  readonly location: string
  readonly metadata_location: string
  readonly snapshot_id: string | null
  readonly full: boolean
  /** Files that the table reaches, by what they are. */
  readonly checked: Reached['counts'] & { readonly bytes: number }
  readonly replaced_columns: readonly string[]
  readonly jobs: readonly JobSummary[]
  readonly streams: readonly StreamSummary[]
  readonly counts: Readonly<Partial<Record<FindingKind, number>>>
  readonly findings: readonly Finding[]
  /** Findings that are in `counts` only: the first 1,000 of a kind are listed, of orphans the first 10,000. */
  readonly left_out: number
  /** What is as it should be and worth knowing, and what was not looked at. */
  readonly notes: readonly string[]
}

/** Files in work at a time: their reads wait more than they work. */
const AT_ONCE = 8

/**
 * @param state of `openTable`
 * @throws PseudolakeError `storage/*` where the storage itself fails, `run/interrupted`: what is wrong with the table is in the report
 */
export async function verifyTable(state: TableState, options: VerifyOptions): Promise<VerifyReport> {
  try {
    return await verify(state, options)
  } catch (error) {
    if (!options.signal?.aborted || isPseudolakeError(error)) throw error
    throw new PseudolakeError('run/interrupted', 'the verification was told to stop', {
      location: state.metadata.location,
    })
  }
}

async function verify(state: TableState, options: VerifyOptions): Promise<VerifyReport> {
  const { storage, signal, full = false } = options
  const { metadata, metadataLocation } = state
  const findings = new Findings()
  const notes: string[] = []
  const reached = nothingReached()
  await reachMetadata(state, options, reached, findings, notes)
  const columns = protectedColumns(metadata, findings)
  const walk = { storage, metadata, reached, findings, notes, signal }
  const bytes = await checkFiles(
    reachableFiles(walk),
    { storage, findings, full, signal, protectedColumns: columns },
    totalFiles(metadata),
    options.onProgress,
  )
  const { jobs, folders } = await checkMarks(walk)
  const streams = await checkStreams(walk)
  await findOrphans(
    state,
    options,
    folders,
    { storage, findings, reached: reached.files, now: options.now, signal },
    notes,
  )
  return {
    status: findings.needsLook ? 'needs-a-look' : 'clean',
    location: metadata.location,
    metadata_location: metadataLocation,
    snapshot_id: metadata['current-snapshot-id']?.toString() ?? null,
    full,
    checked: { ...reached.counts, bytes },
    replaced_columns: [...columns.names],
    jobs,
    streams,
    counts: findings.counts,
    findings: findings.kept,
    left_out: findings.leftOut,
    notes,
  }
}

/** The metadata file itself, those of its log, and statistics files. */
async function reachMetadata(
  { metadata, metadataLocation }: TableState,
  { storage, signal }: VerifyOptions,
  reached: Reached,
  findings: Findings,
  notes: string[],
): Promise<void> {
  reached.files.add(storageLocation(metadataLocation))
  reached.counts.metadata++
  let gone = 0
  for (const { 'metadata-file': file } of metadata['metadata-log']) {
    signal?.throwIfAborted()
    const location = storageLocation(file)
    if (!reached.files.add(location)) continue
    if ((await sizeOf(storage, location)) === undefined) gone++
    else reached.counts.metadata++
  }
  if (gone > 0) notes.push(`${gone} earlier metadata files of the log are gone; no reader of the table needs them`)
  for (const { path, bytes } of statisticsFiles(metadata)) {
    const location = storageLocation(path)
    if (!reached.files.add(location)) continue
    const found = await sizeOf(storage, location)
    if (found === undefined)
      findings.add({ kind: 'missing-file', location, message: 'the statistics file is not there' })
    else if (bytes !== undefined && bytes !== found)
      findings.add({ kind: 'size-differs', location, message: `has ${found} bytes, the metadata says ${bytes}` })
  }
}

async function sizeOf(storage: Storage, location: string): Promise<number | undefined> {
  try {
    return (await storage.stat(location)).bytes
  } catch (error) {
    if (isPseudolakeError(error, 'storage/not-found')) return undefined
    throw error
  }
}

function totalFiles(metadata: TableMetadata): number {
  const { summary = {} } = currentSnapshot(metadata) ?? {}
  return Number(summary['total-data-files'] ?? 0) + Number(summary['total-delete-files'] ?? 0)
}

/** @returns bytes of the files */
async function checkFiles(
  files: AsyncIterable<DataFile>,
  checks: DataFileChecks,
  total: number,
  onProgress: VerifyOptions['onProgress'],
): Promise<number> {
  const running = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let bytes = 0
  let done = 0
  for await (const file of files) {
    const work = checkDataFile(file, checks)
      .then((size) => {
        bytes += size
        onProgress?.({ files: ++done, totalFiles: Math.max(total, done), bytes, findings: checks.findings.count })
      })
      .catch((error: unknown) => {
        failure ??= { error }
      })
      .finally(() => running.delete(work))
    running.add(work)
    if (running.size >= AT_ONCE) await Promise.race(running)
    if (failure) break
  }
  await Promise.all(running)
  if (failure) throw failure.error
  return bytes
}

async function findOrphans(
  state: TableState,
  { current = false, ledgers, table }: VerifyOptions,
  folders: ReadonlyMap<string, number>,
  checks: Omit<OrphanChecks, 'waiting'>,
  notes: string[],
): Promise<void> {
  const { metadata, metadataLocation } = state
  const newest = current ? undefined : await newestOf(checks.storage, storageLocation(metadata.location))
  if (newest !== undefined && newest !== storageLocation(metadataLocation)) {
    notes.push('this is not the newest version of the table: orphans were not looked for')
    return
  }
  const roots = ledgerRoots(metadata, folders.keys(), ledgers, table)
  const waiting = await Waiting.read(checks.storage, roots.unpublished, checks.signal)
  const { earlierMetadata } = await findTableOrphans(state, { ...checks, waiting })
  if (earlierMetadata > 0) notes.push(`${earlierMetadata} earlier metadata files are no longer in the log`)
  const { earlierLedgers } = await findLedgerOrphans(roots, folders, { ...checks, waiting })
  if (earlierLedgers > 0) notes.push(`${earlierLedgers} earlier ledgers were taken up by later ones`)
}

async function newestOf(storage: Storage, table: string): Promise<string | undefined> {
  try {
    return storageLocation((await openTable(storage, table)).metadataLocation)
  } catch (error) {
    // Of a table that was moved, or whose newest version is broken: what was opened is all there is to go by.
    if (isPseudolakeError(error, 'table/not-found', 'table/invalid', 'table/unsupported')) return undefined
    throw error
  }
}
