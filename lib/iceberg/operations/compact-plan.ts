import pLimit from 'p-limit'
import type { Storage } from '../../storage/storage.ts'
import type { DataFile } from '../data-file.ts'
import { EqualityDeletes, equalityFields } from '../equality-deletes.ts'
import { storageLocation } from '../locations.ts'
import { currentSnapshot, type TableMetadata } from '../metadata.ts'
import { readPositionDeletes } from '../position-deletes.ts'
import { everywhere, liveEntries, manifestsOf, type PlannedDelete, type PlannedFile, planFiles } from '../scan.ts'
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
  /** What the keys of equality deletes may take. @default 64 MiB */
  readonly keyBytes?: number
}

export interface BinFile {
  readonly path: string
  readonly bytes: number
  readonly rows: number
  readonly sequenceNumber: number
  /** Position-delete files that apply to it; none where none names a row of it. */
  readonly deletes: readonly DataFile[]
  /** Whether rows of it are deleted by equal values: the plan's `equality` says which. */
  readonly hasEqual: boolean
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
  /** All equality deletes that can be applied. */
  readonly equality: readonly PlannedDelete[]
  /** Delete files that are about no file that stays. */
  readonly removeDeletes: ReadonlySet<string>
  /** Manifests that were looked at; undefined where the table has no snapshot. */
  readonly seen: Seen | undefined
  /** There are more files than one run takes: the next one goes on. */
  readonly more: boolean
}

/** The snapshot that a plan is made from, and its manifests. */
export interface Seen {
  readonly snapshotId: bigint
  readonly sequenceNumber: number
  readonly manifests: ReadonlySet<string>
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
  // Equality deletes that came later than one of these files are kept.
  let oldestKept = Number.POSITIVE_INFINITY
  const undecided: Candidate[] = []
  let waiting: BinFile[] = []
  let taken = 0
  let more = false
  const limit = pLimit(AT_ONCE)

  for await (const planned of planFiles(storage, metadata)) {
    signal?.throwIfAborted()
    const { path, bytes, rows } = planned.file
    const { sequenceNumber } = planned
    const positions = deletes.rowsOf(planned.file) > 0 ? planned.deletes.filter(isPosition) : []
    const mayHaveEqual = planned.deletes.some((each) => deletes.equal.has(each.path))
    const unread = planned.deletes.some((each) => deletes.unread.has(each.path))
    const large = bytes >= policy.targetBytes * LARGE_ENOUGH
    const file = { path, bytes, rows, sequenceNumber, deletes: positions, hasEqual: mayHaveEqual }
    if (policy.only && !policy.only.has(path)) {
      keepDeletes(file)
      continue
    }
    if (!policy.only && large && positions.length === 0 && !mayHaveEqual && !unread) continue
    const why = whyLeft(planned, unread, policy)
    if (why !== undefined) leave(why, file)
    else if (taken >= MOST_FILES) {
      more = true
      keepDeletes(file)
    } else {
      taken++
      if (mayHaveEqual) undecided.push({ file, stays: !policy.only && large && positions.length === 0 })
      else await take(file)
    }
  }
  for (const { file, stays } of await decided(undecided)) if (file.hasEqual || !stays) await take(file)
  await place()
  for (const [print, { files, bytes }] of open) close(print, files, bytes)
  const removeDeletes = new Set([...deletes.positions].filter((path) => !kept.has(path)))
  for (const { path, sequenceNumber } of deletes.equal.values())
    if (sequenceNumber <= oldestKept) removeDeletes.add(path)
  return {
    bins,
    leftAlone: Object.fromEntries(leftAlone),
    equality: [...deletes.equal.values()],
    removeDeletes,
    seen: deletes.seen,
    more,
  }

  async function take(file: BinFile): Promise<void> {
    waiting.push(file)
    if (waiting.length >= TOGETHER) await place()
  }

  /** Looks for a row of each that is deleted by its values. */
  async function decided(candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const hits = new Set<number>()
    const options = { ...(policy.keyBytes && { maxBytes: policy.keyBytes }), ...(signal && { signal }) }
    const equality = new EqualityDeletes(storage, metadata, [...deletes.equal.values()], options)
    const unreadable = await equality.find(
      candidates.map(({ file }) => file),
      (i) => {
        hits.add(i)
        return false
      },
    )
    return candidates.flatMap(({ file, stays }, i) => {
      if (!unreadable.has(i)) return [{ file: { ...file, hasEqual: hits.has(i) }, stays }]
      leave('schema', file)
      return []
    })
  }

  async function place(): Promise<void> {
    const files = waiting
    waiting = []
    const opened = await Promise.all(
      files.map((file) => limit(() => openMergeable(storage, file, metadata, policy.replaced, signal))),
    )
    for (const [i, file] of files.entries()) {
      const found = opened[i] as (typeof opened)[number]
      if (found === 'schema') {
        leave('schema', file)
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
    const worth = policy.only !== undefined || full || files.length >= policy.minFiles || files.some(losesRows)
    // The oldest rows first; the manifest list has them last.
    const inOrder = files.toSorted((a, b) => a.sequenceNumber - b.sequenceNumber)
    if (worth) bins.push({ print, files: inOrder, bytes })
  }

  function leave(why: LeftAlone, file: BinFile): void {
    leftAlone.set(why, (leftAlone.get(why) ?? 0) + 1)
    keepDeletes(file)
  }

  function keepDeletes(file: BinFile): void {
    for (const { path } of file.deletes) kept.add(path)
    if (file.hasEqual) oldestKept = Math.min(oldestKept, file.sequenceNumber)
  }
}

/** A file that equality deletes may be about. */
interface Candidate {
  readonly file: BinFile
  /** Where they are not, it is as it should be. */
  readonly stays: boolean
}

export function losesRows({ deletes, hasEqual }: BinFile): boolean {
  return deletes.length > 0 || hasEqual
}

function isPosition({ content }: DataFile): boolean {
  return content === 'position-deletes'
}

function whyLeft({ file, deletes }: PlannedFile, unread: boolean, { leave }: CompactPolicy): LeftAlone | undefined {
  if (leave(storageLocation(file.path))) return 'excluded'
  if (!isReadable(file)) return 'format'
  if (file.partition.size > 0) return 'partition'
  if (!unread) return undefined
  return deletes.every(isReadable) ? 'equality-deletes' : 'deletes'
}

function isReadable({ format, keyMetadata }: DataFile): boolean {
  return format.toUpperCase() === 'PARQUET' && keyMetadata === undefined
}

interface AllDeletes {
  /** Position-delete files that were read. */
  readonly positions: ReadonlySet<string>
  /** Equality-delete files that can be applied, by path. */
  readonly equal: ReadonlyMap<string, PlannedDelete>
  /** Delete files of another format, encrypted, or by columns that are not compared. */
  readonly unread: ReadonlySet<string>
  readonly seen: Seen | undefined
  /** At least as many as are deleted of a data file by position: two deletes of one row count twice. */
  rowsOf(file: { readonly path: string }): number
}

async function readAllDeletes(
  storage: Storage,
  metadata: TableMetadata,
  signal: AbortSignal | undefined,
): Promise<AllDeletes> {
  const snapshot = currentSnapshot(metadata)
  const positions = new Set<string>()
  const equal = new Map<string, PlannedDelete>()
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
  const isEverywhere = everywhere(metadata)
  const manifests = snapshot ? await manifestsOf(storage, snapshot) : []
  for (const manifest of manifests) {
    if (manifest.content !== 'deletes') continue
    for await (const { file, sequenceNumber = 0 } of liveEntries(storage, manifest)) {
      if (!isReadable(file)) unread.add(file.path)
      else if (isPosition(file)) {
        positions.add(file.path)
        await readPositionDeletes(storage, file, taker, signal)
      } else if (!isEverywhere(manifest, file) || !equalityFields(metadata, file.equalityIds)) unread.add(file.path)
      else equal.set(file.path, { ...withoutMetrics(file), sequenceNumber, scope: undefined })
    }
  }
  return {
    positions,
    equal,
    unread,
    seen: snapshot && {
      snapshotId: snapshot['snapshot-id'],
      sequenceNumber: snapshot['sequence-number'] ?? 0,
      manifests: new Set(manifests.map(({ path }) => path)),
    },
    rowsOf: ({ path }) => counts[numbers.get(storageLocation(path)) ?? -1] ?? 0,
  }
}

function withoutMetrics({ content, path, format, partition, rows, bytes, equalityIds }: DataFile): DataFile {
  return { content, path, format, partition, rows, bytes, ...(equalityIds && { equalityIds }) }
}
