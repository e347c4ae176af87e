import { HyperLogLog, SKETCH_ERROR } from './hyperloglog.ts'
import type { Pool } from './pool.ts'

/** How good a number of distinct values is. */
export type Quality =
  /** Counted. */
  | 'exact'
  /** Within 2.5 %, by HyperLogLog: more values than may be kept. */
  | 'estimated'
  /** Not more than `at_most`: some values are in pages that the plan did not read. */
  | 'at-most'
  /** By sizes that footers tell: no value was looked at, and it may be off by a factor. */
  | 'guessed'

export interface DistinctEstimate {
  /** Values seen, or guessed. */
  readonly values: number
  /** As many as there can be, by what was seen and the cells that were not. Equal to `values` where it is exact. */
  readonly at_most: number
  readonly quality: Quality
}

/** Counts distinct texts: exactly while they fit in their bytes, by a sketch from then on. */
export class Distinct {
  readonly #maxBytes: number
  /** Takes the texts' place where they are too many. */
  #sketch: HyperLogLog | undefined
  #texts: Set<string> | undefined = new Set()
  #bytes = 0
  /** Cells whose values were not looked at. */
  #unseen = 0
  /** Chunks that were guessed at, a pool for each column. */
  readonly #pools = new Set<Pool>()

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether it is known to be new. */
  add(text: string): boolean {
    if (!this.#texts) {
      this.#sketch?.add(text)
      return false
    }
    const before = this.#texts.size
    this.#texts.add(text)
    if (this.#texts.size === before) return false
    this.#bytes += 2 * text.length + ENTRY_BYTES
    if (this.#bytes > this.#maxBytes) {
      this.#sketch = new HyperLogLog()
      for (const known of this.#texts) this.#sketch.add(known)
      this.#texts = undefined
    }
    return true
  }

  unseen(cells: number): void {
    this.#unseen += cells
  }

  guess(pool: Pool): void {
    this.#pools.add(pool)
  }

  get counted(): boolean {
    return this.#texts !== undefined
  }

  estimate(): DistinctEstimate {
    const seen = this.#texts?.size ?? this.#sketch?.count() ?? 0
    let [guessed, cells] = [0, 0]
    for (const pool of this.#pools) {
      guessed += pool.distinct
      cells += pool.cells
    }
    const most = (this.#texts ? seen : Math.ceil(seen * (1 + SKETCH_ERROR))) + this.#unseen + cells
    return { values: seen + guessed, at_most: most, quality: this.#quality }
  }

  get #quality(): Quality {
    if (this.#pools.size > 0) return 'guessed'
    if (this.#unseen > 0) return 'at-most'
    return this.#texts ? 'exact' : 'estimated'
  }
}

/** What a text in a set takes beside its characters. */
const ENTRY_BYTES = 60
