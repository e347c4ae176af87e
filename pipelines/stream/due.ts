/** When a session commits: what has happened since the last time, and until when that may wait. */
import type { Clock } from '../../lib/core/clock.ts'
import type { Batch } from '../../lib/kinesis/shard-reader.ts'
import type { StreamJob } from './job.ts'

/** A shard that has ended holds its children up until that is committed. */
const END_MS = 5000
/** Positions that move though nothing comes are committed so often, or when an eighth of the retention is over. */
const QUIET_MS = 3_600_000

export class Due {
  /** Of the clock: when the next commit is due, or looked for again. */
  atMs: number
  /** Records came, those that were being taken when it failed included. */
  taken = false
  /** A shard has ended. */
  ended = false
  /** Positions have moved. */
  moved = false
  readonly #commit: StreamJob['settings']['commit']
  readonly #clock: Clock
  #bytes = 0
  #began: number | undefined
  #lastCommitMs: number

  constructor(commit: StreamJob['settings']['commit'], clock: Clock) {
    this.#commit = commit
    this.#clock = clock
    const now = clock.now()
    this.#lastCommitMs = now
    this.atMs = now + commit.every
  }

  /** A batch is being taken. */
  begin({ records }: Batch): void {
    this.#began ??= this.#clock.now()
    this.taken ||= records.length > 0
  }

  /** A batch was taken. @param whole whether all of it was */
  end(batch: Batch, whole: boolean): void {
    this.#bytes += batch.bytes
    this.moved = true
    if (!whole || !batch.end) return
    this.ended = true
    this.atMs = Math.min(this.atMs, this.#clock.now() + END_MS)
  }

  /** Seconds since the first batch. */
  get seconds(): number {
    const now = this.#clock.now()
    return (now - (this.#began ?? now)) / 1000
  }

  /**
   * Whether to commit now. Where nothing is due but positions, and these not yet either, it is looked for again after `commit.every`.
   * @param rows that are not published
   * @param records that are not committed
   */
  isDue(rows: number, records: number, retentionMs: number): boolean {
    const { every, max_rows, max_bytes } = this.#commit
    const now = this.#clock.now()
    if (rows >= max_rows || this.#bytes >= max_bytes) return true
    if (now < this.atMs) return false
    if (records > 0 || this.ended) return true
    this.atMs = now + every
    return this.moved && now - this.#lastCommitMs > Math.min(QUIET_MS, retentionMs / 8)
  }

  /** The table has a new mark: from now on the next one is waited for. */
  published(): void {
    const now = this.#clock.now()
    this.#lastCommitMs = now
    this.atMs = now + this.#commit.every
  }

  /** All that had happened is committed. */
  reset(): void {
    this.#bytes = 0
    this.#began = undefined
    this.taken = false
    this.ended = false
    this.moved = false
  }
}
