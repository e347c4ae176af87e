import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { httpTransport } from '../../../lib/client/transports/http.ts'
import { systemClock } from '../../../lib/core/clock.ts'

const TRANSPORT = pathToFileURL(join(import.meta.dirname, '../../../lib/client/transports/http.ts')).href
const CLOCK = pathToFileURL(join(import.meta.dirname, '../../../lib/core/clock.ts')).href
const REQUEST = { direction: 'pseudonymize', values: ['a'], domain: 'default', deterministic: true } as const

let dir: string
let certificate: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pseudolake-tls-'))
  certificate = join(dir, 'cert.pem')
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const files = ['-keyout', join(dir, 'key.pem'), '-out', certificate]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject, ...files],
    {
      stdio: 'ignore',
    },
  )
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function listening(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

/** Answers every request, and counts its connections. */
async function secureService() {
  let connections = 0
  const server = createServer(
    { key: readFileSync(join(dir, 'key.pem')), cert: readFileSync(certificate) },
    (_, response) => response.end('{"pseudonyms":["p"]}'),
  )
  server.on('secureConnection', () => connections++)
  onTestFinished(() => server.closeAllConnections())
  return { port: await listening(server), connections: () => connections }
}

function transport(url: string, connectTimeoutMs = 5000) {
  const made = httpTransport({ url, connectTimeoutMs, clock: systemClock() })
  onTestFinished(() => made.close())
  return made
}

/** Asks twice in a process that trusts the certificate. */
async function askTrusting(host: string, port: number): Promise<string> {
  const script = `
    import { httpTransport } from ${JSON.stringify(TRANSPORT)}
    import { systemClock } from ${JSON.stringify(CLOCK)}
    const transport = httpTransport({ url: 'https://${host}:${port}/pseudonymization', clock: systemClock() })
    try {
      for (let i = 0; i < 2; i++) console.log((await transport.call(${JSON.stringify(REQUEST)})).values[0])
    } catch ({ code, message }) {
      console.log(code, message)
    }
    await transport.close()`
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: certificate }
  return (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env })).stdout
}

test('over TLS connections are kept too, where the certificate is trusted', async () => {
  const { port, connections } = await secureService()
  expect(await askTrusting('localhost', port)).toBe('p\np\n')
  expect(connections()).toBe(1)
})

test('a certificate that nobody trusts is the configuration’s fault, and no later attempt’s', async () => {
  const { port } = await secureService()
  await expect(transport(`https://localhost:${port}/pseudonymization`).call(REQUEST)).rejects.toMatchObject({
    code: 'config/invalid',
    message: expect.stringContaining('is not trusted'),
  })
})

test('so is a trusted certificate of another host', async () => {
  const { port } = await secureService()
  expect(await askTrusting('127.0.0.1', port)).toMatch(/^config\/invalid .*is not trusted/)
})

test('a host that accepts and never says hello is a timeout', async () => {
  const port = await listening(createTcpServer())
  await expect(transport(`https://localhost:${port}/pseudonymization`, 200).call(REQUEST)).rejects.toMatchObject({
    code: 'service/timeout',
    message: expect.stringContaining('ETIMEDOUT'),
  })
})

test('text in the place of TLS is no answer', async () => {
  const port = await listening(createTcpServer((socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\n')))
  await expect(transport(`https://localhost:${port}/pseudonymization`).call(REQUEST)).rejects.toMatchObject({
    code: 'service/unavailable',
  })
})
