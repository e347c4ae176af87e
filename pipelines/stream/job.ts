/** A stream's settings, checked against each other and resolved: what the rest of the flow works with. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { Start } from '../../lib/kinesis/positions.ts'
import { type BatchJob, jobOf, location } from '../batch/job.ts'
import { trimmed } from '../batch/overlap.ts'
import { splitPath } from '../config/load.ts'
import type { BatchSettings, StreamSettings } from '../config/native.ts'
import { LEAST_MEMORY_MB, sharedMb } from './memory.ts'
import { fieldsOfSchema, type RecordField } from './schema.ts'

/** Columns of the table that say where a row comes from; missing where none is wanted. */
export interface RecordColumns {
  readonly arrivalTime: string | undefined
  readonly shard: string | undefined
  readonly sequenceNumber: string | undefined
}

export interface StreamJob {
  /** The table, the columns and the service: as a batch run has them, so that all of it is done by the same code. */
  readonly table: BatchJob
  readonly name: string
  /** Name of the stream, or its ARN. */
  readonly stream: string
  readonly start: Start
  /** Fields of a record; undefined where the first records show them. */
  readonly schema: readonly RecordField[] | undefined
  readonly newFields: 'ignore' | 'fail' | 'add'
  readonly recordColumns: RecordColumns
  /** Words of each field that tells records apart, and how long one is remembered; undefined where none is dropped. */
  readonly dedupe: { readonly keys: readonly (readonly string[])[]; readonly windowMs: number } | undefined
  /** Location without a trailing slash; undefined where the first bad record stops the run. */
  readonly quarantine: QuarantineJob | undefined
  readonly settings: StreamSettings
}

export interface QuarantineJob {
  readonly path: string
  readonly recipient: { readonly x25519: string } | { readonly kmsKeyId: string }
  /** Of one run; undefined for no limit. */
  readonly maxRecords: number | undefined
}

/**
 * @param cwd where relative paths start
 * @throws PseudolakeError `config/invalid` for settings that do not go together, `config/overlap`
 */
export function streamJob(settings: StreamSettings, cwd: string): StreamJob {
  const { input, output, quarantine } = settings
  if (output.format === 'parquet' || output.path !== undefined)
    throw bad('output.format', 'a stream goes into a table: plain Parquet files cannot be changed in one step')
  if (output.files !== undefined) throw bad('output.files', 'a stream makes a file with each commit')
  if (settings.limits.memory_mb < LEAST_MEMORY_MB)
    throw bad(
      'limits.memory_mb',
      `a stream needs ${LEAST_MEMORY_MB} at least, got ${settings.limits.memory_mb}: less could not be held`,
    )
  const table = jobOf(asBatch(settings), () => `kinesis://${input.stream}`, cwd)
  const recordColumns = {
    arrivalTime: settings.record_columns.arrival_time,
    shard: settings.record_columns.shard,
    sequenceNumber: settings.record_columns.sequence_number,
  }
  const schema = settings.schema && fieldsOfSchema(settings.schema)
  requireApartFrom(schema, recordColumns)
  return {
    table,
    name: settings.job,
    stream: input.stream,
    start: startOf(input.start),
    schema,
    newFields: settings.new_fields,
    recordColumns,
    dedupe: settings.dedupe && {
      keys: settings.dedupe.keys.map((key) => splitPath(key).map((word) => word.replaceAll('`', ''))),
      windowMs: settings.dedupe.window,
    },
    quarantine: quarantine && quarantineOf(quarantine, cwd),
    settings,
  }
}

/** The settings of a stream as those of a run that has the same columns, service and table; its memory is what shares are taken of. */
export function asBatch(settings: StreamSettings): BatchSettings {
  const { input, new_fields: newFields, commit, limits } = settings
  const { region, endpoint_url: endpoint, aws } = input
  const endpoints = { ...aws?.endpoints, ...(endpoint !== undefined && { kinesis: endpoint }) }
  return {
    job: settings.job,
    input: {
      path: `kinesis://${input.stream}`,
      format: 'parquet',
      csv: undefined,
      partitioning: 'none',
      changed: 'fail',
      requester_pays: false,
      aws: { ...NO_AWS, ...aws, region: region ?? aws?.region, endpoints: { ...NO_ENDPOINTS, ...endpoints } },
    },
    columns: settings.columns,
    unlisted_columns: settings.unlisted_columns,
    schema_changes: newFields === 'ignore' ? 'drop' : newFields,
    service: settings.service,
    output: settings.output,
    commit: { max_files: 1, max_bytes: commit.max_bytes, every: commit.every, max_rows: commit.max_rows },
    aws: settings.aws,
    limits: { ...limits, memory_mb: sharedMb(limits.memory_mb) },
    gate: settings.gate,
  }
}

const NO_AWS = { role_arn: undefined, external_id: undefined, session_name: undefined }
const NO_ENDPOINTS = {
  s3: undefined,
  glue: undefined,
  secretsmanager: undefined,
  kinesis: undefined,
  sts: undefined,
  lambda: undefined,
  kms: undefined,
}

function startOf(start: StreamSettings['input']['start']): Start {
  if (typeof start !== 'string') return { at: Date.parse(start.at) }
  return start === 'latest' ? 'LATEST' : 'TRIM_HORIZON'
}

function quarantineOf(given: NonNullable<StreamSettings['quarantine']>, cwd: string): QuarantineJob {
  const { recipient, kms_key_id: kmsKeyId } = given
  const path = trimmed(location(given.path, 'quarantine.path', cwd))
  const maxRecords = given.max_records
  if (recipient !== undefined && kmsKeyId === undefined) return { path, recipient: { x25519: recipient }, maxRecords }
  if (kmsKeyId !== undefined && recipient === undefined) return { path, recipient: { kmsKeyId }, maxRecords }
  throw bad('quarantine', 'expected one of recipient and kms_key_id: whom the records are sealed for')
}

function requireApartFrom(schema: readonly RecordField[] | undefined, columns: RecordColumns): void {
  const given = Object.values(columns).filter((name) => name !== undefined)
  const twice = given.find((name, i) => given.indexOf(name) !== i || schema?.some((field) => field.name === name))
  if (twice !== undefined) throw bad('record_columns', `two columns would be called ${twice}`)
}

function bad(key: string, message: string): PseudolakeError {
  return new PseudolakeError('config/invalid', `${key}: ${message}`, { key })
}
