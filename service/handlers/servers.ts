import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2'
import type { Server as NetServer, Socket } from 'node:net'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Incoming } from './body.ts'
import { refuseUnreadable } from './unreadable.ts'

export type Outgoing = ServerResponse | Http2ServerResponse

export interface Deadlines {
  /** From the first byte of a request to the last. */
  readonly requestTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly keepAliveTimeoutMs: number
}

export interface Tls {
  /** PEM: the certificate, and those between it and the authority. */
  readonly cert: string | Uint8Array
  /** PEM. */
  readonly key: string | Uint8Array
}

export interface HttpServer {
  readonly net: NetServer
  /** Asks connections to end after what is under way, and ends those that are idle. */
  wind(): void
  /** Ends them all. */
  cut(): void
}

export const MAX_HEAD_BYTES = 16_384
/** Of one connection at a time; a caller with more to ask waits. */
const MAX_STREAMS = 128

type OnRequest = (request: Incoming, response: Outgoing) => void

/** HTTP/1.1 in clear. */
export function plainServer(deadlines: Deadlines, onRequest: OnRequest): HttpServer {
  const server = createServer({
    requestTimeout: deadlines.requestTimeoutMs,
    headersTimeout: deadlines.headersTimeoutMs,
    keepAliveTimeout: deadlines.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, deadlines.headersTimeoutMs),
    maxHeaderSize: MAX_HEAD_BYTES,
  })
  // A caller that stops reading its answer holds memory until then.
  server.setTimeout(deadlines.requestTimeoutMs * 2)
  server.on('request', onRequest)
  server.on('clientError', refuseUnreadable)
  return {
    net: server,
    wind: () => server.closeIdleConnections(),
    cut: () => server.closeAllConnections(),
  }
}

/**
 * HTTP/2 over TLS, and HTTP/1.1 for those who don't speak it (ALPN). Node's deadlines are for HTTP/1; those of HTTP/2 are kept where a
 * request is served.
 * @throws PseudolakeError `config/invalid` where certificate and key are none, or not of one another
 */
export function secureServer({ cert, key }: Tls, deadlines: Deadlines, onRequest: OnRequest): HttpServer {
  const server = secure({
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    allowHTTP1: true,
    minVersion: 'TLSv1.2',
    handshakeTimeout: deadlines.headersTimeoutMs,
    // Of HTTP/1, which the types leave out.
    ...({ maxHeaderSize: MAX_HEAD_BYTES } as object),
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEAD_BYTES, enablePush: false },
    // Half of a head's lines at their shortest.
    maxHeaderListPairs: 512,
  })
  Object.assign(server, {
    requestTimeout: deadlines.requestTimeoutMs,
    headersTimeout: deadlines.headersTimeoutMs,
    keepAliveTimeout: deadlines.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, deadlines.headersTimeoutMs),
  })
  server.setTimeout(deadlines.requestTimeoutMs * 2)
  server.on(
    'request',
    (request: Http2ServerRequest | IncomingMessage, response: Http2ServerResponse | ServerResponse) =>
      onRequest(request as Incoming, response as Outgoing),
  )
  server.on('clientError', refuseUnreadable)
  // A handshake that failed, a connection that was reset: of no request's concern, and not to end the process.
  server.on('sessionError', () => undefined)
  server.on('tlsClientError', () => undefined)
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return {
    net: server,
    wind() {
      for (const session of sessions) session.close()
      ;(server as unknown as { closeIdleConnections(): void }).closeIdleConnections()
    },
    cut() {
      for (const session of sessions) session.destroy()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function secure(options: Parameters<typeof createSecureServer>[0]) {
  try {
    return createSecureServer(options)
  } catch {
    // OpenSSL's own words may name parts of a key.
    throw new PseudolakeError('config/invalid', 'TLS: expected a certificate and its key, both as PEM')
  }
}
