/** Opens the files of a step and has each checked: nothing has been written then. */
import pLimit from 'p-limit'
import { currentSchema } from '../../lib/iceberg/metadata.ts'
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import { approvedOf, requireApproved, requireSame, type Shape, shapeOf } from './shape.ts'
import type { Target } from './target.ts'

/** The run's first file: all others must come out as it does. */
export interface First {
  readonly shape: Shape
  readonly location: string
}

/** Footers in memory at a time. */
const OPEN_AT_ONCE = 8

/**
 * @param first of an earlier step of the run
 * @returns the run's first file
 * @throws PseudolakeError `input/*`, `config/invalid`, `table/schema-changed`
 */
export async function openStep(
  inputs: readonly InputFile[],
  first: First | undefined,
  job: BatchJob,
  target: Target,
  { storage, signal }: { readonly storage: Storage; readonly signal: AbortSignal },
): Promise<First> {
  const { approved, metadata } = target
  const limit = pLimit(OPEN_AT_ONCE)
  const opened = inputs.map((input) =>
    limit(async (): Promise<First> => {
      const file = await openParquet(storage, input.object, { signal })
      return { location: input.object.location, shape: shapeOf(file, input, job, approved) }
    }),
  )
  let leader = first
  for (const file of await settled(opened)) {
    leader ??= file
    requireSame(leader.shape, leader.location, file.shape, file.location)
  }
  const { shape } = leader as First
  if (approved) requireApproved(approved, approvedOf(shape))
  // Throws where the files do not fit the table.
  if (metadata) fieldIdsFor(shape.output.root, currentSchema(metadata))
  return leader as First
}

/** Waits for all, so that no work goes on behind a failure's back, then throws the first failure in order. */
async function settled<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
