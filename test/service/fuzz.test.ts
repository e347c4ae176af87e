/** Requests by chance, as bytes on a connection: the service answers below 500 or ends the connection, and lives on. Parsers by themselves are in the tests of their folders. */
import { connect } from 'node:net'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../lib/core/clock.ts'
import { readQuery, routeOf } from '../../lib/wire/contract.ts'
import { PROBLEMS, readProblem } from '../../lib/wire/problem.ts'
import { createApp, type LogEntry } from '../../service/app.ts'
import type { Audit } from '../../service/audit/audit.ts'
import { everybody } from '../../service/auth.ts'
import { listen } from '../../service/handlers/http.ts'
import { open } from './keyrings.ts'

const AUDIT: Audit = {
  record: async () => undefined,
  seal: async () => ({ chain: '', n: 0, hash: '' }),
  close: async () => undefined,
}

async function server() {
  const logged: LogEntry[] = []
  const app = createApp({
    keyring: open(),
    identify: everybody(),
    audit: AUDIT,
    clock: systemClock(),
    requestId: () => 'r',
    pause: async () => undefined,
    log: (entry) => void logged.push(entry),
  })
  const listening = await listen(app, { host: '127.0.0.1', port: 0, headersTimeoutMs: 200, requestTimeoutMs: 200 })
  onTestFinished(() => listening.close())
  return { url: new URL(listening.url), logged }
}

function talk(url: URL, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let received = ''
    const socket = connect(Number(url.port), url.hostname, () => socket.end(bytes))
    socket.on('data', (chunk) => (received += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received))
  })
}

const BODY = '{"identifiers":["A",null,1.0,"\\ud83d\\ude00"]}'
const HEAD = [
  'host: localhost',
  'content-type: application/json; charset=utf-8',
  'x-api-key: k',
  'x-pseudolake-purpose: test',
  'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
]

/** A request that is right, with bytes of it changed, taken out, doubled or added. */
const request = fc
  .record({
    line: fc.constantFrom(
      'POST /pseudonymization?deterministic=True&domain=default HTTP/1.1',
      'POST /Dev/reidentification HTTP/1.1',
      'GET /metrics HTTP/1.0',
      'POST http://localhost/pseudonymization HTTP/1.1',
    ),
    framing: fc.constantFrom(
      `content-length: ${BODY.length}\r\n\r\n${BODY}`,
      `transfer-encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
    ),
    changes: fc.array(
      fc.tuple(fc.constantFrom('set', 'cut', 'double', 'add'), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 })),
      { maxLength: 6 },
    ),
  })
  .map(({ line, framing, changes }) => {
    let bytes = Buffer.from([line, ...HEAD, framing].join('\r\n'), 'latin1')
    for (const [what, place, by] of changes) {
      const at = place % bytes.length
      const behind = what === 'set' ? at + by.length : what === 'cut' ? at + (by[0] as number) : at
      const middle = what === 'double' ? bytes.subarray(at, at + 20) : what === 'cut' ? [] : by
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(middle), bytes.subarray(behind)])
    }
    return bytes
  })

test('requests that were broken by chance get answers below 500, and none after them fails', async () => {
  const { url, logged } = await server()
  await fc.assert(
    fc.asyncProperty(request, async (bytes) => {
      const statuses = [...(await talk(url, bytes)).matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) =>
        Number(status),
      )
      for (const status of statuses) expect(status).toBeLessThan(500)
    }),
    { numRuns: 400 },
  )
  const health = await fetch(new URL('/health', url))
  expect(health.status).toBe(200)
  // What ended in 499 was left by its caller.
  expect(logged.filter(({ level }) => level === 'error')).toEqual([])
  expect(logged.some(({ status }) => status === 200)).toBe(true)
}, 60_000)

test('whatever a path and a query are, they are read or refused', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.webPath(),
    fc.webQueryParameters(),
    fc
      .array(fc.constantFrom('deterministic', 'domain', 'key', '=', '&', 'True', '%', '%ff', '+', 'a1b2'))
      .map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, fc.constantFrom('pseudonymize', 'reidentify'), (text, direction) => {
      expect([undefined, 'pseudonymize', 'reidentify', 'health', 'ready', 'metrics']).toContain(routeOf(`/${text}`))
      const query = readQuery(`?${text}`, direction)
      if ('wrong' in query) expect(query.wrong).not.toBe('')
      else expect(query.domain).toMatch(/^[a-z0-9_-]{1,64}$/)
    }),
    { numRuns: 3000 },
  )
})

test('whatever a service says is wrong, a client takes codes of the table and places from it, and nothing else', () => {
  const problem = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ code: fc.oneof(fc.constantFrom(...Object.keys(PROBLEMS)), fc.jsonValue()), errors: fc.jsonValue() })
      .map((fields) => JSON.stringify(fields)),
    fc
      .array(
        fc.record({
          index: fc.oneof(fc.nat(), fc.jsonValue()),
          code: fc.oneof(fc.constant('pseudonym/invalid'), fc.string()),
        }),
      )
      .map((errors) => JSON.stringify({ errors })),
  )
  fc.assert(
    fc.property(problem, (body) => {
      const { code, errors = [] } = readProblem(body)
      if (code !== undefined) expect(Object.keys(PROBLEMS)).toContain(code)
      for (const item of errors) {
        expect(Number.isSafeInteger(item.index)).toBe(true)
        expect(Object.keys(PROBLEMS)).toContain(item.code)
      }
    }),
    { numRuns: 2000 },
  )
})
