/** Calls to Glue, and what becomes of their failures: the one place that knows the SDK's errors. */
import type { GlueClient, Table, TableInput } from '@aws-sdk/client-glue'
import { type ErrorCode, PseudolakeError } from '../../core/errors.ts'
import { Stop } from '../../core/stop.ts'
import { type Waiting, withRetries } from './backoff.ts'
import type { TableIdentifier } from './catalog.ts'

/** The slice of the SDK's client that is used. Made with `maxAttempts: 1`: see `glueCalls`. */
export type GlueSender = Pick<GlueClient, 'send'>

/**
 * - `conflict`: the table's version is another one.
 * - `throttled`, `unsent`: nothing happened, and the same call may succeed later.
 * - `denied`, `refused`, `missing`, `exists`: nothing happened, and the same call would fail again.
 * - `unknown`: it may have happened, or may still happen.
 */
export type GlueFailure = 'conflict' | 'throttled' | 'unsent' | 'denied' | 'refused' | 'missing' | 'exists' | 'unknown'

export interface GlueCalls {
  /** Undefined where there is none. Repeated whatever the failure: it only reads. */
  getTable(table: GlueTableName): Promise<Table | undefined>
  /** Undefined where there is none. */
  getDatabase(database: GlueDatabaseName): Promise<object | undefined>
  createDatabase(database: GlueDatabaseName): Promise<void>
  createTable(table: GlueTableName, input: TableInput): Promise<void>
  updateTable(table: GlueTableName, input: TableInput, versionId: string): Promise<void>
  deleteTable(table: GlueTableName): Promise<void>
}

export interface GlueDatabaseName {
  readonly catalogId: string | undefined
  readonly database: string
}

export interface GlueTableName extends GlueDatabaseName, TableIdentifier {}

/** Without an answer; the client's own connections end sooner. */
const PATIENCE_MS = 120_000

type Action = 'GetTable' | 'GetDatabase' | 'CreateDatabase' | 'CreateTable' | 'UpdateTable' | 'DeleteTable'

/** A failed call. `failure` says what the caller may conclude. */
export class GlueError extends PseudolakeError {
  readonly failure: GlueFailure

  constructor(failure: GlueFailure, action: Action, name: GlueDatabaseName & Partial<TableIdentifier>, cause: unknown) {
    super(CODES[failure], messageOf(failure, action, name, cause), { action: `glue:${action}` }, { cause })
    this.failure = failure
  }
}

/**
 * Writes are repeated only where it is certain that nothing happened. That is why the client must not retry by itself: its second try, of a
 * write that had succeeded and whose answer was lost, is answered with ConcurrentModificationException, and who believes that removes the
 * metadata of the table as it now is.
 */
export function glueCalls(given: GlueSender | (() => Promise<GlueSender>), waiting: Waiting): GlueCalls {
  let made: Promise<GlueSender> | undefined
  const read = (error: unknown) =>
    error instanceof GlueError && ['throttled', 'unsent', 'unknown'].includes(error.failure) ? 0 : undefined
  const write = (error: unknown) =>
    error instanceof GlueError && ['throttled', 'unsent'].includes(error.failure) ? 0 : undefined

  async function send<T>(
    action: Action,
    name: GlueDatabaseName & Partial<TableIdentifier>,
    again: (error: unknown) => number | undefined,
    call: (sdk: typeof import('@aws-sdk/client-glue'), client: GlueSender) => Promise<T>,
  ): Promise<T> {
    const sdk = await import('@aws-sdk/client-glue')
    if (typeof given === 'function') made ??= given()
    const client = await (made ?? (given as GlueSender))
    const once = (abortSignal: AbortSignal) => {
      const send = (command: never) => client.send(command, { abortSignal })
      return call(sdk, { send: send as unknown as GlueSender['send'] }).catch((error: unknown) => {
        // Of whoever gives the credentials, which are needed before anything is sent.
        if (error instanceof PseudolakeError) throw error
        throw new GlueError(failureOf(error), action, name, error)
      })
    }
    const stop = new Stop(waiting.clock, waiting.signal)
    return withRetries(waiting, () => stop.within(PATIENCE_MS, once), again)
  }

  return {
    async getTable(table) {
      try {
        const { Table } = await send('GetTable', table, read, (sdk, client) =>
          client.send(new sdk.GetTableCommand({ ...inDatabase(table), Name: table.name })),
        )
        return Table
      } catch (error) {
        if (error instanceof GlueError && error.failure === 'missing') return undefined
        throw error
      }
    },

    async getDatabase(name) {
      try {
        const { Database } = await send('GetDatabase', name, read, (sdk, client) =>
          client.send(new sdk.GetDatabaseCommand({ ...inCatalog(name), Name: name.database })),
        )
        return Database
      } catch (error) {
        if (error instanceof GlueError && error.failure === 'missing') return undefined
        throw error
      }
    },

    async createDatabase({ catalogId, database }) {
      const name = { catalogId, database }
      try {
        await send('CreateDatabase', name, write, (sdk, client) =>
          client.send(new sdk.CreateDatabaseCommand({ ...inCatalog(name), DatabaseInput: { Name: database } })),
        )
      } catch (error) {
        // Somebody else's or our own of a lost answer: it is there, which is all that was wanted.
        if (!(error instanceof GlueError && error.failure === 'exists')) throw error
      }
    },

    async createTable(table, input) {
      await send('CreateTable', table, write, (sdk, client) =>
        client.send(new sdk.CreateTableCommand({ ...inDatabase(table), TableInput: input })),
      )
    },

    async updateTable(table, input, versionId) {
      await send('UpdateTable', table, write, (sdk, client) =>
        client.send(
          new sdk.UpdateTableCommand({
            ...inDatabase(table),
            TableInput: input,
            VersionId: versionId,
            // Else Glue keeps every version, and refuses commits when there are 100,000.
            SkipArchive: true,
          }),
        ),
      )
    },

    async deleteTable(table) {
      await send('DeleteTable', table, write, (sdk, client) =>
        client.send(new sdk.DeleteTableCommand({ ...inDatabase(table), Name: table.name })),
      )
    },
  }
}

function inCatalog({ catalogId }: GlueDatabaseName): { CatalogId?: string } {
  return catalogId === undefined ? {} : { CatalogId: catalogId }
}

function inDatabase(name: GlueDatabaseName) {
  return { ...inCatalog(name), DatabaseName: name.database }
}

/** Exceptions by which Glue says that it did nothing. OperationTimeoutException is not one, though it is called the client's fault. */
const BY_NAME: Readonly<Record<string, GlueFailure>> = {
  ConcurrentModificationException: 'conflict',
  VersionMismatchException: 'conflict',
  EntityNotFoundException: 'missing',
  AlreadyExistsException: 'exists',
  AccessDeniedException: 'denied',
  AccessDenied: 'denied',
  ExpiredTokenException: 'denied',
  InvalidSignatureException: 'denied',
  MissingAuthenticationTokenException: 'denied',
  UnrecognizedClientException: 'denied',
  CredentialsProviderError: 'denied',
  InvalidInputException: 'refused',
  ValidationException: 'refused',
  ResourceNumberLimitExceededException: 'refused',
  GlueEncryptionException: 'refused',
  PermissionTypeMismatchException: 'refused',
  SerializationException: 'refused',
  UnknownOperationException: 'refused',
  ThrottlingException: 'throttled',
  Throttling: 'throttled',
  TooManyRequestsException: 'throttled',
  RequestLimitExceeded: 'throttled',
  ResourceNotReadyException: 'throttled',
}

/** Before a byte of the request left. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])
/** So too, and no later attempt changes it: OpenSSL's verification results, and Node's own for another host's certificate. */
const CERTIFICATE = /CERT|ISSUER|SELF_SIGNED|VERIFY/

function failureOf(error: unknown): GlueFailure {
  const { name, code, $metadata } = error as { name?: string; code?: string; $metadata?: { httpStatusCode?: number } }
  const known = name === undefined ? undefined : BY_NAME[name]
  if (known) return known
  if (code !== undefined && UNSENT.has(code)) return 'unsent'
  if (code !== undefined && CERTIFICATE.test(code)) return 'refused'
  if ($metadata?.httpStatusCode === 403) return 'denied'
  return 'unknown'
}

const CODES: Readonly<Record<GlueFailure, ErrorCode>> = {
  conflict: 'table/conflict',
  throttled: 'catalog/unavailable',
  unsent: 'catalog/unavailable',
  denied: 'catalog/denied',
  refused: 'catalog/refused',
  missing: 'table/not-found',
  exists: 'table/conflict',
  unknown: 'catalog/unavailable',
}

/** What Lake Formation must grant beside IAM's action, where it governs the place. */
const GRANTS: Readonly<Record<Action, string>> = {
  GetTable: 'DESCRIBE on the table',
  GetDatabase: 'DESCRIBE on the database',
  CreateDatabase: 'CREATE_DATABASE on the catalog',
  CreateTable: 'CREATE_TABLE on the database and data location access to the table’s place',
  UpdateTable: 'ALTER on the table, and data location access to its place',
  DeleteTable: 'DROP on the table',
}

function messageOf(
  failure: GlueFailure,
  action: Action,
  { database, name }: GlueDatabaseName & Partial<TableIdentifier>,
  cause: unknown,
): string {
  const where = name === undefined ? `database ${database}` : `${database}.${name}`
  const of = `glue:${action} of ${where}`
  const { name: kind = 'Error', code = '' } = cause as { name?: string; code?: string }
  const said = kind === 'Error' && /^\w{1,80}$/.test(code) ? code : kind
  switch (failure) {
    case 'denied':
      return /lake ?formation/i.test(String((cause as Error).message))
        ? `${of} was denied by Lake Formation: it must grant ${GRANTS[action]}`
        : `${of} was denied (${said}): the role needs the action; where Lake Formation governs the database it must grant ${GRANTS[action]} too`
    case 'throttled':
      return `${of} was throttled for longer than the retries last`
    case 'unsent':
      return `${of}: Glue could not be reached (${code})`
    case 'unknown':
      return `${of} had no certain outcome (${said})`
    case 'missing':
      return `${of}: there is none (${said})`
    case 'exists':
      return `${of}: there is one already`
    case 'conflict':
      return `${of}: it was changed by somebody else`
    case 'refused':
      if (CERTIFICATE.test(code))
        return `${of}: the certificate of Glue’s endpoint is not trusted (${code}); NODE_EXTRA_CA_CERTS names further authorities`
      return said === 'ResourceNumberLimitExceededException'
        ? `${of} was refused: a limit of Glue is reached (versions a table, tables, or databases)`
        : `${of} was refused (${said}); Glue's own limits are a few thousand columns and nested fields, and 400 KB of parameters`
  }
}
