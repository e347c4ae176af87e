/** What a run says of itself: the document of `batch --json`, and the events it is made from. Counts and ids, never values. */

import type { GateReport } from './gate/check.ts'
import type { PlannedChunks } from './plan/chunks.ts'
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
  /** Values that were sent to the service: those of deterministic columns once, and each cell of mode random. */
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
  /** Missing where the run ended before it knew what there was to do. */
  readonly plan?: PlanAgainstActual
}

/** A plan beside what came of it; of a run that stopped early, the plan of the steps that it began. */
export interface PlanAgainstActual {
  /** `dictionaries` where the run was planned first, for its page; else what the footers of each step say before it is written. */
  readonly basis: 'footers' | 'dictionaries'
  /** By the footers: exact. */
  readonly files: Compared
  readonly rows: Compared
  readonly distinct: Estimated & { readonly at_most: number }
  readonly requests: Estimated
  readonly identifiers: Estimated
  readonly bytes_out: Estimated
  readonly seconds: Estimated
  readonly cost: { readonly planned: number; readonly currency: string; readonly prices_of: string }
  readonly columns: readonly ColumnAgainstActual[]
}

export interface Compared {
  readonly planned: number
  readonly actual: number
}

export interface Estimated extends Compared {
  /** Of what was planned. */
  readonly quality: Quality
}

export interface ColumnAgainstActual {
  readonly column: string
  readonly action: ColumnReport['action']
  readonly as?: string
  /** How its chunks are treated, and why; empty for a dropped column. */
  readonly chunks: readonly PlannedChunks[]
  /** Nulls included; null for a dropped column, and where nothing was published. */
  readonly cells: { readonly planned: number; readonly actual: number | null }
  /** Null where a file does not say. */
  readonly nulls: { readonly planned: number | null; readonly actual: number | null }
}

export interface PublishedFile {
  readonly input: string
  readonly bytes_in: number
  readonly rows: number
  /** Null for an input without rows; the first where it was cut. */
  readonly output: string | null
  /** All, where there are several. */
  readonly outputs?: readonly string[]
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
