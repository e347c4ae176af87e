import type { Storage } from '../../lib/storage/storage.ts'
import { type InputFile, listInputs, namedInputs } from './inputs.ts'
import type { BatchJob } from './job.ts'

export interface Choice {
  /** Only these inputs, by location; they must lie below the input path. */
  readonly inputsFrom?: readonly string[]
  /** Only inputs written since, in milliseconds since 1970. */
  readonly modifiedSince?: number
}

export interface Chosen {
  readonly inputs: AsyncIterable<InputFile>
  /** What was passed over; complete when the inputs have been read. */
  notes(): string[]
}

/** The inputs that a run looks at, before it asks which of them are done. Reading them throws as `listInputs` and `namedInputs` do. */
export function chooseInputs(job: BatchJob, storage: Storage, { inputsFrom, modifiedSince }: Choice): Chosen {
  const all = inputsFrom
    ? namedInputs(storage, job.input, job.hive, inputsFrom)
    : listInputs(storage, job.input, job.hive)
  if (modifiedSince === undefined) return { inputs: all, notes: () => [] }
  const since = modifiedSince
  let older = 0
  async function* recent() {
    for await (const input of all)
      if (input.object.modified >= since) yield input
      else older++
  }
  return {
    inputs: recent(),
    notes: () =>
      older === 0 ? [] : [`${older} ${older === 1 ? 'input is' : 'inputs are'} older than --modified-since`],
  }
}
