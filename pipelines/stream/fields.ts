/** The fields of records that become columns, and what becomes of each: where the configuration's words meet them. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { pathKey } from '../../lib/parquet/schema.ts'
import type { Version } from '../../lib/storage/storage.ts'
import type { InputFile } from '../batch/inputs.ts'
import type { BatchJob, ColumnRule } from '../batch/job.ts'
import { type Shape, shapeOf } from '../batch/shape.ts'
import { decide } from '../columns.ts'
import { type DecoderOptions, RecordDecoder, type RecordOrigin } from './decode.ts'
import type { StreamJob } from './job.ts'
import { ruledFields } from './ruled.ts'
import { nodesOf, type RecordField, type RecordType } from './schema.ts'

/** Of a table that was approved for other columns than the configuration makes. */
export const COLUMNS_HINT =
  'Set `columns` and `unlisted_columns` as they were when the table was made, or write to a new table.'

export interface StreamColumns {
  readonly decoder: RecordDecoder
  readonly shape: Shape
  /** As if the records were a file. */
  readonly input: InputFile
  /** The job with rules and columns as they are decoded. */
  readonly job: BatchJob
}

/** What stands for a file in messages. */
export function streamInput({ stream }: Pick<StreamJob, 'stream'>): InputFile {
  const object = { location: `kinesis://${stream}`, bytes: 0, version: 'stream' as Version, modified: 0 }
  return { object, partitions: [] }
}

export type ColumnsOptions = Pick<DecoderOptions, 'onNewField' | 'nulls' | 'refuses'>

/**
 * @param fields of a record, those that no column is made of included; none where no record has shown any yet
 * @param options `nulls`: columns all the same
 * @throws PseudolakeError `config/invalid` where a rule and a field do not fit, or `unlisted_columns: fail` meets one without a rule
 */
export function columnsOf(
  job: StreamJob,
  fields: readonly RecordField[],
  { onNewField, nulls, refuses }: ColumnsOptions = {},
): StreamColumns {
  const { table } = job
  // What is to be dropped shows with the first records.
  const asked = fields.length > 0 ? table.columns : table.columns.filter(({ mode }) => mode !== 'drop')
  const whole = fields.length > 0 ? withRuled(fields, table.columns) : ruledFields(table.columns)
  const decisions = decide(nodesOf(whole).root, asked, table.unlisted, [], undefined, 'the schema')
  const kept = new Set(decisions.flatMap(({ kind, leaf }) => (kind === 'drop' ? [] : [pathKey(leaf.path)])))
  const sensitive = new Set(decisions.flatMap(({ kind, leaf }) => (kind === 'replace' ? [pathKey(leaf.path)] : [])))
  const shown = whole.flatMap((field) => pruned(field, [field.name], kept, sensitive))
  const known = new Set(fields.map(({ name }) => name))
  const decoder = new RecordDecoder({
    fields: shown,
    sensitive,
    from: originsOf(job),
    ...(nulls && { nulls }),
    ...(refuses && { refuses }),
    ...(onNewField && {
      onNewField: (name: string, value: unknown) => {
        if (!known.has(name)) onNewField(name, value)
      },
    }),
  })
  const rules = table.columns.filter(({ mode }) => mode !== 'drop')
  const columns: BatchJob = { ...table, columns: rules, unlisted: 'copy', schemaChanges: 'fail' }
  const input = streamInput(job)
  const { root, leaves } = decoder
  const shape = shapeOf({ object: input.object, root, leaves, rows: 0, rowGroups: [] }, input, columns, undefined)
  return { decoder, shape, input, job: columns }
}

/** Fields that rules name are there, whether a record had them yet or not: a rule is a promise about what comes. */
function withRuled(fields: readonly RecordField[], rules: readonly ColumnRule[]): readonly RecordField[] {
  const missing = rules.filter(
    ({ path, mode }) => mode !== 'drop' && path.length === 1 && !fields.some(({ name }) => name === path[0]),
  )
  return [...fields, ...missing.map(({ path }): RecordField => ({ name: path[0] as string, type: TEXT }))]
}

const TEXT: RecordType = { kind: 'leaf', type: 'string' }

/** A field without the leaves that nothing is made of; those that are pseudonymized are texts. */
function pruned(
  { name, type }: RecordField,
  path: readonly string[],
  kept: ReadonlySet<string>,
  sensitive: ReadonlySet<string>,
): RecordField[] {
  const inner = prunedType(type, path, kept, sensitive)
  return inner ? [{ name, type: inner }] : []
}

function prunedType(
  type: RecordType,
  path: readonly string[],
  kept: ReadonlySet<string>,
  sensitive: ReadonlySet<string>,
): RecordType | undefined {
  if (type.kind === 'leaf') {
    const key = pathKey(path)
    return sensitive.has(key) ? TEXT : kept.has(key) ? type : undefined
  }
  if (type.kind === 'list') {
    const element = prunedType(type.element, [...path, 'list', 'element'], kept, sensitive)
    return element && { kind: 'list', element }
  }
  const fields = type.fields.flatMap((field) => pruned(field, [...path, field.name], kept, sensitive))
  return fields.length === 0 ? undefined : { kind: 'struct', fields }
}

export function originsOf({ recordColumns }: StreamJob): { readonly name: string; readonly what: RecordOrigin }[] {
  const { arrivalTime, shard, sequenceNumber } = recordColumns
  const given = [
    [arrivalTime, 'arrival-time'],
    [shard, 'shard'],
    [sequenceNumber, 'sequence-number'],
  ] as const
  return given.flatMap(([name, what]) => (name === undefined ? [] : [{ name, what }]))
}

/**
 * The fields that a consumer goes by: those of the configuration, with what came later as the mark has it.
 * @throws PseudolakeError `table/schema-changed` where a field is declared otherwise than the table was made with
 */
export function knownFields(
  declared: readonly RecordField[] | undefined,
  marked: readonly RecordField[] | undefined,
): readonly RecordField[] | undefined {
  if (!declared || !marked) return declared ?? marked
  const names = new Set(declared.map(({ name }) => name))
  const changed = declared.filter(({ name, type }) => {
    const before = marked.find((field) => field.name === name)
    return before && JSON.stringify(before.type) !== JSON.stringify(type)
  })
  if (changed.length > 0)
    throw new PseudolakeError(
      'table/schema-changed',
      `schema: ${changed.map(({ name }) => name).join(', ')} ${changed.length === 1 ? 'has' : 'have'} another type than the stream began with`,
      { columns: changed.map(({ name }) => name) },
    )
  return [...declared, ...marked.filter(({ name }) => !names.has(name))]
}
