import { PseudolakeError } from '../../core/errors.ts'

/** How requests to a REST catalog travel. A composition that has proxies or certificates of its own hands in another one. */
export type HttpSend = (request: HttpRequest) => Promise<HttpResponse>

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends it: what became of it is not known then. */
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  /** @param name in lower case */
  header(name: string): string | undefined
  readonly body: string
}

const TIMEOUT_MS = 60_000

/** Node's own fetch (NODE_EXTRA_CA_CERTS holds). Redirects are not followed: they would carry the credentials to somebody else. */
export function fetchSend(timeoutMs = TIMEOUT_MS): HttpSend {
  return async ({ method, url, headers, body, signal }) => {
    const response = await fetch(url, {
      method,
      headers: { ...headers },
      ...(body !== undefined && { body }),
      redirect: 'manual',
      signal: withTimeout(timeoutMs, signal),
    })
    return {
      status: response.status,
      header: (name) => response.headers.get(name) ?? undefined,
      body: await response.text(),
    }
  }
}

/** Ends after so long at the latest. */
export function withTimeout(timeoutMs: number, signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs)
  return signal ? AbortSignal.any([timeout, signal]) : timeout
}

/** Codes of failures before a byte of the request left; how deep they lie depends on the client. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])

/** Whether the request certainly never left. */
export function neverSent(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if (UNSENT.has((at as { code?: string }).code ?? '')) return true
  return false
}

/**
 * Credentials in clear only where nobody is in between.
 * @throws PseudolakeError `options/invalid`
 */
export function requireSecure(uri: string, what: string, allowHttp: boolean): URL {
  let url: URL
  try {
    url = new URL(uri)
  } catch {
    throw new PseudolakeError('options/invalid', `${what}: expected an http or https URL, got ${uri.length} characters`)
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new PseudolakeError('options/invalid', `${what}: expected http or https, got ${url.protocol}`)
  if (url.username !== '' || url.password !== '')
    throw new PseudolakeError('options/invalid', `${what}: expected no user or password in the URL`)
  const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname)
  if (url.protocol === 'http:' && !loopback && !allowHttp)
    throw new PseudolakeError(
      'options/invalid',
      `${what}: credentials would go to ${url.host} unencrypted; use https, or allow http`,
    )
  return url
}
