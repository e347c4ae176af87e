/** What a run says of itself: the document of `batch --json`, and the events it is made from. Counts and ids, never values. */

export type BatchStatus = 'done' | 'nothing-to-do'

export interface BatchReport {
  readonly job: string
  readonly run_id: string
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
  /** What happens to each column of the input. */
  readonly columns: readonly ColumnReport[]
  /** Things to know that are no errors. */
  readonly notes: readonly string[]
}

export interface ColumnReport {
  readonly column: string
  readonly action: 'copied' | 'replaced' | 'dropped' | 'added'
  /** Name in the table; missing for a dropped one. */
  readonly as?: string
  readonly mode?: string
  readonly domain?: string
  readonly key?: string
}

export type BatchEvent =
  | { readonly type: 'listed'; readonly files: number; readonly skipped: number; readonly bytes: number }
  | { readonly type: 'progress'; readonly bytes: number; readonly files: number; readonly rows: number }
  | { readonly type: 'committed'; readonly files: number; readonly rows: number; readonly epoch: number }
