import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { inspect } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { composeClient } from '../../lib/client/compose.ts'
import { systemClock } from '../../lib/core/clock.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { packTexts, type TextBatch } from '../../lib/core/texts.ts'
import { pseudonym, request } from './support.ts'
import { type Received, serve, transportTo } from './transports/server.ts'

const API_KEY = 'api-key-that-nobody-may-see'
const IDENTIFIERS = ['WVWZZZ1JZXW000001', 'WVWZZZ1JZXW000002']
const PSEUDONYMS = IDENTIFIERS.map((value) => pseudonym(value, 'default'))

/** Everything that a hostile or broken service can send back of what it was sent. */
const BEHAVIOURS: Record<string, (received: Received, response: ServerResponse) => unknown> = {
  'the request as text': ({ body }, response) => response.writeHead(400).end(body),
  'the key in a problem': (_, response) =>
    response.writeHead(403).end(JSON.stringify({ code: API_KEY, detail: API_KEY, message: API_KEY })),
  'identifiers as codes': (_, response) =>
    response
      .writeHead(422)
      .end(
        JSON.stringify({ code: IDENTIFIERS[0], errors: [{ index: 0, code: IDENTIFIERS[1], value: IDENTIFIERS[0] }] }),
      ),
  'identifiers in headers': (_, response) =>
    response.writeHead(429, { 'retry-after': IDENTIFIERS[0], location: `https://x/${IDENTIFIERS[1]}` }).end(),
  'identifiers in a redirect': (_, response) =>
    response.writeHead(302, { location: `https://x/${IDENTIFIERS[0]}?${API_KEY}` }).end(),
  'an echo': ({ body }, response) => response.end(JSON.stringify({ pseudonyms: JSON.parse(body).identifiers })),
  'an echo as domain': (_, response) =>
    response.setHeader('x-pseudolake-domain', API_KEY).end(JSON.stringify({ pseudonyms: PSEUDONYMS })),
  'an echo as key': (_, response) =>
    response.setHeader('x-pseudolake-key', IDENTIFIERS[0] ?? '').end(JSON.stringify({ pseudonyms: PSEUDONYMS })),
  'no JSON': ({ body }, response) => response.end(body.slice(0, -1)),
  'another shape': ({ body }, response) => response.end(body),
  'a single pseudonym': (_, response) => response.end(JSON.stringify({ pseudonyms: [PSEUDONYMS[0], PSEUDONYMS[0]] })),
  'a status line': (_, response) => response.writeHead(500, `${IDENTIFIERS[0]} ${API_KEY}`).end(),
  'too large': (_, response) => response.writeHead(413).end(IDENTIFIERS[0]),
  'a reset': (_, response) => response.destroy(),
  'no answer': (_, response) => new Promise((resolve) => response.on('close', resolve)),
}

test.each(Object.keys(BEHAVIOURS))('neither key nor value is in the error, wherever one looks: %s', async (name) => {
  const service = await serve(BEHAVIOURS[name])
  expectSilence(await failureAt(service.url))
})

test('nor after bytes that are no HTTP, a refused connection, or a host that does not exist', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (data) => socket.end(`HTTP/9.9 ${data}`))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  expectSilence(await failureAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}/pseudonymization`))
  expectSilence(await failureAt('http://127.0.0.1:1/pseudonymization'))
  expectSilence(await failureAt('http://service.invalid/pseudonymization'))
})

/** By strings and by bytes. */
async function failureAt(url: string): Promise<unknown[]> {
  const transport = transportTo(url, { apiKey: API_KEY, timeoutMs: 100, allowHttp: true })
  const options = { clock: systemClock(), random: () => 0, retry: { maxAttempts: 2, baseDelayMs: 1, budgetMs: 20 } }
  const { client } = composeClient(transport, options)
  const { values, ...question } = request(IDENTIFIERS)
  const asBytes = { ...question, once: true, values: packTexts(values) as TextBatch }
  const failed = () => expect.fail('the service was expected to fail')
  return [
    await client.call(request(IDENTIFIERS)).then(failed, (error: unknown) => error),
    await client.callBytes(asBytes).then(failed, (error: unknown) => error),
  ]
}

function expectSilence(errors: readonly unknown[]): void {
  for (const error of errors) {
    expect(error).toBeInstanceOf(PseudolakeError)
    const everything = [inspect(error, { depth: 20, showHidden: true }), String(error), JSON.stringify(error)].join(
      '\n',
    )
    for (const secret of [API_KEY, ...IDENTIFIERS, ...PSEUDONYMS]) expect(everything).not.toContain(secret)
  }
}
