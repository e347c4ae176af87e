/** What a run says at its end: the report, or the error with what had come of the run by then. */
import type { Client } from '../../lib/client/compose.ts'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { calledOf } from '../batch/job.ts'
import type { StreamJob } from './job.ts'
import type { Notes } from './notes.ts'
import type { StreamOutside } from './outside.ts'
import type { StreamReport, StreamStatus } from './report.ts'
import type { Session } from './session.ts'
import { type Counts, furthest, NO_SHARDS, shownPositions } from './totals.ts'

/** A run that has ended. */
export interface Ended {
  readonly job: StreamJob
  readonly outside: StreamOutside
  readonly status: StreamStatus
  readonly counts: Readonly<Counts>
  readonly notes: Notes
  /** The last one; none where the run was told to stop before it was the owner. */
  readonly session: Session | undefined
  readonly client: Client | undefined
  readonly throttled: number
  /** Keys that had to make room for others. */
  readonly forgotten: number
  /** Of the clock. */
  readonly startedMs: number
}

export function streamReport(ended: Ended): StreamReport {
  const { job, outside, status, counts, notes, session, client, throttled, forgotten, startedMs } = ended
  const { cpuSeconds, peakRssBytes } = outside.usage()
  const { requests = 0, identifiers = 0, retries = 0 } = client?.stats() ?? {}
  const metadata = session?.target.metadata
  return {
    job: job.name,
    run_id: outside.runId,
    status,
    records: counts.records,
    rows: counts.rows,
    quarantined: counts.quarantined,
    duplicates: counts.duplicates,
    ignored_fields: notes.ignoredFields,
    commits: counts.commits,
    shards: session?.mark.positions.shards.size ?? 0,
    shard_states: session?.consumer.stats().shards ?? NO_SHARDS,
    lag_ms: session ? furthest(session.consumer.lag())[1] : 0,
    positions: session ? shownPositions(session.mark.positions) : {},
    service: { requests, identifiers, retries },
    throttled,
    seconds: (outside.clock.now() - startedMs) / 1000,
    cpu_seconds: cpuSeconds,
    peak_rss_bytes: peakRssBytes,
    table: calledOf(job.table),
    location: session?.target.location ?? calledOf(job.table),
    snapshot_id: metadata?.['current-snapshot-id']?.toString() ?? null,
    notes: notes.all(forgotten),
  }
}

/** An error with whether anything was published, and with the way out where positions are of no use any more. */
export function explained(error: unknown, { commits }: Readonly<Counts>, resetCommand: string): unknown {
  const outcome = { outcome: commits > 0 ? 'partly-published' : 'nothing-published' }
  if (!isPseudolakeError(error)) return error
  const hint = isPseudolakeError(error, 'kinesis/trimmed', 'kinesis/stream-changed')
    ? { hint: `Find out what is missing, then say where to go on: ${resetCommand}` }
    : {}
  return new PseudolakeError(
    error.code,
    error.message,
    { ...error.context, ...hint, ...outcome },
    { cause: error.cause },
  )
}
