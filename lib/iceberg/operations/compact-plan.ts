import pLimit from 'p-limit'
import type { Storage } from '../../storage/storage.ts'
import type { DataFile } from '../data-file.ts'
import { storageLocation } from '../locations.ts'
import { currentSnapshot, type TableMetadata } from '../metadata.ts'
import { readPositionDeletes } from '../position-deletes.ts'
import { liveEntries, manifestsOf, type PlannedFile, planFiles } from '../scan.ts'
import { type LeftAlone, openMergeable } from './compact-file.ts'

/** Which files of a table become one, as plain data. */

export interface CompactPolicy {
  /** Bytes of a file as it should be. */
  readonly targetBytes: number
  /** Small files that are worth a rewrite; fewer are where they fill a file, or where rows are deleted. */
  readonly minFiles: number
  /** Field ids of columns that get no statistics of values. */
  readonly replaced: ReadonlySet<number>
  /** Whether a data file is to stay as it is, by where Storage finds it. */
  readonly leave: (location: string) => boolean
  /** Just these data files, each for itself and whatever its size, by path. @default all */
  readonly only?: ReadonlySet<string>
}

export interface BinFile {
  readonly path: string
  readonly bytes: number
  readonly rows: number
  readonly sequenceNumber: number
  /** Delete files that apply to it; none where no row of it is deleted. */
  readonly deletes: readonly DataFile[]
}

/** Files that become one, in the order that their rows have in it. */
export interface Bin {
  readonly print: string
  readonly files: readonly BinFile[]
  readonly bytes: number
}

export interface CompactPlan {
  readonly bins: readonly Bin[]
  readonly leftAlone: Readonly<Partial<Record<LeftAlone, number>>>
  /** Delete files that are about no file that stays. */
  readonly removeDeletes: ReadonlySet<string>
  /** There are more files than one run takes: the next one goes on. */
  readonly more: boolean
}

/** Files of this part of the target and more are as they should be. */
const LARGE_ENOUGH = 0.75
/** Files that one snapshot takes in: what is known of each is held. */
export const MOST_FILES = 100_000
/** Footers that are opened together, and of those at a time. */
const TOGETHER = 64
const AT_ONCE = 8

/** @throws PseudolakeError `table/unsupported`, `table/invalid`, `input/*`, `storage/*` */
export async function planCompaction(
  storage: Storage,
  metadata: TableMetadata,
  policy: CompactPolicy,
  signal?: AbortSignal,
): Promise<CompactPlan> {
  const deletes = await readAllDeletes(storage, metadata, signal)
  const leftAlone = new Map<LeftAlone, number>()
  const open = new Map<string, { files: BinFile[]; bytes: number }>()
  const bins: Bin[] = []
  const kept = new Set<string>(deletes.unread)
  let waiting: BinFile[] = []
  let taken = 0
  let more = false
  const limit = pLimit(AT_ONCE)

  for await (const planned of planFiles(storage, metadata)) {
    signal?.throwIfAborted()
    const deleted = deletes.rowsOf(planned.file)
    const unread = planned.deletes.some(({ path }) => deletes.unread.has(path))
    const large = planned.file.bytes >= policy.targetBytes * LARGE_ENOUGH
    if (policy.only && !policy.only.has(planned.file.path)) {
      keepDeletes(planned)
      continue
    }
    if (!policy.only && large && deleted === 0 && !unread) continue
    const why = whyLeft(planned, unread, policy)
    if (why !== undefined) leave(why, planned)
    else if (taken >= MOST_FILES) {
      more = true
      keepDeletes(planned)
    } else {
      taken++
      const { path, bytes, rows } = planned.file
      const { sequenceNumber } = planned
      waiting.push({ path, bytes, rows, sequenceNumber, deletes: deleted > 0 ? planned.deletes : [] })
      if (waiting.length >= TOGETHER) await place()
    }
  }
  await place()
  for (const [print, { files, bytes }] of open) close(print, files, bytes)
  const removeDeletes = new Set([...deletes.paths].filter((path) => !kept.has(path)))
  return { bins, leftAlone: Object.fromEntries(leftAlone), removeDeletes, more }

  async function place(): Promise<void> {
    const files = waiting
    waiting = []
    const opened = await Promise.all(
      files.map((file) => limit(() => openMergeable(storage, file, metadata, policy.replaced, signal))),
    )
    for (const [i, file] of files.entries()) {
      const found = opened[i] as (typeof opened)[number]
      if (found === 'schema') {
        leave('schema', { file, deletes: file.deletes })
        continue
      }
      const bin = open.get(found.print)
      if (bin && (policy.only || bin.bytes + file.bytes > policy.targetBytes)) {
        close(found.print, bin.files, bin.bytes)
        open.delete(found.print)
      }
      const into = open.get(found.print)
      if (into) {
        into.files.push(file)
        into.bytes += file.bytes
      } else open.set(found.print, { files: [file], bytes: file.bytes })
    }
  }

  function close(print: string, files: readonly BinFile[], bytes: number): void {
    const full = files.length > 1 && bytes >= policy.targetBytes * LARGE_ENOUGH
    const worth =
      policy.only !== undefined ||
      full ||
      files.length >= policy.minFiles ||
      files.some((file) => file.deletes.length > 0)
    // The oldest rows first; the manifest list has them last.
    const inOrder = files.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber)
    if (worth) bins.push({ print, files: inOrder, bytes })
  }

  function leave(why: LeftAlone, planned: Parameters<typeof keepDeletes>[0]): void {
    leftAlone.set(why, (leftAlone.get(why) ?? 0) + 1)
    keepDeletes(planned)
  }

  function keepDeletes({ file, deletes: of }: { file: { path: string }; deletes: readonly DataFile[] }): void {
    if (deletes.rowsOf(file) > 0) for (const { path } of of) kept.add(path)
  }
}

function whyLeft({ file, deletes }: PlannedFile, unread: boolean, { leave }: CompactPolicy): LeftAlone | undefined {
  if (leave(storageLocation(file.path))) return 'excluded'
  if (deletes.some(({ content }) => content === 'equality-deletes')) return 'equality-deletes'
  if (unread) return 'deletes'
  if (file.format.toUpperCase() !== 'PARQUET' || file.keyMetadata !== undefined) return 'format'
  return file.partition.size > 0 ? 'partition' : undefined
}

interface AllDeletes {
  /** Position-delete files that were read. */
  readonly paths: ReadonlySet<string>
  /** Delete files that were not: of equality, or of another format. */
  readonly unread: ReadonlySet<string>
  /** At least as many as are deleted of a data file: two deletes of one row count twice. */
  rowsOf(file: { readonly path: string }): number
}

async function readAllDeletes(
  storage: Storage,
  metadata: TableMetadata,
  signal: AbortSignal | undefined,
): Promise<AllDeletes> {
  const snapshot = currentSnapshot(metadata)
  const paths = new Set<string>()
  const unread = new Set<string>()
  const numbers = new Map<string, number>()
  const counts: number[] = []
  const taker = {
    numberOf(location: string) {
      const known = numbers.get(location) ?? counts.push(0) - 1
      numbers.set(location, known)
      return known
    },
    take(number: number) {
      counts[number] = (counts[number] as number) + 1
    },
  }
  for (const manifest of snapshot ? await manifestsOf(storage, snapshot) : []) {
    if (manifest.content !== 'deletes') continue
    for await (const { file } of liveEntries(storage, manifest)) {
      const isRead =
        file.content === 'position-deletes' && file.format.toUpperCase() === 'PARQUET' && file.keyMetadata === undefined
      ;(isRead ? paths : unread).add(file.path)
      if (isRead) await readPositionDeletes(storage, file, taker, signal)
    }
  }
  return { paths, unread, rowsOf: ({ path }) => counts[numbers.get(storageLocation(path)) ?? -1] ?? 0 }
}
