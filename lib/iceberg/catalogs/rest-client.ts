/** Calls to an Iceberg REST catalog, and what becomes of their failures (specification: open-api/rest-catalog-open-api.yaml). */
import { type ErrorCode, PseudolakeError } from '../../core/errors.ts'
import { type Json, type JsonObject, parseJson, stringifyJson } from '../../core/json.ts'
import { Stop } from '../../core/stop.ts'
import { type Waiting, withRetries } from './backoff.ts'
import type { TableIdentifier } from './catalog.ts'
import type { RestAuth } from './rest-auth.ts'
import { type HttpRequest, type HttpResponse, type HttpSend, neverSent } from './rest-http.ts'

/**
 * - `conflict`, `exists`, `no-table`, `no-namespace`, `denied`, `refused`: nothing happened, and the same call would fail again.
 * - `throttled`, `unsent`: nothing happened, and the same call may succeed later.
 * - `unknown`: it may have happened.
 */
export type RestFailure =
  | 'conflict'
  | 'exists'
  | 'no-table'
  | 'no-namespace'
  | 'denied'
  | 'refused'
  | 'throttled'
  | 'unsent'
  | 'unknown'

const CODES: Readonly<Record<RestFailure, ErrorCode>> = {
  conflict: 'table/conflict',
  exists: 'table/conflict',
  'no-table': 'table/not-found',
  'no-namespace': 'table/not-found',
  denied: 'catalog/denied',
  refused: 'catalog/refused',
  throttled: 'catalog/unavailable',
  unsent: 'catalog/unavailable',
  unknown: 'catalog/unavailable',
}

export class RestError extends PseudolakeError {
  readonly failure: RestFailure
  readonly status: number | undefined
  readonly retryAfterMs: number

  constructor(
    failure: RestFailure,
    message: string,
    { status, retryAfterMs = 0, cause }: { status?: number; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(CODES[failure], message, status === undefined ? {} : { status }, cause === undefined ? {} : { cause })
    this.failure = failure
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

export interface RestClientOptions extends Waiting {
  /** Of the catalog, without `/v1`. */
  readonly uri: string
  /** What the catalog calls the warehouse: a name, an ARN, an account. */
  readonly warehouse?: string
  /** Settings of the catalog's client, as `prefix`; what the server overrides comes before them. */
  readonly properties?: Readonly<Record<string, string>>
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>>
  readonly auth: RestAuth
  readonly send: HttpSend
}

export interface RestCall {
  readonly method: HttpRequest['method']
  /** Below `/v1/{prefix}`, encoded. */
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Of whose repetition nothing comes but time lost. @default false */
  readonly repeatable?: boolean
  /** For messages: what is called for which table or namespace. */
  readonly what: string
  /** Set where an attempt was answered by 503: a proxy may have said so, behind which it went through. */
  doubtful?: boolean
}

export interface RestClient {
  /** Settings after the server's defaults and overrides. */
  config(): Promise<Readonly<Record<string, string>>>
  /** @returns the body, undefined where there is none */
  call(call: RestCall): Promise<JsonObject | undefined>
  namespacePath(database: string): Promise<string>
  tablePath(table: TableIdentifier): Promise<string>
}

/** Without an answer, whatever sends the request says. */
const PATIENCE_MS = 120_000

export function restClient(options: RestClientOptions): RestClient {
  const { auth, send, warehouse, properties = {} } = options
  const base = options.uri.replace(/\/+$/, '')
  const stop = new Stop(options.clock, options.signal)
  let configured: Promise<Readonly<Record<string, string>>> | undefined

  const client: RestClient = {
    config() {
      configured ??= fetchConfig().catch((error: unknown) => {
        configured = undefined
        throw error
      })
      return configured
    },

    async call(call) {
      const { prefix } = await client.config()
      return perform(`${base}/v1/${prefix ? `${prefix.replace(/^\/+|\/+$/g, '')}/` : ''}${call.path}`, call)
    },

    /** A database with dots is a namespace of several levels. */
    async namespacePath(database) {
      const separator = (await client.config())['namespace-separator'] ?? '%1F'
      return `namespaces/${namespaceOf(database).map(encodeURIComponent).join(separator)}`
    },

    async tablePath(table) {
      return `${await client.namespacePath(table.database)}/tables/${encodeURIComponent(table.name)}`
    },
  }
  return client

  async function fetchConfig(): Promise<Readonly<Record<string, string>>> {
    const query = warehouse === undefined ? '' : `?warehouse=${encodeURIComponent(warehouse)}`
    const found = await perform(`${base}/v1/config${query}`, {
      method: 'GET',
      path: 'config',
      repeatable: true,
      what: 'the configuration',
    })
    const part = (name: string) => (found?.[name] ?? {}) as Record<string, string>
    return { ...part('defaults'), ...properties, ...part('overrides') }
  }

  async function perform(url: string, call: RestCall): Promise<JsonObject | undefined> {
    let renewed = false
    const once = async (): Promise<JsonObject | undefined> => {
      const { response, headers } = await exchange(url, call)
      if ((response.status === 401 || response.status === 419) && !renewed && auth.renew()) {
        // The request was not looked at: only who sent it.
        renewed = true
        return once()
      }
      return answered(response, call, secretsIn(headers))
    }
    return withRetries(options, once, (error) => {
      if (!(error instanceof RestError)) return undefined
      if (error.status === 503) call.doubtful = true
      const again = error.failure === 'throttled' || error.failure === 'unsent'
      return again || (call.repeatable && error.failure === 'unknown') ? error.retryAfterMs : undefined
    })
  }

  async function exchange(
    url: string,
    { method, body, headers = {}, what }: RestCall,
  ): Promise<{ readonly response: HttpResponse; readonly headers: HttpRequest['headers'] }> {
    const plain: HttpRequest = {
      method,
      url,
      headers: {
        accept: 'application/json',
        ...options.headers,
        ...headers,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: stringifyJson(body) }),
    }
    const sent = { ...plain.headers, ...(await auth.authorize(plain)) }
    try {
      const response = await stop.within(PATIENCE_MS, (signal) => send({ ...plain, headers: sent, signal }))
      return { response, headers: sent }
    } catch (cause) {
      const { host } = new URL(url)
      throw neverSent(cause)
        ? new RestError('unsent', `${method} of ${what}: the catalog at ${host} could not be reached`, { cause })
        : new RestError('unknown', `${method} of ${what}: the catalog at ${host} gave no answer`, { cause })
    }
  }
}

export function namespaceOf(database: string): string[] {
  return database.split('.')
}

/** How the words begin that a server may repeat in what it says is wrong, and nobody may read. */
function secretsIn(headers: HttpRequest['headers']): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    /auth|token|secret|key|cookie|credential/i.test(name)
      ? value.split(/[\s,;=]+/).flatMap((word) => (word.length >= 8 ? [word.slice(0, 12)] : []))
      : [],
  )
}

function answered(
  { status, body, header }: HttpResponse,
  { method, what }: RestCall,
  secrets: readonly string[],
): JsonObject | undefined {
  if (status === 204 || (status === 200 && body === '')) return undefined
  if (status === 200) {
    const json = object(body)
    if (json) return json
    throw new RestError(
      'unknown',
      `${method} of ${what}: the catalog answered 200 with something that is no JSON object`,
      {
        status,
      },
    )
  }
  const error = object(body)?.error as { type?: Json; message?: Json } | undefined
  const type = typeof error?.type === 'string' ? error.type : ''
  const line = typeof error?.message === 'string' ? error.message.split('\n')[0] : undefined
  const said = secrets.some((secret) => line?.includes(secret)) ? undefined : line?.slice(0, 200)
  const failure = failureOf(status, type)
  throw new RestError(
    failure,
    `${method} of ${what}: the catalog answered ${status}${type === '' ? '' : ` ${type}`}${said === undefined ? '' : ` (${said})`}${HINTS[failure] ?? ''}`,
    { status, retryAfterMs: retryAfter(header('retry-after')) },
  )
}

const HINTS: Readonly<Partial<Record<RestFailure, string>>> = {
  denied: '; the credentials are wrong, expired, or lack this privilege',
}

function failureOf(status: number, type: string): RestFailure {
  switch (status) {
    case 401:
    case 403:
    case 407:
    case 419:
      return 'denied'
    case 404:
      return /namespace/i.test(type) ? 'no-namespace' : 'no-table'
    case 409:
      return /alreadyexists/i.test(type) ? 'exists' : 'conflict'
    case 429:
    case 503:
      return 'throttled'
    case 408:
      return 'unknown'
  }
  return status >= 500 ? 'unknown' : 'refused'
}

function retryAfter(text: string | undefined): number {
  const seconds = Number(text)
  return text !== undefined && seconds > 0 && seconds < 3600 ? seconds * 1000 : 0
}

function object(body: string): JsonObject | undefined {
  try {
    const json = parseJson(body)
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as JsonObject) : undefined
  } catch {
    return undefined
  }
}
