import { ERRORS, PseudolakeError } from '../../lib/core/errors.ts'

/** What of a failed run is in the table: decides whether a caller may simply run again. */
export type FailureOutcome = 'nothing-published' | 'partly-published' | 'published' | 'unknown'

export interface Failure {
  readonly exit: 1 | 2 | 3
  readonly json: {
    readonly status: 'failed'
    readonly error: {
      readonly code: string
      readonly retryable: boolean
      readonly outcome: FailureOutcome
      readonly message: string
      readonly hint: string
      /** Everything that is wrong, `code: message` each, where the first one does not hide the others. */
      readonly problems?: readonly string[]
    }
  }
  readonly text: string
}

/** Any thrown thing as an exit status, a JSON document and lines for a person. A bug keeps its stack; the others do not need one. */
export function failure(error: unknown): Failure {
  const known = error instanceof PseudolakeError ? error : asKnown(error)
  const { exit, retryable, fix } = ERRORS[known.code]
  const hint = typeof known.context.hint === 'string' ? known.context.hint : fix
  const lines = [`error ${known.code}: ${known.message}`]
  for (let cause = known.cause, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++)
    if (cause instanceof PseudolakeError) lines.push(`  because ${cause.code}: ${cause.message}`)
  if (known.code === 'internal/bug' && error instanceof Error && error.stack) lines.push(stackOnly(error))
  lines.push(`  what to do: ${hint}`)
  return {
    exit,
    json: {
      status: 'failed',
      error: {
        code: known.code,
        retryable: retryable || exit === 3,
        outcome: outcomeOf(known),
        message: known.message,
        hint,
        ...(Array.isArray(known.context.problems) && { problems: known.context.problems as readonly string[] }),
      },
    },
    text: `${lines.join('\n')}\n`,
  }
}

function asKnown(error: unknown): PseudolakeError {
  // The message of an unknown error may quote what it choked on, a JSON text or a cell: only its class is printed.
  const kind = error instanceof Error ? error.constructor.name : typeof error
  return new PseudolakeError('internal/bug', `unexpected ${kind}`, {}, { cause: error })
}

/** Where it was thrown. The message is cut out first: it may quote what it choked on, in lines that look like any. */
function stackOnly(error: Error): string {
  return (error.stack ?? '')
    .replace(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 12)
    .join('\n')
}

function outcomeOf(error: PseudolakeError): FailureOutcome {
  if (error.code === 'table/commit-unknown') return 'unknown'
  const told = error.context.outcome
  return told === 'partly-published' || told === 'published' || told === 'unknown' ? told : 'nothing-published'
}
