/** Row groups of a file, made in a thread. */
import { fieldIdsFor } from '../../../lib/iceberg/parquet-schema.ts'
import { swapMemory } from '../../../lib/parquet/chunk-task.ts'
import type { WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import { type Piece, PieceSink } from '../../../lib/parquet/pieces.ts'
import { type PlannedRowGroup, planRewrite, type RewritePlan } from '../../../lib/parquet/plan.ts'
import { rangeReader } from '../../../lib/parquet/ranges.ts'
import { neededRanges, rewriteRowGroup } from '../../../lib/parquet/row-group.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { StepWork } from '../file.ts'
import type { Replacers } from '../replacer.ts'
import { shapeOf } from '../shape.ts'
import type { FileOfGroups } from './messages.ts'

export interface GroupWorkOptions {
  readonly storage: Storage
  readonly signal: AbortSignal
  readonly step: StepWork
  readonly replacers: Replacers
}

/** A file that is open, and its plan, which comes out in every thread as in the one that writes. */
export class GroupWork {
  readonly #options: GroupWorkOptions
  readonly #file: ParquetFile
  readonly #plan: RewritePlan
  readonly #memory = swapMemory()

  private constructor(options: GroupWorkOptions, file: ParquetFile, plan: RewritePlan) {
    this.#options = options
    this.#file = file
    this.#plan = plan
  }

  static async open({ input, constants }: FileOfGroups, options: GroupWorkOptions): Promise<GroupWork> {
    const { storage, signal, step, replacers } = options
    const { job, approved, schema, pinned } = step
    const file = await openParquet(storage, input.object, { signal })
    const shape = shapeOf(file, input, job, approved)
    replacers.know(shape, pinned)
    const fieldIds = fieldIdsFor(shape.output.root, schema)
    return new GroupWork(
      options,
      file,
      planRewrite(file, shape.treatments, { fieldIds, constants, renames: shape.renames }),
    )
  }

  /** One at a time. @param take resolves when more may come @throws as `rewrite` */
  async group(
    position: number,
    take: (pieces: readonly Piece[], bytes: number) => Promise<void>,
  ): Promise<WrittenRowGroup> {
    const { storage, signal, replacers } = this.#options
    const group = this.#plan.rowGroups[position] as PlannedRowGroup
    const out = new PieceSink(take)
    const source = rangeReader(storage, this.#file.object, neededRanges([group]), signal)
    const written = await rewriteRowGroup(group, {
      plan: this.#plan,
      file: this.#file,
      source,
      out,
      replacements: replacers.tables,
      memory: this.#memory,
      signal,
    })
    await out.flush()
    return written
  }
}
