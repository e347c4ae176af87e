/** The positions that a table remembers, to be looked at and to be set anew: the door out where a stream has stopped for good reason. */
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import type { Kinesis } from '../../lib/kinesis/kinesis.ts'
import { firstPositions, type Start } from '../../lib/kinesis/positions.ts'
import { Target } from '../batch/target.ts'
import { STREAM_SUMMARY } from '../marks.ts'
import type { StreamJob } from './job.ts'
import { makeStreamMark, markText, readStreamMark, requireStreamMark, type StreamMark, streamProperty } from './mark.ts'
import type { StreamPlaces } from './open.ts'
import { shownPositions } from './totals.ts'

/** Keys as `--json` prints them. */
export interface PositionsReport {
  readonly job: string
  readonly location: string
  readonly epoch: number
  readonly run: string
  /** Whether a stream may go on from them; else why not. */
  readonly status: 'good' | 'rolled-back' | 'none'
  readonly stream: { readonly arn: string; readonly created: string } | null
  readonly shards: Readonly<Record<string, { readonly position: string; readonly since: string }>>
  /** Records that were sealed so far, replayed and purged ones included. */
  readonly quarantined: number
}

/** @throws PseudolakeError `table/not-found`; `table/mark-unreadable` for a mark of another version or form */
export async function showPositions(job: StreamJob, places: StreamPlaces): Promise<PositionsReport> {
  const target = await Target.open({ ...job.table, create: 'never' }, places)
  const mark = readStreamMark(target.properties, job.name)
  return reportOf(job, target, mark, mark ? statusOf(job, target) : 'none')
}

export interface ResetOptions {
  /** Where to begin; `current`: the positions stay, and what was rolled back or trimmed is given up. */
  readonly to: Start | 'current'
  /** Kept in the snapshot's summary. */
  readonly reason: string
  readonly runId: string
}

/**
 * Sets the positions of the stream as it is now, by a commit of its own: a consumer that is at work is overtaken by it.
 * @throws PseudolakeError `table/mark-changed` where a consumer committed meanwhile; `table/*`, `kinesis/*`
 */
export async function resetPositions(
  job: StreamJob,
  places: StreamPlaces,
  streamName: string,
  { to, reason, runId }: ResetOptions,
): Promise<PositionsReport> {
  const target = await Target.open({ ...job.table, create: 'never' }, places)
  const property = streamProperty(job.name)
  const planned = target.properties[property]
  const before = readIfReadable(target.properties, job.name)
  const positions = to === 'current' ? before?.positions : await begin(await places.kinesis(), streamName, to, places)
  if (!positions)
    throw new PseudolakeError(
      'table/mark-unreadable',
      `the table has no positions of job ${job.name} that can be read`,
      {
        hint: 'Say where to begin: --to trim_horizon, --to latest, or --to TIME.',
      },
    )
  const epoch = Math.max(before?.epoch ?? 0, ...epochsOf(job, target)) + 1
  const state = {
    positions,
    fields: before?.fields,
    quarantine: before?.quarantine,
    dedupe: before?.dedupe ?? [],
  }
  const mark = makeStreamMark(epoch, runId, state)
  await target.publish({
    runId,
    schema: target.schemaFor({ type: 'struct', 'schema-id': 0, fields: [] }),
    files: [],
    removed: [],
    properties: { [property]: markText(mark) },
    mark,
    summary: { [STREAM_SUMMARY]: job.name, 'pseudolake.reset': reason },
    check(metadata) {
      if (metadata?.properties[property] === planned) return
      throw new PseudolakeError('table/mark-changed', `a consumer of job ${job.name} has committed meanwhile`, {
        job: job.name,
        hint: 'Stop the consumer, then set the positions again.',
      })
    },
  })
  return reportOf(job, target, mark, 'good')
}

function readIfReadable(properties: Readonly<Record<string, string>>, job: string): StreamMark | undefined {
  try {
    return readStreamMark(properties, job)
  } catch (error) {
    if (isPseudolakeError(error, 'table/mark-unreadable')) return undefined
    throw error
  }
}

async function begin(kinesis: Kinesis, stream: string, start: Start, { clock, signal }: StreamPlaces) {
  const description = await kinesis.describe(stream, signal)
  return firstPositions(description, await kinesis.shards(stream, signal), start, clock.wall())
}

/** Of a mark that cannot be read the snapshots still say how far it was. */
function epochsOf(job: StreamJob, target: Target): number[] {
  return (target.metadata?.snapshots ?? []).flatMap(({ summary }) => {
    const epoch = Number(summary['pseudolake.epoch'])
    return summary[STREAM_SUMMARY] === job.name && Number.isSafeInteger(epoch) ? [epoch] : []
  })
}

function statusOf(job: StreamJob, target: Target): PositionsReport['status'] {
  try {
    if (target.metadata) requireStreamMark(target.metadata, job.name, '')
    return 'good'
  } catch (error) {
    if (isPseudolakeError(error, 'table/mark-unreadable')) return 'rolled-back'
    throw error
  }
}

function reportOf(
  job: StreamJob,
  target: Target,
  mark: StreamMark | undefined,
  status: PositionsReport['status'],
): PositionsReport {
  const shown = mark ? shownPositions(mark.positions) : {}
  const since = (shard: string) => new Date(mark?.positions.shards.get(shard)?.since ?? 0).toISOString()
  return {
    job: job.name,
    location: target.location,
    epoch: mark?.epoch ?? 0,
    run: mark?.run ?? '',
    status,
    stream: mark
      ? { arn: mark.positions.stream.arn, created: new Date(mark.positions.stream.createdMs).toISOString() }
      : null,
    shards: Object.fromEntries(
      Object.entries(shown).map(([shard, position]) => [shard, { position, since: since(shard) }]),
    ),
    quarantined: mark?.quarantine?.records ?? 0,
  }
}
