/** The report of a run, put together out of what it has at any moment: one that fails has a report too. Pure. */
import type { ClientStats } from '../../lib/client/stats.ts'
import { currentSchema } from '../../lib/iceberg/metadata.ts'
import { against, columnsWithCounts, configDigest, withoutFolderValues } from './details.ts'
import type { GateReport } from './gate/check.ts'
import type { Pinned } from './identities.ts'
import { type BatchJob, calledOf, placeOf } from './job.ts'
import type { PlanSums } from './plan/sums.ts'
import type { BatchReport, PlanAgainstActual } from './report.ts'
import type { Shape } from './shape.ts'
import type { Target } from './target.ts'
import type { Moment, PhaseTime } from './timings.ts'
import type { Totals, Written } from './totals.ts'

/** What a run has so far. */
export interface RunState {
  readonly job: BatchJob
  readonly runId: string
  /** The program. */
  readonly createdBy: string
  /** Milliseconds since 1970. */
  readonly started: number
  readonly seconds: number
  readonly usage: { readonly cpuSeconds: number; readonly peakRssBytes: number }
  /** Missing where it was not opened yet. */
  readonly target: Target | undefined
  readonly skipped: number
  /** Missing where the service was not asked. */
  readonly client: ClientStats | undefined
  /** False where threads have forgotten values. */
  readonly exact: boolean
  readonly published: Totals
  readonly commits: number
  readonly snapshots: readonly string[]
  readonly columns: Shape['columns']
  readonly pinned: readonly Pinned[]
  readonly gate: GateReport
  readonly notes: readonly string[]
  readonly phases: readonly PhaseTime[]
  readonly moments: readonly Moment[]
  readonly plan: PlanSums | undefined
  /** What the plan was made from. */
  readonly planned: PlanAgainstActual['basis']
}

export function reportOf(state: RunState): BatchReport {
  const { job, target, client, published, commits, gate, plan } = state
  const { metadata } = target ?? {}
  const names = job.columns.map(({ name }) => name)
  const report: BatchReport = {
    job: job.name,
    run_id: state.runId,
    version: state.createdBy,
    config_digest: configDigest(job.settings),
    started: new Date(state.started).toISOString(),
    status: !gate.passed ? 'gate-failed' : commits === 0 ? 'nothing-to-do' : 'done',
    rows: published.rows,
    files: published.files,
    skipped_files: state.skipped,
    commits,
    distinct: client?.distinct ?? 0,
    distinct_exact: (client?.evicted ?? 0) === 0 && state.exact,
    service: {
      requests: client?.requests ?? 0,
      identifiers: client?.identifiers ?? 0,
      retries: client?.retries ?? 0,
      throttled: client?.throttled ?? 0,
    },
    bytes_in: published.bytesIn,
    bytes_out: published.bytesOut,
    seconds: state.seconds,
    cpu_seconds: state.usage.cpuSeconds,
    peak_rss_bytes: state.usage.peakRssBytes,
    table: calledOf(job),
    location: target?.location ?? placeOf(job) ?? calledOf(job),
    snapshot_id: metadata?.['current-snapshot-id']?.toString() ?? null,
    snapshots: state.snapshots,
    columns: columnsWithCounts(state.columns, published, metadata && currentSchema(metadata), state.pinned),
    gate,
    notes: state.notes,
    published: published.shown.map((written) => publishedFile(written, names)),
    phases: state.phases,
    moments: state.moments,
  }
  return plan ? { ...report, plan: against(plan, state.planned, report) } : report
}

/** @param names of columns whose values may stand in the name of a folder */
function publishedFile({ input, rows, files }: Written, names: readonly string[]): BatchReport['published'][number] {
  return {
    input: withoutFolderValues(input.object.location, names),
    bytes_in: input.object.bytes,
    rows,
    output: files[0]?.path ?? null,
    ...(files.length > 1 && { outputs: files.map(({ path }) => path) }),
    bytes_out: files.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}
