/**
 * Configurations of the system that pseudolake replaces, key for key (docs/migration.md). They are turned into a native one, so that
 * everything behind this file knows one form. Pure.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { boolean, invalid, text, unknownKey } from './spec.ts'

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

export type Tree = Record<string, unknown>

/** Whether a configuration is in the original, flat form: it has keys only that form has, and none of the native sections. */
export function isOriginal(tree: Tree): boolean {
  return (
    TELLING.some((key) => Object.hasOwn(tree, key)) &&
    !['input', 'columns', 'output'].some((key) => Object.hasOwn(tree, key))
  )
}

/**
 * A native configuration that does what the original one did.
 * @throws PseudolakeError `config/invalid`, `config/unknown-key`
 */
export function fromOriginal(tree: Tree): Tree {
  for (const key of Object.keys(tree)) if (!(KEYS as readonly string[]).includes(key)) throw unknownKey('', key, KEYS)
  if (tree.kinesis_stream_name !== undefined)
    throw new PseudolakeError('config/invalid', 'kinesis_stream_name: expected a batch configuration, got a stream’s', {
      key: 'kinesis_stream_name',
      hint: 'Streams are run by `pseudolake stream`.',
    })
  if (tree.input_loc !== undefined || tree.output_loc !== undefined)
    throw new PseudolakeError(
      'config/invalid',
      'input_loc: CSV input with plain Parquet output is not supported by this version',
      {
        key: 'input_loc',
        hint: 'Use input_s3_path with Parquet input, or a native configuration.',
      },
    )
  const required = (key: string) => text().read(tree[key], key)
  const optional = (key: string) =>
    tree[key] === undefined || tree[key] === null ? undefined : text().read(tree[key], key)
  const database = required('db_name')
  const table = required('table_name')
  const column = required('input_column')
  const region = optional('aws_region')
  return {
    job: `${database}.${table}`,
    input: { path: location(required('input_s3_path')), partitioning: 'none' },
    columns: { [`\`${column}\``]: { mode: determinism(tree.determinism), as: `s_${column}` } },
    service: { url: serviceUrl(required('endpoint_url')), api_key: { secret: required('secret_name') } },
    output: {
      table: `${database}.${table}`,
      warehouse: `${location(required('output_bucket_name')).replace(/\/+$/, '')}/batch/warehouse`,
      catalog: { type: 'glue' },
      create: 'database',
    },
    ...(region === undefined ? {} : { aws: { region } }),
  }
}

/** The original key that a native one comes from, the more telling one of two. `*` is any column. */
const ORIGINS: Readonly<Record<string, string>> = {
  job: 'db_name',
  'input.path': 'input_s3_path',
  'columns.*.mode': 'determinism',
  'columns.*.as': 'input_column',
  'service.url': 'endpoint_url',
  'service.api_key.secret': 'secret_name',
  'output.table': 'table_name',
  'output.warehouse': 'output_bucket_name',
  'aws.region': 'aws_region',
}

/** @param words of a native key */
export function originalKeyOf(words: readonly string[]): string | undefined {
  const path = words.map((word, i) => (words[0] === 'columns' && i === 1 ? '*' : word)).join('.')
  return ORIGINS[path]
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
