/**
 * The HTTP contract between client and service, as existing callers of the original service speak it (docs/service.md).
 * Pure; shared by both sides, so that they cannot drift apart.
 */

export type Direction = 'pseudonymize' | 'reidentify'

/** The last word of the path; an API Gateway stage may stand before it. */
export const ACTIONS = { pseudonymize: 'pseudonymization', reidentify: 'reidentification' } as const

/** The one field of the request body and of the answer's. */
export const FIELDS = {
  pseudonymize: { request: 'identifiers', answer: 'pseudonyms' },
  reidentify: { request: 'pseudonyms', answer: 'identifiers' },
} as const satisfies Record<Direction, { request: string; answer: string }>

/** Lower case, as Node gives them. */
export const HEADERS = {
  apiKey: 'x-api-key',
  /** Request: what the way back is for, where the caller may ask for some purposes only; a name of a-z, 0-9, `.`, `_` and `-`. */
  purpose: 'x-pseudolake-purpose',
  /** Answer: the domain that was used. */
  domain: 'x-pseudolake-domain',
  /** Answer: the id of the key that was used; on the way back all ids used, comma-separated. */
  key: 'x-pseudolake-key',
  /** Answer: names the call in the service's log and audit. */
  requestId: 'x-request-id',
  /** Request and answer: the trace that the call belongs to, as AWS X-Ray and as W3C have it. */
  xray: 'x-amzn-trace-id',
  traceparent: 'traceparent',
} as const

export const DEFAULT_DOMAIN = 'default'

/** Most bytes of a body, in either direction: what an AWS Lambda function takes and gives. */
export const MAX_BODY_BYTES = 6_291_456

/**
 * Most values of one request, in either direction. The shortest pseudonym with its quotes and comma has 43 bytes, so that no body or
 * answer of {@link MAX_BODY_BYTES} holds as many; what has more is made of next to nothing, and would be dear to look at.
 */
export const MAX_VALUES = 150_000

/** Most bytes of UTF-8 of one identifier. */
export const MAX_IDENTIFIER_BYTES = 65_536

export const DOMAIN_PATTERN = /^[a-z0-9_-]{1,64}$/
export const KEY_ID_PATTERN = /^[a-z0-9]{4}$/
/** A purpose is a short name, not a text: it goes on record with each call. */
export const PURPOSE_PATTERN = /^[a-z0-9][a-z0-9._-]{0,63}$/

export function isDomain(text: string): boolean {
  return DOMAIN_PATTERN.test(text)
}

export function isKeyId(text: string): boolean {
  return KEY_ID_PATTERN.test(text)
}

export type Route = Direction | 'health' | 'ready' | 'metrics'

const ROUTES: Readonly<Record<string, Route>> = {
  [ACTIONS.pseudonymize]: 'pseudonymize',
  [ACTIONS.reidentify]: 'reidentify',
  health: 'health',
  ready: 'ready',
  metrics: 'metrics',
}

/** What a path asks for, with or without a stage (`/Dev/pseudonymization`); undefined for any other path, a trailing slash included. */
export function routeOf(pathname: string): Route | undefined {
  const word = /^(?:\/[A-Za-z0-9_-]{1,128})?\/([a-z]+)$/.exec(pathname)?.[1]
  return word !== undefined && Object.hasOwn(ROUTES, word) ? ROUTES[word] : undefined
}

export interface Query {
  readonly deterministic: boolean
  readonly domain: string
  readonly key?: string
}

/**
 * Reads the query string. A missing `deterministic` means random, as existing callers know it; a misspelt value or parameter is
 * refused, because random pseudonyms where deterministic ones were meant break every join without anybody seeing it.
 * @returns the query, or what is wrong with it (never a value)
 */
export function readQuery(search: string, direction: Direction): Query | { readonly wrong: string } {
  const parameters = new URLSearchParams(search)
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) return { wrong: `a parameter is none of ${PARAMETERS.join(', ')}` }
    if (name === 'deterministic' && direction === 'reidentify') continue
    if (parameters.getAll(name).length > 1) return { wrong: `${name} is given more than once` }
  }
  const word = parameters.get('deterministic')?.toLowerCase()
  if (direction === 'pseudonymize' && word !== undefined && word !== 'true' && word !== 'false')
    return { wrong: 'deterministic: expected True or False' }
  const domain = parameters.get('domain') ?? DEFAULT_DOMAIN
  if (!isDomain(domain)) return { wrong: 'domain: expected 1 to 64 characters of a-z, 0-9, _ and -' }
  const key = parameters.get('key')
  if (key !== null && !isKeyId(key)) return { wrong: 'key: expected 4 characters of a-z and 0-9' }
  return { deterministic: direction === 'pseudonymize' && word === 'true', domain, ...(key !== null && { key }) }
}

const PARAMETERS: readonly string[] = ['deterministic', 'domain', 'key']

/**
 * The query string of a request, with `?`, or nothing. Defaults are left out: the original service is asked exactly as its own
 * callers ask it.
 */
export function writeQuery(direction: Direction, { deterministic, domain, key }: Query): string {
  const parameters = new URLSearchParams()
  if (direction === 'pseudonymize') parameters.set('deterministic', deterministic ? 'True' : 'False')
  if (domain !== DEFAULT_DOMAIN) parameters.set('domain', domain)
  if (key !== undefined) parameters.set('key', key)
  return parameters.size === 0 ? '' : `?${parameters}`
}

/** The key ids of an `x-pseudolake-key`. */
export function readKeys(header: string): string[] {
  return header
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')
}

export function writeKeys(ids: readonly string[]): string {
  return ids.join(',')
}
