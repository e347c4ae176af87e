import { PseudolakeError } from '../core/errors.ts'

/** A service that answered what can't be right. The message repeats nothing of the answer. */
export function badAnswer(what: string, index?: number): PseudolakeError {
  return new PseudolakeError('service/bad-answer', `the service's answer cannot be right: ${what}`, {
    ...(index !== undefined && { index }),
  })
}
