/**
 * Tables in an Iceberg REST catalog: Polaris, Lakekeeper, Nessie, Unity, AWS Glue's and S3 Tables' endpoints. The server writes the metadata
 * files; a commit is a list of requirements and updates, which it applies in one step or not at all.
 */
import { isPseudolakeError, PseudolakeError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Storage } from '../../storage/storage.ts'
import { tableSpelling } from '../locations.ts'
import { metadataFrom } from '../metadata.ts'
import type { Waiting } from './backoff.ts'
import type { Catalog, TableIdentifier, TableState } from './catalog.ts'
import type { RestAuth } from './rest-auth.ts'
import { namespaceOf, type RestCall, RestError, restClient } from './rest-client.ts'
import { requirementsOf, updatesFor } from './rest-commit.ts'
import { fetchSend, type HttpSend, requireSecure } from './rest-http.ts'
import { type VendedAccess, vendedIn, vendedStorage } from './rest-storage.ts'

export interface RestCatalogOptions extends Waiting {
  /** Of the catalog, without `/v1`. */
  readonly uri: string
  readonly auth: RestAuth
  /** What the catalog calls the warehouse: a name, an ARN, an account. Left out where it has one only. */
  readonly warehouse?: string
  /** Tables are made at `<root>/<database>/<name>`. Left out, the catalog says where. */
  readonly root?: string
  /** Storage of what the catalog gives no credentials for. */
  readonly storage?: Storage
  /** Makes a storage from credentials that the catalog hands out; left out, it is not asked for any. */
  readonly vended?: (access: VendedAccess) => Storage
  /** What a commit may make that is not there. @default 'table' */
  readonly create?: 'never' | 'table' | 'database'
  /** Settings of the client, as `prefix`. */
  readonly properties?: Readonly<Record<string, string>>
  /** Sent with each request, names in lower case. */
  readonly headers?: Readonly<Record<string, string>>
  /** Whether credentials may go to an http address beyond loopback. @default false */
  readonly allowHttp?: boolean
  /** @default Node's fetch */
  readonly send?: HttpSend
}

/** @throws PseudolakeError `options/invalid` */
export function restCatalog(options: RestCatalogOptions): Catalog {
  const { clock, create = 'table', vended } = options
  requireSecure(options.uri, 'catalog URI', !options.auth.secret || (options.allowHttp ?? false))
  if (!options.storage && !vended)
    throw new PseudolakeError('options/invalid', 'a REST catalog needs a storage, or a way to make one')
  const client = restClient({ ...options, send: options.send ?? fetchSend() })
  const root = options.root === undefined ? undefined : tableSpelling(options.root)
  const delegating = vended ? vendedStorage(options.storage, vended, () => clock.wall()) : undefined
  const delegation: Record<string, string> = vended ? { 'x-iceberg-access-delegation': 'vended-credentials' } : {}
  /** Places that the catalog chose for tables it does not have yet. */
  const staged = new Map<string, Promise<string>>()

  return {
    storage: delegating?.storage ?? (options.storage as Storage),

    async newTableLocation(table) {
      if (root !== undefined) return `${root}/${table.database.replaceAll('.', '/')}/${table.name}`
      const key = textOf(table)
      let location = staged.get(key)
      if (!location) {
        location = stage(table)
        staged.set(key, location)
        location.catch(() => staged.delete(key))
      }
      return location
    },

    async hasDatabase(database) {
      const path = await client.namespacePath(database)
      try {
        await client.call({ method: 'GET', path, repeatable: true, what: `namespace ${database}` })
        return true
      } catch (error) {
        if (error instanceof RestError && error.failure === 'no-namespace') return false
        throw error
      }
    },

    load,

    async commit(table, base, updates) {
      if (!base && create === 'never') throw notFound(table)
      if (base) await requireProperties(table, base)
      const body = {
        identifier: { namespace: namespaceOf(table.database), name: table.name },
        requirements: requirementsOf(base?.metadata),
        updates: updatesFor(base?.metadata, updates),
      }
      const answer = await publish(table, body)
      staged.delete(textOf(table))
      return stateOf(table, answer)
    },

    async drop(table) {
      await named(table, async () =>
        client.call({
          method: 'DELETE',
          path: `${await client.tablePath(table)}?purgeRequested=false`,
          what: textOf(table),
        }),
      )
    },
  }

  /**
   * The protocol has no requirement for properties (rest-commit.ts), and marks are in them: so they are looked at once more, right before the
   * commit. What is left is the moment between the two requests, for changes of properties alone; whatever comes with a snapshot is refused.
   */
  async function requireProperties(table: TableIdentifier, base: TableState): Promise<void> {
    const now = await load(table).catch((error: unknown) => {
      throw isPseudolakeError(error, 'table/not-found') ? goneConflict(table, error) : error
    })
    if (now.metadataLocation === base.metadataLocation) return
    if (sameProperties(now.metadata.properties, base.metadata.properties)) return
    throw new PseudolakeError('table/conflict', `the properties of ${textOf(table)} were changed by somebody else`, {
      ...table,
    })
  }

  async function load(table: TableIdentifier): Promise<TableState> {
    return stateOf(table, await named(table, () => get(table)))
  }

  async function get(table: TableIdentifier): Promise<JsonObject | undefined> {
    return client.call({
      method: 'GET',
      path: await client.tablePath(table),
      headers: delegation,
      repeatable: true,
      what: textOf(table),
    })
  }

  function stateOf(table: TableIdentifier, answer: JsonObject | undefined): TableState {
    const metadataLocation = answer?.['metadata-location']
    if (!answer || typeof metadataLocation !== 'string')
      throw new PseudolakeError('table/invalid', `${textOf(table)}: the catalog answered without a metadata-location`)
    const state = { metadata: metadataFrom(answer.metadata, metadataLocation), metadataLocation }
    learn(table, answer, state.metadata.location)
    return state
  }

  function learn(table: TableIdentifier, answer: JsonObject, location: string): void {
    delegating?.learn(vendedIn(answer, location), async () => vendedIn((await get(table)) ?? {}, location))
  }

  /**
   * Asks the catalog where a table would be, without making it. The columns are made up: what is committed brings its own.
   * @throws PseudolakeError `catalog/refused` where the catalog only makes tables at once, as S3 Tables does
   */
  async function stage(table: TableIdentifier): Promise<string> {
    const call = async () =>
      client.call({
        method: 'POST',
        path: `${await client.namespacePath(table.database)}/tables`,
        headers: delegation,
        body: {
          name: table.name,
          'stage-create': true,
          schema: {
            type: 'struct',
            'schema-id': 0,
            fields: [{ id: 1, name: 'staged', required: false, type: 'string' }],
          },
        },
        what: `the place of ${textOf(table)}`,
      })
    let answer: JsonObject | undefined
    try {
      answer = await withNamespace(table, call)
    } catch (error) {
      if (!(error instanceof RestError && error.failure === 'refused')) throw error
      throw new PseudolakeError(
        'catalog/refused',
        `${textOf(table)}: the catalog does not say where a table will be before it is made (status ${error.status}); make the table first, empty, then run again`,
        {},
        { cause: error },
      )
    }
    const location = (answer?.metadata as JsonObject | undefined)?.location
    if (!answer || typeof location !== 'string')
      throw new PseudolakeError('catalog/refused', `${textOf(table)}: the catalog did not say where the table will be`)
    const plain = location.replace(/\/+$/, '')
    delegating?.learn(vendedIn(answer, plain), async () => vendedIn((await call()) ?? {}, plain))
    return plain
  }

  async function publish(table: TableIdentifier, body: object): Promise<JsonObject | undefined> {
    const path = await client.tablePath(table)
    const call: RestCall = { method: 'POST', path, body, what: `a commit to ${textOf(table)}` }
    try {
      return await withNamespace(table, () => client.call(call))
    } catch (error) {
      // Behind a 503 the commit may have gone through, whatever the next attempt was answered; a conflict is looked into by whoever commits.
      const open = call.doubtful && !isPseudolakeError(error, 'table/conflict')
      if (!(error instanceof RestError) && !open) throw error
      if (open || (error instanceof RestError && error.failure === 'unknown'))
        throw new PseudolakeError(
          'table/commit-unknown',
          `whether the commit to ${textOf(table)} happened is not known`,
          { ...table },
          { cause: error },
        )
      // Dropped since it was loaded, or made by somebody else.
      if (error instanceof RestError && error.failure === 'no-table') throw goneConflict(table, error)
      throw error
    }
  }

  /** Makes the namespace where that is allowed, and it is what was missing. */
  async function withNamespace<T>(table: TableIdentifier, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof RestError && error.failure === 'no-namespace')) throw error
      if (create !== 'database')
        throw new PseudolakeError(
          'table/not-found',
          `there is no namespace ${table.database} in the catalog: create it, or set output.create: database`,
          { database: table.database },
          { cause: error },
        )
      await makeNamespace(table.database)
      return call()
    }
  }

  async function makeNamespace(database: string): Promise<void> {
    const levels = namespaceOf(database)
    for (let depth = 1; depth <= levels.length; depth++)
      try {
        await client.call({
          method: 'POST',
          path: 'namespaces',
          body: { namespace: levels.slice(0, depth), properties: {} },
          what: `namespace ${levels.slice(0, depth).join('.')}`,
        })
      } catch (error) {
        if (!(error instanceof RestError && (error.failure === 'exists' || error.failure === 'conflict'))) throw error
      }
  }

  async function named<T>(table: TableIdentifier, call: () => Promise<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      if (error instanceof RestError && (error.failure === 'no-table' || error.failure === 'no-namespace'))
        throw notFound(table, error)
      throw error
    }
  }
}

function sameProperties(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(one)
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
}

function goneConflict(table: TableIdentifier, cause: unknown): PseudolakeError {
  return new PseudolakeError('table/conflict', `${textOf(table)} is no longer there`, { ...table }, { cause })
}

function textOf({ database, name }: TableIdentifier): string {
  return `${database}.${name}`
}

function notFound(table: TableIdentifier, cause?: unknown): PseudolakeError {
  return new PseudolakeError(
    'table/not-found',
    `there is no table ${textOf(table)} in the catalog`,
    { ...table },
    cause === undefined ? {} : { cause },
  )
}
