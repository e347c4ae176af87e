/** What a chunk's rewriting is given, and the pages it starts from. */
import type { ColumnChunk } from './footer.ts'
import type { Known } from './gather.ts'
import type { ParquetFile } from './open.ts'
import type { Sink } from './output.ts'
import type { OutputColumn } from './output-tree.ts'
import { type Page, readPages } from './page.ts'
import { corrupt, type Place } from './place.ts'
import type { PlannedChunk, PlannedRowGroup, RewritePlan } from './plan.ts'
import { type RangeReader, Window } from './ranges.ts'
import type { Replacements } from './replacements.ts'
import type { LeafNode } from './schema.ts'

/** For one dictionary at a time. */
export interface SwapMemory {
  readonly values: Window
}

export function swapMemory(): SwapMemory {
  return { values: new Window() }
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

/** What the chunks of a file have in common. */
export interface ChunksWork extends Pick<ChunkTask, 'source' | 'out' | 'replacements' | 'memory' | 'signal'> {
  readonly plan: RewritePlan
  readonly file: ParquetFile
}

/** @param position of the column in the output */
export function chunkTask(
  { plan, file, source, out, replacements, memory, signal }: ChunksWork,
  group: PlannedRowGroup,
  position: number,
  known?: Known,
): ChunkTask {
  const column = plan.columns[position] as OutputColumn
  const chunk = column.source && file.rowGroups[group.index]?.columns[column.source.column]
  return {
    location: file.object.location,
    source,
    out,
    column,
    planned: group.chunks[position] as PlannedChunk,
    rowGroup: group.index,
    rows: group.rows,
    replacements,
    memory,
    ...(known && { known }),
    ...(chunk && { chunk }),
    ...(signal && { signal }),
  }
}

export function isFromInput(task: ChunkTask): task is InputTask {
  return task.chunk !== undefined && task.column.source !== undefined
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
