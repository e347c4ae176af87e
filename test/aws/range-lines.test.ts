import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { RangeLines, type RangeLinesOptions } from '../../lib/aws/range-lines.ts'
import { RECEIVE } from '../../lib/core/receive.ts'

const BODY = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2654435761) >>> 24))
const WITH_LENGTH = Buffer.concat([
  Buffer.from(`HTTP/1.1 206 Partial Content\r\nContent-Length: ${BODY.length}\r\nETag: "e"\r\n\r\n`),
  BODY,
])
const CHUNKED = Buffer.concat([
  Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
  ...[1, 70_000, 229_999].map((size, i, all) => {
    const at = all.slice(0, i).reduce((sum, each) => sum + each, 0)
    const extension = i === 1 ? ';name=value' : ''
    return Buffer.concat([
      Buffer.from(`${size.toString(16)}${extension}\r\n`),
      BODY.subarray(at, at + size),
      Buffer.from('\r\n'),
    ])
  }),
  Buffer.from('0\r\nX-Trailer: t\r\n\r\n'),
])

function opened(options: Partial<RangeLinesOptions> = {}) {
  const lines = new RangeLines({ connections: 4, connectTimeoutMs: 5000, idleTimeoutMs: 5000, ...options })
  onTestFinished(() => lines.destroy())
  return lines
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

/** @param answer to each request: what it does with the connection */
async function raw(answer: (socket: Socket, nth: number) => unknown) {
  const seen = { connections: 0, requests: [] as string[] }
  const server = createServer((socket) => {
    seen.connections++
    socket.setNoDelay(true).on('error', () => {})
    socket.on('data', (bytes) => {
      seen.requests.push(bytes.toString('latin1'))
      answer(socket, seen.requests.length)
    })
  })
  return { port: await listening(server), seen }
}

const from = (port: number) => ({ protocol: 'http:', hostname: '127.0.0.1', port, path: '/o', headers: { host: 'h' } })

async function received(lines: RangeLines, port: number, room = BODY.length): Promise<Buffer> {
  const { body } = await lines.get(from(port), undefined)
  const into = new Uint8Array(room)
  let filled = 0
  await body[RECEIVE](into, (count) => {
    filled += count
  })
  return Buffer.from(into.subarray(0, filled))
}

async function streamed(lines: RangeLines, port: number): Promise<Buffer> {
  const { body } = await lines.get(from(port), undefined)
  return Buffer.concat(await body.toArray())
}

test('bytes arrive whole, however they are cut on their way, in place and as a stream', async () => {
  let cuts: number[] = []
  let whole = WITH_LENGTH
  const { port, seen } = await raw(async (socket) => {
    for (const [i, at] of [0, ...cuts].entries()) {
      socket.write(whole.subarray(at, cuts[i] ?? whole.length))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  const lines = opened()
  const places = fc.array(fc.oneof(fc.nat(120), fc.nat(WITH_LENGTH.length)), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(places, fc.boolean(), fc.boolean(), async (at, chunked, inPlace) => {
      cuts = at.toSorted((a, b) => a - b)
      whole = chunked ? CHUNKED : WITH_LENGTH
      const found = await (inPlace ? received : streamed)(lines, port)
      expect(Buffer.compare(found, BODY)).toBe(0)
    }),
    { numRuns: 60 },
  )
  expect(seen.connections).toBe(1)
})

test('the request is what was signed, over one connection after the other answer was read', async () => {
  const asked: unknown[] = []
  const server = createHttpServer(({ method, url, headers }, response) => {
    asked.push({ method, url, headers })
    response
      .writeHead(asked.length === 1 ? 404 : 206, { 'x-one': ['a', 'b'] })
      .end(asked.length === 1 ? '<Error/>' : BODY)
  })
  let connections = 0
  server.on('connection', () => connections++)
  const port = await listening(server)
  const lines = opened()
  const headers = { host: 'store:1', range: 'bytes=0-9', 'if-match': '"ä"' }
  const first = await lines.get({ ...from(port), path: '/b/k%20?x-id=GetObject', headers }, undefined)
  expect([first.statusCode, first.reason, first.headers['x-one']]).toEqual([404, 'Not Found', 'a, b'])
  expect(Buffer.concat(await first.body.toArray()).toString()).toBe('<Error/>')
  expect(asked).toEqual([
    { method: 'GET', url: '/b/k%20?x-id=GetObject', headers: { ...headers, connection: 'keep-alive' } },
  ])
  expect(Buffer.compare(await received(lines, port), BODY)).toBe(0)
  expect(connections).toBe(1)
})

test('requests at the same time have a connection each, up to a limit; the others wait', async () => {
  let [now, most] = [0, 0]
  const server = createHttpServer((_, response) => {
    most = Math.max(most, ++now)
    setTimeout(() => {
      now--
      response.writeHead(206).end(BODY)
    }, 20)
  })
  const port = await listening(server)
  const lines = opened({ connections: 3 })
  const all = await Promise.all(Array.from({ length: 10 }, () => received(lines, port)))
  for (const found of all) expect(Buffer.compare(found, BODY)).toBe(0)
  expect(most).toBe(3)
})

test('a body that nobody reads holds up nothing but its connection', async () => {
  const { port, seen } = await raw((socket) => socket.write(WITH_LENGTH))
  const lines = opened()
  const { body } = await lines.get(from(port), undefined)
  expect(Buffer.compare(await received(lines, port), BODY)).toBe(0)
  body.destroy()
  expect(Buffer.compare(await streamed(lines, port), BODY)).toBe(0)
  expect(seen.connections).toBe(2)
})

test.each([
  ['is reset', (socket: Socket) => socket.resetAndDestroy()],
  ['ends', (socket: Socket) => socket.end()],
])('a body whose connection %s half-way is a failure of the connection, and what came is told', async (_, end) => {
  const { port } = await raw((socket) =>
    socket.write(WITH_LENGTH.subarray(0, 100_000), () => setTimeout(() => end(socket), 30)),
  )
  const lines = opened()
  const { body } = await lines.get(from(port), undefined)
  const into = new Uint8Array(BODY.length)
  let filled = 0
  const reading = body[RECEIVE](into, (count) => {
    filled += count
  })
  await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(filled).toBeGreaterThan(90_000)
  expect(Buffer.compare(into.subarray(0, filled), BODY.subarray(0, filled))).toBe(0)
  await expect(streamed(lines, port)).rejects.toMatchObject({ code: 'ECONNRESET' })
})

test('a body without a length ends with its connection', async () => {
  const { port, seen } = await raw((socket) =>
    socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), BODY])),
  )
  const lines = opened()
  expect(Buffer.compare(await streamed(lines, port), BODY)).toBe(0)
  expect(Buffer.compare(await received(lines, port), BODY)).toBe(0)
  expect(seen.connections).toBe(2)
})

test.each(['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1', 'HTTP/1.0 200 OK\r\nContent-Length: 1'])(
  'a connection that is not kept is not used again (%j)',
  async (head) => {
    const { port, seen } = await raw((socket) => socket.write(`${head}\r\n\r\nx`))
    const lines = opened()
    expect((await streamed(lines, port)).toString()).toBe('x')
    expect((await received(lines, port)).toString()).toBe('x')
    expect(seen.connections).toBe(2)
  },
)

test('one that the other side ended meanwhile is not used again, nor one on which something came unasked', async () => {
  const { port, seen } = await raw((socket, nth) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx')
    setTimeout(() => (nth === 1 ? socket.end() : socket.write('HTTP/1.1 200 OK\r\n')), 20)
  })
  const lines = opened()
  for (let i = 0; i < 3; i++) {
    expect((await streamed(lines, port)).toString()).toBe('x')
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  expect(seen.connections).toBe(3)
})

test('an interim answer is none', async () => {
  const { port } = await raw((socket) =>
    socket.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n'),
  )
  const lines = opened()
  const { statusCode, body } = await lines.get(from(port), undefined)
  expect([statusCode, await body.toArray()]).toEqual([204, []])
})

test.each([
  'nonsense\r\n\r\n',
  'HTTP/2 200 OK\r\n\r\n',
  'HTTP/1.1 101 Switching\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
  'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx',
  'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n',
  `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`,
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nPLANTED\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz',
])('what is no answer ends the connection, and nothing of it is taken or told (%#)', async (text) => {
  const { port, seen } = await raw((socket) => socket.write(text))
  const lines = opened()
  const error = await streamed(lines, port).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'BadAnswer', message: expect.not.stringContaining('PLANTED') })
  await received(lines, port).catch(() => {})
  expect(seen.connections).toBe(2)
})

test('a body that is longer than the room for it ends the connection', async () => {
  for (const whole of [WITH_LENGTH, CHUNKED]) {
    const { port } = await raw((socket) => socket.write(whole))
    await expect(received(opened(), port, 1000)).rejects.toMatchObject({ code: 'TooLong' })
  }
})

test('who leaves ends the request, before its answer and in it', async () => {
  const { port } = await raw((socket, nth) => (nth === 1 ? undefined : socket.write(WITH_LENGTH.subarray(0, 1000))))
  const lines = opened()
  const early = new AbortController()
  const asked = lines.get(from(port), early.signal)
  setTimeout(() => early.abort(), 30)
  await expect(asked).rejects.toMatchObject({ name: 'AbortError' })
  const late = new AbortController()
  const { body } = await lines.get(from(port), late.signal)
  setTimeout(() => late.abort(), 30)
  await expect(body[RECEIVE](new Uint8Array(BODY.length), () => {})).rejects.toMatchObject({ name: 'AbortError' })
  await expect(lines.get(from(port), AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
})

test('silence is a failure to try again', async () => {
  const { port } = await raw(() => {})
  const error = { name: 'TimeoutError', code: 'ETIMEDOUT' }
  await expect(opened({ idleTimeoutMs: 50 }).get(from(port), undefined)).rejects.toMatchObject(error)
})

test('nobody there is told as Node tells it; what would be two headers is not sent', async () => {
  const lines = opened()
  await expect(lines.get(from(9), undefined)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  const two = { ...from(9), headers: { 'if-match': 'a\r\nx: y' } }
  await expect(lines.get(two, undefined)).rejects.toMatchObject({ code: 'ERR_INVALID_CHAR' })
  await expect(lines.get({ ...from(9), path: '/a b' }, undefined)).rejects.toMatchObject({ code: 'ERR_INVALID_CHAR' })
})

test('over TLS the same, with certificates that are known only', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-lines-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert]
  execFileSync('openssl', ['req', '-x509', ...made, ...subject], { stdio: 'ignore' })
  const server = createHttpsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
    response.writeHead(206, { 'content-length': BODY.length }).end(BODY),
  )
  const reused: boolean[] = []
  server.on('secureConnection', (socket) => reused.push(socket.isSessionReused()))
  const port = await listening(server)
  const at = { ...from(port), protocol: 'https:', hostname: 'localhost' }
  await expect(opened().get(at, undefined)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })

  const known = getCACertificates('default')
  onTestFinished(() => setDefaultCACertificates(known))
  setDefaultCACertificates([...known, readFileSync(cert, 'utf8')])
  const lines = opened()
  const one = async () => {
    const { body } = await lines.get(at, undefined)
    const into = new Uint8Array(BODY.length)
    await body[RECEIVE](into, () => {})
    expect(Buffer.compare(into, BODY)).toBe(0)
  }
  await one()
  await Promise.all([one(), one()])
  expect(reused).toEqual([false, true])
  await expect(lines.get({ ...at, hostname: '127.0.0.1' }, undefined)).rejects.toMatchObject({
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})
