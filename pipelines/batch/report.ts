/** What a run says of itself: the document of `batch --json`, and the events it is made from. Counts and ids, never values. */

import type { GateReport } from './gate/check.ts'
import type { Quality } from './plan/distinct.ts'
import type { Moment, PhaseTime } from './timings.ts'

export type BatchStatus = 'done' | 'nothing-to-do' | 'gate-failed'

export interface BatchReport {
  readonly job: string
  readonly run_id: string
  /** Of the program. */
  readonly version: string
  /** Of the effective settings: equal for runs that were configured alike. */
  readonly config_digest: string
  /** RFC 3339, UTC. */
  readonly started: string
  readonly status: BatchStatus
  readonly rows: number
  /** Input files whose rows were published. */
  readonly files: number
  /** Input files that an earlier run had done. */
  readonly skipped_files: number
  readonly commits: number
  /** Values of deterministic columns that were sent to the service. */
  readonly distinct: number
  /** False where values were forgotten to stay within the memory limit, so that some were sent, and counted, again. */
  readonly distinct_exact: boolean
  readonly service: {
    /** Attempts, the key check included. */
    readonly requests: number
    readonly identifiers: number
    readonly retries: number
    readonly throttled: number
  }
  readonly bytes_in: number
  readonly bytes_out: number
  readonly seconds: number
  /** User and system time of the process with its threads. */
  readonly cpu_seconds: number
  readonly peak_rss_bytes: number
  readonly table: string
  readonly location: string
  /** 64 bits, so a text; null where the table has no snapshot. */
  readonly snapshot_id: string | null
  /** Of this run's commits, in their order. */
  readonly snapshots: readonly string[]
  /** What happens to each column of the input. */
  readonly columns: readonly ColumnReport[]
  /** What was checked before each step was published; a step that fails is not. */
  readonly gate: GateReport
  /** Things to know that are no errors. */
  readonly notes: readonly string[]
  /** Files that were published, the first hundred; `files` says how many there are. */
  readonly published: readonly PublishedFile[]
  readonly phases: readonly PhaseTime[]
  /** How the work went on; at most a few hundred moments. */
  readonly moments: readonly Moment[]
  /** Missing where no plan was made first. */
  readonly plan?: PlanAgainstActual
}

/** A plan beside what came of it. */
export interface PlanAgainstActual {
  readonly files: Compared
  readonly rows: Compared
  readonly distinct: Compared & { readonly quality: Quality }
  readonly requests: Compared
  readonly identifiers: Compared
  readonly bytes_out: Compared
  readonly seconds: Compared
  readonly cost: { readonly planned: number; readonly currency: string; readonly prices_of: string }
}

export interface Compared {
  readonly planned: number
  readonly actual: number
}

export interface PublishedFile {
  readonly input: string
  readonly bytes_in: number
  readonly rows: number
  /** Null for an input without rows. */
  readonly output: string | null
  readonly bytes_out: number
}

export interface ColumnReport {
  readonly column: string
  readonly action: 'copied' | 'replaced' | 'dropped' | 'added'
  /** Name in the table; missing for a dropped one. */
  readonly as?: string
  readonly mode?: string
  readonly domain?: string
  readonly key?: string
  /** Published in this run, nulls included. */
  readonly cells?: number
  readonly nulls?: number
  readonly bytes_out?: number
}

export type BatchEvent =
  | { readonly type: 'listed'; readonly files: number; readonly skipped: number; readonly bytes: number }
  | { readonly type: 'progress'; readonly bytes: number; readonly files: number; readonly rows: number }
  /** The run ends with an error; what there is to report until then. */
  | { readonly type: 'failed'; readonly report: BatchReport }
  | { readonly type: 'committed'; readonly files: number; readonly rows: number; readonly epoch: number }
