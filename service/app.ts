import type { Clock } from '../lib/core/clock.ts'
import type { PseudonymCache } from '../lib/crypto/cache/cache.ts'
import type { Keyring } from '../lib/crypto/keyring.ts'
import {
  type Direction,
  HEADERS,
  MAX_BODY_BYTES,
  type Query,
  type Route,
  readQuery,
  routeOf,
  writeKeys,
} from '../lib/wire/contract.ts'
import type { Problem, ProblemCode } from '../lib/wire/problem.ts'
import { describe, isReadable, json, problemOf, refusal, text, wrongMethod } from './answers.ts'
import type { Audit } from './audit/audit.ts'
import { type Caller, type Identify, isPurpose, mayAskFor, mayCall, NOBODY } from './auth.ts'
import { type Call, entryOf } from './call.ts'
import { type LiveKeyring, withKeys } from './keys/live.ts'
import { type Limit, rateLimit } from './limits.ts'
import { type Metrics, metrics } from './metrics.ts'
import { type Answered, readAsked } from './operations/lists.ts'
import type { Threads } from './operations/threads/threads.ts'
import type { App, LogEntry, ObservedCall, ServiceAnswer, ServiceRequest } from './service.ts'
import { traceOf } from './trace.ts'

export type { App, LogEntry, ObservedCall, ServiceAnswer, ServiceRequest } from './service.ts'

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
  /** What each caller asked before, of the keyring's kernels. @default everything is made anew */
  readonly cache?: PseudonymCache | undefined
  /** Which `Host` may be asked for. @default any */
  readonly allowsHost?: (host: string | undefined) => boolean
  readonly log: (entry: LogEntry) => void
  /** Bytes of an answer as they count against the limit of {@link MAX_BODY_BYTES}. @default those of its body */
  readonly answerBytes?: (body: Uint8Array) => number
  /** Calls under way at most, the others get a 503. @default 256 */
  readonly maxInFlight?: number
  /** Says whether a caller may have one more request now; one that may not gets a 429. @default no limit */
  readonly limit?: Limit
  /** @default its own */
  readonly metrics?: Metrics
  /** Told of each call when it is answered, health, readiness and metrics apart. @default nobody */
  readonly observe?: (call: ObservedCall) => void
}

/** Denied calls on record each second; a flood of them must not fill the disk that reidentifications wait for. */
const DENIALS = { perSecond: 10, burst: 10 }

export function createApp(options: AppOptions): App {
  const { keyring, identify, audit, clock, requestId, pause, allowsHost, log, maxInFlight = 256 } = options
  const counts = options.metrics ?? metrics()
  const denials = rateLimit()
  let draining = false
  /** Whether the last entry could be put on record. */
  let onRecord = true
  const { answerBytes = lengthOf } = options
  const domains = { has: (name: string) => keyring.domains.some(({ domain }) => domain === name) }

  return {
    async handle(request) {
      const id = requestId()
      const start = clock.now()
      const route = routeOf(request.path)
      const trace = traceOf((name) => request.header(name))
      const { answer, values, code } = await dispatch(request, route, id, trace?.id)
      const seconds = (clock.now() - start) / 1000
      const { status } = answer
      const named = route ?? 'unknown'
      counts.answered({ route: named, status, ...(code && { code }), seconds })
      if (!isProbe(route)) {
        log({
          level: status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info',
          event: 'request',
          request_id: id,
          ...(trace && { trace_id: trace.id }),
          route: named,
          status,
          ...(code && { code }),
          values,
          ms: Math.round(seconds * 1e6) / 1e3,
        })
        const observed = { route: named, status, code, seconds, values: values ?? undefined, requestId: id }
        options.observe?.({ ...observed, traceId: trace?.id })
      }
      const headers = { [HEADERS.requestId]: id, 'cache-control': 'no-store', ...trace?.headers, ...answer.headers }
      return { ...answer, headers }
    },
    drain() {
      draining = true
    },
  }

  /** Why no more calls should be sent here now; undefined where they may. */
  function unready(): 'draining' | 'audit' | 'busy' | undefined {
    if (draining) return 'draining'
    if (!onRecord) return 'audit'
    return counts.inFlight >= maxInFlight ? 'busy' : undefined
  }

  async function dispatch(
    request: ServiceRequest,
    route: Route | undefined,
    id: string,
    traceId: string | undefined,
  ): Promise<Handled> {
    if (route === undefined) return refused({ code: 'request/unknown-path' })
    if (allowsHost && !allowsHost(request.header('host'))) return refused({ code: 'request/forbidden' })
    if (isProbe(route)) {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return { answer: wrongMethod('GET, HEAD'), code: 'request/method' }
      return { answer: probed(route) }
    }
    if (request.method !== 'POST') return { answer: wrongMethod('POST'), code: 'request/method' }
    const call: Call = {
      direction: route,
      id,
      traceId,
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

  function probed(route: Probe): ServiceAnswer {
    if (route === 'health') return json('{"status":"ok"}')
    if (route === 'metrics') return text(counts.text())
    const reason = unready()
    return reason === undefined ? json('{"status":"ready"}') : { ...json(`{"status":"${reason}"}`), status: 503 }
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
      return await work(request, call, query, caller)
    } finally {
      counts.ended()
    }
  }

  async function work(request: ServiceRequest, call: Call, query: Query, caller: Caller): Promise<Handled> {
    const body = await request.body()
    if (typeof body === 'string')
      return refuse(call, { code: body, ...(body === 'service/busy' && { retryAfterSeconds: 1 }) })
    const asked = readAsked(body, call.direction)
    if ('wrong' in asked)
      return refuse(call, { code: asked.tooMany ? 'request/too-many' : 'request/malformed', detail: asked.wrong })
    call.values = asked.count

    let answer: Answered
    try {
      const own = {
        pause: async () => {
          await pause()
          request.signal?.throwIfAborted()
        },
        threads: options.threads,
        remembered: options.cache && { cache: options.cache, caller },
      }
      answer = await withKeys(keyring, (keys) => asked.answer(keys, query, own))
    } catch (error) {
      const problem = problemOf(error)
      if (!problem) throw error
      return refuse(call, problem)
    }
    if (answerBytes(answer.body) > MAX_BODY_BYTES) return refuse(call, { code: 'answer/too-large' })
    return release(call, answer, asked.count)
  }

  /** Lets an answer go. A way back that is not on record is no way back; a way forward gives nothing away. */
  async function release(call: Call, { body, domain, keys }: Answered, count: number): Promise<Handled> {
    const entry = entryOf(call, 'answered', keys)
    try {
      await audit.record(entry, { durable: call.direction === 'reidentify' })
      recorded()
    } catch (error) {
      auditFailed(call, error)
      if (call.direction === 'reidentify') return refused({ code: 'service/audit', retryAfterSeconds: 1 }, call.values)
    }
    counts.values(call.direction, count)
    const headers = { [HEADERS.domain]: domain, [HEADERS.key]: writeKeys(keys) }
    return { answer: json(body, headers), values: call.values }
  }

  function denied(call: Call): Handled {
    if (denials('', DENIALS, clock.now()).waitMs === 0) record(call, 'request/forbidden')
    return refused({ code: 'request/forbidden' })
  }

  function refuse(call: Call, problem: Problem): Handled {
    record(call, problem.code)
    return refused(problem, call.values)
  }

  function record(call: Call, outcome: string): void {
    audit
      .record(entryOf(call, outcome, []), { durable: false })
      .then(recorded, (error: unknown) => auditFailed(call, error))
  }

  function recorded(): void {
    onRecord = true
    counts.recorded()
  }

  function auditFailed(call: Call, error: unknown): void {
    onRecord = false
    counts.auditFailed()
    log({ level: 'error', event: 'audit-failed', request_id: call.id, ...describe(error) })
  }
}

interface Handled {
  readonly answer: ServiceAnswer
  readonly values?: number | null
  /** Of the problem that the answer is. */
  readonly code?: ProblemCode
}

function refused(problem: Problem, values: number | null = null): Handled {
  return { answer: refusal(problem), values, code: problem.code }
}

function lengthOf({ length }: Uint8Array): number {
  return length
}

/** What needs no key and reveals nothing, for load balancers and Prometheus. */
type Probe = Exclude<Route, Direction>

function isProbe(route: Route | undefined): route is Probe {
  return route === 'health' || route === 'ready' || route === 'metrics'
}
