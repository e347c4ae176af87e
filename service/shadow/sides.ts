import { Agent, type Dispatcher } from 'undici'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { envProxy, isLoopback } from '../../lib/core/proxy.ts'
import type { App } from '../service.ts'
import type { Answered } from './compare.ts'

/** A request as it is passed on. */
export interface Passed {
  readonly method: string
  /** Path and query, as they came. */
  readonly target: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Uint8Array
}

export interface PassedAnswer extends Answered {
  readonly headers: Readonly<Record<string, string | string[]>>
}

/** A service to be asked. @throws what the connection says */
export interface SideService {
  /** For the report and the log: without a path. */
  readonly name: string
  ask(request: Passed): Promise<PassedAnswer>
  close(): Promise<void>
}

export interface HttpSideOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly timeoutMs: number
  /** Of an answer. */
  readonly maxBytes: number
  /** Permits `http://` beyond loopback. */
  readonly allowHttp: boolean
}

/**
 * A service at a URL: its origin, and a path that goes before the ones that are asked for (a stage).
 * @throws PseudolakeError `options/invalid`; the URL is not repeated, as it may hold a password
 */
export async function httpSide(text: string, option: string, options: HttpSideOptions): Promise<SideService> {
  const url = addressOf(text, option, options.allowHttp)
  const limits = { connections: 64, connectTimeoutMs: 10_000, idleTimeoutMs: options.timeoutMs }
  const proxy = isLoopback(url.hostname) ? undefined : await envProxy(options.env, limits)
  const agent: Dispatcher =
    proxy ??
    new Agent({
      connections: limits.connections,
      pipelining: 1,
      connect: { timeout: limits.connectTimeoutMs },
      headersTimeout: options.timeoutMs,
      bodyTimeout: options.timeoutMs,
    })
  const prefix = url.pathname.replace(/\/+$/, '')
  return {
    name: url.origin,
    async ask({ method, target, headers, body }) {
      const signal = AbortSignal.timeout(options.timeoutMs)
      const answer = await agent.request({
        origin: url.origin,
        path: prefix + target,
        method: method as Dispatcher.HttpMethod,
        headers,
        body: body.length > 0 ? body : null,
        signal,
      })
      const bytes = await readAll(answer.body, options.maxBytes)
      return { status: answer.statusCode, headers: defined(answer.headers), body: bytes }
    },
    close: () => agent.close(),
  }
}

/** The service of this process, for a keyring that nobody serves yet. */
export function appSide(app: App): SideService {
  return {
    name: 'keyring',
    async ask({ method, target, headers, body }) {
      const at = target.indexOf('?')
      const { status, ...answer } = await app.handle({
        method,
        path: at < 0 ? target : target.slice(0, at),
        search: at < 0 ? '' : target.slice(at),
        header: (name) => [headers[name]].flat()[0],
        body: async () => body,
      })
      return { status, headers: answer.headers, body: Buffer.from(answer.body) }
    },
    close: async () => undefined,
  }
}

function addressOf(text: string, option: string, allowHttp: boolean): URL {
  const invalid = (message: string) => new PseudolakeError('options/invalid', `--${option}: ${message}`, { option })
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`)
  if (url === null) throw invalid('expected a URL')
  if (url.username !== '' || url.password !== '') throw invalid('expected no user and password in the URL')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid('expected https:// or http://')
  if (url.search !== '' || url.hash !== '') throw invalid('expected no query and no fragment in the URL')
  if (url.protocol === 'http:' && !isLoopback(url.hostname) && !allowHttp)
    throw invalid('expected https://, as the host is not on loopback; --allow-http permits http://')
  return url
}

async function readAll(body: AsyncIterable<Uint8Array>, most: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    bytes += part.length
    if (bytes > most) throw new Error('an answer that is too large')
    parts.push(part)
  }
  return Buffer.concat(parts, bytes)
}

function defined(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).filter((pair): pair is [string, string | string[]] => pair[1] !== undefined),
  )
}
