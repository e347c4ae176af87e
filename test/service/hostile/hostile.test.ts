/**
 * What no caller sends, sent to a running service: each is a 4xx, takes no memory to speak of, and leaves the service as it was. The
 * service is a process of its own, as its memory is looked at.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES, MAX_VALUES } from '../../../lib/wire/contract.ts'

let child: ChildProcess
let dir: string
let url: URL
/** Of the service that waits as long as others do. */
let patient: URL
/** Bytes of the process at its most, after it has answered the largest requests that are none of these. */
let usual = 0

/** Beyond what the largest well-formed requests took. */
const MORE_BYTES = 96 * 2 ** 20

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pseudolake-'))
  const script = fileURLToPath(new URL('serve.ts', import.meta.url))
  child = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  const [strict = '', other = ''] = String(line).trim().split(' ')
  url = new URL(strict)
  patient = new URL(other)
  // Lists as they are written mostly, which are read as bytes; those that are parsed; and a body that is as large as may be.
  const large = [
    listOf('"identifiers"', `"${'x'.repeat(20)}"`, 60_000),
    listOf('"x":1, "identifiers"', `"${'x'.repeat(20)}", 1.0`, 30_000),
    `{"x":"${'y'.repeat(MAX_BODY_BYTES - 100)}","identifiers":["A"]}`,
  ]
  for (let i = 0; i < 6; i++)
    for (const body of large)
      expect((await Promise.all([post(body), post(body)])).map(({ status }) => status)).toEqual([200, 200])
  usual = peakBytes()
}, 60_000)

afterAll(async () => {
  child.kill('SIGTERM')
  await once(child, 'exit')
  rmSync(dir, { recursive: true, force: true })
})

/** Of the process, since it began. */
function peakBytes(): number {
  const [, kb] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
  return Number(kb) * 1024
}

async function post(body: string | Uint8Array, headers: Record<string, string> = {}, path = '/pseudonymization') {
  const response = await fetch(new URL(path, url), {
    method: 'POST',
    body: body as BodyInit,
    headers: { 'content-type': 'application/json', ...headers },
  })
  const text = await response.text()
  return { status: response.status, text, code: response.status === 200 ? undefined : JSON.parse(text).code }
}

function listOf(field: string, value: string, count: number): string {
  return `{${field}:[${`${value},`.repeat(count - 1)}${value}]}`
}

/** The service answers as it does, and did not take more memory than it may. */
async function unharmed(): Promise<void> {
  expect((await post('{"identifiers":["A"]}')).status).toBe(200)
  expect(peakBytes()).toBeLessThan(usual + MORE_BYTES)
}

/** Bytes as they are; what came back until the other side closed. */
function raw(...parts: (string | Uint8Array)[]): Promise<string> {
  return talk((socket) => {
    for (const part of parts) socket.write(part)
  })
}

function talk(say: (socket: Socket) => void, to = url): Promise<string> {
  return new Promise((resolve) => {
    let received = ''
    const socket = connect(Number(to.port), to.hostname, () => say(socket))
    socket.on('data', (chunk) => (received += chunk))
    // A connection that is closed while it is written to may end in a reset, after the answer.
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received))
  })
}

const head = (...lines: string[]) =>
  [`POST /pseudonymization HTTP/1.1`, 'host: localhost', 'content-type: application/json', ...lines, '', ''].join(
    '\r\n',
  )

const LARGEST = MAX_BODY_BYTES - 100

describe.runIf(process.platform === 'linux')('a service that is sent', () => {
  const bodies: [string, () => string | Uint8Array, Record<string, string>, number, string][] = [
    ['six million brackets', () => '['.repeat(LARGEST), {}, 400, 'request/malformed'],
    [
      'deep objects in a field that is ignored',
      () => `{"x":${'{"a":'.repeat(LARGEST / 6)}`,
      {},
      400,
      'request/malformed',
    ],
    ['a field twice', () => '{"identifiers":["A"],"identifiers":["B"]}', {}, 400, 'request/malformed'],
    [
      'another field twice, spelt otherwise',
      () => '{"x":1,"\\u0078":2,"identifiers":[]}',
      {},
      400,
      'request/malformed',
    ],
    [
      'half a million fields',
      () => `{${Array.from({ length: 450_000 }, (_, i) => `"${i}":1`).join()},"identifiers":[]}`.slice(0, LARGEST),
      {},
      400,
      'request/malformed',
    ],
    ['six megabytes of bytes that are no UTF-8', () => Buffer.alloc(LARGEST, 0xff), {}, 400, 'request/malformed'],
    [
      'a surrogate as three bytes',
      () => Buffer.concat([Buffer.from('{"identifiers":["'), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('"]}')]),
      {},
      400,
      'request/malformed',
    ],
    [
      'a million lone surrogates',
      () => listOf('"identifiers"', `"${'\\ud800'.repeat(7)}"`, 130_000),
      {},
      400,
      'identifier/not-unicode',
    ],
    ['a million empty texts', () => listOf('"identifiers"', '""', 1_000_000), {}, 413, 'request/too-many'],
    ['a million numbers', () => listOf('"identifiers"', '1', 1_000_000), {}, 413, 'request/too-many'],
    ['a million nulls', () => listOf('"identifiers"', 'null', 1_000_000), {}, 413, 'request/too-many'],
    ['three million lists', () => listOf('"identifiers"', '[]', 2_000_000), {}, 413, 'request/too-many'],
    [
      'as many values as may be, whose answer may not',
      () => listOf('"identifiers"', '"ab"', MAX_VALUES),
      {},
      413,
      'answer/too-large',
    ],
    ['a body that is too large', () => Buffer.alloc(50_000_000, 0x20), {}, 413, 'request/too-large'],
    [
      'a gzip bomb',
      () => gzipSync(Buffer.alloc(200_000_000)),
      { 'content-encoding': 'gzip' },
      415,
      'request/media-type',
    ],
    [
      'a bomb of deflate',
      () => deflateSync(Buffer.alloc(50_000_000)),
      { 'content-encoding': 'deflate' },
      415,
      'request/media-type',
    ],
    [
      'a bomb of brotli',
      () => brotliCompressSync(Buffer.alloc(5_000_000)),
      { 'content-encoding': 'br' },
      415,
      'request/media-type',
    ],
    ['gzip that does not say so', () => gzipSync(Buffer.alloc(50_000_000)), {}, 400, 'request/malformed'],
  ]
  test.each(bodies)('%s refuses it, and is unharmed', async (_, body, headers, status, code) => {
    const bytes = body()
    for (let i = 0; i < 3; i++) expect(await post(bytes, headers)).toMatchObject({ status, code })
    await unharmed()
  })

  const back: [string, () => string, number, string][] = [
    ['a million texts that are no pseudonyms', () => listOf('"pseudonyms"', '""', 1_000_000), 413, 'request/too-many'],
    [
      'as many of them as may be',
      () => listOf('"pseudonyms"', `"${'A'.repeat(36)}"`, MAX_VALUES),
      422,
      'pseudonym/invalid',
    ],
  ]
  test.each(back)('%s on the way back refuses it, and is unharmed', async (_, body, status, code) => {
    const answer = await post(body(), {}, '/reidentification')
    expect(answer).toMatchObject({ status, code })
    expect(answer.text.length).toBeLessThan(20_000)
    await unharmed()
  })

  test('pseudonyms whose identifiers would pass the limit as JSON refuses them: a control character has six bytes there', async () => {
    const identifiers = Array.from({ length: 22 }, () => '\\u0001'.repeat(65_536))
    const texts: string[] = []
    // Eleven at a time, as a body has six megabytes.
    for (const part of [identifiers.slice(0, 11), identifiers.slice(11)]) {
      const made = await post(
        `{"identifiers":[${part.map((text) => `"${text}"`).join()}]}`,
        {},
        '/pseudonymization?deterministic=True',
      )
      expect(made.status).toBe(200)
      texts.push(...JSON.parse(made.text).pseudonyms)
    }
    const pseudonyms = JSON.stringify({ pseudonyms: texts })
    expect(pseudonyms.length).toBeLessThan(MAX_BODY_BYTES)
    expect(await post(pseudonyms, {}, '/reidentification')).toMatchObject({ status: 413, code: 'answer/too-large' })
    await unharmed()
  })

  test('heads that come a byte at a time ends them, and others are answered meanwhile', async () => {
    const slow = Array.from({ length: 100 }, () =>
      talk((socket) => {
        socket.write('POST /pseudonymization HTTP/1.1\r\nhost: localhost\r\nx: ')
        const drip = setInterval(() => socket.write('y'), 100)
        socket.once('close', () => clearInterval(drip))
      }),
    )
    expect((await post('{"identifiers":["A"]}')).status).toBe(200)
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    await unharmed()
  }, 30_000)

  test('bodies that come a byte at a time ends them', async () => {
    const slow = Array.from({ length: 50 }, () =>
      talk((socket) => {
        socket.write(head('content-length: 1000'))
        const drip = setInterval(() => socket.write(' '), 100)
        socket.once('close', () => clearInterval(drip))
      }),
    )
    expect((await post('{"identifiers":["A"]}')).status).toBe(200)
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    await unharmed()
  }, 30_000)

  test('more connections than it takes closes those, and takes new ones afterwards', async () => {
    const idle = await Promise.all(
      Array.from({ length: 320 }, async () => {
        const socket = connect(Number(url.port), url.hostname)
        socket.on('error', () => undefined)
        await once(socket, 'connect')
        return socket.resume()
      }),
    )
    const closed = idle.map((socket) => once(socket, 'close'))
    // Those above the limit are closed as they come, the others when no head has come in time.
    await Promise.all(closed)
    await unharmed()
  }, 30_000)

  test('a head of a megabyte, or of a thousand lines, refuses it', async () => {
    const many = Array.from({ length: 2_000 }, (_, i) => `x-${i}: ${'y'.repeat(20)}`)
    for (const lines of [[`x: ${'y'.repeat(1_000_000)}`], many, [`${'x'.repeat(20_000)}: y`]])
      expect(await raw(head(...lines))).toMatch(/^HTTP\/1\.1 431 /)
    expect(await raw(`POST /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /)
    await unharmed()
  })

  test('a body in chunks of a byte each takes no more of memory than its size', async () => {
    const body = `{"identifiers":["A"],"x":"${'y'.repeat(1_500_000)}"}`
    const chunks = body.replace(/[\s\S]/g, '1\r\n$&\r\n')
    const answer = await talk((socket) => {
      socket.write(head('transfer-encoding: chunked', 'connection: close'))
      socket.write(`${chunks}0\r\n\r\n`)
    }, patient)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    await unharmed()
  }, 30_000)

  test('a body without end in chunks refuses it', async () => {
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
    const answer = await talk((socket) => {
      socket.write(head('transfer-encoding: chunked'))
      // Its answer comes while it is at it.
      socket.once('data', () => socket.destroy())
      const send = () => {
        while (!socket.destroyed && socket.write(chunk));
      }
      socket.on('drain', send)
      send()
    })
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    await unharmed()
  }, 30_000)

  test('two lengths, or a length and chunks, refuses them: what stands behind would be another request', async () => {
    const behind = 'POST /reidentification HTTP/1.1\r\nhost: localhost\r\n\r\n'
    for (const lines of [
      ['content-length: 4', 'content-length: 40'],
      ['content-length: 4', 'transfer-encoding: chunked'],
      ['content-length: -1'],
      ['transfer-encoding: chunked, identity'],
    ]) {
      const answer = await raw(head(...lines), '{}\r\n', behind)
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1)
    }
    await unharmed()
  })
})
