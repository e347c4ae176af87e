import type { Readable } from 'node:stream'
import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import { FIELDS, HEADERS, readKeys, writeQuery } from '../../wire/contract.ts'
import { writeList } from '../../wire/list.ts'
import { overBytes } from '../bytes.ts'
import { checkNumber } from '../options.ts'
import type { BytesAnswer, BytesRequest, Transport } from '../pseudonymizer.ts'
import { type ServiceAddress, serviceAddress } from './address.ts'
import { readAnswer } from './answer.ts'
import { type Answer, type Connections, direct, throughProxy } from './connections.ts'
import { failureOf } from './status.ts'

export interface HttpOptions {
  /** Address of either action; see {@link serviceAddress}. */
  readonly url: string
  /** Sent as `x-api-key`; a function is asked for each request. No header where it is missing. */
  readonly apiKey?: string | (() => string | Promise<string>) | undefined
  /** Sent with the way back as `x-pseudolake-purpose`: what it is for, where the service asks. No header where it is missing. */
  readonly purpose?: string | undefined
  /** Signs each request, for a service behind IAM: takes all of it, and gives the headers to send. No signature where it is missing. */
  readonly sign?: Sign | undefined
  /** Permits `http://` beyond loopback. @default false */
  readonly allowHttp?: boolean
  /** Connections kept open. @default 64 */
  readonly maxConnections?: number
  /** For the connection to stand, TLS included. @default 10_000 */
  readonly connectTimeoutMs?: number
  /** For one attempt from start to the last byte. @default 30_000 */
  readonly timeoutMs?: number
  /** Of an answer's body. @default 16 MiB */
  readonly maxResponseBytes?: number
  /**
   * Where `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are looked up, in lower case too; no proxy where it is missing. Loopback is
   * never asked through a proxy. (`NODE_EXTRA_CA_CERTS` needs no help: Node reads it when it starts.)
   */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
}

/** Signature Version 4 say; a function, as this layer knows no platform. */
export type Sign = (request: {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}) => Promise<Record<string, string>>

const MAX_ERROR_BYTES = 64 * 1024
/** Why a timer is ended. An abort without a reason makes an error with its stack, for each request. */
const OVER = 'over'

/**
 * Speaks to a service over HTTP/1.1 with connections that are kept. Sends exactly what the original service's callers send; domain
 * and key only where they are not the default. One attempt per call: retrying, limits and checks of what comes back are layers above.
 *
 * Errors carry names and numbers only. The client's own errors are not passed on as `cause`: some hold the request's headers.
 */
export function httpTransport(options: HttpOptions): Transport & { close(): Promise<void> } {
  const { apiKey, clock } = options
  const address = serviceAddress(options.url, { allowHttp: options.allowHttp ?? false })
  const timeoutMs = checkNumber('timeoutMs', options.timeoutMs ?? 30_000, { min: 1, max: 2 ** 31 - 1 })
  const maxResponse = checkNumber('maxResponseBytes', options.maxResponseBytes ?? 16 * 1024 * 1024, { min: 1 })
  if (typeof apiKey === 'string') checkApiKey(apiKey)
  const connections = connectionsOf(options, address, timeoutMs)

  return {
    close: () => connections.close(),
    ...overBytes(async (request) => {
      const { direction, values, signal } = request
      signal?.throwIfAborted()
      const attempt = new AbortController()
      const timer = new AbortController()
      const leave = () => attempt.abort()
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
        const key = typeof apiKey === 'function' ? await apiKey() : apiKey
        if (key !== undefined) checkApiKey(key)
        const path = address.paths[direction] + writeQuery(direction, request)
        const headers = {
          'content-type': 'application/json',
          accept: 'application/json',
          ...(key !== undefined && { [HEADERS.apiKey]: key }),
          ...(options.purpose !== undefined && direction === 'reidentify' && { [HEADERS.purpose]: options.purpose }),
        }
        const body = writeList(FIELDS[direction].request, values)
        const answer = await connections.post({
          path,
          headers: (await options.sign?.({ method: 'POST', url: address.origin + path, headers, body })) ?? headers,
          body,
          signal: attempt.signal,
        })
        return await answerOf(answer, request)
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        if (late) {
          const message = `${address.name} did not answer within ${timeoutMs} ms`
          throw new PseudolakeError('service/timeout', message, { service: address.name, timeoutMs })
        }
        throw error instanceof PseudolakeError ? error : connectionFailure(error)
      } finally {
        timer.abort(OVER)
        signal?.removeEventListener('abort', leave)
      }
    }),
  }

  async function answerOf(answer: Answer, request: BytesRequest): Promise<BytesAnswer> {
    const { status, headers, body } = answer
    const count = request.values.offsets.length - 1
    if (status !== 200) {
      const read = await readBody(body, MAX_ERROR_BYTES)
      throw failureOf(
        {
          status,
          retryAfter: headerOf(headers['retry-after']),
          body: read ? Buffer.concat(read).toString() : '',
          count,
          service: address.name,
        },
        clock,
      )
    }
    const read = await readBody(body, maxResponse)
    const values =
      read === undefined
        ? { wrong: `it is larger than ${maxResponse} bytes` }
        : readAnswer(read, FIELDS[request.direction].answer, count)
    if ('wrong' in values) {
      const message = `${address.name} answered 200, but ${values.wrong}`
      throw new PseudolakeError('service/bad-answer', message, { service: address.name })
    }
    const domain = headerOf(headers[HEADERS.domain])
    const keys = headerOf(headers[HEADERS.key])
    return {
      values,
      ...(domain !== undefined && { domain: domain.trim() }),
      ...(keys !== undefined && { keys: readKeys(keys) }),
    }
  }

  function connectionFailure(error: unknown): PseudolakeError {
    const errno = errnoOf(error)
    const context = { service: address.name, ...(errno !== undefined && { errno }) }
    const because = errno === undefined ? '' : ` (${errno})`
    if (errno !== undefined && TIMEOUTS.has(errno)) {
      return new PseudolakeError('service/timeout', `${address.name} did not answer in time${because}`, context)
    }
    if (errno !== undefined && CERTIFICATE.test(errno)) {
      const message = `service.url: the certificate of ${address.name} is not trusted${because}; NODE_EXTRA_CA_CERTS names further authorities`
      return new PseudolakeError('config/invalid', message, { ...context, key: 'service.url' })
    }
    return new PseudolakeError('service/unavailable', `${address.name} could not be asked${because}`, context)
  }
}

/** What no later attempt changes: names of OpenSSL's verification results and Node's own for a host name that does not match. */
const CERTIFICATE = /CERT|ISSUER|SELF_SIGNED|VERIFY/
const TIMEOUTS = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
])

function connectionsOf(options: HttpOptions, { origin, loopback }: ServiceAddress, timeoutMs: number): Connections {
  const { env = {} } = options
  const connection = {
    origin,
    maxConnections: checkNumber('maxConnections', options.maxConnections ?? 64, { min: 1 }),
    connectTimeoutMs: checkNumber('connectTimeoutMs', options.connectTimeoutMs ?? 10_000, { min: 1 }),
  }
  const proxy = (name: string) => env[name.toLowerCase()] ?? env[name] ?? ''
  const httpProxy = proxy('HTTP_PROXY')
  const httpsProxy = proxy('HTTPS_PROXY')
  if (loopback || (httpProxy === '' && httpsProxy === '')) return direct(connection)
  try {
    return throughProxy({
      ...connection,
      timeoutMs: timeoutMs + 1000,
      httpProxy,
      httpsProxy,
      noProxy: proxy('NO_PROXY'),
    })
  } catch {
    // Its message repeats the URL, which may hold a password.
    throw new PseudolakeError('config/invalid', 'HTTPS_PROXY or HTTP_PROXY: expected the URL of a proxy', {
      key: 'HTTPS_PROXY',
    })
  }
}

/**
 * The body in pieces, or undefined where it is larger than `max`. By its events: of an iteration as many promises are made as a request
 * costs otherwise.
 */
function readBody(body: Readable, max: number): Promise<readonly Buffer[] | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    body.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length <= max) {
        chunks.push(chunk)
        return
      }
      resolve(undefined)
      body.destroy()
    })
    body.once('end', () => resolve(chunks))
    body.on('error', reject)
    body.once('close', () => reject(Object.assign(new Error('ended early'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })))
  })
}

function headerOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value
}

/** A system or library code (`ECONNREFUSED`), of the error or of what caused it. */
function errnoOf(error: unknown): string | undefined {
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++) {
    const { code } = each as { code?: unknown }
    if (typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code)) return code
    if (each instanceof AggregateError && each.errors.length > 0) return errnoOf(each.errors[0])
  }
  return undefined
}

function checkApiKey(apiKey: string): void {
  if (/^[\x21-\x7e]{1,8192}$/.test(apiKey)) return
  throw new PseudolakeError(
    'config/invalid',
    `service.api_key: expected visible ASCII characters without blanks, got a text of ${apiKey.length} characters`,
    { key: 'service.api_key', length: apiKey.length },
  )
}
