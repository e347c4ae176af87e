/** Which requests go through a proxy: the same variables mean the same for everything that is asked. */
import type { Dispatcher } from 'undici'
import { PseudolakeError } from './errors.ts'

export interface ProxyOptions {
  /** Connections to one host. */
  readonly connections: number
  /** For a connection to stand, TLS included. */
  readonly connectTimeoutMs: number
  /** Without a byte of an answer. */
  readonly idleTimeoutMs: number
}

/**
 * What sends requests as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say, in lower case too; undefined where none of the first two is set, and
 * then nothing is loaded. The caller keeps loopback from it.
 * @throws PseudolakeError `config/invalid` where a proxy's variable holds no URL; it is not repeated, as it may hold a password
 */
export async function envProxy(
  env: Readonly<Record<string, string | undefined>>,
  { connections, connectTimeoutMs, idleTimeoutMs }: ProxyOptions,
): Promise<Dispatcher | undefined> {
  const variable = (name: string) => env[name.toLowerCase()] ?? env[name] ?? ''
  const httpProxy = variable('HTTP_PROXY')
  const httpsProxy = variable('HTTPS_PROXY')
  if (httpProxy === '' && httpsProxy === '') return undefined
  const { EnvHttpProxyAgent } = await import('undici')
  try {
    return new EnvHttpProxyAgent({
      connections,
      // One request at a time on a connection: a slow answer must not hold up others.
      pipelining: 1,
      connect: { timeout: connectTimeoutMs },
      headersTimeout: idleTimeoutMs,
      bodyTimeout: idleTimeoutMs,
      // Many proxies make tunnels to port 443 only: what is not TLS is asked of the proxy itself.
      proxyTunnel: false,
      // As texts, so that undici does not look into the process's own environment.
      httpProxy,
      httpsProxy,
      noProxy: variable('NO_PROXY'),
    })
  } catch {
    throw new PseudolakeError('config/invalid', 'HTTPS_PROXY or HTTP_PROXY: expected the URL of a proxy', {
      key: 'HTTPS_PROXY',
    })
  }
}

/** Names and addresses that never leave the machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || /^\[?::1\]?$/.test(hostname) || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}
