import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { type HttpOptions, httpTransport } from '../../../lib/client/transports/http.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import { answer, request } from '../support.ts'

export interface Received {
  readonly method: string | undefined
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Behave = (received: Received, response: ServerResponse, nth: number) => unknown

/** A service on a port of its own that answers rightly, unless `behave` ends the response itself. Gone when the test is. */
export async function serve(behave: Behave = () => undefined) {
  const received: Received[] = []
  let connections = 0
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const { method, url = '', headers } = incoming
    const each = { method, url, headers, body: Buffer.concat(chunks).toString() }
    received.push(each)
    await behave(each, response, received.length)
    if (!response.writableEnded && !response.destroyed && !response.headersSent) right(each, response)
  })
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/Dev/pseudonymization`,
    port,
    received,
    connections: () => connections,
    server,
  }
}

/** The answer of a right service. */
export function right({ url, body }: Received, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(url, 'http://service')
  const direction = pathname.endsWith('/reidentification') ? 'reidentify' : 'pseudonymize'
  const fields = direction === 'reidentify' ? ['pseudonyms', 'identifiers'] : ['identifiers', 'pseudonyms']
  const values = JSON.parse(body)[fields[0] as string]
  const domain = searchParams.get('domain') ?? 'default'
  const deterministic = searchParams.get('deterministic') === 'True'
  const got = answer(request(values, { direction, domain, deterministic }))
  response.writeHead(200, {
    'content-type': 'application/json',
    'x-pseudolake-domain': got.domain,
    'x-pseudolake-key': got.keys?.join(','),
  })
  response.end(JSON.stringify({ [fields[1] as string]: got.values }))
}

/** A transport to `url`, closed with the test. */
export function transportTo(url: string, options: Partial<HttpOptions> = {}) {
  const transport = httpTransport({ url, apiKey: 'the-key-of-this-test', clock: systemClock(), ...options })
  onTestFinished(() => transport.close())
  return transport
}
