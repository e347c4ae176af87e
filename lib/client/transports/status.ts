import type { Clock } from '../../core/clock.ts'
import { type ErrorCode, type ErrorContext, PseudolakeError } from '../../core/errors.ts'
import { readProblem } from '../../wire/problem.ts'

export interface FailedResponse {
  readonly status: number
  readonly retryAfter: string | undefined
  /** The body, or what was read of it. */
  readonly body: string
  /** Values in the request, to tell an index from a number that happens to stand there. */
  readonly count: number
  /** The service's name for messages. */
  readonly service: string
}

/**
 * The error that a status other than 200 stands for. Of the body only a documented code and the places of values are taken, never
 * its text: it may repeat what was sent.
 */
export function failureOf(response: FailedResponse, clock: Clock): PseudolakeError {
  const { status, service } = response
  const problem = readProblem(response.body)
  const errors = (problem.errors ?? []).filter(({ index }) => index >= 0 && index < response.count)
  const retryAfterMs = readRetryAfter(response.retryAfter, clock)
  const context: ErrorContext = {
    status,
    service,
    ...(problem.code !== undefined && { problem: problem.code }),
    ...(errors.length > 0 && { indices: errors.map(({ index }) => index) }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
  const because = problem.code === undefined ? '' : ` (${problem.code})`
  const redirected = status >= 300 && status < 400 ? '; redirects are not followed' : ''
  return new PseudolakeError(
    codeOf(status, retryAfterMs !== undefined),
    `${service} answered ${status}${because}${redirected}`,
    context,
  )
}

function codeOf(status: number, retryAfter: boolean): ErrorCode {
  if (status < 300) return 'service/bad-answer'
  if (status === 401 || status === 403) return 'service/denied'
  if (status === 408 || status === 425) return 'service/unavailable'
  if (status === 413) return 'service/too-large'
  if (status === 429) return 'service/throttled'
  if (status < 500) return 'service/refused'
  return status === 503 && retryAfter ? 'service/throttled' : 'service/unavailable'
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110 §10.2.3); undefined for anything else. */
function readRetryAfter(header: string | undefined, clock: Clock): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - clock.wall())
}
