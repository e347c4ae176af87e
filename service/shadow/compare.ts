import { readList } from '../../lib/wire/body.ts'

/**
 * Two answers to one request, held against each other. Pure; what comes out are names and numbers, never a value.
 */
export interface Answered {
  readonly status: number
  readonly body: Uint8Array
}

export type Outcome =
  /** The same status, and for a 200 the same values. */
  | 'equal'
  /** Not the same status; by statuses in the report. */
  | 'status'
  /** Two 200, of which one is none of the contract. */
  | 'form'
  /** Not as many values. */
  | 'length'
  /** Other values, or nulls in other places. */
  | 'values'

export interface Compared {
  readonly outcome: Outcome
  /** Values that were held against each other. */
  readonly values: number
  readonly different: number
}

/** @param field of the answers' one list */
export function compareAnswers(old: Answered, fresh: Answered, field: string): Compared {
  if (old.status !== fresh.status) return { outcome: 'status', values: 0, different: 0 }
  if (old.status !== 200) return { outcome: 'equal', values: 0, different: 0 }
  return compareLists(readList(old.body, field), readList(fresh.body, field))
}

type Read = ReturnType<typeof readList>

/** Two lists as they were read; one that could not be read is no list of the contract. */
export function compareLists(old: Read, fresh: Read): Compared {
  if ('wrong' in old || 'wrong' in fresh) return { outcome: 'form', values: 0, different: 0 }
  if (old.length !== fresh.length) return { outcome: 'length', values: 0, different: 0 }
  let different = 0
  for (let i = 0; i < old.length; i++) if (old[i] !== fresh[i] || old[i] === undefined) different++
  return { outcome: different === 0 ? 'equal' : 'values', values: old.length, different }
}
