/**
 * Names that no resolver knows, served over TLS with a private authority's certificates, and reached through a proxy only: what a locked-down
 * network looks like to a program in it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface Front {
  /** Of the authority, for `NODE_EXTRA_CA_CERTS`. */
  readonly authority: string
  readonly proxy: string
  /** Hosts that the proxy was asked to connect to, each with what it was given for authorization. */
  readonly connected: { readonly host: string; readonly authorization: string | undefined }[]
  /** Hosts that were asked over TLS. */
  readonly asked: Set<string>
}

/** @param backends http URLs by host name, all below `lake.test` */
export async function front(backends: Readonly<Record<string, string>>): Promise<Front> {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-front-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const { key, cert, authority } = certificates(dir)
  const asked = new Set<string>()
  const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (incoming, response) => {
    const host = String(incoming.headers.host).replace(/:\d+$/, '')
    asked.add(host)
    const backend = backends[host]
    if (backend === undefined) {
      response.writeHead(502).end()
      return
    }
    const { hostname, port } = new URL(backend)
    const { method, url, headers } = incoming
    // The host stays as it was asked for: it is part of signatures.
    const onward = request({ hostname, port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  const port = await listening(tls)
  const connected: Front['connected'] = []
  const proxy = createHttpServer((_, response) => response.writeHead(405).end())
  proxy.on('connect', (incoming, client, head) => {
    const host = String(incoming.url)
    connected.push({ host, authorization: incoming.headers['proxy-authorization'] })
    if (!host.endsWith('.lake.test:443')) {
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      return
    }
    const onward = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      onward.write(head)
      onward.pipe(client)
      client.pipe(onward)
    })
    onward.on('error', () => client.destroy())
    client.on('error', () => onward.destroy())
  })
  return { authority, proxy: `http://127.0.0.1:${await listening(proxy)}`, connected, asked }
}

async function listening(server: Server & { closeAllConnections(): void }): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** An authority, and a certificate of it for all names below `lake.test`. */
function certificates(dir: string) {
  const at = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...key, '-subj', '/CN=Private authority', '-keyout', at('ca.key'), '-out', at('ca.pem'))
  openssl('req', ...key, '-subj', '/CN=lake.test', '-keyout', at('key.pem'), '-out', at('request.pem'))
  writeFileSync(at('names'), 'subjectAltName=DNS:*.lake.test')
  const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', at('names')]
  openssl('x509', '-req', '-in', at('request.pem'), ...signed, '-out', at('cert.pem'))
  return { key: at('key.pem'), cert: at('cert.pem'), authority: at('ca.pem') }
}
