/** An Iceberg REST catalog as the configuration describes it: who asks it, over which connections, and whose storage its tables are in. */
import { invalid, openSecrets, type Secrets } from '../lib/aws/secrets.ts'
import { type AwsSettings, mergeAws, regionOfArn } from '../lib/aws/settings.ts'
import { PseudolakeError } from '../lib/core/errors.ts'
import { envProxy, isLoopback } from '../lib/core/proxy.ts'
import type { Catalog } from '../lib/iceberg/catalogs/catalog.ts'
import { bearerAuth, noAuth, oauth2Auth, type RestAuth, signedAuth } from '../lib/iceberg/catalogs/rest-auth.ts'
import { fetchSend, type HttpSend, withTimeout } from '../lib/iceberg/catalogs/rest-http.ts'
import type { VendedAccess } from '../lib/iceberg/catalogs/rest-storage.ts'
import { openCatalog } from '../lib/iceberg/open.ts'
import { openStorage } from '../lib/storage/open.ts'
import type { Storage } from '../lib/storage/storage.ts'
import { awsOf, type PlacesOutside } from './aws.ts'
import type { BatchSettings } from './config/native.ts'

const TIMEOUT_MS = 60_000
const CONNECT_TIMEOUT_MS = 10_000
const CONNECTIONS = 16

/** @throws PseudolakeError `config/invalid`, `options/invalid`, `secret/*` */
export async function restCatalogOf(
  settings: BatchSettings,
  warehouse: string | undefined,
  storage: Storage,
  outside: PlacesOutside,
): Promise<Catalog> {
  const { catalog, create } = settings.output
  const { clock, random, signal } = outside
  const send = await sender(outside.env)
  const auth = await authOf(settings, send, outside)
  return openCatalog({
    type: 'rest',
    uri: catalog.uri as string,
    auth,
    storage,
    create,
    clock,
    random,
    signal,
    send,
    allowHttp: catalog.allow_http,
    ...(catalog.warehouse !== undefined && { warehouse: catalog.warehouse }),
    ...(warehouse !== undefined && { root: warehouse }),
    ...(catalog.access === 'vended' && {
      vended: (access: VendedAccess) => vendedStorage(access, awsOf(settings, 'output'), outside),
    }),
  })
}

async function authOf(settings: BatchSettings, send: HttpSend, outside: PlacesOutside): Promise<RestAuth> {
  const { catalog } = settings.output
  const { uri = '', auth = 'none', credential, token, oauth2_uri: oauth2Uri, scope } = catalog
  const identity = awsOf(settings, 'output')
  if (auth === 'none') return noAuth()
  if (auth === 'sigv4') {
    const host = URL.parse(uri)?.hostname ?? ''
    const known = /^(?:.*\.)?(glue|s3tables)\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)$/.exec(host)
    const region = known?.[2] ?? identity.region
    const sign = await (await outside.aws()).sign({ ...identity, region }, catalog.signing_name ?? known?.[1] ?? 'glue')
    return signedAuth(sign)
  }
  if (token !== undefined) {
    const text = textOf('token', token, identity, outside)
    await text()
    return bearerAuth(text)
  }
  const text = textOf('credential', credential as NonNullable<typeof credential>, identity, outside)
  const credentials = async () => pairIn(await text(), credential as Source)
  await credentials()
  return oauth2Auth({
    tokenUri: oauth2Uri ?? `${uri.replace(/\/+$/, '')}/v1/oauth/tokens`,
    credentials,
    allowHttp: catalog.allow_http,
    send,
    clock: outside.clock,
    ...(scope !== undefined && { scope }),
  })
}

interface Source {
  readonly env?: string
  readonly secret?: string
}

/** The text that a variable or a secret holds now. */
function textOf(
  key: 'credential' | 'token',
  { env: variable, secret }: Source,
  identity: AwsSettings,
  { env, clock, aws }: PlacesOutside,
): () => Promise<string> {
  if (secret !== undefined) {
    const region = identity.region ?? regionOfArn(secret)
    const secrets: Secrets = openSecrets({
      client: async () => (await aws()).secretsManager({ ...identity, region }),
      clock,
    })
    return async () => (await secrets.get(secret)).trim()
  }
  const name = variable as string
  const value = env[name]?.trim()
  if (!value) {
    const place = `output.catalog.${key}.env`
    throw new PseudolakeError('config/invalid', `${place}: the environment variable ${name} is not set`, { key: place })
  }
  return async () => value
}

/** `id:secret`, as other clients of such catalogs take it, or JSON `{"client_id": …, "client_secret": …}`. */
function pairIn(text: string, source: Source): { readonly clientId: string; readonly clientSecret: string } {
  if (text.startsWith('{')) {
    try {
      const { client_id: clientId, client_secret: clientSecret } = JSON.parse(text)
      if (typeof clientId === 'string' && typeof clientSecret === 'string') return { clientId, clientSecret }
    } catch {
      // Told below, without the parser's words, which quote the text.
    }
  } else {
    const at = text.indexOf(':')
    if (at > 0) return { clientId: text.slice(0, at), clientSecret: text.slice(at + 1) }
  }
  const expected = 'expected CLIENT_ID:CLIENT_SECRET, or JSON with client_id and client_secret'
  if (source.secret !== undefined) throw invalid(source.secret, expected)
  throw new PseudolakeError('config/invalid', `output.catalog.credential: ${source.env}: ${expected}`, {
    key: 'output.catalog.credential',
  })
}

/** Of a table whose catalog hands out the credentials; what it says of endpoint and region goes before the configuration. */
function vendedStorage(
  { properties, credentials }: VendedAccess,
  identity: AwsSettings,
  { clock, random, signal, aws }: PlacesOutside,
): Storage {
  const settings = mergeAws(identity, {
    region: properties['client.region'] ?? properties['s3.region'],
    endpoints: { s3: properties['s3.endpoint'] },
  })
  return openStorage({
    s3: {
      client: async () => (await aws()).s3As(settings, credentials),
      clock,
      random,
      signal,
      proveConditions: properties['s3.endpoint'] !== undefined,
    },
  })
}

/** Through the environment's proxy where there is one; redirects are not followed there either. */
async function sender(env: PlacesOutside['env']): Promise<HttpSend> {
  const direct = fetchSend(TIMEOUT_MS)
  const proxy = await envProxy(env, {
    connections: CONNECTIONS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    idleTimeoutMs: TIMEOUT_MS,
  })
  if (proxy === undefined) return direct
  return async (request) => {
    const { method, url, headers, body, signal } = request
    const { origin, hostname, pathname, search } = new URL(url)
    if (isLoopback(hostname)) return direct(request)
    const answer = await proxy.request({
      origin,
      path: pathname + search,
      method,
      headers: { ...headers },
      body: body ?? null,
      signal: withTimeout(TIMEOUT_MS, signal),
    })
    return {
      status: answer.statusCode,
      header: (name) => [answer.headers[name]].flat().join(', ') || undefined,
      body: await answer.body.text(),
    }
  }
}
