import { type ErrorContext, isPseudolakeError, PseudolakeError } from '../core/errors.ts'

/**
 * True where the request itself was at fault, perhaps by a single value of it. Calls that were sent together because they happened
 * to wait at the same time must not fail for each other's values: each is then asked alone.
 */
export function isValueFault(error: unknown): error is PseudolakeError {
  return isPseudolakeError(
    error,
    'service/refused',
    'service/too-large',
    'identifier/invalid',
    'pseudonym/invalid',
    'input/value-invalid',
  )
}

/**
 * The same error with `context.index` and `context.indices` moved to where the values stand in the caller's request. Every layer
 * that regroups values passes errors through here, so that the place a user reads is a place in what the user sent.
 *
 * @param place from an index of the inner request to one of the outer
 */
export function relocated(error: unknown, place: (index: number) => number | undefined): unknown {
  if (!(error instanceof PseudolakeError)) return error
  const { index, indices } = error.context
  if (typeof index !== 'number' && !Array.isArray(indices)) return error
  const context: Record<string, ErrorContext[string]> = { ...error.context }
  if (typeof index === 'number') {
    const moved = place(index)
    if (moved === undefined) delete context.index
    else context.index = moved
  }
  if (Array.isArray(indices)) {
    const numbers = indices.filter((each): each is number => typeof each === 'number')
    context.indices = numbers.map(place).filter((each): each is number => each !== undefined)
  }
  const moved = new PseudolakeError(error.code, error.message, context, 'cause' in error ? { cause: error.cause } : {})
  if (error.stack !== undefined) moved.stack = error.stack
  return moved
}
