/**
 * Requests over connections that are kept: by Node's own client, or through a proxy by undici, which Node has no setting for before 24.5.
 *
 * Node's clients are asked for when an address needs one, and not imported: TLS is loaded for https only, and of `node:http`, whose exports
 * include WebSocket, an import would load all of Node's fetch. undici is loaded where there is a proxy. Each would be a third of what a
 * small run costs.
 */
import type { Agent, AgentOptions, IncomingHttpHeaders, request } from 'node:http'
import { createRequire } from 'node:module'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { urlToHttpOptions } from 'node:url'

export interface Connections {
  /** One attempt. Rejects with whatever the client says, or when `signal` is aborted; the connection is then ended. */
  post(message: Message): Promise<Answer>
  close(): Promise<void>
}

export interface Message {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Destroyed before its end, it ends the connection. */
  readonly body: Readable
}

export interface ConnectionOptions {
  readonly origin: string
  readonly maxConnections: number
  /** For a connection to stand, TLS included. */
  readonly connectTimeoutMs: number
}

/** Node's own servers end an idle connection after 5 s. */
const IDLE_MS = 4000

export function direct({ origin, maxConnections, connectTimeoutMs }: ConnectionOptions): Connections {
  const address = urlToHttpOptions(new URL(origin))
  const kept: AgentOptions = {
    keepAlive: true,
    maxSockets: maxConnections,
    maxFreeSockets: maxConnections,
    // Of a connection that is not in use: what has been idle for longer may be ended by the other side just when a request is written.
    timeout: IDLE_MS,
  }
  const { agent, request } = (address.protocol === 'https:' ? secure : plain)(kept, connectTimeoutMs)
  let closed = false
  return {
    post: ({ path, headers, body, signal }) =>
      new Promise((answer, fail) => {
        // An agent whose connections were ended makes new ones.
        if (closed) throw new Error('closed')
        signal.throwIfAborted()
        const sent = request({ ...address, agent, path, method: 'POST', headers }, (response) =>
          answer({ status: response.statusCode ?? 0, headers: response.headers, body: response }),
        )
        sent.on('error', fail)
        // In the place of the option, which watches the request's streams for it too. A signal ends with its attempt.
        signal.addEventListener('abort', () => sent.destroy(), { once: true })
        sent.end(body)
      }),
    async close() {
      closed = true
      agent.destroy()
    },
  }
}

/** `httpProxy` and `httpsProxy` are given as texts, so that undici does not look into the process's own environment. */
export interface ProxyOptions extends ConnectionOptions {
  readonly httpProxy: string
  readonly httpsProxy: string
  readonly noProxy: string
  /** An attempt's own limit comes first; this ends connections that it has left behind. */
  readonly timeoutMs: number
}

/** @throws Error whose message repeats the proxy's URL, where it is none */
export function throughProxy(options: ProxyOptions): Connections {
  const { origin, maxConnections, connectTimeoutMs, timeoutMs, ...proxy } = options
  const { EnvHttpProxyAgent } = createRequire(import.meta.url)('undici') as typeof import('undici')
  const agent = new EnvHttpProxyAgent({
    connections: maxConnections,
    // One request at a time on a connection: a slow answer must not hold up others.
    pipelining: 1,
    connect: { timeout: connectTimeoutMs },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    ...proxy,
  })
  return {
    async post(message) {
      const { statusCode: status, headers, body } = await agent.request({ origin, method: 'POST', ...message })
      return { status, headers, body }
    },
    close: () => agent.destroy(),
  }
}

interface NodeClient {
  readonly agent: Agent
  readonly request: typeof request
}

function secure(options: AgentOptions, timeoutMs: number): NodeClient {
  const { Agent, request } = process.getBuiltinModule('node:https')
  class Timed extends Agent {
    override createConnection(...args: Parameters<Agent['createConnection']>) {
      return timed(super.createConnection(...args) as Socket, 'secureConnect', timeoutMs)
    }
  }
  return { agent: new Timed(options), request }
}

function plain(options: AgentOptions, timeoutMs: number): NodeClient {
  const { Agent, request } = process.getBuiltinModule('node:http')
  class Timed extends Agent {
    override createConnection(to: Parameters<Agent['createConnection']>[0]) {
      return timed(connect(to as NetConnectOpts), 'connect', timeoutMs)
    }
  }
  return { agent: new Timed(options), request }
}

function timed(socket: Socket, stands: 'connect' | 'secureConnect', timeoutMs: number): Socket {
  const late = Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' })
  const timer = setTimeout(() => socket.destroy(late), timeoutMs)
  const done = () => clearTimeout(timer)
  return socket.once(stands, done).once('close', done)
}
