import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import { PROBLEM_TYPE, type ProblemCode, writeProblem } from '../../lib/wire/problem.ts'
import type { App, ServiceAnswer } from '../app.ts'

export interface ListenOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Bytes of all bodies held at once; a request above gets a 503. @default 128 MiB */
  readonly maxBufferedBytes?: number
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
 * Serves an app over node:http.
 * @throws PseudolakeError `service/port-in-use`
 */
export async function listen(app: App, options: ListenOptions): Promise<Listening> {
  const { host, port, maxBufferedBytes = 128 * 2 ** 20, graceMs = 10_000 } = options
  const buffered = { bytes: 0, most: maxBufferedBytes }
  const server = createServer({
    requestTimeout: options.requestTimeoutMs ?? 60_000,
    headersTimeout: options.headersTimeoutMs ?? 10_000,
    keepAliveTimeout: options.keepAliveTimeoutMs ?? 65_000,
    connectionsCheckingInterval: Math.min(5_000, options.headersTimeoutMs ?? 5_000),
    maxHeaderSize: 16_384,
  })
  server.maxConnections = options.maxConnections ?? 4_096
  // A caller that stops reading its answer holds memory until then.
  server.setTimeout((options.requestTimeoutMs ?? 60_000) * 2)
  server.on('request', (request, response) => void serve(app, request, response, server, buffered))
  server.on('clientError', refuseUnreadable)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
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
      // Node counts a connection that was opened ahead of its first request, as pools do, as one under way.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
      const late = setTimeout(() => server.closeAllConnections(), graceMs)
      await closed
      clearTimeout(late)
    },
  }
}

interface Buffered {
  bytes: number
  readonly most: number
}

async function serve(
  app: App,
  request: IncomingMessage,
  response: ServerResponse,
  server: Server,
  buffered: Buffered,
): Promise<void> {
  const gone = new AbortController()
  let held = 0
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the caller is gone'))
  })
  const { path, search } = splitUrl(request.url ?? '')
  try {
    const answer = await app.handle({
      method: request.method ?? '',
      path,
      search,
      header: (name) => headerOf(request, name),
      signal: gone.signal,
      body: () =>
        readBody(request, gone.signal, (bytes) => {
          if (buffered.bytes + bytes > buffered.most) return false
          buffered.bytes += bytes
          held += bytes
          return true
        }),
    })
    if (!gone.signal.aborted) write(response, answer, !server.listening)
  } catch {
    // The app answers its own failures; what comes here failed in the writing, and its message may quote a header.
    response.destroy()
  } finally {
    buffered.bytes -= held
  }
}

function write(response: ServerResponse, { status, headers, body }: ServiceAnswer, last: boolean): void {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body
  response.writeHead(status, {
    ...headers,
    'content-length': bytes.length,
    'x-content-type-options': 'nosniff',
    ...(last && { connection: 'close' }),
  })
  response.end(bytes)
}

/** @param take counts bytes against the server's memory; false where there is none left */
async function readBody(
  request: IncomingMessage,
  signal: AbortSignal,
  take: (bytes: number) => boolean,
): Promise<Uint8Array | ProblemCode> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return 'request/too-large'
  const parts = gathered()
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      const problem =
        parts.bytes + chunk.length > MAX_BODY_BYTES
          ? 'request/too-large'
          : take(chunk.length)
            ? undefined
            : 'service/busy'
      if (!problem) return parts.add(chunk)
      request.removeAllListeners('data')
      parts.clear()
      // The rest is read and thrown away, so that the caller gets to reading the answer; the request's timeout bounds it.
      request.resume()
      resolve(problem)
    })
    request.once('end', () => resolve(parts.whole()))
    request.once('error', reject)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (signal.aborted) reject(signal.reason)
  })
}

/** Chunks of at least so many bytes are kept as they come. */
const LARGE_CHUNK = 4096
const BLOCK = 65_536

/** The chunks of a body. Small ones are put together: a body of six million chunks of a byte each would take a hundred times its size. */
function gathered() {
  let parts: Buffer[] = []
  let block = Buffer.alloc(0)
  let used = 0
  let bytes = 0
  const closeBlock = () => {
    // A copy, as far as it was used, so that one byte does not keep a block.
    if (used > 0) parts.push(used === block.length ? block : Buffer.from(block.subarray(0, used)))
    used = 0
    block = Buffer.alloc(0)
  }
  return {
    get bytes() {
      return bytes
    },
    add(chunk: Buffer): void {
      bytes += chunk.length
      if (chunk.length >= LARGE_CHUNK) {
        closeBlock()
        parts.push(chunk)
        return
      }
      if (used + chunk.length > block.length) {
        closeBlock()
        block = Buffer.allocUnsafeSlow(BLOCK)
      }
      chunk.copy(block, used)
      used += chunk.length
    },
    clear(): void {
      parts = []
      block = Buffer.alloc(0)
      used = 0
    },
    whole(): Buffer {
      if (parts.length === 0) return block.subarray(0, used)
      closeBlock()
      return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, bytes)
    },
  }
}

/** Two API keys come joined by a comma, and so are nobody's. */
function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

function splitUrl(url: string): { path: string; search: string } {
  const target = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = target.search(/[?#]/)
  if (end < 0) return { path: target, search: '' }
  const [search = ''] = target.slice(end).split('#')
  return { path: target.slice(0, end), search }
}

/** What is no HTTP, too long or too slow never becomes a request; it gets an answer all the same. */
function refuseUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  const [line, code] = UNREADABLE[error.code ?? ''] ?? (['400 Bad Request', 'request/malformed'] as const)
  const body = writeProblem({ code })
  socket.end(
    `HTTP/1.1 ${line}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
  // Whoever was slow on purpose does not close its side either.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

/** For the other side to read why. */
const LINGER_MS = 1_000

const UNREADABLE: Readonly<Record<string, readonly [line: string, code: ProblemCode]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'request/head-too-large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'request/timeout'],
}
