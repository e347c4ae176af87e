/** Whether a stream's positions only ever went forward, as far back as the table's snapshots and earlier metadata files tell. */
import { isPseudolakeError, type PseudolakeError } from '../../lib/core/errors.ts'
import { readMetadataFile } from '../../lib/iceberg/catalogs/metadata-files.ts'
import { storageLocation } from '../../lib/iceberg/locations.ts'
import type { Snapshot, TableMetadata } from '../../lib/iceberg/metadata.ts'
import { comparePositions, isEnd, type Position, sameStream } from '../../lib/kinesis/positions.ts'
import { STREAM_SUMMARY } from '../marks.ts'
import { readStreamMark, type StreamMark, streamProperty } from '../stream/mark.ts'
import type { MarkChecks } from './marks.ts'

/** In the summary of a snapshot by which somebody has said where to go on. */
const RESET_SUMMARY = 'pseudolake.reset'

/** Epochs of a job's snapshots, from the current one back: each must be lower than the one after it. */
export function checkEpochs(job: string, { metadata, findings }: MarkChecks): void {
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot['snapshot-id'], snapshot]))
  let after: number | undefined
  const seen = new Set<bigint>()
  for (let id = metadata['current-snapshot-id']; id !== undefined && !seen.has(id); ) {
    seen.add(id)
    const snapshot = byId.get(id)
    if (!snapshot) return
    const epoch = epochOf(snapshot, job)
    if (epoch !== undefined && after !== undefined && epoch >= after)
      findings.add({
        kind: 'positions',
        location: streamProperty(job),
        message: `snapshot ${id} is of epoch ${epoch}, and one after it of epoch ${after}: two consumers have written side by side`,
      })
    after = epoch ?? after
    id = snapshot['parent-snapshot-id']
  }
}

/**
 * The marks of the metadata files that the log still names, the oldest first, and at last the current one.
 * @returns how many there were
 */
export async function checkHistory(job: string, checks: MarkChecks): Promise<number> {
  const { storage, metadata, findings, notes, signal } = checks
  let before: StreamMark | undefined
  let count = 0
  const step = (state: Pick<TableMetadata, 'properties' | 'snapshots'>) => {
    const mark = readStreamMark(state.properties, job)
    if (mark) count++
    if (mark && before)
      for (const message of wentBack(before, mark, (epoch) => wasReset(state.snapshots, job, epoch)))
        findings.add({ kind: 'positions', location: streamProperty(job), message })
    before = mark
  }
  let unread = 0
  for (const { 'metadata-file': file } of metadata['metadata-log']) {
    signal?.throwIfAborted()
    try {
      step((await readMetadataFile(storage, storageLocation(file))).metadata)
    } catch (error) {
      if (!isPseudolakeError(error) || isOfStorage(error)) throw error
      unread++
      before = undefined
    }
  }
  if (unread > 0)
    notes.push(
      `stream ${job}: ${unread} earlier metadata files could not be read, so its history was looked at in parts`,
    )
  try {
    step(metadata)
  } catch (error) {
    // Found and told where the mark itself is looked at.
    if (!isPseudolakeError(error, 'table/mark-unreadable')) throw error
  }
  return count
}

function isOfStorage({ code }: PseudolakeError): boolean {
  return code.startsWith('storage/') && code !== 'storage/not-found'
}

/** What of a later mark is behind an earlier one. @param isReset whether positions were set by hand in an epoch; undefined where nobody knows */
function* wentBack(
  before: StreamMark,
  after: StreamMark,
  isReset: (epoch: number) => boolean | undefined,
): Generator<string> {
  if (after.epoch < before.epoch) {
    yield `it went from epoch ${before.epoch} back to ${after.epoch}`
    return
  }
  if (after.epoch === before.epoch) {
    if (after.digest !== before.digest) yield `epoch ${after.epoch} was changed without a commit`
    return
  }
  for (let epoch = before.epoch + 1; epoch <= after.epoch; epoch++) if (isReset(epoch) !== false) return
  if (!sameStream(before.positions.stream, after.positions.stream)) {
    yield `epoch ${after.epoch} is of another stream than epoch ${before.epoch}, and nobody has set its positions`
    return
  }
  for (const [shard, position] of before.positions.shards) {
    const next = after.positions.shards.get(shard)
    if (next ? isBehind(next, position) : !isEnd(position))
      yield `${shard}: ${next ? 'its position went back' : 'it is gone before its end'} between epochs ${before.epoch} and ${after.epoch}`
  }
}

/** Whatever they say about when they were reached. */
function isBehind(next: Position, position: Position): boolean {
  return comparePositions({ ...next, since: 0 }, { ...position, since: 0 }) < 0
}

function wasReset(snapshots: readonly Snapshot[], job: string, epoch: number): boolean | undefined {
  const snapshot = snapshots.find((each) => epochOf(each, job) === epoch)
  return snapshot && snapshot.summary[RESET_SUMMARY] !== undefined
}

/** Of a stream's own snapshot. */
export function epochOf({ summary }: Snapshot, job: string): number | undefined {
  if (summary[STREAM_SUMMARY] === undefined || summary['pseudolake.job'] !== job) return undefined
  const epoch = Number(summary['pseudolake.epoch'])
  return Number.isSafeInteger(epoch) ? epoch : undefined
}
