import type { Storage } from '../../lib/storage/storage.ts'
import { type InputFile, listInputs, namedInputs } from './inputs.ts'
import type { BatchJob } from './job.ts'

export interface Choice {
  /** Only these inputs, by location; they must lie below the input path. */
  readonly inputsFrom?: readonly string[]
  /** Only inputs written since, in milliseconds since 1970. */
  readonly modifiedSince?: number
}

/** The inputs that a run looks at, before it asks which of them are done. @throws as `listInputs` and `namedInputs` */
export async function chooseInputs(
  job: BatchJob,
  storage: Storage,
  { inputsFrom, modifiedSince }: Choice,
): Promise<{ inputs: InputFile[]; notes: string[] }> {
  const all = inputsFrom
    ? await namedInputs(storage, job.input, job.hive, inputsFrom)
    : await listInputs(storage, job.input, job.hive)
  if (modifiedSince === undefined) return { inputs: all, notes: [] }
  const inputs = all.filter(({ object }) => object.modified >= modifiedSince)
  const older = all.length - inputs.length
  return {
    inputs,
    notes: older === 0 ? [] : [`${older} ${older === 1 ? 'input is' : 'inputs are'} older than --modified-since`],
  }
}
