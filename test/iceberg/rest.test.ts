import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Catalog, TableState } from '../../lib/iceberg/catalogs/catalog.ts'
import { type RestCatalogOptions, restCatalog } from '../../lib/iceberg/catalogs/rest.ts'
import { bearerAuth, noAuth, oauth2Auth, signedAuth } from '../../lib/iceberg/catalogs/rest-auth.ts'
import { fetchSend } from '../../lib/iceberg/catalogs/rest-http.ts'
import type { VendedAccess } from '../../lib/iceberg/catalogs/rest-storage.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import { appendFiles } from '../../lib/iceberg/operations/append.ts'
import type { OperationContext, SnapshotOptions } from '../../lib/iceberg/operations/snapshot.ts'
import { planFiles } from '../../lib/iceberg/scan.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { type RestFake, restFake } from '../helpers/rest-fake.ts'
import { waitlessClock } from './clock.ts'
import { namedFile, SIMPLE } from './tables.ts'

const TABLE = { database: 'db', name: 't' }
const COMMIT = /\/tables\/t$/
const context: OperationContext = { clock: waitlessClock(), random: () => 0.5, uuid: randomUUID }

for (const fault of ['lost', 'lost-502', 'garbage'] as const)
  for (const existing of [false, true])
    test(`a commit that succeeded (${fault}, ${existing ? 'an' : 'no'} existing table) is known to have, and is made once`, async () => {
      const rest = await restFake()
      const catalog = open(rest)
      if (existing) await append(catalog, '/a')
      rest.fault('POST', COMMIT, fault)
      await append(catalog, '/b')
      expect(await paths(catalog)).toEqual(existing ? ['/a', '/b'] : ['/b'])
      expect(posts(rest)).toBe(existing ? 2 : 1)
    })

for (const fault of ['reset', '500'] as const)
  test(`a commit of open outcome (${fault}) is unknown, is sent once, and deletes nothing`, async () => {
    const rest = await restFake()
    const catalog = open(rest)
    await append(catalog, '/a')
    rest.fault('POST', COMMIT, fault)
    await expect(append(catalog, '/b')).rejects.toMatchObject({ code: 'table/commit-unknown' })
    expect(posts(rest)).toBe(2)
    expect((await files(catalog)).filter((file) => file.includes('/snap-'))).toHaveLength(2)
  })

test('a commit behind a 503 that went through is found, whatever the next attempt was answered', async () => {
  const rest = await restFake()
  const catalog = open(rest)
  await append(catalog, '/a')
  rest.fault('POST', COMMIT, 'lost-503')
  await append(catalog, '/b')
  rest.fault('POST', COMMIT, 'lost-503')
  rest.fault('POST', COMMIT, '403')
  await append(catalog, '/c')
  expect(await paths(catalog)).toEqual(['/a', '/b', '/c'])
})

test('where it went through and nobody can look, it is unknown, and nothing of it is deleted', async () => {
  const rest = await restFake()
  const catalog = open(rest)
  await append(catalog, '/a')
  rest.fault('POST', COMMIT, 'lost-503')
  // The table is loaded, and its properties once more right before the commit.
  for (const fault of ['none', 'none', '403'] as const) rest.fault('GET', COMMIT, fault)
  await expect(append(catalog, '/b')).rejects.toMatchObject({ code: 'table/commit-unknown' })
  expect(await paths(catalog)).toEqual(['/a', '/b'])
})

test('throttled commits are repeated after the time that was asked for', async () => {
  const rest = await restFake()
  const clock = waitlessClock()
  const catalog = open(rest, { clock })
  rest.fault('POST', COMMIT, '429')
  rest.fault('POST', COMMIT, '503')
  await append(catalog, '/a')
  expect(await paths(catalog)).toEqual(['/a'])
  expect(clock.waits).toContain(2000)
  rest.fault('POST', COMMIT, '429', 20)
  await expect(append(catalog, '/b')).rejects.toMatchObject({ code: 'catalog/unavailable' })
  const fresh = await restFake()
  fresh.fault('POST', COMMIT, '503', 20)
  // Behind the proxy that says so, one of them may have been done.
  await expect(append(open(fresh), '/b')).rejects.toMatchObject({ code: 'table/commit-unknown' })
})

test('who is told to stop does not wait for as long as the catalog asks', async () => {
  const run = new AbortController()
  const rest = await restFake()
  const clock = waitlessClock()
  const catalog = open(rest, { clock, signal: run.signal })
  await append(catalog, '/a')
  rest.fault('GET', COMMIT, '503', 20)
  run.abort(new Error('SIGTERM'))
  await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'catalog/unavailable' })
  expect(clock.waits.length).toBeGreaterThan(0)
  expect(clock.waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(5_000)
})

test('reading is repeated whatever went wrong', async () => {
  const rest = await restFake()
  const catalog = open(rest)
  await append(catalog, '/a')
  for (const fault of ['500', 'reset', '503', '429', 'garbage'] as const) rest.fault('GET', COMMIT, fault)
  expect(await paths(catalog)).toEqual(['/a'])
})

test('a change of schema or a drop between our look and our commit is a conflict', async () => {
  const rest = await restFake()
  const catalog = open(rest)
  await append(catalog, '/a')
  const check = async () => {
    if (rest.tables.has('db.t')) await catalog.drop(TABLE)
  }
  await expect(append(catalog, '/b', { check, create: undefined as never })).rejects.toMatchObject({
    code: 'table/not-found',
  })
})

test('somebody’s change of properties alone is noticed before the commit, and the commit is staged upon it', async () => {
  const rest = await restFake()
  const catalog = open(rest)
  await append(catalog, '/a', { create: { properties: { mark: 'ours' } } })
  const change = (mark: string) => {
    const state = rest.tables.get('db.t') as TableState
    const properties = { ...state.metadata.properties, mark }
    rest.tables.set('db.t', { metadata: { ...state.metadata, properties }, metadataLocation: `${mark}.metadata.json` })
  }
  const seen: (string | undefined)[] = []
  const check = (metadata: TableMetadata | undefined) => {
    seen.push(metadata?.properties.mark)
    if (seen.length === 1) change('theirs')
  }
  await append(catalog, '/b', { check })
  expect(seen).toEqual(['ours', 'theirs'])
  expect(await paths(catalog)).toEqual(['/a', '/b'])

  // Whoever planned from a mark that is gone publishes nothing.
  const planned = async (metadata: TableMetadata | undefined) => {
    if (metadata?.properties.mark !== 'theirs') throw new PseudolakeError('table/mark-changed', 'another mark', {})
    change('a third')
  }
  const before = (await files(catalog)).length
  await expect(append(catalog, '/c', { check: planned })).rejects.toMatchObject({ code: 'table/mark-changed' })
  expect(await paths(catalog)).toEqual(['/a', '/b'])
  expect(await files(catalog)).toHaveLength(before)
})

test('OAuth2: a token is fetched once, renewed before it ends, and at once when it is refused', async () => {
  const rest = await restFake({ client: { id: 'me', secret: 's3cret', lifetimeS: 3600 }, prefix: 'w/h' })
  const clock = waitlessClock()
  const catalog = open(rest, { auth: oauth(rest, 's3cret', clock), clock })
  await append(catalog, '/a')
  await append(catalog, '/b')
  const tokens = () => rest.requests.filter(({ path }) => path === '/v1/oauth/tokens').length
  expect(tokens()).toBe(1)
  await clock.sleep(3600 * 1000)
  await append(catalog, '/c')
  expect(tokens()).toBe(2)
  rest.tokens.clear()
  await append(catalog, '/d')
  expect(tokens()).toBe(3)
  expect(await paths(catalog)).toEqual(['/a', '/b', '/c', '/d'])
  expect(rest.requests.filter(({ path }) => path.startsWith('/v1/w/h/')).length).toBeGreaterThan(5)
})

test('OAuth2: a wrong secret is denied, and neither it nor a token is in what is said', async () => {
  const rest = await restFake({ client: { id: 'me', secret: 'right' } })
  const clock = waitlessClock()
  const failed = await append(open(rest, { auth: oauth(rest, 'PLANTED', clock) }), '/a').catch(
    (error: unknown) => error,
  )
  expect(failed).toMatchObject({ code: 'catalog/denied' })
  expect(JSON.stringify([failed, String(failed), (failed as Error).stack])).not.toContain('PLANTED')
})

test('what a server says is wrong is shown, but not where it repeats who asked', async () => {
  const saying = (message: string) =>
    restCatalog({
      ...{ uri: 'http://127.0.0.1:1', storage: memoryStorage(), clock: waitlessClock(), random: () => 0.5 },
      auth: bearerAuth(async () => 'PLANTED-token-of-somebody'),
      headers: { 'x-api-key': 'PLANTED-key' },
      send: async () => ({
        status: 403,
        header: () => undefined,
        body: JSON.stringify({ error: { type: 'ForbiddenException', message } }),
      }),
    }).load(TABLE)
  await expect(saying('t needs TABLE_READ')).rejects.toThrow('(t needs TABLE_READ)')
  for (const message of ['no such token: PLANTED-token-of-somebody', 'token PLANTED-token-o… has ended', 'PLANTED-key'])
    await expect(saying(message)).rejects.toThrow(/^(?!.*PLANTED).*403 ForbiddenException/)
})

test('a bearer token that was refused is asked for once more, so a rotated one is taken up', async () => {
  const rest = await restFake({ client: { id: 'me', secret: 'x' } })
  rest.tokens.add('new')
  const given = ['old', 'new']
  const catalog = open(rest, { auth: bearerAuth(async () => given.shift() ?? 'spent') })
  await append(catalog, '/a')
  expect(await paths(catalog)).toEqual(['/a'])
  rest.tokens.clear()
  await expect(catalog.load(TABLE)).rejects.toMatchObject({ code: 'catalog/denied' })
})

test('a signature is made for each request as it is sent', async () => {
  const rest = await restFake()
  const signed: string[] = []
  const auth = signedAuth(async ({ method, url, headers, body }) => {
    signed.push(`${method} ${new URL(url).pathname} ${headers['content-type'] ?? '-'} ${(body ?? '').length > 0}`)
    return { authorization: `AWS4-HMAC-SHA256 ${signed.length}` }
  })
  const catalog = open(rest, { auth })
  rest.fault('POST', COMMIT, '429')
  await append(catalog, '/a')
  expect(signed.filter((each) => each === 'POST /v1/namespaces/db/tables/t application/json true')).toHaveLength(2)
  expect(new Set(rest.requests.map(({ headers }) => headers.authorization)).size).toBe(rest.requests.length)
})

test('credentials never go over http to another machine, nor after a redirect', async () => {
  const auth = bearerAuth(async () => 'token')
  const storage = memoryStorage()
  const outside = { storage, clock: waitlessClock(), random: () => 0.5 }
  const uri = 'http://catalog.example'
  expect(() => restCatalog({ uri, auth, ...outside })).toThrow(/unencrypted/)
  expect(() => restCatalog({ uri, auth, allowHttp: true, ...outside })).not.toThrow()
  expect(() => restCatalog({ uri, auth: noAuth(), ...outside })).not.toThrow()
  expect(() => restCatalog({ uri: 'https://me:secret@catalog.example', auth, ...outside })).toThrow(
    /no user or password/,
  )
  expect(() => restCatalog({ uri: 'nowhere', auth, ...outside })).toThrow(/expected an http/)
  const rest = await restFake()
  const send = async () => ({ status: 307, header: () => 'http://elsewhere/', body: '' })
  await expect(open(rest, { auth, send }).load(TABLE)).rejects.toMatchObject({ code: 'catalog/refused' })
})

test('a namespace is made only where that is allowed, level by level', async () => {
  const table = { database: 'a.b.c', name: 't' }
  const rest = await restFake({ namespaces: ['a'] })
  const into = (catalog: Catalog) =>
    appendFiles(catalog, table, { schema: SIMPLE, create: { properties: {} }, files: [], runId: 'r' }, context)
  await expect(into(open(rest))).rejects.toMatchObject({
    code: 'table/not-found',
    message: expect.stringContaining('output.create: database'),
  })
  await into(open(rest, { create: 'database' }))
  expect([...rest.namespaces]).toEqual(['a', 'a.b', 'a.b.c'])
  await expect(append(open(await restFake(), { create: 'never' }), '/a')).rejects.toMatchObject({
    code: 'table/not-found',
  })
})

test('without a root the catalog says where a table goes; one that does not is refused with what to do', async () => {
  const rest = await restFake()
  const { root: _, ...options } = optionsFor(rest)
  const catalog = restCatalog(options)
  const location = await catalog.newTableLocation(TABLE)
  expect(location).toBe('memory:/chosen/db/t-7f')
  expect(await catalog.newTableLocation(TABLE)).toBe(location)
  await append(catalog, '/a')
  expect((await catalog.load(TABLE)).metadata.location).toBe(location)
  const managed = restCatalog({ ...options, uri: (await restFake({ managed: true })).uri })
  await expect(managed.newTableLocation(TABLE)).rejects.toMatchObject({
    code: 'catalog/refused',
    message: expect.stringContaining('make the table first'),
  })
})

test('credentials that the catalog hands out go to the table’s storage, and are renewed before they end', async () => {
  const clock = waitlessClock()
  const rest = await restFake({
    credentials: (answer) => ({
      's3.access-key-id': `key-${answer}`,
      's3.secret-access-key': 'secret',
      's3.session-token': 'session',
      's3.session-token-expires-at-ms': String(clock.wall() + 3_600_000),
      's3.endpoint': 'https://s3.example',
    }),
  })
  const made: VendedAccess[] = []
  const reads = { gapBytes: 1, requestBytes: 2, underWay: 3, aheadBytes: 4 }
  const stored: Storage = { ...memoryStorage(), reads: () => reads }
  const { storage: _, root: __, ...options } = optionsFor(rest)
  const catalog = restCatalog({
    ...options,
    clock,
    vended: (access) => {
      made.push(access)
      return stored
    },
  })
  await append(catalog, '/a')
  expect(made.map(({ prefix }) => prefix)).toEqual(['memory:/chosen/db/t-7f'])
  expect(made[0]?.properties).toEqual({ 's3.endpoint': 'https://s3.example' })
  const first = await made[0]?.credentials()
  expect(first).toMatchObject({ secretAccessKey: 'secret', sessionToken: 'session', expiration: expect.any(Date) })
  expect(await made[0]?.credentials()).toMatchObject({ accessKeyId: first?.accessKeyId })
  await clock.sleep(3_500_000)
  expect((await made[0]?.credentials())?.accessKeyId).not.toBe(first?.accessKeyId)
  expect(catalog.storage.reads?.('memory:/chosen/db/t-7f/data/a')).toEqual(reads)
  await expect(catalog.storage.stat('memory:/elsewhere')).rejects.toMatchObject({ code: 'storage/denied' })
  const asked = rest.requests.filter(({ headers }) => headers['x-iceberg-access-delegation'] === 'vended-credentials')
  expect(asked.length).toBeGreaterThan(1)
})

test('what the catalog says of a refusal is told, cut short', async () => {
  const rest = await restFake()
  rest.fault('GET', /config/, '403')
  await expect(open(rest).load(TABLE)).rejects.toMatchObject({
    code: 'catalog/denied',
    message: expect.stringMatching(/the configuration: the catalog answered 403 Fault \(no: Fault\); the credentials/),
  })
  const { uri, close } = await listening()
  await close()
  const nobody = open(rest, { uri })
  await expect(nobody.load(TABLE)).rejects.toMatchObject({
    code: 'catalog/unavailable',
    message: expect.stringContaining(`${new URL(uri).host} could not be reached`),
  })
})

/** An address at which nobody listens, once it is closed. */
async function listening() {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}

function oauth(rest: RestFake, clientSecret: string, clock: ReturnType<typeof waitlessClock>) {
  return oauth2Auth({
    tokenUri: `${rest.uri}/v1/oauth/tokens`,
    credentials: async () => ({ clientId: 'me', clientSecret }),
    send: fetchSend(),
    clock,
  })
}

function optionsFor(rest: RestFake): RestCatalogOptions {
  return {
    uri: rest.uri,
    auth: noAuth(),
    root: 'memory:/wh',
    storage: memoryStorage(),
    clock: waitlessClock(),
    random: () => 0.5,
  }
}

function open(rest: RestFake, more: Partial<RestCatalogOptions> = {}): Catalog {
  return restCatalog({ ...optionsFor(rest), ...more })
}

function append(catalog: Catalog, path: string, more: Partial<SnapshotOptions> = {}) {
  const options = { schema: SIMPLE, create: { properties: {} }, files: [namedFile(path)], runId: 'run', ...more }
  return appendFiles(catalog, TABLE, options, context)
}

async function paths(catalog: Catalog): Promise<string[]> {
  const { metadata } = await catalog.load(TABLE)
  const found: string[] = []
  for await (const { file } of planFiles(catalog.storage, metadata)) found.push(file.path)
  return found.sort()
}

async function files(catalog: Catalog): Promise<string[]> {
  const found: string[] = []
  for await (const { location } of catalog.storage.list('memory:/wh/')) found.push(location)
  return found
}

function posts(rest: RestFake): number {
  return rest.requests.filter(({ method, path }) => method === 'POST' && COMMIT.test(path)).length
}
