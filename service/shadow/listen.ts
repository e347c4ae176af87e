import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Shadow } from './shadow.ts'
import type { Passed } from './sides.ts'

/** What API Gateway takes. */
const MAX_BYTES = 10 * 2 ** 20

/** Of one connection, and none of the next one's concern (RFC 9110, 7.6.1). `accept-encoding`, so that answers can be read here. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'content-length',
  'accept-encoding',
])

/**
 * Serves a shadow over node:http. Callers get the old service's status, headers and body; a 502 where it does not answer.
 * @throws PseudolakeError `service/port-in-use`
 */
export async function listenShadow(
  shadow: Shadow,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer({ requestTimeout: 60_000, headersTimeout: 10_000, keepAliveTimeout: 65_000 })
  server.on('request', (request, response) => void serve(shadow, request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const message = `can't listen on ${host}:${port} (${error.code ?? 'unknown error'})`
      reject(new PseudolakeError('service/port-in-use', message, { host, port }))
    })
    server.listen(port, host, resolve)
  })
  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    url: `http://${name}:${address.port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const late = setTimeout(() => server.closeAllConnections(), 10_000)
      await closed
      clearTimeout(late)
    },
  }
}

async function serve(shadow: Shadow, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const body = await read(request)
    if (!body) return end(response, 413, 'Request Too Long')
    const passed: Passed = {
      method: request.method ?? 'GET',
      target: (request.url ?? '/').replace(/^https?:\/\/[^/?#]*/i, ''),
      headers: passedOn(request.headers),
      body,
    }
    const answer = await shadow.pass(passed).catch(() => undefined)
    if (!answer) return end(response, 502, 'Bad Gateway')
    response.writeHead(answer.status, { ...passedOn(answer.headers), 'content-length': answer.body.length })
    response.end(request.method === 'HEAD' ? undefined : answer.body)
  } catch {
    // The caller is gone, or its request was cut off.
    response.destroy()
  }
}

/** Undefined where it is too large. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += part.length
    if (bytes > MAX_BYTES) return undefined
    parts.push(part)
  }
  return Buffer.concat(parts, bytes)
}

function passedOn(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !HOP_BY_HOP.has(name.toLowerCase())) kept[name] = value
  return kept
}

function end(response: ServerResponse, status: number, message: string): void {
  const body = JSON.stringify({ message })
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  response.end(body)
}
