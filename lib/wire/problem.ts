/**
 * What the service answers when it does not answer: problem JSON (RFC 9457) with a code that programs can rely on. Details name
 * places, counts and lengths, never a value, a key or a caller.
 */
export const PROBLEMS = {
  'request/malformed': { status: 400, says: 'The body is not what it must be' },
  'request/parameter': { status: 400, says: 'A query parameter is not what it must be' },
  'request/forbidden': { status: 403, says: 'The API key is missing, wrong, expired, or not allowed this' },
  'request/purpose': { status: 403, says: 'The purpose is missing, or not one that the caller may ask for' },
  'request/unknown-path': { status: 404, says: 'There is nothing at this path' },
  'keyring/unknown-domain': { status: 404, says: 'There is no such domain' },
  'keyring/unknown-key': { status: 404, says: 'The domain has no such key, or the key is not for this' },
  'request/method': { status: 405, says: 'The path does not take this method' },
  'request/timeout': { status: 408, says: 'The request did not arrive in time' },
  'request/too-large': { status: 413, says: 'The body is too large' },
  'request/too-many': { status: 413, says: 'There are more values than are taken in one request' },
  'request/head-too-large': { status: 431, says: 'The head of the request is too large' },
  'answer/too-large': { status: 413, says: 'The answer would be too large' },
  'request/media-type': { status: 415, says: 'The body is not in a form that is read here' },
  'identifier/not-unicode': { status: 400, says: 'An identifier is not well-formed Unicode' },
  'identifier/invalid': { status: 422, says: 'An identifier is too long, or no text' },
  'pseudonym/invalid': { status: 422, says: 'A text is no pseudonym of this domain' },
  'request/throttled': { status: 429, says: 'The caller sends more than it may' },
  'request/quota': { status: 429, says: 'The caller has used up its quota' },
  'service/failed': { status: 500, says: 'The service failed' },
  'service/busy': { status: 503, says: 'The service has too much to do' },
  'service/audit': { status: 503, says: 'The call could not be put on record' },
} as const satisfies Record<string, { readonly status: number; readonly says: string }>

/** RFC 9457 wants the status' own phrase as the title of a problem without a type. */
const PHRASES = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
} as const

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

/** The body. The status' own phrase is its `message` too, as in API Gateway's errors: existing callers look for it there. */
export function writeProblem({ code, detail, errors }: Problem): string {
  const { status, says } = PROBLEMS[code]
  const title = PHRASES[status]
  return JSON.stringify({ type: 'about:blank', title, status, code, detail: detail ?? says, message: title, errors })
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
