import type { Clock } from '../lib/core/clock.ts'
import { isPseudolakeError, type PseudolakeError } from '../lib/core/errors.ts'
import type { Keyring } from '../lib/crypto/keyring.ts'
import { readList } from '../lib/wire/body.ts'
import {
  type Direction,
  FIELDS,
  HEADERS,
  MAX_BODY_BYTES,
  type Query,
  type Route,
  readQuery,
  routeOf,
  writeKeys,
} from '../lib/wire/contract.ts'
import { PROBLEM_TYPE, type Problem, type ProblemCode, statusOf, writeProblem } from '../lib/wire/problem.ts'
import type { Audit, AuditEntry } from './audit/audit.ts'
import { type Identify, isPurpose, mayAskFor, mayCall, NOBODY } from './auth.ts'
import { type LiveKeyring, withKeys } from './keys/live.ts'
import { type Limit, rateLimit } from './limits.ts'
import { metrics } from './metrics.ts'
import { type OperationAnswer, pseudonymize, reidentify } from './operations/operations.ts'
import type { Threads } from './operations/threads/threads.ts'

/**
 * The service, apart from any server: a request object in, an answer object out. Order matters: nobody who is not known makes it
 * read a body, nobody without permission learns whether a domain exists, and no plaintext leaves before the call is on record.
 */
export interface App {
  handle(request: ServiceRequest): Promise<ServiceAnswer>
}

export interface ServiceRequest {
  readonly method: string
  /** The path, not decoded, without the query. */
  readonly path: string
  /** The query with its `?`, or nothing. */
  readonly search: string
  /** @param name in lower case */
  header(name: string): string | undefined
  /** Reads the body, when it is wanted; or says why it can't be had. */
  body(): Promise<Uint8Array | ProblemCode>
  /** ARN of who signed the request, as the gateway before this says that checked it; never taken from a header. */
  readonly principal?: string
  /** What the gateway before this calls the request; on record beside our own name of it. */
  readonly gatewayId?: string
  /** Aborted when the caller is gone. */
  readonly signal?: AbortSignal
}

export interface ServiceAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface AppOptions {
  /** One that is live may be replaced while calls are under way. */
  readonly keyring: Keyring | LiveKeyring
  readonly identify: Identify
  readonly audit: Audit
  readonly clock: Clock
  /** A new name for each call. */
  readonly requestId: () => string
  /** Lets other calls have the thread. */
  readonly pause: () => Promise<unknown>
  /** For large requests, and many at once. @default this thread does everything */
  readonly threads?: Threads
  /** Which `Host` may be asked for. @default any */
  readonly allowsHost?: (host: string | undefined) => boolean
  readonly log: (entry: LogEntry) => void
  /** Calls under way at most, the others get a 503. @default 256 */
  readonly maxInFlight?: number
  /** Says whether a caller may have one more request now; one that may not gets a 429. @default no limit */
  readonly limit?: Limit
}

/** What goes to the log: names of ours and numbers, nothing that came with a request. */
export interface LogEntry {
  readonly level: 'info' | 'warn' | 'error'
  readonly event: string
  readonly [field: string]: string | number | boolean | null | undefined | readonly string[]
}

/** Denied calls on record each second; a flood of them must not fill the disk that reidentifications wait for. */
const DENIALS = { perSecond: 10, burst: 10 }

export function createApp(options: AppOptions): App {
  const { keyring, identify, audit, clock, requestId, pause, allowsHost, log, maxInFlight = 256 } = options
  const counts = metrics()
  const denials = rateLimit()
  const domains = { has: (name: string) => keyring.domains.some(({ domain }) => domain === name) }

  return {
    async handle(request) {
      const id = requestId()
      const start = clock.now()
      const route = routeOf(request.path)
      const { answer, values } = await dispatch(request, route, id)
      const seconds = (clock.now() - start) / 1000
      const { status } = answer
      counts.answered({ route: route ?? 'unknown', status, seconds })
      if (route !== 'health' && route !== 'metrics')
        log({
          level: status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info',
          event: 'request',
          request_id: id,
          route: route ?? 'unknown',
          status,
          values,
          ms: Math.round(seconds * 1e6) / 1e3,
        })
      return { ...answer, headers: { [HEADERS.requestId]: id, 'cache-control': 'no-store', ...answer.headers } }
    },
  }

  async function dispatch(request: ServiceRequest, route: Route | undefined, id: string): Promise<Handled> {
    if (route === undefined) return { answer: refusal({ code: 'request/unknown-path' }) }
    if (allowsHost && !allowsHost(request.header('host'))) return { answer: refusal({ code: 'request/forbidden' }) }
    if (route === 'health' || route === 'metrics') {
      if (request.method !== 'GET' && request.method !== 'HEAD') return { answer: wrongMethod('GET, HEAD') }
      if (route === 'health') return { answer: json('{"status":"ok"}') }
      return { answer: text(counts.text()) }
    }
    if (request.method !== 'POST') return { answer: wrongMethod('POST') }
    const call: Call = {
      direction: route,
      id,
      gatewayId: request.gatewayId,
      principal: request.principal,
      caller: null,
      domain: null,
      purpose: null,
      values: null,
    }
    try {
      return await operate(request, call)
    } catch (error) {
      if (request.signal?.aborted) {
        record(call, 'left')
        // Nobody reads it; the status is what proxies use for this in their logs.
        return { answer: { status: 499, headers: {}, body: '' } }
      }
      log({ level: 'error', event: 'failed', request_id: id, ...describe(error) })
      return refuse(call, { code: 'service/failed' })
    }
  }

  async function operate(request: ServiceRequest, call: Call): Promise<Handled> {
    const { direction } = call
    const found = identify({ apiKey: request.header(HEADERS.apiKey), principal: request.principal })
    const caller = found ?? NOBODY
    const query = readQuery(request.search, direction)
    const domain = 'wrong' in query ? undefined : query.domain
    if (found) call.caller = found.name
    if (domain !== undefined && domains.has(domain)) call.domain = domain
    // Before anything is said of the query: who may not call at all is told nothing else.
    if (!mayCall(caller, direction, domain, clock.wall())) return denied(call)
    if ('wrong' in query) return refuse(call, { code: 'request/parameter', detail: query.wrong })

    const purpose = request.header(HEADERS.purpose)
    if (purpose !== undefined && isPurpose(purpose)) call.purpose = purpose
    if (!mayAskFor(caller, direction, purpose)) return refuse(call, { code: 'request/purpose' })
    const over = options.limit?.(caller, clock.now(), clock.wall())
    if (over) return refuse(call, over)
    if (!isReadable(request)) return refuse(call, { code: 'request/media-type' })
    if (counts.inFlight >= maxInFlight) return refuse(call, { code: 'service/busy', retryAfterSeconds: 1 })
    counts.started()
    try {
      return await work(request, call, query)
    } finally {
      counts.ended()
    }
  }

  async function work(request: ServiceRequest, call: Call, query: Query): Promise<Handled> {
    const body = await request.body()
    if (typeof body === 'string')
      return refuse(call, { code: body, ...(body === 'service/busy' && { retryAfterSeconds: 1 }) })
    const field = FIELDS[call.direction]
    const values = readList(body, field.request)
    if ('wrong' in values) return refuse(call, { code: 'request/malformed', detail: values.wrong })
    call.values = values.length

    let answer: OperationAnswer
    try {
      const own = {
        maxListBytes: MAX_BODY_BYTES - `{"${field.answer}":}`.length,
        pause: async () => {
          await pause()
          request.signal?.throwIfAborted()
        },
        threads: options.threads,
      }
      const operation = call.direction === 'pseudonymize' ? pseudonymize : reidentify
      answer = await withKeys(keyring, (keys) => operation(keys, { ...query, values }, own))
    } catch (error) {
      const problem = problemOf(error)
      if (!problem) throw error
      return refuse(call, problem)
    }
    const text = JSON.stringify({ [field.answer]: answer.values })
    if (Buffer.byteLength(text) > MAX_BODY_BYTES) return refuse(call, { code: 'answer/too-large' })
    return release(call, answer, text)
  }

  /** Lets an answer go. A way back that is not on record is no way back; a way forward gives nothing away. */
  async function release(call: Call, answer: OperationAnswer, body: string): Promise<Handled> {
    const entry = entryOf(call, 'answered', answer.keys)
    try {
      await audit.record(entry, { durable: call.direction === 'reidentify' })
    } catch (error) {
      auditFailed(call, error)
      if (call.direction === 'reidentify')
        return { answer: refusal({ code: 'service/audit', retryAfterSeconds: 1 }), values: call.values }
    }
    counts.values(call.direction, answer.values.length)
    const headers = { [HEADERS.domain]: answer.domain, [HEADERS.key]: writeKeys(answer.keys) }
    return { answer: json(body, headers), values: call.values }
  }

  function denied(call: Call): Handled {
    if (denials('', DENIALS, clock.now()).waitMs === 0) record(call, 'request/forbidden')
    return { answer: refusal({ code: 'request/forbidden' }), values: null }
  }

  function refuse(call: Call, problem: Problem): Handled {
    record(call, problem.code)
    return { answer: refusal(problem), values: call.values }
  }

  function record(call: Call, outcome: string): void {
    audit.record(entryOf(call, outcome, []), { durable: false }).catch((error: unknown) => auditFailed(call, error))
  }

  function auditFailed(call: Call, error: unknown): void {
    counts.auditFailed()
    log({ level: 'error', event: 'audit-failed', request_id: call.id, ...describe(error) })
  }
}

interface Handled {
  readonly answer: ServiceAnswer
  readonly values?: number | null
}

/** What is known of a call so far. */
interface Call {
  readonly direction: Direction
  readonly id: string
  readonly gatewayId: string | undefined
  readonly principal: string | undefined
  caller: string | null
  domain: string | null
  purpose: string | null
  values: number | null
}

function entryOf(call: Call, outcome: string, keys: readonly string[]): AuditEntry {
  const { id, gatewayId, caller, principal, direction, domain, purpose, values } = call
  return {
    request_id: id,
    ...(gatewayId !== undefined && { gateway_id: gatewayId }),
    caller,
    ...(principal !== undefined && { principal }),
    direction,
    domain,
    keys,
    ...(direction === 'reidentify' && { purpose }),
    values,
    outcome,
  }
}

/**
 * Whether the body may be JSON in UTF-8. What says nothing counts as JSON, and so does what `curl -d` says by itself: callers of
 * the original service never had to say anything.
 */
function isReadable(request: ServiceRequest): boolean {
  const coding = request.header('content-encoding')?.trim().toLowerCase() ?? ''
  if (coding !== '' && coding !== 'identity') return false
  const [type = '', ...parameters] = (request.header('content-type') ?? '').toLowerCase().split(';')
  const charset = parameters.map((p) => p.trim()).find((p) => p.startsWith('charset='))
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return false
  return /^(?:application\/(?:[a-z0-9.+-]+\+)?json|application\/x-www-form-urlencoded|)$/.test(type.trim())
}

function problemOf(error: unknown): Problem | undefined {
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

function refusal(problem: Problem): ServiceAnswer {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  if (problem.retryAfterSeconds !== undefined) headers['retry-after'] = String(problem.retryAfterSeconds)
  return { status: statusOf(problem.code), headers, body: writeProblem(problem) }
}

function wrongMethod(allow: string): ServiceAnswer {
  const answer = refusal({ code: 'request/method' })
  return { ...answer, headers: { ...answer.headers, allow } }
}

function json(body: string, headers: Readonly<Record<string, string>> = {}): ServiceAnswer {
  return { status: 200, headers: { 'content-type': 'application/json', ...headers }, body }
}

function text(body: string): ServiceAnswer {
  return { status: 200, headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, body }
}

/** Where it happened, without the message: that of a foreign error may quote what it was working on. */
function describe(error: unknown): { error: string; code?: string; at?: readonly string[] } {
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
