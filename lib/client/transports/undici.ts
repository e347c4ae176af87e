/**
 * What a transport needs of undici. Its index loads fetch, WebSocket, caches and mocks too: 0.13 s of CPU at each start, this way
 * 0.06. (The version is pinned, and test/client tries every part.)
 */
import { createRequire } from 'node:module'
import type { Agent as AgentClass, Dispatcher, EnvHttpProxyAgent } from 'undici'

const require = createRequire(import.meta.url)

export const Agent = require('undici/lib/dispatcher/agent.js') as typeof AgentClass

type Request = (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>
const requestOf = require('undici/lib/api/api-request.js') as Request

/** The index makes a method of it. */
export function request(dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
  return requestOf.call(dispatcher, options)
}

/** All of undici, where a proxy is set: its own requests to the proxy are methods that the index adds. */
export function proxyAgent(options: EnvHttpProxyAgent.Options): Dispatcher {
  const undici = require('undici') as typeof import('undici')
  return new undici.EnvHttpProxyAgent(options)
}
