import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import type { ServiceRequest } from '../app.ts'

/**
 * What invokes a function, as requests of the service. Three forms, of which only what the service looks at is read:
 *
 * - API Gateway's REST API (payload version 1.0), and who calls the function directly in that form (lib/client/transports/lambda.ts);
 * - API Gateway's HTTP API (2.0), and function URLs, which have the same form.
 *
 * Pure. An event is somebody's input: nothing in it is taken to be what it should be.
 */
export interface EventOptions {
  /**
   * Whether the event's context says truly who signed the request. An event is what its sender wrote: true only where nobody but the
   * gateway may invoke the function.
   */
  readonly trustPrincipal: boolean
}

/** Undefined for an event that is none of these. */
export function requestOf(event: unknown, options: EventOptions): ServiceRequest | undefined {
  if (!isObject(event)) return undefined
  return event.version === '2.0' ? ofVersion2(event, options) : ofVersion1(event, options)
}

type Fields = Readonly<Record<string, unknown>>

function ofVersion1(event: Fields, { trustPrincipal }: EventOptions): ServiceRequest | undefined {
  const { httpMethod: method, path } = event
  if (typeof method !== 'string' || typeof path !== 'string') return undefined
  const context = objectIn(event, 'requestContext')
  const principal = objectIn(context, 'identity').userArn
  return {
    method,
    path,
    search: searchOf(objectIn(event, 'multiValueQueryStringParameters'), objectIn(event, 'queryStringParameters')),
    header: headersOf(objectIn(event, 'multiValueHeaders'), objectIn(event, 'headers')),
    body: () => bodyOf(event),
    ...named(context.requestId, trustPrincipal ? principal : undefined),
  }
}

function ofVersion2(event: Fields, { trustPrincipal }: EventOptions): ServiceRequest | undefined {
  const context = objectIn(event, 'requestContext')
  const { method } = objectIn(context, 'http')
  const { rawPath: path, rawQueryString: query } = event
  if (typeof method !== 'string' || typeof path !== 'string') return undefined
  const principal = objectIn(objectIn(context, 'authorizer'), 'iam').userArn
  return {
    method,
    path,
    search: typeof query === 'string' && query !== '' ? `?${query}` : '',
    header: headersOf({}, objectIn(event, 'headers')),
    body: () => bodyOf(event),
    ...named(context.requestId, trustPrincipal ? principal : undefined),
  }
}

/** What goes on record must be of the form that gateways give it. */
function named(requestId: unknown, principal: unknown): Pick<ServiceRequest, 'gatewayId' | 'principal'> {
  return {
    ...(typeof requestId === 'string' && /^[\w=+/.:-]{1,128}$/.test(requestId) && { gatewayId: requestId }),
    ...(typeof principal === 'string' && /^arn:[\w+=,.@/:-]{1,2048}$/.test(principal) && { principal }),
  }
}

/** The gateway has decoded the parameters. One that came twice is there twice, for the service to refuse. */
function searchOf(multiple: Fields, single: Fields): string {
  const parameters = new URLSearchParams()
  const given = Object.keys(multiple).length > 0 ? multiple : single
  for (const [name, value] of Object.entries(given)) {
    // A parameter without a value counts as one that has an empty one, as in a URL.
    for (const each of Array.isArray(value) ? value : [value])
      parameters.append(name, typeof each === 'string' ? each : '')
  }
  return parameters.size === 0 ? '' : `?${parameters}`
}

/** By any case of its name. Two API keys come joined by a comma, and so are nobody's. */
function headersOf(multiple: Fields, single: Fields): (name: string) => string | undefined {
  const values = new Map<string, string>()
  const given = Object.keys(multiple).length > 0 ? multiple : single
  for (const [name, value] of Object.entries(given)) {
    const text = Array.isArray(value) ? value.filter((each) => typeof each === 'string').join(', ') : value
    if (typeof text !== 'string') continue
    const key = name.toLowerCase()
    const there = values.get(key)
    values.set(key, there === undefined ? text : `${there}, ${text}`)
  }
  return (name) => values.get(name)
}

async function bodyOf({ body, isBase64Encoded }: Fields): ReturnType<ServiceRequest['body']> {
  if (body === undefined || body === null) return new Uint8Array()
  if (typeof body !== 'string') return 'request/malformed'
  if (isBase64Encoded !== true) {
    const bytes = Buffer.from(body, 'utf8')
    return bytes.length > MAX_BODY_BYTES ? 'request/too-large' : bytes
  }
  if (body.length > Math.ceil(MAX_BODY_BYTES / 3) * 4) return 'request/too-large'
  const bytes = Buffer.from(body, 'base64')
  // Node skips what is no base64; a body with holes is none.
  return bytes.toString('base64').replace(/=+$/, '') === body.replace(/=+$/, '') ? bytes : 'request/malformed'
}

function objectIn(fields: Fields, name: string): Fields {
  const value = fields[name]
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
