import { isPseudolakeError, type PseudolakeError } from '../lib/core/errors.ts'
import { PROBLEM_TYPE, type Problem, type ProblemCode, statusOf, writeProblem } from '../lib/wire/problem.ts'
import type { ServiceAnswer, ServiceRequest } from './service.ts'

/** Answers of the service by what they say, and what a failure may say of itself. Pure. */

/**
 * Whether the body may be JSON in UTF-8. What says nothing counts as JSON, and so does what `curl -d` says by itself: callers of
 * the original service never had to say anything.
 */
export function isReadable(request: ServiceRequest): boolean {
  const coding = request.header('content-encoding')?.trim().toLowerCase() ?? ''
  if (coding !== '' && coding !== 'identity') return false
  const [type = '', ...parameters] = (request.header('content-type') ?? '').toLowerCase().split(';')
  const charset = parameters.map((p) => p.trim()).find((p) => p.startsWith('charset='))
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return false
  return /^(?:application\/(?:[a-z0-9.+-]+\+)?json|application\/x-www-form-urlencoded|)$/.test(type.trim())
}

export function problemOf(error: unknown): Problem | undefined {
  if (isPseudolakeError(error, 'keyring/unknown-domain')) return { code: 'keyring/unknown-domain' }
  if (isPseudolakeError(error, 'keyring/unknown-key')) return { code: 'keyring/unknown-key' }
  if (isPseudolakeError(error, 'service/too-large')) return { code: 'answer/too-large', detail: error.message }
  if (isPseudolakeError(error, 'identifier/invalid', 'pseudonym/invalid')) return itemProblem(error)
  return undefined
}

function itemProblem(error: PseudolakeError): Problem {
  const indices = error.context.indices as readonly number[]
  const codes = error.context.codes as readonly string[]
  const errors = indices.map((index, i) => ({ index, code: codes[i] ?? error.code }))
  const code = codes.includes('identifier/not-unicode') ? 'identifier/not-unicode' : (error.code as ProblemCode)
  return { code, detail: error.message, errors }
}

export function refusal(problem: Problem): ServiceAnswer {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  if (problem.retryAfterSeconds !== undefined) headers['retry-after'] = String(problem.retryAfterSeconds)
  return { status: statusOf(problem.code), headers, body: writeProblem(problem) }
}

export function wrongMethod(allow: string): ServiceAnswer {
  const answer = refusal({ code: 'request/method' })
  return { ...answer, headers: { ...answer.headers, allow } }
}

export function json(body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): ServiceAnswer {
  return { status: 200, headers: { 'content-type': 'application/json', ...headers }, body }
}

export function text(body: string): ServiceAnswer {
  return { status: 200, headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, body }
}

/** Where it happened, without the message: that of a foreign error may quote what it was working on. */
export function describe(error: unknown): { error: string; code?: string; at?: readonly string[] } {
  if (!(error instanceof Error)) return { error: typeof error }
  const { code } = error as { code?: unknown }
  const at = error.stack
    ?.replace(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
  return {
    error: error.name,
    ...(typeof code === 'string' && /^[\w/-]{1,64}$/.test(code) && { code }),
    ...(at && { at: at.slice(0, 8).map((line) => line.trim()) }),
  }
}

/** An answer's body as text. */
export function bodyText({ body }: ServiceAnswer): string {
  return typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8')
}
