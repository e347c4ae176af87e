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
  readonly changed: 'fail' | 'append' | 'replace'
  readonly columns: readonly ColumnRule[]
  readonly unlisted: 'copy' | 'drop' | 'fail'
  readonly schemaChanges: 'fail' | 'add' | 'drop'
  readonly database: string
  readonly table: string
  /** Without trailing slash. */
  readonly warehouse: string
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
  for (const [key, wanted, only] of [
    ['output.format', settings.output.format, 'iceberg'],
    ['output.catalog.type', settings.output.catalog.type, 'filesystem'],
  ] as const)
    if (wanted !== only) throw unsupported(key, wanted, only)
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

  const input = location(settings.input.path, 'input.path', cwd)
  const warehouse = trimmed(location(settings.output.warehouse, 'output.warehouse', cwd))
  const [database, table] = settings.output.table.split('.') as [string, string]
  const state = trimmed(
    settings.output.state ? location(settings.output.state, 'output.state', cwd) : `${warehouse}/_pseudolake`,
  )
  requireApart({ input, output: `${warehouse}/${database}/${table}`, state })
  return {
    name: settings.job,
    input,
    hive: settings.input.partitioning === 'hive',
    csv: dialectOf(settings),
    changed: settings.input.changed,
    columns,
    unlisted: settings.unlisted_columns,
    schemaChanges: settings.schema_changes,
    database,
    table,
    warehouse,
    state,
    create: settings.output.create,
    settings,
  }
}

function dialectOf({ input: { format, csv } }: BatchSettings): CsvDialect | undefined {
  if (format === 'csv') return csvDialect(csv ?? {}, 'input.csv')
  if (csv === undefined) return undefined
  throw new PseudolakeError('config/invalid', 'input.csv goes with input.format csv, and it is parquet', {
    key: 'input.csv',
  })
}

function location(given: string, key: string, cwd: string): string {
  if (/^s3[an]?:\/\//i.test(given)) return bucketPath(given, key)
  if (/^file:\//i.test(given)) return filePath(given, key)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given))
    throw new PseudolakeError('config/invalid', `${key}: expected a path or a file:// location, got another scheme`, {
      key,
    })
  const path = posix.resolve(cwd, given)
  return given.endsWith('/') ? `${path}/` : path
}

/** Hadoop's names of the scheme become the one that is written into tables. */
function bucketPath(given: string, key: string): string {
  const [, path = ''] = /^[^/]*\/\/(.*)$/s.exec(given) ?? []
  const [bucket = ''] = path.split('/')
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket))
    throw new PseudolakeError('config/invalid', `${key}: expected s3://BUCKET/PREFIX`, { key })
  return `s3://${path}`
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

function unsupported(key: string, wanted: string, only: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `${key}: ${wanted} is not supported by this version`, {
    key,
    hint: `This version supports ${only}.`,
  })
}
