/**
 * An Iceberg REST catalog in this process, for what the real server of the integration tests cannot be made to do: faults, tokens that end,
 * credentials handed out, places of its own. Its tables change by the same rules: requirements are tested, then updates applied, in one step.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { type JsonObject, parseJson, stringifyJson } from '../../lib/core/json.ts'
import type { TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import { serializeMetadata } from '../../lib/iceberg/metadata.ts'
import { applyUpdates, type TableUpdate } from '../../lib/iceberg/updates.ts'

/**
 * - `lost`: done, and the connection breaks; `lost-502`, `lost-503`: done, and a proxy answers so; `garbage`: done, and the answer is a page.
 * - `reset`, `500`, `503`, `429`, `401`, `403`, `419`: not done.
 * - `none`: nothing is wrong, for a place in the row.
 */
export type RestFault =
  | 'none'
  | 'lost'
  | 'lost-502'
  | 'lost-503'
  | 'garbage'
  | 'reset'
  | '500'
  | '503'
  | '429'
  | '401'
  | '403'
  | '419'

export interface RestFake {
  readonly uri: string
  readonly requests: { readonly method: string; readonly path: string; readonly headers: Record<string, string> }[]
  readonly namespaces: Set<string>
  readonly tables: Map<string, TableState>
  /** Tokens that are good now. */
  readonly tokens: Set<string>
  /** The next `times` requests of a method whose path ends so meet it. */
  fault(method: string, path: RegExp, fault: RestFault, times?: number): void
}

export interface RestFakeOptions {
  readonly namespaces?: readonly string[]
  readonly prefix?: string
  /** Tables are made at once only, and where it wants. */
  readonly managed?: boolean
  /** Where it puts tables. */
  readonly warehouse?: string
  /** Client id and secret that its token endpoint takes; without them everybody may do everything. */
  readonly client?: { readonly id: string; readonly secret: string; readonly lifetimeS?: number }
  /** What it says of a table's storage, counted answers. */
  readonly credentials?: (answer: number) => Record<string, string>
}

class Refused extends Error {
  readonly status: number
  readonly type: string
  constructor(status: number, type: string) {
    super(type)
    this.status = status
    this.type = type
  }
}

export async function restFake(options: RestFakeOptions = {}): Promise<RestFake> {
  const { prefix, managed = false, warehouse = 'memory:/chosen', client, credentials } = options
  const faults: { method: string; path: RegExp; fault: RestFault }[] = []
  const requests: RestFake['requests'] = []
  const namespaces = new Set(options.namespaces ?? ['db'])
  const tables = new Map<string, TableState>()
  const tokens = new Set<string>()
  let commits = 0
  let answers = 0

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const { method = '', url = '' } = request
    requests.push({ method, path: url, headers: request.headers as Record<string, string> })
    const at = faults.findIndex((each) => each.method === method && each.path.test(url))
    const fault = at < 0 ? undefined : faults.splice(at, 1)[0]?.fault
    const answer = () => route(method, new URL(url, 'http://x'), text, request.headers)
    switch (fault) {
      case undefined:
      case 'none':
        return reply(response, answer)
      case 'reset':
        return response.destroy()
      case 'lost':
        attempt(answer)
        return response.destroy()
      case 'lost-502':
      case 'lost-503':
        attempt(answer)
        return void response.writeHead(Number(fault.slice(5))).end('<html>Bad gateway</html>')
      case 'garbage':
        attempt(answer)
        return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome</html>')
    }
    reply(response, () => {
      throw new Refused(Number(fault), 'Fault')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  )

  function route(method: string, url: URL, text: string, headers: NodeJS.Dict<string | string[]>): string {
    const path = decodeURIComponent(url.pathname)
    if (path === '/v1/oauth/tokens') return token(text)
    if (client && !tokens.has(String(headers.authorization).replace('Bearer ', '')))
      throw new Refused(401, 'NotAuthorizedException')
    const under = `/v1/${prefix === undefined ? '' : `${prefix}/`}`
    if (path === '/v1/config') return stringifyJson({ defaults: {}, overrides: prefix === undefined ? {} : { prefix } })
    if (!path.startsWith(under)) throw new Refused(404, 'NoSuchEndpoint')
    const [kind, namespace, tablesWord, name] = path.slice(under.length).split('/')
    const body = text === '' ? {} : (parseJson(text) as JsonObject)
    const database = namespace?.replaceAll('\x1f', '.') ?? ''
    if (kind !== 'namespaces') throw new Refused(404, 'NoSuchEndpoint')
    if (namespace === undefined) return addNamespace(body)
    if (tablesWord !== 'tables') throw new Refused(404, 'NoSuchEndpoint')
    if (name === undefined) return create(database, body)
    const key = `${database}.${name}`
    switch (method) {
      case 'GET':
        return result(found(key))
      case 'DELETE':
        found(key)
        tables.delete(key)
        return ''
    }
    return commit(database, key, body)
  }

  function token(text: string): string {
    const form = new URLSearchParams(text)
    if (!client || form.get('client_id') !== client.id || form.get('client_secret') !== client.secret)
      throw new Refused(401, 'invalid_client')
    const value = `token-${tokens.size + 1}-${requests.length}`
    tokens.add(value)
    return JSON.stringify({ access_token: value, token_type: 'bearer', expires_in: client.lifetimeS ?? 3600 })
  }

  function addNamespace(body: JsonObject): string {
    const levels = body.namespace as string[]
    const name = levels.join('.')
    if (namespaces.has(name)) throw new Refused(409, 'AlreadyExistsException')
    if (levels.length > 1 && !namespaces.has(levels.slice(0, -1).join('.')))
      throw new Refused(404, 'NoSuchNamespaceException')
    namespaces.add(name)
    return stringifyJson({ namespace: levels })
  }

  function create(database: string, body: JsonObject): string {
    if (!namespaces.has(database)) throw new Refused(404, 'NoSuchNamespaceException')
    if (body['stage-create'] !== true) throw new Refused(400, 'BadRequestException')
    if (managed) throw new Refused(400, 'BadRequestException')
    return stringifyJson({
      'metadata-location': null,
      metadata: { location: `${warehouse}/${database}/${String(body.name)}-7f` },
      config: given(),
    })
  }

  function commit(database: string, key: string, body: JsonObject): string {
    if (!namespaces.has(database)) throw new Refused(404, 'NoSuchNamespaceException')
    const base = tables.get(key)
    const requirements = body.requirements as JsonObject[]
    if (!base && !requirements.some(({ type }) => type === 'assert-create'))
      throw new Refused(404, 'NoSuchTableException')
    for (const requirement of requirements) requireMet(requirement, base)
    const updates = (body.updates as unknown as TableUpdate[]).map(lossless)
    const metadata = applyUpdates(base?.metadata, base?.metadataLocation, updates, Date.now())
    const state = { metadata, metadataLocation: `${metadata.location}/metadata/${++commits}.metadata.json` }
    tables.set(key, state)
    return result(state)
  }

  function found(key: string): TableState {
    const state = tables.get(key)
    if (!state) throw new Refused(404, 'NoSuchTableException')
    return state
  }

  function result({ metadata, metadataLocation }: TableState): string {
    const text = new TextDecoder().decode(serializeMetadata(metadata))
    return `{"metadata-location":${JSON.stringify(metadataLocation)},"metadata":${text},"config":${JSON.stringify(given())}}`
  }

  function given(): Record<string, string> {
    return credentials?.(++answers) ?? {}
  }

  return {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    namespaces,
    tables,
    tokens,
    fault: (method, path, fault, times = 1) => {
      for (let i = 0; i < times; i++) faults.push({ method, path, fault })
    },
  }
}

/** Integers below 2^53 were read as numbers, and snapshot ids may be. */
function lossless(update: TableUpdate): TableUpdate {
  if (update.action === 'set-snapshot-ref') return { ...update, 'snapshot-id': BigInt(update['snapshot-id']) }
  if (update.action !== 'add-snapshot') return update
  const { 'parent-snapshot-id': parent, ...snapshot } = update.snapshot
  return {
    ...update,
    snapshot: {
      ...snapshot,
      'snapshot-id': BigInt(snapshot['snapshot-id']),
      ...(parent !== undefined && { 'parent-snapshot-id': BigInt(parent) }),
    },
  }
}

function requireMet(requirement: JsonObject, base: TableState | undefined): void {
  const metadata = base?.metadata
  if (requirement.type === 'assert-create') {
    if (base) throw new Refused(409, 'AlreadyExistsException')
    return
  }
  const pairs: Readonly<Record<string, readonly [unknown, unknown]>> = {
    'assert-table-uuid': [metadata?.['table-uuid'], requirement.uuid],
    'assert-ref-snapshot-id': [metadata?.refs[requirement.ref as string]?.['snapshot-id'], requirement['snapshot-id']],
    'assert-current-schema-id': [metadata?.['current-schema-id'], requirement['current-schema-id']],
    'assert-last-assigned-field-id': [metadata?.['last-column-id'], requirement['last-assigned-field-id']],
    'assert-default-spec-id': [metadata?.['default-spec-id'], requirement['default-spec-id']],
    'assert-default-sort-order-id': [metadata?.['default-sort-order-id'], requirement['default-sort-order-id']],
  }
  const pair = pairs[requirement.type as string]
  if (!pair) throw new Refused(400, 'BadRequestException')
  const [value, wanted] = pair
  if (String(value ?? null) !== String(wanted ?? null)) throw new Refused(409, 'CommitFailedException')
}

function attempt(answer: () => string): void {
  try {
    answer()
  } catch (error) {
    if (!(error instanceof Refused)) throw error
  }
}

function reply(response: ServerResponse, answer: () => string): void {
  try {
    const text = answer()
    response.writeHead(text === '' ? 204 : 200, { 'content-type': 'application/json' }).end(text)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const { status, type } = error
    response
      .writeHead(status, { 'content-type': 'application/json', ...(status === 429 && { 'retry-after': '2' }) })
      .end(JSON.stringify({ error: { code: status, type, message: `no: ${type}` } }))
  }
}
