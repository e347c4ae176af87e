import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { PROBLEM_TYPE, writeProblem } from '../../lib/wire/problem.ts'
import type { App, ServiceAnswer } from '../app.ts'
import { type Incoming, readBody } from './body.ts'
import { MAX_HEAD_BYTES, type Outgoing, plainServer, secureServer, type Tls } from './servers.ts'

export interface ListenOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Bytes of all bodies held at once; a request above gets a 503. @default 128 MiB */
  readonly maxBufferedBytes?: number
  /** Speaks TLS, and HTTP/2 to those who do. @default HTTP/1.1 in clear */
  readonly tls?: Tls
  /** From the first byte of a request to the last. @default 60_000 */
  readonly requestTimeoutMs?: number
  /** @default 10_000 */
  readonly headersTimeoutMs?: number
  /** How long a connection may lie idle; longer than a load balancer keeps it (60 s), so that the balancer closes first. @default 65_000 */
  readonly keepAliveTimeoutMs?: number
  /** Open at once; further ones are closed as they come. @default 4_096 */
  readonly maxConnections?: number
  /** How long `close` waits for answers under way. @default 10_000 */
  readonly graceMs?: number
}

export interface Listening {
  readonly url: string
  /** Takes no new calls, waits for those under way, then ends what is left. */
  close(): Promise<void>
}

/**
 * Serves an app over HTTP/1.1, or over TLS over HTTP/2 and HTTP/1.1.
 * @throws PseudolakeError `service/port-in-use`; `config/invalid` where certificate and key do not go together
 */
export async function listen(app: App, options: ListenOptions): Promise<Listening> {
  const { host, port, maxBufferedBytes = 128 * 2 ** 20, graceMs = 10_000 } = options
  const buffered = { bytes: 0, most: maxBufferedBytes }
  const { requestTimeoutMs = 60_000, headersTimeoutMs = 10_000, keepAliveTimeoutMs = 65_000, tls } = options
  const deadlines = { requestTimeoutMs, headersTimeoutMs, keepAliveTimeoutMs }
  const onRequest = (request: Incoming, response: Outgoing) =>
    void serve(app, request, response, { buffered, requestTimeoutMs, closing: () => !server.net.listening })
  const server = tls ? secureServer(tls, deadlines, onRequest) : plainServer(deadlines, onRequest)
  server.net.maxConnections = options.maxConnections ?? 4_096
  const sockets = new Set<Socket>()
  server.net.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })

  await new Promise<void>((resolve, reject) => {
    server.net.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new PseudolakeError(
          'service/port-in-use',
          `can't listen on ${host}:${port} (${error.code ?? 'unknown error'})`,
          {
            host,
            port,
          },
        ),
      ),
    )
    server.net.listen(port, host, resolve)
  })
  const address = server.net.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address

  return {
    url: `${tls ? 'https' : 'http'}://${name}:${address.port}`,
    async close() {
      const closed = once(server.net, 'close')
      server.net.close()
      server.wind()
      // Node counts a connection that was opened ahead of its first request, as pools do, as one under way.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
      const late = setTimeout(() => server.cut(), graceMs)
      await closed
      clearTimeout(late)
    },
  }
}

interface Serving {
  /** Bytes of all bodies. */
  readonly buffered: { bytes: number; readonly most: number }
  readonly requestTimeoutMs: number
  /** Whether no new calls are taken. */
  readonly closing: () => boolean
}

async function serve(app: App, request: Incoming, response: Outgoing, serving: Serving): Promise<void> {
  const { buffered } = serving
  const gone = new AbortController()
  let held = 0
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the caller is gone'))
  })
  const late = isHttp2(request) ? deadline(request, serving.requestTimeoutMs) : undefined
  const { path, search } = splitUrl(request.url ?? '')
  try {
    if (isHttp2(request) && headBytes(request) > MAX_HEAD_BYTES) return writeTooLong(response)
    const answer = await app.handle({
      method: request.method ?? '',
      path,
      search,
      header: (name) => headerOf(request, name),
      signal: gone.signal,
      body: () => {
        const take = (bytes: number) => {
          if (buffered.bytes + bytes > buffered.most) return false
          buffered.bytes += bytes
          held += bytes
          return true
        }
        return readBody(request, { gone: gone.signal, ...(late && { late }), take })
      },
    })
    if (!gone.signal.aborted) write(request, response, answer, serving.closing())
  } catch {
    // The app answers its own failures; what comes here failed in the writing, and its message may quote a header.
    if (isHttp2(request)) request.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    else response.destroy()
  } finally {
    buffered.bytes -= held
  }
}

/** As HTTP/1 would have them; HTTP/2's own limit is a wish, and the library's is 64 KiB. */
function headBytes({ rawHeaders }: Http2ServerRequest): number {
  return rawHeaders.reduce((bytes, text) => bytes + text.length + ': '.length, 0)
}

function writeTooLong(response: Outgoing): void {
  const body = writeProblem({ code: 'request/head-too-large' })
  ;(response as ServerResponse).writeHead(431, {
    'content-type': PROBLEM_TYPE,
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

function isHttp2(request: Incoming): request is Http2ServerRequest {
  return request.httpVersionMajor === 2
}

/** Aborted where a request over HTTP/2 does not arrive in time; what comes of it after its answer is not taken. */
function deadline(request: Http2ServerRequest, ms: number): AbortSignal {
  const { stream } = request
  const late = new AbortController()
  const timer = setTimeout(() => {
    if (!request.complete) late.abort(new Error('too late'))
  }, ms)
  stream.once('close', () => clearTimeout(timer))
  // The response's own event comes only when the stream is closed.
  stream.once('finish', () => {
    if (!request.complete) stream.close(constants.NGHTTP2_NO_ERROR)
  })
  return late.signal
}

function write(request: Incoming, response: Outgoing, answer: ServiceAnswer, last: boolean): void {
  const { status, headers, body } = answer
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body
  // The methods of both versions are one and the same, and their types are not.
  const out = response as ServerResponse
  out.writeHead(status, {
    ...headers,
    'content-length': bytes.length,
    'x-content-type-options': 'nosniff',
    // HTTP/2 has a frame for that, and no header.
    ...(last && !isHttp2(request) && { connection: 'close' }),
  })
  out.end(bytes)
}

/** Two API keys come joined by a comma, and so are nobody's. */
function headerOf(request: Incoming, name: string): string | undefined {
  const value = name === 'host' && isHttp2(request) ? request.authority : request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

function splitUrl(url: string): { path: string; search: string } {
  const target = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = target.search(/[?#]/)
  if (end < 0) return { path: target, search: '' }
  const [search = ''] = target.slice(end).split('#')
  return { path: target.slice(0, end), search }
}
