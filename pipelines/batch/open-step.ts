/** Opens the files of a step and has each checked: nothing has been written then. */
import pLimit from 'p-limit'
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Approved } from '../pins.ts'
import { isUnread } from './csv/open.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { CSV_SAMPLE_BYTES, openInput, withRowGroups } from './open-input.ts'
import { approvedOf, requireApproved, requireSame, type Shape, shapeOf } from './shape.ts'
import type { Target } from './target.ts'
import { columnsHint, orWayOn } from './way-on.ts'

/** The run's first file: all others must come out as it does. */
export interface First {
  readonly shape: Shape
  readonly location: string
}

/** Footers in memory at a time. */
const OPEN_AT_ONCE = 8

export interface OpenedStep {
  readonly first: First
  /** The table's after this step. */
  readonly schema: Schema
  readonly approved: Approved
  /** Replaced columns of all its files. */
  readonly replaced: Shape['replaced']
  /** The file of a step that has one: it need not be opened again. */
  readonly only?: ParquetFile
}

/** Sees each file while its footer is in memory. */
export type Visit = (file: ParquetFile, input: InputFile, shape: Shape) => Promise<void>

/**
 * @param first of an earlier step of the run
 * @throws PseudolakeError `input/*`, `config/invalid`, `table/schema-changed`
 */
export async function openStep(
  inputs: readonly InputFile[],
  first: First | undefined,
  job: BatchJob,
  target: Target,
  { storage, signal, command }: { readonly storage: Storage; readonly signal: AbortSignal; readonly command: string },
  visit?: Visit,
): Promise<OpenedStep> {
  const { approved: before, metadata } = target
  const limit = pLimit(OPEN_AT_ONCE)
  let only: ParquetFile | undefined
  const opened = inputs.map((input) =>
    limit(async (): Promise<First> => {
      const file = await openInput(input, job, { storage, signal })
      const shape = shapeOf(file, input, job, before)
      const looked = { storage, signal, bytes: CSV_SAMPLE_BYTES.run }
      if (visit) await visit(await withRowGroups(file, input, shape, job, looked), input, shape)
      if (inputs.length === 1 && !isUnread(file)) only = file
      return { location: input.object.location, shape }
    }),
  )
  const files = await settled(opened)
  const leader = first ?? (files[0] as First)
  // A table that does not exist yet is made for the columns of its first files, and these must agree.
  const changes = metadata ? job.schemaChanges : 'fail'
  const hint = columnsHint(job, command)
  let approved = before
  const replaced = new Map<string, Shape['replaced'][number]>()
  for (const { shape, location } of files) {
    requireSame(leader.shape, leader.location, shape, location, changes)
    const here = approvedOf(shape)
    approved = approved ? requireApproved(approved, here, changes, hint) : here
    for (const one of shape.replaced) replaced.set(one.column, one)
  }
  const roots = files.map(({ shape }) => shape.output.root)
  const schema = metadata && changes === 'add' ? target.grownFor(roots) : target.schemaFor(leader.shape.schema)
  // Throws where the files do not fit the table.
  for (const root of roots) orWayOn(hint, () => fieldIdsFor(root, schema))
  return {
    first: leader,
    schema,
    approved: approved as Approved,
    replaced: [...replaced.values()],
    ...(only && { only }),
  }
}

/** Waits for all, so that no work goes on behind a failure's back, then throws the first failure in order. */
async function settled<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
