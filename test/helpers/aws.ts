/**
 * AWS in this process, as far as a test needs it: a server that takes the SDK's own requests, checks each signature by the rules (AWS General
 * Reference, "Signature Version 4", written down here a second time), and answers as the test says.
 */
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** Long-lived keys that the fake knows, and the stores of test/helpers/s3 too; `ASIA…` of an assumed role are given out by it. */
export const KEYS = { AWS_ACCESS_KEY_ID: 'test-access', AWS_SECRET_ACCESS_KEY: 'test-secret' }

export interface AwsRequest {
  /** `secretsmanager`, `sts`, `lambda`, `s3`, …: of the signature. */
  readonly service: string
  readonly region: string
  /** Operation of a JSON service or of STS; the path of any other. */
  readonly operation: string
  readonly accessKey: string
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** Of a JSON body. */
  readonly json: Record<string, unknown>
}

export interface AwsAnswer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array | object
}

export type Behave = (request: AwsRequest, nth: number) => AwsAnswer | undefined | Promise<AwsAnswer | undefined>

export interface FakeAws {
  readonly url: string
  readonly port: number
  readonly received: AwsRequest[]
  /** For a process or a run: keys, region and endpoint. */
  readonly env: Record<string, string>
  /** As `received` by operation. */
  operations(): string[]
}

/** The access key that the fake gives to who assumes a role. */
export function accessKeyOf(role: string): string {
  return `ASIA${createHash('sha256').update(role).digest('hex').slice(0, 16).toUpperCase()}`
}

export function secretKeyOf(role: string): string {
  return createHash('sha256').update(`secret of ${role}`).digest('hex')
}

/** An error as services of the JSON protocol answer it. */
export function awsError(name: string, status = 400, message = 'said by the fake', more: object = {}): AwsAnswer {
  return { status, headers: { 'x-amzn-errortype': name }, body: { __type: name, message, Message: message, ...more } }
}

/**
 * @param behave what of a request's answer is not the default: `GetSecretValue` of `secrets`, `AssumeRole` of any role
 * @param secrets by name; `NAME#AWSPREVIOUS` is the version before
 */
export async function fakeAws(
  behave: Behave = () => undefined,
  secrets: Record<string, string | Uint8Array> = {},
): Promise<FakeAws> {
  const received: AwsRequest[] = []
  const roles = new Map<string, string>()
  const server = createServer(awsListener(behave, secrets, received, roles))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    port,
    received,
    env: { ...KEYS, AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL: url },
    operations: () => received.map(({ operation }) => operation),
  }
}

export function awsListener(
  behave: Behave,
  secrets: Record<string, string | Uint8Array>,
  received: AwsRequest[],
  roles = new Map<string, string>(),
): RequestListener {
  return async (incoming, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    try {
      const request = requestOf(incoming, body, roles)
      received.push(request)
      const answer = (await behave(request, received.length)) ?? usual(request, secrets, roles)
      send(response, answer)
    } catch (error) {
      send(response, awsError('InvalidSignatureException', 403, error instanceof Error ? error.message : 'refused'))
    }
  }
}

function usual(
  { operation, json, body }: AwsRequest,
  secrets: Record<string, string | Uint8Array>,
  roles: Map<string, string>,
): AwsAnswer {
  if (operation === 'GetSecretValue') {
    const stage = json.VersionStage === undefined ? '' : `#${json.VersionStage}`
    const secret = secrets[`${json.SecretId}${stage}`]
    if (secret === undefined) return awsError('ResourceNotFoundException')
    return {
      body: {
        Name: json.SecretId,
        ...(typeof secret === 'string'
          ? { SecretString: secret }
          : { SecretBinary: Buffer.from(secret).toString('base64') }),
      },
    }
  }
  if (operation === 'AssumeRole' || operation === 'AssumeRoleWithWebIdentity') {
    const role = new URLSearchParams(body.toString()).get('RoleArn') ?? ''
    const key = accessKeyOf(role)
    const secret = secretKeyOf(role)
    roles.set(key, secret)
    return {
      headers: { 'content-type': 'text/xml' },
      body: `<${operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${operation}Result><Credentials><AccessKeyId>${key}</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey><SessionToken>token-of-${key}</SessionToken><Expiration>${new Date(Date.now() + 3600_000).toISOString()}</Expiration></Credentials></${operation}Result></${operation}Response>`,
    }
  }
  return { body: {} }
}

function send(response: ServerResponse, { status = 200, headers = {}, body = '' }: AwsAnswer): void {
  const bytes = typeof body === 'object' && !(body instanceof Uint8Array) ? JSON.stringify(body) : body
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', ...headers })
  response.end(bytes)
}

function requestOf(incoming: IncomingMessage, body: Buffer, roles: ReadonlyMap<string, string>): AwsRequest {
  const { method = '', url = '', headers } = incoming
  // A token is all that says who asks there.
  const isToken = /(?:^|&)Action=AssumeRoleWithWebIdentity(?:&|$)/.test(body.toString())
  const { accessKey, region, service } = isToken
    ? { accessKey: '', region: '', service: 'sts' }
    : verified({ method, url, headers, body }, (key) =>
        key === KEYS.AWS_ACCESS_KEY_ID ? KEYS.AWS_SECRET_ACCESS_KEY : roles.get(key),
      )
  const target = headers['x-amz-target']
  const text = body.toString()
  const operation =
    typeof target === 'string'
      ? (target.split('.').at(-1) ?? '')
      : service === 'sts'
        ? (new URLSearchParams(text).get('Action') ?? '')
        : new URL(url, 'http://aws').pathname
  let json: Record<string, unknown> = {}
  try {
    json = JSON.parse(text)
  } catch {
    // Of another protocol.
  }
  return { service, region, operation, accessKey, method, url, headers, body, json }
}

/** Who signed a request. @throws where the signature is wrong */
export function verified(
  { method, url, headers, body }: Pick<AwsRequest, 'method' | 'url' | 'headers' | 'body'>,
  secretOf: (accessKey: string) => string | undefined,
): { readonly accessKey: string; readonly region: string; readonly service: string } {
  const authorization = headers.authorization ?? ''
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    )
  if (!parts) throw new Error('not signed')
  const [, accessKey = '', day = '', region = '', service = '', signedHeaders = '', signature] = parts
  const secret = secretOf(accessKey)
  if (secret === undefined) throw new Error('unknown access key')
  const hash = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
  const mac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest()
  const names = signedHeaders.split(';')
  for (const name of ['host', 'x-amz-date']) if (!names.includes(name)) throw new Error(`${name} is not signed`)
  const payload = headers['x-amz-content-sha256'] ?? hash(body)
  if (typeof payload === 'string' && /^[0-9a-f]{64}$/.test(payload) && payload !== hash(body))
    throw new Error('the body is not the one that was signed')
  const { pathname, searchParams } = new URL(url, 'http://aws')
  const encoded = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  const query = [...searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&')
  const path = service === 's3' ? pathname : pathname.split('/').map(encoded).join('/')
  const canonical = [
    method,
    path,
    query,
    ...names.map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, ' ')}`),
    '',
    signedHeaders,
    payload,
  ].join('\n')
  const scope = `${day}/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hash(canonical)].join('\n')
  const key = [region, service, 'aws4_request'].reduce((last, next) => mac(last, next), mac(`AWS4${secret}`, day))
  if (mac(key, toSign).toString('hex') !== signature) throw new Error('the signature is wrong')
  return { accessKey, region, service }
}
