/** What a table remembers of its streams, held against the table: positions, their history, and the files beside it that the marks name. */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { isEnd } from '../../lib/kinesis/positions.ts'
import { checkAncestry } from '../marks.ts'
import { makeStreamMark, readStreamMark, type StreamMark, streamProperty } from '../stream/mark.ts'
import { digestOf } from '../stream/quarantine/list.ts'
import { readReplayMark, replayProperty } from '../stream/quarantine/replayed.ts'
import type { MarkChecks } from './marks.ts'
import { checkQuarantine } from './quarantine.ts'
import { checkEpochs, checkHistory, epochOf } from './stream-history.ts'

const PREFIX = streamProperty('')

/** Keys as `--json` prints them. */
export interface StreamSummary {
  readonly job: string
  readonly epoch: number
  readonly stream: string
  /** That have a position, and of these those that were read to their ends. */
  readonly shards: number
  readonly ended: number
  /** Marks that were held against each other: of the metadata files that the log still names, and the current one. */
  readonly marks: number
  /** Records that were sealed, and the objects that they lie in. */
  readonly quarantined: number
  readonly objects: number
  readonly replayed: number
  readonly purged: number
}

/** Adds the files beside the table that marks name to what is reached. */
export async function checkStreams(checks: MarkChecks): Promise<StreamSummary[]> {
  const { metadata, findings, notes, signal } = checks
  const streams: StreamSummary[] = []
  for (const property of Object.keys(metadata.properties).sort()) {
    if (!property.startsWith(PREFIX)) continue
    signal?.throwIfAborted()
    const job = property.slice(PREFIX.length)
    let mark: StreamMark | undefined
    try {
      mark = readStreamMark(metadata.properties, job)
    } catch (error) {
      if (!isPseudolakeError(error)) throw error
      findings.add({ kind: 'mark', location: property, message: error.message })
    }
    if (!mark) continue
    if (isItself(mark, job, checks) && ancestryOf(mark, job, checks))
      notes.push(`stream ${job}: the snapshot of its last commit is expired; its mark alone says how far it is`)
    checkEpochs(job, checks)
    const marks = await checkHistory(job, checks)
    await checkKeys(mark, checks)
    const { objects, replayed, purged } = await checkQuarantine(mark, job, checks)
    checkReplayAncestry(job, checks)
    const { stream, shards } = mark.positions
    const ended = [...shards.values()].filter(isEnd).length
    streams.push({
      ...{ job, epoch: mark.epoch, stream: stream.arn, shards: shards.size, ended, marks },
      ...{ quarantined: mark.quarantine?.records ?? 0, objects, replayed, purged },
    })
  }
  return streams
}

/** Whether the mark is what its own digest says, and its snapshot's too. */
function isItself(mark: StreamMark, job: string, { metadata, findings }: MarkChecks): boolean {
  const { epoch, run, digest, ...state } = mark
  const location = streamProperty(job)
  if (makeStreamMark(epoch, run, state).digest !== digest) {
    findings.add({ kind: 'mark', location, message: `epoch ${epoch}: its digest is not that of what it says` })
    return false
  }
  const other = metadata.snapshots.find(
    (snapshot) => epochOf(snapshot, job) === epoch && snapshot.summary['pseudolake.digest'] !== digest,
  )
  if (!other) return true
  const message = `epoch ${epoch}: snapshot ${other['snapshot-id']} was committed with other positions than the mark has`
  findings.add({ kind: 'mark', location, message })
  return false
}

/** @returns whether the chain of snapshots ends before the mark’s */
function ancestryOf(
  mark: Parameters<typeof checkAncestry>[0],
  job: string,
  { metadata, findings }: MarkChecks,
  kind: 'batch' | 'stream' = 'stream',
): boolean {
  const snapshots = metadata.snapshots.map((snapshot) => ({
    id: snapshot['snapshot-id'],
    parent: snapshot['parent-snapshot-id'],
    summary: snapshot.summary,
  }))
  try {
    return checkAncestry(mark, job, snapshots, metadata['current-snapshot-id'], kind) === 'expired'
  } catch (error) {
    if (!(error instanceof PseudolakeError)) throw error
    const location = kind === 'stream' ? streamProperty(job) : replayProperty(job.replace(/^replay\./, ''))
    findings.add({ kind: 'rolled-back', location, message: error.message })
    return false
  }
}

function checkReplayAncestry(job: string, checks: MarkChecks): void {
  try {
    const mark = readReplayMark(checks.metadata.properties, job)
    if (mark) ancestryOf(mark, `replay.${job}`, checks, 'batch')
  } catch (error) {
    // Told with the quarantine.
    if (!isPseudolakeError(error, 'quarantine/unreadable')) throw error
  }
}

/** The files of keys that were seen: without them a consumer can't go on. */
async function checkKeys({ dedupe }: StreamMark, { storage, reached, findings, signal }: MarkChecks): Promise<void> {
  for (const { location, sha256 } of dedupe) {
    signal?.throwIfAborted()
    reached.files.add(location)
    let message: string | undefined
    try {
      if (digestOf(await storage.read(location)) !== sha256) message = 'it is not the file that the mark names'
    } catch (error) {
      if (!isPseudolakeError(error, 'storage/not-found')) throw error
      message = 'the keys that were seen are gone'
    }
    if (message !== undefined) findings.add({ kind: 'seen-keys', location, message })
  }
}
