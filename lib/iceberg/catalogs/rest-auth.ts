/** Who a REST catalog is told that we are: nothing, a token, OAuth2 client credentials, or a signature. */
import type { Clock } from '../../core/clock.ts'
import { PseudolakeError } from '../../core/errors.ts'
import { type HttpRequest, type HttpSend, requireSecure } from './rest-http.ts'

export interface RestAuth {
  /** Headers that a request gets, asked for each time it is sent. */
  authorize(request: HttpRequest): Promise<Readonly<Record<string, string>>>
  /** After a 401 or 419: forgets what was refused. False where there is nothing else to try. */
  renew(): boolean
  /** Whether what `authorize` gives is worth stealing. */
  readonly secret: boolean
}

export function noAuth(): RestAuth {
  return { authorize: async () => ({}), renew: () => false, secret: false }
}

/** @param token asked for anew when it was refused, so that one from a file or a secret store may change */
export function bearerAuth(token: () => Promise<string>): RestAuth {
  let known: Promise<string> | undefined
  return {
    secret: true,
    async authorize() {
      known ??= token()
      return { authorization: `Bearer ${await known}` }
    },
    renew() {
      known = undefined
      return true
    },
  }
}

/**
 * Signs each request, as AWS's endpoints want it: the headers to add, for this method, URL, headers and body.
 * @param sign made by the composition, which has the credentials: service `glue` or `s3tables`
 */
export function signedAuth(sign: (request: HttpRequest) => Promise<Readonly<Record<string, string>>>): RestAuth {
  return { authorize: sign, renew: () => false, secret: false }
}

export interface OAuth2Options {
  /** `<catalog>/v1/oauth/tokens` at catalogs that issue tokens themselves. */
  readonly tokenUri: string
  /** Asked for each time, so that a rotated secret is taken up. */
  readonly credentials: () => Promise<{ readonly clientId: string; readonly clientSecret: string }>
  /** @default 'catalog' */
  readonly scope?: string
  /** Further form fields, as `audience` or `resource`. */
  readonly parameters?: Readonly<Record<string, string>>
  /** Whether tokenUri may be http beyond loopback. @default false */
  readonly allowHttp?: boolean
  readonly send: HttpSend
  readonly clock: Clock
}

/** Lifetime of a token whose issuer does not say, and how long before its end it is renewed, both at the most. */
const UNSAID_LIFETIME_MS = 60 * 60_000
const AHEAD_MS = 60_000

/** OAuth2 client credentials (RFC 6749, 4.4). One token at a time, renewed a minute before it ends and when it is refused. */
export function oauth2Auth({ clock, ...options }: OAuth2Options): RestAuth {
  requireSecure(options.tokenUri, 'OAuth2 token URI', options.allowHttp ?? false)
  let held: { readonly token: Promise<Token>; readonly until: () => number } | undefined

  return {
    secret: true,
    async authorize() {
      if (!held || clock.now() >= held.until()) held = ask()
      const { value } = await held.token
      return { authorization: `Bearer ${value}` }
    },
    renew() {
      held = undefined
      return true
    },
  }

  function ask() {
    let until = Number.POSITIVE_INFINITY
    const asked = clock.now()
    const token = request(options).then(
      (got) => {
        until = asked + got.lifetimeMs - Math.min(AHEAD_MS, got.lifetimeMs / 10)
        return got
      },
      (error: unknown) => {
        held = undefined
        throw error
      },
    )
    return { token, until: () => until }
  }
}

interface Token {
  readonly value: string
  readonly lifetimeMs: number
}

/** What the issuer answers is never shown: it may hold the token, or repeat the secret. */
async function request({
  tokenUri,
  credentials,
  scope = 'catalog',
  parameters,
  send,
}: Omit<OAuth2Options, 'clock'>): Promise<Token> {
  const { clientId, clientSecret } = await credentials()
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    scope,
    ...parameters,
  })
  const { status, body } = await send({
    method: 'POST',
    url: tokenUri,
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: form.toString(),
  }).catch((cause: unknown) => {
    throw new PseudolakeError(
      'catalog/unavailable',
      `the OAuth2 token endpoint ${tokenUri} could not be reached`,
      {},
      { cause },
    )
  })
  if (status >= 500 || status === 429)
    throw new PseudolakeError('catalog/unavailable', `the OAuth2 token endpoint ${tokenUri} answered ${status}`)
  if (status !== 200)
    throw new PseudolakeError(
      'catalog/denied',
      `the OAuth2 token endpoint ${tokenUri} answered ${status}: the client id, its secret or the scope is wrong`,
    )
  const answer = parsed(body)
  const value = answer.access_token
  if (typeof value !== 'string' || value === '')
    throw new PseudolakeError('catalog/unavailable', `the OAuth2 token endpoint ${tokenUri} answered without a token`)
  const seconds = Number(answer.expires_in)
  return { value, lifetimeMs: seconds > 0 ? seconds * 1000 : UNSAID_LIFETIME_MS }
}

function parsed(body: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(body) ?? {}) as Record<string, unknown>
  } catch {
    return {}
  }
}
