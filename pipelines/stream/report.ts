/** What a stream says while it runs and at its end. Keys as `--json` prints them. */

export type StreamStatus = 'caught-up' | 'enough' | 'interrupted'

export interface StreamReport {
  readonly job: string
  readonly run_id: string
  readonly status: StreamStatus
  /** Read, the quarantined and the dropped ones included. */
  readonly records: number
  /** Published. */
  readonly rows: number
  readonly quarantined: number
  /** As their keys were seen before. */
  readonly duplicates: number
  /** Fields of records that are in no schema, where these are ignored; 1,000 means that many or more. */
  readonly ignored_fields: number
  readonly commits: number
  /** That the table has a position of. */
  readonly shards: number
  readonly shard_states: ShardCounts
  /** Of the shard that is furthest behind, in milliseconds. */
  readonly lag_ms: number
  /** By shard: a sequence number, SHARD_END, TRIM_HORIZON or a time. */
  readonly positions: Readonly<Record<string, string>>
  readonly service: { readonly requests: number; readonly identifiers: number; readonly retries: number }
  readonly throttled: number
  readonly seconds: number
  readonly cpu_seconds: number
  readonly peak_rss_bytes: number
  readonly table: string
  readonly location: string
  readonly snapshot_id: string | null
  readonly notes: readonly string[]
}

export interface ShardCounts {
  readonly reading: number
  readonly waiting: number
  readonly ended: number
}

/** A line of `--json`. */
export interface CommitEvent {
  readonly event: 'commit'
  readonly epoch: number
  readonly snapshot_id: string | null
  readonly records: number
  readonly rows: number
  readonly quarantined: number
  readonly duplicates: number
  readonly files: number
  readonly bytes: number
  /** From the first of its records on. */
  readonly seconds: number
  readonly lag_ms: number
  /** By shard, of those that are behind. */
  readonly lag: Readonly<Record<string, number>>
  /** That the table has a position of. */
  readonly shards: number
  readonly shard_states: ShardCounts
  readonly throttled: number
}

export type StreamEvent =
  | CommitEvent
  /** This consumer may commit from now on. */
  | { readonly event: 'owner'; readonly epoch: number; readonly shards: number }
  /** Another one does; this one waits. */
  | { readonly event: 'standby'; readonly epoch: number }
  | { readonly event: 'retry'; readonly code: string; readonly wait_ms: number }
  | { readonly event: 'alarm'; readonly lag_ms: number; readonly shard: string }
  | { readonly event: 'upkeep'; readonly what: 'compact' | 'expire'; readonly done: string }
  | { readonly event: 'note'; readonly message: string }

/** Where a run is, for a status line and for metrics. */
export interface StreamGauges {
  readonly state: 'starting' | 'owner' | 'standby' | 'retrying' | 'ended'
  /** For what is away; until the next commit, where something was to be committed when it failed. */
  readonly waits: boolean
  readonly epoch: number
  readonly records: number
  readonly rows: number
  readonly quarantined: number
  readonly duplicates: number
  readonly commits: number
  readonly pendingRecords: number
  readonly lag: ReadonlyMap<string, number>
  readonly shards: ShardCounts
  readonly throttled: number
  readonly failed: number
  readonly requests: number
  readonly retries: number
  /** Milliseconds since the last commit; undefined before the first. */
  readonly sinceCommitMs: number | undefined
}
