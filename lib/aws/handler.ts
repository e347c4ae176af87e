/**
 * How the SDK's requests reach the network: over connections that are kept, through a proxy where the environment names one. The same
 * variables mean the same as for the pseudonymization service (lib/client/transports). `NODE_EXTRA_CA_CERTS` needs no help: Node reads it
 * when it starts, and every connection here is Node's.
 */
import type { NodeHttpHandler, NodeHttpHandlerOptions } from '@smithy/node-http-handler'
import type { Dispatcher } from 'undici'
import { envProxy, isLoopback } from '../core/proxy.ts'
import { RangeLines } from './range-lines.ts'
import type { Env } from './settings.ts'

/** Connections to one host; a run has fewer requests under way than that. */
const MAX_CONNECTIONS = 128
const CONNECT_TIMEOUT_MS = 10_000
/** Without a byte in either direction. S3 may take its time over a copy, and over the end of a large upload. */
const IDLE_TIMEOUT_MS = 120_000

/** What an SDK client takes as `requestHandler`; `NodeHttpHandler` is one. */
export type RequestHandler = Pick<
  NodeHttpHandler,
  'metadata' | 'handle' | 'destroy' | 'updateHttpClientConfig' | 'httpHandlerConfigs'
>

type Request = Parameters<NodeHttpHandler['handle']>[0]
type Options = NonNullable<Parameters<NodeHttpHandler['handle']>[1]>
type Answer = Awaited<ReturnType<NodeHttpHandler['handle']>>

/** @throws PseudolakeError `config/invalid` as `envProxy` */
export async function requestHandler(env: Env): Promise<RequestHandler> {
  const { NodeHttpHandler } = await import('@smithy/node-http-handler')
  const agent = { keepAlive: true, maxSockets: MAX_CONNECTIONS }
  const nodes = new NodeHttpHandler({
    connectionTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: IDLE_TIMEOUT_MS,
    httpAgent: agent,
    httpsAgent: agent,
    // Requests that wait for a connection are no reason to write to the console.
    logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  })
  const limits = {
    connections: MAX_CONNECTIONS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
  }
  const direct = new DirectHandler(nodes, new RangeLines(limits))
  const proxy = await envProxy(env, limits)
  return proxy === undefined ? direct : new ProxyHandler(direct, proxy)
}

/** Ranges, which are most of what is fetched, come over lines that put them in place; all else is asked for by Node's client. */
class DirectHandler implements RequestHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #nodes: NodeHttpHandler
  readonly #lines: RangeLines

  constructor(nodes: NodeHttpHandler, lines: RangeLines) {
    this.#nodes = nodes
    this.#lines = lines
  }

  async handle(request: Request, options: Options = {}): Promise<Answer> {
    const { method, headers, body, path, query } = request
    if (method !== 'GET' || headers.range === undefined || body !== undefined)
      return this.#nodes.handle(request, options)
    const signal = options.abortSignal as AbortSignal | undefined
    const answer = await this.#lines.get({ ...request, path: path + queryOf(query) }, signal)
    return { response: answer as Answer['response'] }
  }

  destroy(): void {
    this.#nodes.destroy()
    this.#lines.destroy()
  }

  updateHttpClientConfig(key: keyof NodeHttpHandlerOptions, value: NodeHttpHandlerOptions[typeof key]): void {
    this.#nodes.updateHttpClientConfig(key, value)
  }

  httpHandlerConfigs(): NodeHttpHandlerOptions {
    return this.#nodes.httpHandlerConfigs()
  }
}

/** Asks through undici, which knows proxies and `NO_PROXY`; loopback is never asked through one. */
class ProxyHandler implements RequestHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #direct: RequestHandler
  readonly #proxy: Dispatcher

  constructor(direct: RequestHandler, proxy: Dispatcher) {
    this.#direct = direct
    this.#proxy = proxy
  }

  async handle(request: Request, options: Options = {}): Promise<Answer> {
    if (isLoopback(request.hostname)) return this.#direct.handle(request, options)
    const { protocol, hostname, port, method, path, query, body } = request
    const signal = options.abortSignal as AbortSignal | undefined
    try {
      const asked = this.#proxy.request({
        origin: `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`,
        path: path + queryOf(query),
        method: method as Dispatcher.HttpMethod,
        headers: ownHeaders(request.headers),
        body: (body ?? null) as string | Uint8Array | null,
        ...(signal && { signal }),
      })
      const answer = await unlessAborted(asked, signal)
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(answer.headers))
        if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
      // The SDK knows an answer by its fields.
      return { response: { statusCode: answer.statusCode, headers, body: answer.body } as Answer['response'] }
    } catch (error) {
      throw signal?.aborted ? Object.assign(new Error('Request aborted'), { name: 'AbortError' }) : asNodes(error)
    }
  }

  destroy(): void {
    this.#direct.destroy()
    void this.#proxy.destroy()
  }

  updateHttpClientConfig(key: keyof NodeHttpHandlerOptions, value: NodeHttpHandlerOptions[typeof key]): void {
    this.#direct.updateHttpClientConfig(key, value)
  }

  httpHandlerConfigs(): NodeHttpHandlerOptions {
    return this.#direct.httpHandlerConfigs()
  }
}

/** Who leaves does not wait until the proxy has answered. */
async function unlessAborted<T>(asked: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return asked
  // Whatever comes of it later is nobody's.
  asked.catch(() => undefined)
  let leave = () => {}
  try {
    return await Promise.race([
      asked,
      new Promise<never>((_, reject) => {
        leave = () => reject(signal.reason)
        if (signal.aborted) leave()
        else signal.addEventListener('abort', leave, { once: true })
      }),
    ])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/** What undici sets by itself, or refuses. */
function ownHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const others = ['connection', 'expect', 'keep-alive', 'transfer-encoding']
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !others.includes(name.toLowerCase())))
}

/** As `NodeHttpHandler` spells a query: names sorted, everything escaped that a signature has escaped. */
function queryOf(query: Request['query']): string {
  const parts = Object.keys(query ?? {})
    .sort()
    .flatMap((name) => {
      const value = query?.[name]
      if (Array.isArray(value)) return value.map((one) => `${escaped(name)}=${escaped(one)}`)
      return value === null || value === undefined ? [escaped(name)] : [`${escaped(name)}=${escaped(value)}`]
    })
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** With the names by which the SDK tells what may be tried again; undici has its own. */
function asNodes(error: unknown): unknown {
  const code = (error as { code?: unknown } | undefined)?.code
  if (!(error instanceof Error) || typeof code !== 'string') return error
  if (/^UND_ERR_(?:CONNECT|HEADERS|BODY)_TIMEOUT$/.test(code))
    return Object.assign(new Error('no answer in time', { cause: error }), { name: 'TimeoutError', code: 'ETIMEDOUT' })
  if (code === 'UND_ERR_SOCKET')
    return Object.assign(new Error('the connection ended', { cause: error }), { code: 'ECONNRESET' })
  return error
}
