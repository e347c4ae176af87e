import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createSocketServer } from 'node:net'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { httpTransport } from '../../../lib/client/transports/http.ts'
import { systemClock } from '../../../lib/core/clock.ts'
import type { PseudolakeError } from '../../../lib/core/errors.ts'
import { pseudonym, request, virtualClock } from '../support.ts'
import { right, serve, transportTo } from './server.ts'

const p = (value: string) => pseudonym(value, 'default')

test('asks exactly as the original service’s callers do', async () => {
  const service = await serve()
  const transport = transportTo(service.url)
  await transport.call(request(['a', 'ä"😀']))
  await transport.call(request(['a'], { deterministic: false }))
  await transport.call(request([p('a')], { direction: 'reidentify' }))
  expect(service.received.map(({ method, url, body }) => `${method} ${url} ${body}`)).toEqual([
    'POST /Dev/pseudonymization?deterministic=True {"identifiers":["a","ä\\"😀"]}',
    'POST /Dev/pseudonymization?deterministic=False {"identifiers":["a"]}',
    `POST /Dev/reidentification {"pseudonyms":["${p('a')}"]}`,
  ])
  expect(service.received[0]?.headers).toMatchObject({
    'x-api-key': 'the-key-of-this-test',
    'content-type': 'application/json',
  })
})

test('what it is for goes with the way back alone, and nowhere where nothing is said', async () => {
  const service = await serve()
  for (const options of [{ purpose: 'recall' }, {}]) {
    const transport = transportTo(service.url, options)
    await transport.call(request(['a']))
    await transport.call(request([p('a')], { direction: 'reidentify' }))
  }
  const sent = service.received.map(({ headers }) => headers['x-pseudolake-purpose'])
  expect(sent).toEqual([undefined, 'recall', undefined, undefined])
})

test('names domain and key where they are not the default, and tells the echoes', async () => {
  const service = await serve()
  const got = await transportTo(service.url).call(request(['a'], { domain: 'vehicle', key: 'test' }))
  expect(service.received[0]?.url).toBe('/Dev/pseudonymization?deterministic=True&domain=vehicle&key=test')
  expect(got).toEqual({ values: [pseudonym('a', 'vehicle')], domain: 'vehicle', keys: ['test'] })
})

test('a service without echoes, and keys of several headers', async () => {
  const service = await serve((_, response, nth) => {
    if (nth === 2) response.setHeader('x-pseudolake-key', ['aaaa, bbbb', 'cccc'])
    response.end(JSON.stringify({ pseudonyms: [p('a')] }))
  })
  const transport = transportTo(service.url)
  expect(await transport.call(request(['a']))).toEqual({ values: [p('a')] })
  expect(await transport.call(request(['a']))).toEqual({ values: [p('a')], keys: ['aaaa', 'bbbb', 'cccc'] })
})

test('no header without a key; a key can come from a function, asked each time', async () => {
  const service = await serve()
  await transportTo(service.url, { apiKey: undefined }).call(request(['a']))
  let calls = 0
  const transport = transportTo(service.url, { apiKey: async () => `key-${++calls}` })
  await transport.call(request(['a']))
  await transport.call(request(['a']))
  expect(service.received.map(({ headers }) => headers['x-api-key'])).toEqual([undefined, 'key-1', 'key-2'])
})

test('connections are kept from request to request, also after errors', async () => {
  const service = await serve((_, response, nth) => {
    if (nth % 2 === 0) response.writeHead(500).end('x'.repeat(1000))
  })
  const transport = transportTo(service.url)
  for (let i = 0; i < 20; i++) await transport.call(request(['a'])).catch(() => {})
  expect(service.received).toHaveLength(20)
  // A second one is opened when a request starts in the very turn in which the one before it ends.
  expect(service.connections()).toBeLessThanOrEqual(2)
})

test('opens no more connections than allowed', async () => {
  const service = await serve()
  const transport = transportTo(service.url, { maxConnections: 3 })
  await Promise.all(Array.from({ length: 30 }, () => transport.call(request(['a']))))
  expect(service.connections()).toBe(3)
})

test.each([
  [201, 'service/bad-answer'],
  [204, 'service/bad-answer'],
  [301, 'service/refused'],
  [307, 'service/refused'],
  [400, 'service/refused'],
  [401, 'service/denied'],
  [403, 'service/denied'],
  [404, 'service/refused'],
  [405, 'service/refused'],
  [408, 'service/unavailable'],
  [413, 'service/too-large'],
  [415, 'service/refused'],
  [422, 'service/refused'],
  [425, 'service/unavailable'],
  [429, 'service/throttled'],
  [500, 'service/unavailable'],
  [502, 'service/unavailable'],
  [503, 'service/unavailable'],
  [504, 'service/unavailable'],
])('status %i is %s', async (status, code) => {
  const service = await serve((_, response) => {
    response.writeHead(status).end()
  })
  await expect(transportTo(service.url).call(request(['a']))).rejects.toMatchObject({ code, context: { status } })
})

test('a redirect is not followed: identifiers go where the config says, and nowhere else', async () => {
  const elsewhere = await serve()
  const service = await serve((_, response) => {
    response.writeHead(307, { location: elsewhere.url }).end()
  })
  await expect(transportTo(service.url).call(request(['a']))).rejects.toMatchObject({ code: 'service/refused' })
  expect(elsewhere.received).toEqual([])
})

test.each([
  ['2', 2000],
  ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2015 00:00:00 GMT', 0],
  ['soon', undefined],
])('Retry-After: %s', async (header, retryAfterMs) => {
  const { clock } = virtualClock()
  const service = await serve((_, response) => {
    response.writeHead(429, { 'retry-after': header }).end()
  })
  // Only the wall clock is made up: the attempt's own timer must not run out while the server is asked.
  const mixed = { ...systemClock(), wall: clock.wall }
  const error = await transportTo(service.url, { clock: mixed })
    .call(request(['a']))
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'service/throttled' })
  expect((error as PseudolakeError).context.retryAfterMs).toBe(retryAfterMs)
})

test('503 with Retry-After is throttling', async () => {
  const service = await serve((_, response) => {
    response.writeHead(503, { 'retry-after': '1' }).end()
  })
  await expect(transportTo(service.url).call(request(['a']))).rejects.toMatchObject({ code: 'service/throttled' })
})

test('of a problem its code and the places of values are told, never a text', async () => {
  const service = await serve((_, response) => {
    const errors = [
      { index: 1, code: 'identifier/invalid' },
      { index: 99, code: 'identifier/invalid' },
      { index: 'secret', code: 'secret' },
    ]
    response
      .writeHead(422)
      .end(JSON.stringify({ code: 'identifier/invalid', detail: 'secret', title: 'secret', errors }))
  })
  const error = await transportTo(service.url)
    .call(request(['a', 'b']))
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ context: { status: 422, problem: 'identifier/invalid', indices: [1] } })
  expect(JSON.stringify(error) + String(error)).not.toContain('secret')
})

test.each([
  ['HTML', '<html>Please log in</html>'],
  ['nothing', ''],
  ['null', 'null'],
  ['a list', '["x"]'],
  ['cut JSON', '{"pseudonyms":["abc'],
  ['another field', '{"identifiers":["a"]}'],
  ['no list', '{"pseudonyms":"abc"}'],
  ['a prototype in place of a field', '{"__proto__":{"pseudonyms":["a"]}}'],
  ['the field twice', '{"pseudonyms":["x"],"pseudonyms":["y"]}'],
  ['the field twice, spelt differently', '{"pseudonyms":["x"],"pseudonym\\u0073":["y"]}'],
  ['bytes that are no UTF-8', Buffer.from('{"pseudonyms":["\xff"]}', 'latin1')],
])('200 with %s is a bad answer', async (_, body) => {
  const service = await serve((_, response) => {
    response.end(body)
  })
  await expect(transportTo(service.url).call(request(['a']))).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test('an identifier that is spelt like the field is no field', async () => {
  const service = await serve((_, response) => {
    response.end('{"identifiers":["identifiers","\\"identifiers\\":"]}')
  })
  const got = await transportTo(service.url).call(request([p('a'), p('b')], { direction: 'reidentify' }))
  expect(got.values).toEqual(['identifiers', '"identifiers":'])
})

test('an answer larger than allowed is not read to its end', async () => {
  const service = await serve((_, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  })
  const call = transportTo(service.url, { maxResponseBytes: 100_000 }).call(request(['a']))
  await expect(call).rejects.toMatchObject({ code: 'service/bad-answer' })
})

test.each([
  ['half a body with its length announced', 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"pseudonyms":["'],
  ['half a chunked body', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{"pseudonyms":["\r\n'],
  ['half a header', 'HTTP/1.1 200 OK\r\ncontent-le'],
  ['something else than HTTP', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['nothing', ''],
])('%s, then the end: unavailable, so that it is tried again', async (_, bytes) => {
  const url = await raw(bytes)
  await expect(transportTo(url).call(request(['a']))).rejects.toMatchObject({ code: 'service/unavailable' })
})

test('nobody listens: unavailable, with the system’s code', async () => {
  const service = await serve()
  await new Promise((resolve) => service.server.close(resolve))
  await expect(transportTo(service.url).call(request(['a']))).rejects.toMatchObject({
    code: 'service/unavailable',
    context: { errno: 'ECONNREFUSED', service: service.url },
  })
})

test('a slow service is a timeout: before the first byte, and between bytes', async () => {
  const service = await serve((_, response, nth) => {
    if (nth === 1) return new Promise((resolve) => response.on('close', resolve))
    response.writeHead(200)
    const drip = setInterval(() => response.write(' '), 10)
    return new Promise((resolve) => response.on('close', resolve)).then(() => clearInterval(drip))
  })
  const transport = transportTo(service.url, { timeoutMs: 100 })
  for (let i = 0; i < 2; i++) {
    await expect(transport.call(request(['a']))).rejects.toMatchObject({
      code: 'service/timeout',
      context: { timeoutMs: 100 },
    })
  }
})

test('an abort ends the request at once, with its reason, and the connection with it', async () => {
  const stop = new AbortController()
  let closed: Promise<unknown> | undefined
  const service = await serve((_, response) => {
    closed = new Promise((resolve) => response.on('close', resolve))
    stop.abort(new Error('stop'))
    return closed
  })
  const transport = transportTo(service.url)
  await expect(transport.call(request(['a'], { signal: stop.signal }))).rejects.toThrow('stop')
  await closed
  await expect(transport.call(request(['a'], { signal: stop.signal }))).rejects.toThrow('stop')
  expect(service.received).toHaveLength(1)
})

test('a closed transport, or an aborted call, keeps no process alive', { timeout: 30_000 }, async () => {
  const service = await serve((_, response, nth) =>
    nth === 1 ? undefined : new Promise((resolve) => response.on('close', resolve)),
  )
  const script = `
    import { httpTransport } from './lib/client/transports/http.ts'
    import { systemClock } from './lib/core/clock.ts'
    const transport = httpTransport({ url: '${service.url}', clock: systemClock(), timeoutMs: 60000 })
    const ask = { direction: 'pseudonymize', values: ['a'], domain: 'default', deterministic: true }
    await transport.call(ask)
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('stop')), 50)
    await transport.call({ ...ask, signal: stop.signal }).catch((error) => console.log(error.message))
    await transport.close()
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
  })
  expect(stdout).toBe('stop\n')
})

test('loopback is never asked through a proxy, other hosts are, and NO_PROXY holds', async () => {
  const seen: string[] = []
  const proxy = createServer((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    response.writeHead(200).end('{"pseudonyms":["x"]}')
  })
  proxy.on('connect', ({ url = '' }, socket) => {
    seen.push(`CONNECT ${url}`)
    const upstream = connect(service.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.pipe(socket)
      socket.pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const service = await serve()
  const env = {
    HTTP_PROXY: `http://user:pass@127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    NO_PROXY: 'inside.invalid',
  }
  await transportTo(service.url, { env }).call(request(['a']))
  expect(seen).toEqual([])
  const outside = transportTo('http://outside.invalid/pseudonymization', { env, allowHttp: true })
  expect((await outside.call(request(['a']))).values).toEqual([p('a')])
  expect(seen).toEqual(['CONNECT outside.invalid:80'])
  const inside = transportTo('http://inside.invalid/pseudonymization', { env, allowHttp: true })
  await expect(inside.call(request(['a']))).rejects.toMatchObject({ code: 'service/unavailable' })
  expect(seen).toHaveLength(1)
})

test('a proxy that is no URL is refused without repeating it', () => {
  const make = () =>
    httpTransport({
      url: 'https://service.invalid/pseudonymization',
      env: { https_proxy: 'http://user:secret@:bad' },
      clock: systemClock(),
    })
  expect(make).toThrow(/^HTTPS_PROXY or HTTP_PROXY: expected the URL of a proxy$/)
})

test('an API key that no header can hold is refused without repeating it', () => {
  const make = (apiKey: string) => () =>
    httpTransport({ url: 'https://service.invalid/pseudonymization', apiKey, clock: systemClock() })
  expect(make('secret\r\nx-other: 1')).toThrow(/^service\.api_key: expected visible ASCII .* 18 characters$/)
  expect(make('')).toThrow('0 characters')
})

/** A server that reads a request's head, writes bytes and ends the connection. */
async function raw(bytes: string): Promise<string> {
  const server = createSocketServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      if (bytes === '') socket.destroy()
      else socket.end(bytes)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/pseudonymization`
}

test('answers of many requests side by side are not mixed up', async () => {
  const service = await serve(async (received, response) => {
    await new Promise((resolve) => setTimeout(resolve, Number(received.body.length) % 7))
    right(received, response)
  })
  const transport = transportTo(service.url, { maxConnections: 8 })
  const all = Array.from({ length: 60 }, (_, i) => `value ${'x'.repeat(i % 9)} ${i}`)
  const got = await Promise.all(all.map(async (value) => (await transport.call(request([value]))).values[0]))
  expect(got).toEqual(all.map(p))
})
