/**
 * A store that speaks as much of S3 as lib/storage/s3 asks for, on loopback: conditions, ranges, uploads in parts with their limits, copies of
 * parts, listings in pages. It fails as it is told to. Real stores are asked the same in the contract suite; this one is for what they do on a
 * bad day.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { crc32 } from 'node:zlib'
import { Bucket, type Content, contentOf, joined, md5, part, type StoredContent, sizeOnly } from './objects.ts'

export type Operation =
  | 'HeadObject'
  | 'GetObject'
  | 'PutObject'
  | 'DeleteObject'
  | 'ListObjectsV2'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListMultipartUploads'

export interface Asked {
  readonly operation: Operation
  readonly bucket: string
  readonly key: string
  readonly headers: IncomingMessage['headers']
  readonly query: URLSearchParams
  /** Position among all requests, from 0. */
  readonly number: number
}

export type Fault =
  /** An answer of the store's own, and nothing is done. */
  | {
      readonly kind: 'refuse'
      readonly status: number
      readonly code: string
      readonly message?: string
      readonly headers?: Record<string, string>
    }
  /** The connection ends, and nothing is done. */
  | { readonly kind: 'reset' }
  /** It is done, and the connection ends before the answer. */
  | { readonly kind: 'lost' }
  /** The body ends after so many bytes: with the connection, or in order and too short. */
  | { readonly kind: 'cut'; readonly bytes: number }
  | { readonly kind: 'short'; readonly bytes: number }
  /** The answer of a listing is the page of another moment. */
  | { readonly kind: 'stale-token' }
  | { readonly kind: 'wait'; readonly ms: number }

export interface FakeOptions {
  /** Asked for each request. */
  readonly fault?: (asked: Asked) => Fault | undefined
  /** Milliseconds in front of each answer. @default 0 */
  readonly latencyMs?: number
  /** What was uploaded is kept by its size only. @default false */
  readonly forget?: boolean
  /** Keys of a page. @default 1000 */
  readonly page?: number
  /** Passes over If-None-Match and If-Match, as some stores do. @default false */
  readonly unconditional?: boolean
  /** @default 5 MiB */
  readonly leastPartBytes?: number
}

export interface FakeS3 {
  readonly endpoint: string
  /** Made as they are named in the options of `fakeS3`. */
  readonly buckets: ReadonlyMap<string, Bucket>
  readonly asked: readonly Asked[]
  /** Requests by operation, of all or of those since `asked` had so many. */
  count(operation?: Operation): number
  /** From now on. */
  fault: FakeOptions['fault']
  /** Most requests that were under way at a time, by operation. */
  readonly most: ReadonlyMap<Operation, number>
  close(): Promise<void>
}

export async function fakeS3(names: readonly string[], options: FakeOptions = {}): Promise<FakeS3> {
  const buckets = new Map(names.map((name) => [name, new Bucket()]))
  const asked: Asked[] = []
  const underWay = new Map<Operation, number>()
  const most = new Map<Operation, number>()
  const fake = { fault: options.fault }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const one = understood(request, asked.length)
    asked.push(one)
    const now = (underWay.get(one.operation) ?? 0) + 1
    underWay.set(one.operation, now)
    most.set(one.operation, Math.max(now, most.get(one.operation) ?? 0))
    response.once('close', () => underWay.set(one.operation, (underWay.get(one.operation) ?? 1) - 1))
    const body = await whole(request)
    const fault = fake.fault?.(one)
    const wait = (options.latencyMs ?? 0) + (fault?.kind === 'wait' ? fault.ms : 0)
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    if (fault?.kind === 'reset') return void request.socket.destroy()
    const answer =
      fault?.kind === 'refuse' ? refusal(fault) : answerTo(one, body, buckets.get(one.bucket), options, buckets)
    if (fault?.kind === 'lost') return void request.socket.destroy()
    if (fault?.kind === 'stale-token' && one.query.has('continuation-token'))
      answer.xml = answer.xml?.replace(
        /<NextContinuationToken>.*?</,
        `<NextContinuationToken>${one.query.get('continuation-token')}<`,
      )
    send(request, response, answer, fault)
  }

  const server: Server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      response.destroy(error as Error)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    buckets,
    asked,
    most,
    count: (operation) => asked.filter((one) => operation === undefined || one.operation === operation).length,
    get fault() {
      return fake.fault
    },
    set fault(fault) {
      fake.fault = fault
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

interface Answer {
  status: number
  headers?: Record<string, string>
  /** With `range`, of it. */
  content?: Content
  range?: readonly [number, number]
  xml?: string | undefined
}

function understood(request: IncomingMessage, number: number): Asked {
  const [path = '', search = ''] = (request.url ?? '').split('?')
  const [, bucket = '', ...rest] = path.split('/')
  const key = decodeURIComponent(rest.join('/'))
  const query = new URLSearchParams(search)
  return { operation: operationOf(request, key, query), bucket, key, headers: request.headers, query, number }
}

function operationOf({ method, headers }: IncomingMessage, key: string, query: URLSearchParams): Operation {
  if (key === '' && method === 'GET') return query.has('uploads') ? 'ListMultipartUploads' : 'ListObjectsV2'
  switch (method) {
    case 'HEAD':
      return 'HeadObject'
    case 'GET':
      return 'GetObject'
    case 'DELETE':
      return query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
    case 'POST':
      return query.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload'
    default:
      if (!query.has('partNumber')) return 'PutObject'
      return headers['x-amz-copy-source'] === undefined ? 'UploadPart' : 'UploadPartCopy'
  }
}

function answerTo(
  asked: Asked,
  body: Buffer,
  bucket: Bucket | undefined,
  options: FakeOptions,
  buckets: ReadonlyMap<string, Bucket>,
): Answer {
  if (!bucket) return refusal({ status: 404, code: 'NoSuchBucket' })
  const { key, headers, query } = asked
  const kept = () => (options.forget ? sizeOnly(body.length) : contentOf(body))
  switch (asked.operation) {
    case 'HeadObject':
    case 'GetObject':
      return got(bucket.objects.get(key), asked, options)
    case 'PutObject': {
      const sum = checksum(headers, body)
      if (sum === 'bad') return refusal({ status: 400, code: 'BadDigest' })
      if (exists(bucket, asked, options)) return refusal({ status: 412, code: 'PreconditionFailed' })
      const etag = md5(body)
      bucket.objects.set(key, { content: kept(), etag, modified: new Date(), ...described(headers) })
      return { status: 200, headers: { etag: `"${etag}"`, ...sum } }
    }
    case 'DeleteObject':
      bucket.objects.delete(key)
      return { status: 204 }
    case 'ListObjectsV2':
      return listed(bucket, query, options.page ?? 1000)
    case 'ListMultipartUploads':
      return listedUploads(bucket, query, options.page ?? 1000)
    case 'CreateMultipartUpload': {
      const { metadata, encryption } = described(headers)
      const id = bucket.begin(key, metadata, encryption)
      return xml('InitiateMultipartUploadResult', `<Key>${escaped(key)}</Key><UploadId>${id}</UploadId>`)
    }
  }
  const id = query.get('uploadId') ?? ''
  const upload = bucket.uploads.get(id)
  if (!upload || upload.key !== key) return refusal({ status: 404, code: 'NoSuchUpload' })
  const number = Number(query.get('partNumber'))
  switch (asked.operation) {
    case 'UploadPart': {
      const sum = checksum(headers, body)
      if (sum === 'bad') return refusal({ status: 400, code: 'BadDigest' })
      const etag = md5(body)
      upload.parts.set(number, { content: kept(), etag })
      return { status: 200, headers: { etag: `"${etag}"`, ...sum } }
    }
    case 'UploadPartCopy':
      return copied(upload, number, asked, buckets, options)
    case 'AbortMultipartUpload':
      bucket.uploads.delete(id)
      return { status: 204 }
    default:
      return completed(bucket, id, asked, body, options)
  }
}

function got(object: StoredContent | undefined, { headers, operation }: Asked, options: FakeOptions): Answer {
  if (!object) return refusal({ status: 404, code: 'NoSuchKey' })
  const { content, etag, modified, metadata } = object
  if (!options.unconditional && headers['if-match'] !== undefined && headers['if-match'] !== `"${etag}"`)
    return refusal({ status: 412, code: 'PreconditionFailed' })
  const about: Record<string, string> = {
    etag: `"${etag}"`,
    'last-modified': modified.toUTCString(),
    'accept-ranges': 'bytes',
  }
  for (const [name, value] of Object.entries(metadata)) about[`x-amz-meta-${name}`] = value
  if (operation === 'HeadObject') return { status: 200, headers: { ...about, 'content-length': String(content.bytes) } }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  if (from === undefined) return { status: 200, headers: about, content }
  const start = Number(from)
  const end = Math.min(to ? Number(to) + 1 : content.bytes, content.bytes)
  if (start >= content.bytes)
    return refusal({ status: 416, code: 'InvalidRange', headers: { 'content-range': `bytes */${content.bytes}` } })
  about['content-range'] = `bytes ${start}-${end - 1}/${content.bytes}`
  return { status: 206, headers: about, content, range: [start, end] }
}

function exists(bucket: Bucket, { key, headers }: Asked, { unconditional }: FakeOptions): boolean {
  return headers['if-none-match'] === '*' && !unconditional && bucket.objects.has(key)
}

function copied(
  upload: { parts: Map<number, { content: Content; etag: string }> },
  number: number,
  asked: Asked,
  buckets: ReadonlyMap<string, Bucket>,
  { unconditional }: FakeOptions,
): Answer {
  const { headers } = asked
  const [, bucket = '', key = ''] =
    /^\/?([^/]+)\/(.*)$/s.exec(decodeURIComponent(String(headers['x-amz-copy-source']))) ?? []
  const source = buckets.get(bucket)?.objects.get(key)
  if (!source) return refusal({ status: 404, code: 'NoSuchKey' })
  const wanted = headers['x-amz-copy-source-if-match']
  if (!unconditional && wanted !== undefined && wanted !== `"${source.etag}"`)
    return refusal({ status: 412, code: 'PreconditionFailed' })
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-amz-copy-source-range'])) ?? []
  const [start, end] = from === undefined ? [0, source.content.bytes] : [Number(from), Number(to) + 1]
  if (end > source.content.bytes || start >= end) return refusal({ status: 400, code: 'InvalidArgument' })
  if (end - start > 5 * 2 ** 30) return refusal({ status: 400, code: 'EntityTooLarge' })
  const content = part(source.content, start, end)
  const etag = md5(source.etag, `${start}-${end}`)
  upload.parts.set(number, { content, etag })
  return xml(
    'CopyPartResult',
    `<ETag>&quot;${etag}&quot;</ETag><LastModified>${new Date().toISOString()}</LastModified>`,
  )
}

function completed(bucket: Bucket, id: string, asked: Asked, body: Buffer, options: FakeOptions): Answer {
  const upload = bucket.uploads.get(id)
  if (!upload) return refusal({ status: 404, code: 'NoSuchUpload' })
  const given = [...body.toString().matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, one = '']) => ({
    number: Number(/<PartNumber>(\d+)</.exec(one)?.[1]),
    etag: /<ETag>(?:&quot;|")?([^<&"]*)/.exec(one)?.[1],
  }))
  const parts = given.map(({ number }) => upload.parts.get(number))
  if (given.length === 0 || given.length > 10_000) return refusal({ status: 400, code: 'MalformedXML' })
  if (given.some(({ number }, i) => i > 0 && number <= (given[i - 1]?.number ?? 0)))
    return refusal({ status: 400, code: 'InvalidPartOrder' })
  if (parts.some((one, i) => one === undefined || one.etag !== given[i]?.etag))
    return refusal({ status: 400, code: 'InvalidPart' })
  const least = options.leastPartBytes ?? 5 << 20
  if (parts.slice(0, -1).some((one) => (one?.content.bytes ?? 0) < least))
    return refusal({ status: 400, code: 'EntityTooSmall' })
  if (exists(bucket, asked, options)) return refusal({ status: 412, code: 'PreconditionFailed' })
  const found = parts.map((one) => one as { content: Content; etag: string })
  const etag = `${md5(...found.map((one) => one.etag))}-${found.length}`
  const { metadata, encryption } = upload
  const content = joined(found.map((one) => one.content))
  bucket.objects.set(asked.key, { content, etag, modified: upload.begun, metadata, encryption })
  bucket.uploads.delete(id)
  return xml('CompleteMultipartUploadResult', `<Key>${escaped(asked.key)}</Key><ETag>&quot;${etag}&quot;</ETag>`)
}

function listed(bucket: Bucket, query: URLSearchParams, page: number): Answer {
  const keys = bucket.objects.under(query.get('prefix') ?? '')
  const from = Number(query.get('continuation-token') ?? 0)
  const here = keys.slice(from, from + page)
  const more = from + page < keys.length
  const url = query.get('encoding-type') === 'url'
  const contents = here.map((key) => {
    const { content, etag, modified } = bucket.objects.get(key) as StoredContent
    const name = url ? formEncoded(key) : escaped(key)
    return `<Contents><Key>${name}</Key><LastModified>${modified.toISOString()}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${content.bytes}</Size></Contents>`
  })
  return xml(
    'ListBucketResult',
    `${url ? '<EncodingType>url</EncodingType>' : ''}<KeyCount>${here.length}</KeyCount><IsTruncated>${more}</IsTruncated>${contents.join('')}${more ? `<NextContinuationToken>${from + page}</NextContinuationToken>` : ''}`,
  )
}

function listedUploads(bucket: Bucket, query: URLSearchParams, page: number): Answer {
  const prefix = query.get('prefix') ?? ''
  const all = [...bucket.uploads]
    .filter(([, { key }]) => key.startsWith(prefix))
    .sort(([a, { key: x }], [b, { key: y }]) => (x === y ? (a < b ? -1 : 1) : x < y ? -1 : 1))
  const marker = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? ''] as const
  const behind = all.filter(([id, { key }]) => key > marker[0] || (key === marker[0] && id > marker[1]))
  const here = behind.slice(0, page)
  const last = here.at(-1)
  const more = here.length < behind.length && last !== undefined
  const url = query.get('encoding-type') === 'url'
  const name = (key: string) => (url ? formEncoded(key) : escaped(key))
  const uploads = here.map(
    ([id, { key, begun }]) =>
      `<Upload><Key>${name(key)}</Key><UploadId>${id}</UploadId><Initiated>${begun.toISOString()}</Initiated></Upload>`,
  )
  return xml(
    'ListMultipartUploadsResult',
    `${url ? '<EncodingType>url</EncodingType>' : ''}<IsTruncated>${more}</IsTruncated>${more ? `<NextKeyMarker>${name(last[1].key)}</NextKeyMarker><NextUploadIdMarker>${last[0]}</NextUploadIdMarker>` : ''}${uploads.join('')}`,
  )
}

/** As AWS does: a blank is a plus. */
function formEncoded(key: string): string {
  return encodeURIComponent(key).replaceAll('%20', '+').replaceAll('%2F', '/')
}

function described(headers: IncomingMessage['headers']) {
  const pick = (prefix: string) =>
    Object.fromEntries(
      Object.entries(headers).flatMap(([name, value]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), String(value)]] : [],
      ),
    )
  return { metadata: pick('x-amz-meta-'), encryption: pick('x-amz-server-side-encryption') }
}

/** The checksum of an upload that carries one, to be sent back. */
function checksum(headers: IncomingMessage['headers'], body: Buffer): Record<string, string> | 'bad' {
  const given = headers['x-amz-checksum-crc32']
  if (given === undefined) return {}
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(body))
  return bytes.toString('base64') === given ? { 'x-amz-checksum-crc32': String(given) } : 'bad'
}

function refusal({
  status,
  code,
  message = 'as it was told to',
  headers = {},
}: {
  status: number
  code: string
  message?: string
  headers?: Record<string, string>
}): Answer {
  return {
    status,
    headers: { ...headers, 'content-type': 'application/xml' },
    xml: `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escaped(message)}</Message></Error>`,
  }
}

function xml(root: string, inner: string): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    xml: `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${root}>`,
  }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

async function whole(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer, fault: Fault | undefined): void {
  const { status, headers = {}, content, xml: text } = answer
  if (request.method === 'HEAD') {
    response.writeHead(status, headers).end()
    return
  }
  if (!content) {
    const bytes = Buffer.from(text ?? '')
    response.writeHead(status, { ...headers, 'content-length': bytes.length })
    response.end(bytes)
    return
  }
  const [start, end] = answer.range ?? [0, content.bytes]
  if (fault?.kind === 'short') {
    const bytes = Math.min(fault.bytes, end - start)
    const range = answer.range && { 'content-range': `bytes ${start}-${start + bytes - 1}/${content.bytes}` }
    response.writeHead(status, { ...headers, ...range, 'content-length': bytes })
    response.end(content.read(start, start + bytes))
    return
  }
  response.writeHead(status, { ...headers, 'content-length': end - start })
  if (fault?.kind === 'cut') {
    response.write(content.read(start, Math.min(end, start + fault.bytes)), () => request.socket.destroy())
    return
  }
  response.end(content.read(start, end))
}
