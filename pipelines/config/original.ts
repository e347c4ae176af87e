/**
 * Configurations of the system that pseudolake replaces, key for key (docs/migration.md). They are turned into a native one, so that
 * everything behind this file knows one form. Pure.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { boolean, integer, invalid, optional, text, unknownKey } from './spec.ts'

const KEYS = [
  'repartition_no',
  'aws_region',
  'endpoint_url',
  'secret_name',
  'determinism',
  'input_s3_path',
  'output_bucket_name',
  'input_column',
  'db_name',
  'table_name',
  'input_loc',
  'output_loc',
  'kinesis_stream_name',
  'kinesis_endpoint_url',
  'kinesis_region',
] as const

const TELLING = [
  'input_s3_path',
  'input_loc',
  'input_column',
  'output_bucket_name',
  'output_loc',
  'secret_name',
  'endpoint_url',
]

/** Of `limits.threads`. */
const MOST_THREADS = 1024

export type Tree = Record<string, unknown>

/** Whether a configuration is in the original, flat form: it has keys only that form has, and none of the native sections. */
export function isOriginal(tree: Tree): boolean {
  return (
    TELLING.some((key) => Object.hasOwn(tree, key)) &&
    !['input', 'columns', 'output'].some((key) => Object.hasOwn(tree, key))
  )
}

export function isOriginalKey(key: string): boolean {
  return (KEYS as readonly string[]).includes(key)
}

/**
 * A native configuration that does what the original one did.
 * @throws PseudolakeError `config/invalid`, `config/unknown-key`
 */
export function fromOriginal(tree: Tree): Tree {
  for (const key of Object.keys(tree)) if (!isOriginalKey(key)) throw unknownKey('', key, KEYS)
  const required = (key: string) => text().read(tree[key], key)
  const given = (key: string) => optional(text()).read(tree[key], key)
  const column = required('input_column')
  const region = given('aws_region') ?? given('kinesis_region')
  const writers = optional(integer()).read(tree.repartition_no, 'repartition_no')
  const glue = tree.input_loc !== undefined || tree.output_loc !== undefined
  const stream = isStream(tree)
  if (glue) notBoth(tree)
  if (stream) noFiles(tree)
  const { job, ...output } =
    glue && !hasTable(tree) ? folderOf(required) : tableOf(required, glue, stream ? 'realtime' : 'batch')
  const input = stream ? streamOf(tree) : filesOf(required, glue)
  return {
    job,
    input,
    columns: {
      [column.includes('.') ? `\`${column}\`` : column]: { mode: determinism(tree.determinism), as: `s_${column}` },
    },
    service: { url: serviceUrl(required('endpoint_url')), api_key: { secret: required('secret_name') } },
    output: { ...output, ...(writers !== undefined && !stream && { files: writers }) },
    ...(writers !== undefined && !stream && { limits: { threads: Math.min(writers, MOST_THREADS) } }),
    ...(region === undefined ? {} : { aws: { region } }),
  }
}

type Required = (key: string) => string

/** Whether the original form names a stream, or the native one has it as its input. */
export function isStream(tree: Tree): boolean {
  const { input } = tree
  const native = typeof input === 'object' && input !== null && Object.hasOwn(input, 'stream')
  // A file that batch and stream share may have the key without a name in it.
  const { kinesis_stream_name: name } = tree
  return native || (isGiven(name) && !(typeof name === 'string' && name.trim() === ''))
}

function filesOf(required: Required, glue: boolean): Tree {
  return {
    path: location(required(glue ? 'input_loc' : 'input_s3_path')),
    // CSV with a header, or Parquet: the form has no key for it.
    ...(glue && { format: 'auto' }),
    partitioning: 'none',
  }
}

/** The original begins with what comes from now on; the rest of its configuration is a batch run's. */
function streamOf(tree: Tree): Tree {
  const given = (key: string) => optional(text()).read(tree[key], key)
  const [endpoint, region] = [given('kinesis_endpoint_url'), given('kinesis_region')]
  return {
    stream: text().read(tree.kinesis_stream_name, 'kinesis_stream_name'),
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint_url: serviceUrl(endpoint) }),
    start: 'latest',
  }
}

/** The EMR jobs of the original share a file of settings, but a stream has no files to read. */
function noFiles(tree: Tree): void {
  const other = ['input_loc', 'output_loc'].find((key) => isGiven(tree[key]))
  if (other === undefined) return
  throw new PseudolakeError('config/invalid', `${other} does not go with kinesis_stream_name`, { key: other })
}

/** A table in Glue; of the Glue form where it names one, below its output location. */
function tableOf(required: Required, glue: boolean, kind: 'batch' | 'realtime') {
  const [database, table] = [required('db_name'), required('table_name')]
  const place = location(required(glue ? 'output_loc' : 'output_bucket_name')).replace(/\/+$/, '')
  return {
    job: `${database}.${table}`,
    table: `${database}.${table}`,
    warehouse: `${place}/${kind}/warehouse`,
    catalog: { type: 'glue' },
    create: 'database',
  }
}

/** Plain Parquet files, which the form's readers expect. */
function folderOf(required: Required) {
  const path = location(required('output_loc'))
  const words = path.split('/').filter((word) => word !== '')
  const name = (words.at(-1) ?? '').replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 128)
  return { job: /^\.*$/.test(name) ? 'glue' : name, format: 'parquet', path }
}

/** A key without a value is none. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}

function hasTable(tree: Tree): boolean {
  return isGiven(tree.db_name) && isGiven(tree.table_name)
}

function notBoth(tree: Tree): void {
  const other = ['input_s3_path', 'output_bucket_name'].find((key) => tree[key] !== undefined)
  if (other === undefined) return
  throw new PseudolakeError('config/invalid', `${other} does not go with input_loc and output_loc`, { key: other })
}

/** The original keys that a native one comes from, the more telling ones first: that of the form which has it. `*` is any column. */
const ORIGINS: Readonly<Record<string, string | readonly string[]>> = {
  job: ['db_name', 'output_loc'],
  'input.path': ['input_s3_path', 'input_loc'],
  'input.stream': 'kinesis_stream_name',
  'input.region': 'kinesis_region',
  'input.endpoint_url': 'kinesis_endpoint_url',
  'output.path': 'output_loc',
  'output.files': 'repartition_no',
  'limits.threads': 'repartition_no',
  'columns.*.mode': 'determinism',
  'columns.*.as': 'input_column',
  'service.url': 'endpoint_url',
  'service.api_key.secret': 'secret_name',
  'output.table': 'table_name',
  'output.warehouse': ['output_bucket_name', 'output_loc'],
  'aws.region': ['aws_region', 'kinesis_region'],
}

/** @param words of a native key @param tree the original configuration */
export function originalKeyOf(words: readonly string[], tree: Tree): string | undefined {
  const path = words.map((word, i) => (words[0] === 'columns' && i === 1 ? '*' : word)).join('.')
  return [ORIGINS[path] ?? []].flat().find((key) => Object.hasOwn(tree, key))
}

function determinism(value: unknown): string {
  if (value === undefined || value === null) throw invalid('determinism', boolean().expects, value)
  return boolean().read(value, 'determinism') ? 'deterministic' : 'random'
}

/** The original takes buckets with and without scheme; a path of this machine stays one. */
function location(given: string): string {
  return /^[a-z0-9+.-]+:\/\//i.test(given) || given.startsWith('/') || given.startsWith('.') ? given : `s3://${given}`
}

function serviceUrl(given: string): string {
  return /^https?:\/\//i.test(given) ? given : `https://${given}`
}
