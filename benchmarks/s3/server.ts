/**
 * As much of an object store as listing and reading need, in a process of its own: ListObjectsV2 in pages of at most 1,000 as XML, HEAD and GET
 * with ranges and If-Match. Its objects are one file under as many keys as are asked for. No adapter for the real store exists yet; what
 * this shows is what pages, XML and a request for each read cost, not what a network does.
 *
 *   node benchmarks/s3/server.ts --objects N --file F     prints its address
 */
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { keyOf } from './keys.ts'

const PAGE = 1000

const { values } = parseArgs({ options: { objects: { type: 'string' }, file: { type: 'string' } } })
const objects = Number(values.objects)
const content = readFileSync(values.file ?? '')

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  if (url.searchParams.get('list-type') === '2') list(url.searchParams, response)
  else read(request, decodeURIComponent(url.pathname).replace(/^\/bucket\//, ''), response)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})

function list(query: URLSearchParams, response: ServerResponse): void {
  const prefix = query.get('prefix') ?? ''
  const from = Number(query.get('continuation-token') ?? 0)
  const keys: string[] = []
  let i = from
  for (; i < objects && keys.length < PAGE; i++) if (keyOf(i).startsWith(prefix)) keys.push(contents(i))
  const more = i < objects
  response.writeHead(200, { 'content-type': 'application/xml' })
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>${prefix}</Prefix><KeyCount>${keys.length}</KeyCount><MaxKeys>${PAGE}</MaxKeys><IsTruncated>${more}</IsTruncated>${keys.join('')}${more ? `<NextContinuationToken>${i}</NextContinuationToken>` : ''}</ListBucketResult>`,
  )
}

function contents(i: number): string {
  return `<Contents><Key>${keyOf(i)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;${etagOf(i)}&quot;</ETag><Size>${content.length}</Size><StorageClass>STANDARD</StorageClass></Contents>`
}

function read(request: IncomingMessage, key: string, response: ServerResponse): void {
  const i = Number(/part-(\d+)-/.exec(key)?.[1] ?? Number.NaN)
  if (!(i < objects) || keyOf(i) !== key) return void response.writeHead(404).end()
  const etag = `"${etagOf(i)}"`
  const wanted = request.headers['if-match']
  if (wanted !== undefined && wanted !== etag) return void response.writeHead(412).end()
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  const [start, end] = range ? [Number(range[1]), Math.min(Number(range[2]) + 1, content.length)] : [0, content.length]
  response.writeHead(range ? 206 : 200, {
    etag,
    'content-length': end - start,
    'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT',
  })
  response.end(request.method === 'HEAD' ? undefined : content.subarray(start, end))
}

function etagOf(i: number): string {
  return i.toString(16).padStart(32, '0')
}
