/**
 * What the service answers when it does not answer: problem JSON (RFC 9457) with a code that programs can rely on. Details name
 * places, counts and lengths, never a value, a key or a caller.
 */
export const PROBLEMS = {
  'request/malformed': { status: 400, title: 'The body is not what it must be' },
  'request/parameter': { status: 400, title: 'A query parameter is not what it must be' },
  'request/forbidden': { status: 403, title: 'Forbidden' },
  'request/unknown-path': { status: 404, title: 'There is nothing at this path' },
  'keyring/unknown-domain': { status: 404, title: 'There is no such domain' },
  'keyring/unknown-key': { status: 404, title: 'The domain has no such key, or the key is not for this' },
  'request/method': { status: 405, title: 'The path does not take this method' },
  'request/timeout': { status: 408, title: 'The request did not arrive in time' },
  'request/too-large': { status: 413, title: 'The body is too large' },
  'answer/too-large': { status: 413, title: 'The answer would be too large' },
  'request/media-type': { status: 415, title: 'The body is not in a form that is read here' },
  'identifier/not-unicode': { status: 400, title: 'An identifier is not well-formed Unicode' },
  'identifier/invalid': { status: 422, title: 'An identifier is too long, or no text' },
  'pseudonym/invalid': { status: 422, title: 'A text is no pseudonym of this domain' },
  'request/throttled': { status: 429, title: 'The caller sends more than it may' },
  'service/failed': { status: 500, title: 'The service failed' },
  'service/busy': { status: 503, title: 'The service has too much to do' },
  'service/audit': { status: 503, title: 'The call could not be put on record' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>

export type ProblemCode = keyof typeof PROBLEMS

export interface ItemError {
  /** Place in the list of the request, from 0. */
  readonly index: number
  readonly code: string
}

export interface Problem {
  readonly code: ProblemCode
  readonly detail?: string
  /** Which values of the list; at most {@link MAX_ITEM_ERRORS}. */
  readonly errors?: readonly ItemError[]
  /** Whole seconds for `Retry-After`. */
  readonly retryAfterSeconds?: number
}

export const MAX_ITEM_ERRORS = 100

export const PROBLEM_TYPE = 'application/problem+json'

export function statusOf(code: ProblemCode): number {
  return PROBLEMS[code].status
}

/** The body. Every problem has a `message` too, as API Gateway's own errors do: existing callers look for it. */
export function writeProblem({ code, detail, errors }: Problem): string {
  const { status, title } = PROBLEMS[code]
  return JSON.stringify({ type: 'about:blank', title, status, code, message: title, detail, errors })
}

/** What a client may take from an error body: code and indices, where it is ours. Anything else could be an echo of values. */
export function readProblem(body: string): { readonly code?: string; readonly errors?: readonly ItemError[] } {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return {}
  }
  if (typeof parsed !== 'object' || parsed === null) return {}
  const { code, errors } = parsed as { code?: unknown; errors?: unknown }
  const items = Array.isArray(errors) ? errors.slice(0, MAX_ITEM_ERRORS).filter(isItemError) : []
  return {
    ...(isCode(code) && { code }),
    ...(items.length > 0 && { errors: items.map(({ index, code }) => ({ index, code })) }),
  }
}

function isItemError(item: unknown): item is ItemError {
  if (typeof item !== 'object' || item === null) return false
  const { index, code } = item as { index?: unknown; code?: unknown }
  return Number.isSafeInteger(index) && isCode(code)
}

/** Only codes of the documented tables pass: a hostile service could put a value where a code belongs. */
function isCode(code: unknown): code is ProblemCode {
  return typeof code === 'string' && Object.hasOwn(PROBLEMS, code)
}
