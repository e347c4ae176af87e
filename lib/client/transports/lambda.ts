import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import { ACTIONS, FIELDS, HEADERS, MAX_BODY_BYTES, readKeys, writeQuery } from '../../wire/contract.ts'
import { writeList } from '../../wire/list.ts'
import { overBytes } from '../bytes.ts'
import { checkNumber } from '../options.ts'
import type { BytesAnswer, BytesRequest, Transport } from '../pseudonymizer.ts'
import { readAnswer } from './answer.ts'
import { failureOf } from './status.ts'

/** What a function's platform brought back. */
export interface Invocation {
  /** How the function failed, where it did: `Handled` or `Unhandled`. */
  readonly functionError?: string | undefined
  /** JSON: the function's answer, or `{errorType, errorMessage, …}` of its failure. */
  readonly payload: Uint8Array
}

/**
 * Calls the function with an event and waits for its end, once.
 * @throws PseudolakeError `service/*` for what the platform refused: nobody else can tell its errors apart; the signal's reason
 */
export type Invoke = (event: string, signal: AbortSignal) => Promise<Invocation>

export interface LambdaOptions {
  /** The function, for messages. */
  readonly name: string
  /** Given by who knows the platform's client: there is none here. */
  readonly invoke: Invoke
  /** Sent as the event's header `x-api-key`, for a function that tells its callers apart by it. No header where it is missing. */
  readonly apiKey?: (() => Promise<string>) | undefined
  /** Sent with the way back as the event's header `x-pseudolake-purpose`, where the function asks what it is for. No header where it is missing. */
  readonly purpose?: string | undefined
  /** For one attempt. @default 60_000 */
  readonly timeoutMs?: number
  readonly clock: Clock
}

/** Names of failures by Lambda itself; a function's own may be called anything. */
const TIMED_OUT = /^(?:Sandbox\.Timedout|Function\.Timeout)$/i
const TOO_LARGE = /^Function\.ResponseSizeTooLarge$/i

/**
 * Calls the service's function without a gateway before it. The event is the one that API Gateway's proxy integration (REST, version 1.0) makes
 * of a request, as far as the service looks at it, and so is the answer: one handler serves both (docs/service.md, "As a function, and called directly").
 *
 * Lambda takes and gives 6,291,456 bytes; what is larger ends as `service/too-large`, and the batching layer cuts it in two.
 */
export function lambdaTransport(options: LambdaOptions): Transport {
  const { name, invoke, apiKey, clock } = options
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? 60_000, { min: 1, max: 2 ** 31 - 1 })

  return overBytes(async (request) => {
    const { signal } = request
    signal?.throwIfAborted()
    const key = await apiKey?.()
    const event = eventOf(request, key, options.purpose)
    const bytes = Buffer.byteLength(event)
    if (bytes > MAX_BODY_BYTES)
      throw new PseudolakeError(
        'service/too-large',
        `${name} takes events of ${MAX_BODY_BYTES} bytes, and ${countOf(request)} values make ${bytes}`,
        { service: name, bytes, limit: MAX_BODY_BYTES },
      )
    const attempt = new AbortController()
    const timer = new AbortController()
    const leave = () => attempt.abort(signal?.reason)
    signal?.addEventListener('abort', leave, { once: true })
    let late = false
    clock.sleep(timeoutMs, timer.signal).then(
      () => {
        late = true
        attempt.abort()
      },
      () => {},
    )
    try {
      return answerOf(await invoke(event, attempt.signal), request)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (late) throw timeout(`did not answer within ${timeoutMs} ms`)
      throw error
    } finally {
      timer.abort()
      signal?.removeEventListener('abort', leave)
    }
  })

  function answerOf({ functionError, payload }: Invocation, request: BytesRequest): BytesAnswer {
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString()
    if (functionError !== undefined) throw functionFailure(text)
    const answer = parsed(text)
    const { statusCode, body, isBase64Encoded } = answer
    if (typeof statusCode !== 'number' || typeof body !== 'string')
      throw badAnswer('it is no answer for API Gateway: statusCode and body are missing')
    const headers = headersOf(answer.headers)
    const bytes = Buffer.from(body, isBase64Encoded === true ? 'base64' : 'utf8')
    if (statusCode !== 200)
      throw failureOf(
        {
          status: statusCode,
          retryAfter: headers.get('retry-after'),
          body: bytes.toString(),
          count: countOf(request),
          service: name,
        },
        clock,
      )
    const values = readAnswer([bytes], FIELDS[request.direction].answer, countOf(request))
    if ('wrong' in values) throw badAnswer(`it answered 200, but ${values.wrong}`)
    const domain = headers.get(HEADERS.domain)
    const keys = headers.get(HEADERS.key)
    return {
      values,
      ...(domain !== undefined && { domain: domain.trim() }),
      ...(keys !== undefined && { keys: readKeys(keys) }),
    }
  }

  /** Of a failure only its type is told: its message may quote what the function was sent. */
  function functionFailure(text: string): PseudolakeError {
    const { errorType } = parsed(text)
    const type = typeof errorType === 'string' && /^[A-Za-z0-9_.$]{1,120}$/.test(errorType) ? errorType : 'unknown'
    if (TIMED_OUT.test(type)) return timeout(`was ended by its own time limit (${type})`)
    const context = { service: name, errorType: type }
    if (TOO_LARGE.test(type))
      return new PseudolakeError(
        'service/too-large',
        `${name} made an answer of more than ${MAX_BODY_BYTES} bytes`,
        context,
      )
    return new PseudolakeError('service/unavailable', `${name} failed (${type})`, context)
  }

  function timeout(what: string): PseudolakeError {
    return new PseudolakeError('service/timeout', `${name} ${what}`, { service: name, timeoutMs })
  }

  function badAnswer(what: string): PseudolakeError {
    return new PseudolakeError('service/bad-answer', `${name}: ${what}`, { service: name })
  }
}

const countOf = ({ values }: BytesRequest): number => values.offsets.length - 1

function eventOf(request: BytesRequest, apiKey: string | undefined, purpose: string | undefined): string {
  const { direction, values } = request
  const path = `/${ACTIONS[direction]}`
  const query = Object.fromEntries(new URLSearchParams(writeQuery(direction, request)))
  return JSON.stringify({
    resource: path,
    path,
    httpMethod: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(apiKey !== undefined && { [HEADERS.apiKey]: apiKey }),
      ...(purpose !== undefined && direction === 'reidentify' && { [HEADERS.purpose]: purpose }),
    },
    queryStringParameters: Object.keys(query).length === 0 ? null : query,
    pathParameters: null,
    stageVariables: null,
    requestContext: { resourcePath: path, path, httpMethod: 'POST' },
    body: Buffer.from(writeList(FIELDS[direction].request, values).buffer).toString(),
    isBase64Encoded: false,
  })
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Says nothing, like any other that is no object.
  }
  return {}
}

/** By lower-case name. */
function headersOf(given: unknown): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  if (typeof given === 'object' && given !== null)
    for (const [name, value] of Object.entries(given))
      if (typeof value === 'string' || typeof value === 'number') headers.set(name.toLowerCase(), String(value))
  return headers
}
