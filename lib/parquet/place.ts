import { type ErrorCode, type ErrorContext, PseudolakeError } from '../core/errors.ts'

/** Where in a file something is, for messages: names and numbers, never values. */
export interface Place {
  readonly location: string
  readonly column?: readonly string[]
  readonly rowGroup?: number
  /** Pages of the chunk, the dictionary included, from 0. */
  readonly page?: number
}

/**
 * A column's name as configuration spells it: dots between the parts, backticks around a part that holds one. Control characters
 * are shown by their code: a name comes from a file, and must not end a log line.
 */
export function columnName(path: readonly string[]): string {
  return path
    .map((part) => (/[.`]/.test(part) ? `\`${part.replaceAll('`', '``')}\`` : part))
    .join('.')
    .replace(/\p{Cc}/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

export function failure(
  code: ErrorCode,
  place: Place,
  what: string,
  extra: ErrorContext = {},
  cause?: unknown,
): PseudolakeError {
  const { location, column, rowGroup, page } = place
  const where = [
    column && `column ${columnName(column)}`,
    rowGroup !== undefined && `row group ${rowGroup}`,
    page !== undefined && `page ${page}`,
  ].filter((part) => typeof part === 'string')
  const context = {
    location,
    ...(column && { column: columnName(column) }),
    ...(rowGroup !== undefined && { rowGroup }),
    ...(page !== undefined && { page }),
    ...extra,
  }
  return new PseudolakeError(
    code,
    `${location}: ${where.length > 0 ? `${where.join(', ')}: ` : ''}${what}`,
    context,
    cause === undefined ? undefined : { cause },
  )
}

export function corrupt(place: Place, what: string): PseudolakeError {
  return failure('input/corrupt', place, what)
}

/**
 * Runs code that decodes bytes nobody vouches for. Whatever it throws that is no error of ours says that the bytes are wrong; its
 * message is left out, because a decoder's message may quote what it read.
 */
export function guarded<R>(place: Place, what: string, decode: () => R): R {
  try {
    return decode()
  } catch (error) {
    if (error instanceof PseudolakeError) throw error
    throw failure('input/corrupt', place, `${what} cannot be read (${(error as Error).constructor?.name ?? 'error'})`)
  }
}
