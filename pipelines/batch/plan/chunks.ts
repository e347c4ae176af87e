/** How the chunks of a column are treated, counted by action and reason. Pure. */
import type { ChunkAction, PlannedChunk } from '../../../lib/parquet/plan.ts'

export interface PlannedChunks {
  readonly action: ChunkAction
  readonly why: string
  readonly chunks: number
  readonly bytes_in: number
}

export class ChunkCounts {
  readonly #counts = new Map<string, { -readonly [K in keyof PlannedChunks]: PlannedChunks[K] }>()

  add({ action, why, from }: PlannedChunk): void {
    const key = `${action}\0${why}`
    const entry = this.#counts.get(key) ?? { action, why, chunks: 0, bytes_in: 0 }
    entry.chunks++
    entry.bytes_in += from ? from[1] - from[0] : 0
    this.#counts.set(key, entry)
  }

  list(): readonly PlannedChunks[] {
    return [...this.#counts.values()]
  }
}
