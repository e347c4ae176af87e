/** A batch run's settings, checked against each other and resolved: what the rest of the flow works with. Pure. */
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { type CsvDialect, csvDialect } from '../../lib/csv/dialect.ts'
import { splitPath } from '../config/load.ts'
import type { BatchSettings } from '../config/native.ts'
import { requireApart, trimmed } from './overlap.ts'

export interface ColumnRule {
  /** As configured, in backticks what has dots; for messages and pins. */
  readonly name: string
  /** Its words, dots in names resolved. */
  readonly path: readonly string[]
  readonly mode: 'deterministic' | 'random' | 'drop'
  /** Name in the table; `s_<name>` where it is missing. */
  readonly as: string | undefined
  readonly domain: string
  readonly key: string | undefined
  readonly normalize: readonly ('trim' | 'upper' | 'lower' | 'nfc')[]
  readonly nullValues: readonly string[]
}

export interface BatchJob {
  readonly name: string
  /** Location (no trailing slash, unless it was given so) or glob. */
  readonly input: string
  readonly hive: boolean
  /** How the files are written; undefined where they are Parquet. */
  readonly csv: CsvDialect | undefined
  /** Whether each file is of the format that its first bytes say; CSV is what is not Parquet. */
  readonly eitherFormat: boolean
  readonly changed: 'fail' | 'append' | 'replace'
  readonly columns: readonly ColumnRule[]
  readonly unlisted: 'copy' | 'drop' | 'fail'
  readonly schemaChanges: 'fail' | 'add' | 'drop'
  readonly database: string
  readonly table: string
  /** Without trailing slash. Undefined where the catalog says where its tables are. */
  readonly warehouse: string | undefined
  /** The folder of plain Parquet files, where there is no table; the warehouse is the same then. */
  readonly plain: string | undefined
  /** Where ledgers live; without trailing slash. */
  readonly state: string
  readonly create: 'never' | 'table' | 'database'
  readonly settings: BatchSettings
}

/**
 * @param cwd where relative paths start
 * @throws PseudolakeError `config/invalid` for settings that do not go together or that this version cannot do, `config/overlap`
 */
export function batchJob(settings: BatchSettings, cwd: string): BatchJob {
  return jobOf(settings, () => location(settings.input.path, 'input.path', cwd), cwd)
}

/** @param inputOf where the rows come from @throws as `batchJob` */
export function jobOf(settings: BatchSettings, inputOf: () => string, cwd: string): BatchJob {
  requireCatalog(settings)
  const columns = [...settings.columns].map(([name, column]) => {
    const path = splitPath(name).map((word) => word.replaceAll('`', ''))
    return {
      name: path.map((word) => (word.includes('.') ? `\`${word}\`` : word)).join('.'),
      path,
      mode: column.mode,
      as: column.as,
      domain: column.domain,
      key: column.key,
      normalize: column.normalize,
      nullValues: column.null_values,
    }
  })
  if (columns.length === 0)
    throw new PseudolakeError('config/invalid', 'columns: expected at least one column', { key: 'columns' })
  const twice = columns.find((column, i) => columns.findIndex((other) => other.name === column.name) !== i)
  if (twice)
    throw new PseudolakeError('config/invalid', `columns.${twice.name} is configured twice`, { column: twice.name })

  const input = inputOf()
  const { output } = settings
  // The last dot: before it may be a namespace of several levels.
  const name = output.table ?? `plain.${settings.job}`
  const dot = name.lastIndexOf('.')
  const [database, table] = [name.slice(0, dot), name.slice(dot + 1)]
  const folder = (key: 'path' | 'warehouse') => {
    const given = output[key]
    return given === undefined ? undefined : trimmed(location(given, `output.${key}`, cwd))
  }
  const root = folder('warehouse')
  const plain = output.format === 'parquet' ? (folder('path') ?? `${root}/${database}/${table}`) : undefined
  const warehouse = plain ?? root
  const state = trimmed(
    output.state === undefined ? `${warehouse}/_pseudolake` : location(output.state, 'output.state', cwd),
  )
  requireApart({ input, output: placeOf({ plain, warehouse, database, table }), state }, plain !== undefined)
  return {
    name: settings.job,
    input,
    hive: settings.input.partitioning === 'hive',
    csv: dialectOf(settings),
    eitherFormat: settings.input.format === 'auto',
    changed: settings.input.changed,
    columns,
    unlisted: settings.unlisted_columns,
    schemaChanges: settings.schema_changes,
    database,
    table,
    warehouse,
    plain,
    state,
    create: settings.output.create,
    settings,
  }
}

/** What the job writes to is called. */
export function calledOf({ plain, database, table }: Pick<BatchJob, 'plain' | 'database' | 'table'>): string {
  return plain ?? `${database}.${table}`
}

/** Where it is or would be made; undefined where only the catalog knows. */
export function placeOf({
  plain,
  warehouse,
  database,
  table,
}: Pick<BatchJob, 'plain' | 'warehouse' | 'database' | 'table'>): string | undefined {
  return plain ?? (warehouse === undefined ? undefined : `${warehouse}/${database}/${table}`)
}

function dialectOf({ input: { format, csv } }: BatchSettings): CsvDialect | undefined {
  if (format !== 'parquet') return csvDialect(csv ?? {}, 'input.csv')
  if (csv === undefined) return undefined
  throw new PseudolakeError('config/invalid', 'input.csv goes with input.format csv, and it is parquet', {
    key: 'input.csv',
  })
}

/**
 * A location as it is written into tables: a path made absolute, a bucket with its scheme.
 * @param key for the error
 * @throws PseudolakeError `config/invalid`
 */
export function location(given: string, key: string, cwd: string): string {
  if (/^s3[an]?:\/\//i.test(given)) return bucketPath(given, key)
  if (/^file:\//i.test(given)) return filePath(given, key)
  if (/^memory:\//i.test(given)) return given
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given))
    throw new PseudolakeError(
      'config/invalid',
      `${key}: expected a path, a file:// or an s3:// location, got another scheme`,
      { key },
    )
  const path = posix.resolve(cwd, given)
  return given.endsWith('/') ? `${path}/` : path
}

/** Hadoop's names of the scheme become the one that is written into tables. */
function bucketPath(given: string, key: string): string {
  const [, path = ''] = /^[^/]*\/\/(.*)$/s.exec(given) ?? []
  const [bucket = ''] = path.split('/')
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket))
    throw new PseudolakeError(
      'config/invalid',
      `${key}: expected s3://BUCKET/PREFIX, a bucket’s name being 3 to 255 of A-Z, a-z, 0-9, ., _ and -`,
      { key },
    )
  // A bucket alone is the folder of all that is in it.
  return `s3://${path.includes('/') ? path : `${path}/`}`
}

/** What goes together with each type of catalog; what does not is refused, so that nobody believes that it holds. */
function requireCatalog({ output }: BatchSettings): void {
  const { catalog, warehouse, state, table } = output
  const bad = (key: string, message: string, hint?: string) =>
    new PseudolakeError('config/invalid', `output.${key}: ${message}`, {
      key: `output.${key}`,
      ...(hint !== undefined && { hint }),
    })
  const { type, auth = 'none' } = catalog
  if (output.format === 'parquet') {
    if (output.path === undefined && (warehouse === undefined || table === undefined))
      throw bad('path', 'expected the folder that plain Parquet files go to, or output.table and output.warehouse')
    if (output.path !== undefined && warehouse !== undefined)
      throw bad('warehouse', 'plain Parquet files go to output.path')
    if (type !== 'filesystem') throw bad('catalog.type', 'does not go with format parquet, which has no table')
    return
  }
  if (output.path !== undefined) throw bad('path', 'goes with format parquet; a table is below output.warehouse')
  if (table === undefined) throw bad('table', 'expected db.table, got nothing')
  if (type !== 'rest' && table.split('.').length > 2)
    throw bad('table', 'expected db.table: a database with dots is a namespace of a catalog of type rest')
  if (warehouse === undefined && type !== 'rest')
    throw bad('warehouse', `expected a folder or s3:// location, got nothing`)
  if (type === 'rest') {
    if (catalog.uri === undefined) throw bad('catalog.uri', 'a catalog of type rest needs its URL')
    if (state === undefined && (warehouse === undefined || catalog.access === 'vended'))
      throw bad(
        'state',
        'must be given where the catalog manages the storage',
        'Name a folder of your own, apart from the table: output.state: s3://bucket/pseudolake',
      )
    if (auth === 'oauth2' && (catalog.credential === undefined) === (catalog.token === undefined))
      throw bad('catalog.auth', 'oauth2 needs one of credential and token')
  }
  const others: readonly (keyof typeof catalog)[] = [
    ...(type === 'rest' ? [] : (['uri', 'warehouse', 'auth', 'oauth2_uri', 'scope', 'signing_name'] as const)),
    ...(type === 'rest' && auth === 'oauth2' ? [] : (['credential', 'token'] as const)),
    ...(type === 'rest' && auth === 'oauth2' ? [] : (['oauth2_uri', 'scope'] as const)),
    ...(type === 'rest' && auth === 'sigv4' ? [] : (['signing_name'] as const)),
    ...(type === 'glue' ? [] : (['catalog_id'] as const)),
  ]
  const idle = others.find((key) => catalog[key] !== undefined)
  if (idle !== undefined)
    throw bad(`catalog.${idle}`, `does not go with type ${type}${type === 'rest' ? ` and auth ${auth}` : ''}`)
}

/** `?` is a wildcard here and `#` part of a name: a location has neither a query nor a fragment. */
function filePath(given: string, key: string): string {
  try {
    return fileURLToPath(given.replaceAll(/[?#]/g, encodeURIComponent))
  } catch (error) {
    throw new PseudolakeError(
      'config/invalid',
      `${key}: expected file:///PATH, a % in a name written as %25`,
      { key },
      { cause: error },
    )
  }
}
