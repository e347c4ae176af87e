/** What a chunk's rewriting is given, and the pages it starts from. */
import type { ColumnChunk } from './footer.ts'
import type { Known } from './gather.ts'
import type { Sink } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import { type Page, readPages } from './page.ts'
import { corrupt, type Place } from './place.ts'
import type { PlannedChunk } from './plan.ts'
import type { RangeReader, Window } from './ranges.ts'
import type { Replacements } from './replacements.ts'
import type { LeafNode } from './schema.ts'

/** For one dictionary at a time. */
export interface SwapMemory {
  readonly values: Window
}

export interface ChunkTask {
  readonly location: string
  readonly source: RangeReader
  readonly out: Sink
  readonly column: OutputColumn
  readonly planned: PlannedChunk
  /** Position in the input. */
  readonly rowGroup: number
  readonly rows: number
  /** Missing for a constant. */
  readonly chunk?: ColumnChunk
  readonly replacements: Replacements
  /** Numbers of a dictionary's values that were looked up before. */
  readonly known?: Known
  /** Shared by the chunks of a file, which come one after the other. */
  readonly memory: SwapMemory
  readonly signal?: AbortSignal
}

/** A task whose chunk comes from the input. */
export type InputTask = ChunkTask & {
  readonly chunk: ColumnChunk
  readonly column: OutputColumn & { readonly source: LeafNode }
}

export function placeOf({ location, column, rowGroup }: ChunkTask): Place {
  return { location, column: (column.source ?? column.leaf).path, rowGroup }
}

export function pagesOf(task: InputTask): AsyncGenerator<Page> {
  return readPages(task.source, task.chunk, placeOf(task), { signal: task.signal })
}

/** Levels of lists tell the rows of a chunk, and may tell others than its row group has. */
export function requireRows(task: InputTask, rows: number): void {
  if (rows !== task.rows) throw corrupt(placeOf(task), `has ${rows} rows of ${task.rows}`)
}

/** Nulls of a chunk, counted while its pages are copied or made. */
export class Nulls {
  #count: number | undefined = 0

  add(nulls: number): void {
    if (this.#count !== undefined) this.#count += nulls
  }

  /** A page was copied that does not say. */
  unsaid(): void {
    this.#count = undefined
  }

  /** Undefined where a page did not say. */
  get count(): number | undefined {
    return this.#count
  }
}
