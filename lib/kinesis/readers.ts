/** The shards that are being read: which of them is asked next, and how far each is behind. */
import type { Readable } from './lineage.ts'
import type { Waiting } from './room.ts'
import { ShardReader, type ShardReaderOptions } from './shard-reader.ts'

/** After so long without an answer, or with records that wait, a shard counts as behind since then. */
const SILENT_MS = 10_000

export class Readers {
  readonly #options: Omit<ShardReaderOptions, 'shard' | 'from'>
  readonly #readers = new Map<string, ShardReader>()

  constructor(options: Omit<ShardReaderOptions, 'shard' | 'from'>) {
    this.#options = options
  }

  get size(): number {
    return this.#readers.size
  }

  get(shard: string): ShardReader | undefined {
    return this.#readers.get(shard)
  }

  /** Makes readers of the shards that have none; they are due at once. */
  begin(readable: readonly Readable[], nowMs: number): void {
    for (const { shard, from } of readable) {
      if (this.#readers.has(shard.id)) continue
      const reader = new ShardReader({ ...this.#options, shard, from })
      reader.dueMs = nowMs
      reader.heardMs = nowMs
      this.#readers.set(shard.id, reader)
    }
  }

  end(shard: string): void {
    this.#readers.delete(shard)
  }

  /** Of the shards that may be asked now, the one that has been due longest. */
  due(nowMs: number): ShardReader | undefined {
    let due: ShardReader | undefined
    for (const reader of this.#readers.values())
      if (!reader.reading && reader.dueMs <= nowMs && (due === undefined || reader.dueMs < due.dueMs)) due = reader
    return due
  }

  /** When the first of the shards that are not being asked is due; infinite where all are. */
  nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { reading, dueMs } of this.#readers.values()) if (!reading && dueMs < next) next = dueMs
    return next
  }

  /** As `Consumer.lag` has it. @param waiting batches that nobody has taken yet */
  lag(waiting: readonly Waiting[], nowMs: number): ReadonlyMap<string, number> {
    const lag = new Map<string, number>()
    const sees = (id: string, behindMs: number | undefined, sinceMs: number) => {
      const silentMs = nowMs - sinceMs
      if (silentMs >= SILENT_MS) lag.set(id, Math.max(lag.get(id) ?? 0, Math.round((behindMs ?? 0) + silentMs)))
      else if (behindMs !== undefined && !lag.has(id)) lag.set(id, behindMs)
    }
    for (const [id, { behindMs, heardMs }] of this.#readers) sees(id, behindMs, heardMs)
    for (const { batch, sinceMs } of waiting) sees(batch.shard, batch.behindMs, sinceMs)
    return lag
  }
}
