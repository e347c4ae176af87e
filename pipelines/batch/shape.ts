/**
 * A file's shape: what happens to each of its columns, and the schema that comes out. Every file of a run must have the same one, so it is
 * worked out for each before anything is written. Pure.
 */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { compareSchemas, schemaFromParquet } from '../../lib/iceberg/parquet-schema.ts'
import { fieldsOf } from '../../lib/iceberg/schema.ts'
import { type Schema, typeText } from '../../lib/iceberg/types.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import { type ConstantColumn, type OutputTree, outputTree, type Treatment } from '../../lib/parquet/output-tree.ts'
import { pathKey } from '../../lib/parquet/schema.ts'
import { type Decision, decide, leafNames, newName } from '../columns.ts'
import type { Approved } from '../pins.ts'
import { isUnread } from './csv/open.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob, ColumnRule } from './job.ts'
import type { ColumnReport } from './report.ts'
import type { ColumnsHint } from './way-on.ts'

/** A `key=value` folder as a column of the table. */
export interface PartitionColumn {
  readonly key: string
  readonly as: string
  /** Missing where it is copied. */
  readonly rule?: ColumnRule
}

export interface Shape {
  readonly decisions: readonly Decision[]
  readonly partitions: readonly PartitionColumn[]
  readonly treatments: ReadonlyMap<string, Treatment>
  /** New names of nodes, by `pathKey`. */
  readonly renames: ReadonlyMap<string, string>
  readonly output: OutputTree
  /** With fresh ids; an existing table has its own. */
  readonly schema: Schema
  readonly columns: readonly ColumnReport[]
  /** Replaced columns: the rule, and the name in the table, dotted. */
  readonly replaced: readonly { readonly rule: ColumnRule; readonly column: string }[]
}

/**
 * @param approved what the table was approved for, at a later run
 * @throws PseudolakeError `input/column-missing`, `input/unsupported`, `config/invalid`, `table/schema-changed`
 */
export function shapeOf(file: ParquetFile, input: InputFile, job: BatchJob, approved: Approved | undefined): Shape {
  const own = new Set(file.root.map((node) => node.name.toLowerCase()))
  // A column of the file is the truth where a folder has its name too: writers may keep partition columns in their files.
  const keys = input.partitions.map(([key]) => key).filter((key) => !own.has(key.toLowerCase()))
  const isPartition = (rule: ColumnRule) => rule.path.length === 1 && keys.includes(rule.path[0] ?? '')
  const unlisted = keys.filter((key) => !job.columns.some((rule) => isPartition(rule) && rule.path[0] === key))
  const decisions = decide(
    file.root,
    job.columns.filter((rule) => !isPartition(rule)),
    job.unlisted,
    unlisted,
    job.schemaChanges === 'drop' ? approved : undefined,
    input.object.location,
    !isUnread(file),
  )
  const partitions = keys.flatMap((key): PartitionColumn[] => {
    const rule = job.columns.find((candidate) => isPartition(candidate) && candidate.path[0] === key)
    if (!rule) return job.unlisted === 'drop' ? [] : [{ key, as: key }]
    return rule.mode === 'drop' ? [] : [{ key, as: newName(rule, key), rule }]
  })

  const treatments = new Map<string, Treatment>()
  const renames = new Map<string, string>()
  for (const decision of decisions) {
    const key = pathKey(decision.leaf.path)
    if (decision.kind !== 'replace') {
      treatments.set(key, { kind: decision.kind })
      continue
    }
    const { rule, leaf, renamed, as } = decision
    const node = pathKey(renamed)
    treatments.set(key, {
      kind: 'replace',
      as: node === key ? as : leaf.name,
      perCell: rule.mode === 'random',
      nullable: rule.nullValues.length > 0,
      emptyIsNull: rule.nullValues.includes(''),
    })
    if (renames.has(node) && renames.get(node) !== as)
      throw new PseudolakeError('config/invalid', `columns.${rule.name}: ${renamed.join('.')} is given two names`, {
        column: leaf.path.join('.'),
        hint: 'Give both rules the same `as`.',
      })
    renames.set(node, as)
  }
  const constants = partitions.map(
    ({ as, rule }): ConstantColumn => ({ name: as, value: null, replaced: rule !== undefined }),
  )
  const output = outputTree(file.root, treatments, constants, undefined, renames)
  const shape = { decisions, partitions, treatments, renames, output, schema: schemaFromParquet(output.root) }
  const columns = reportOf(shape, leafNames(file.root))
  const rules = [...decisions, ...partitions].map((decided) => ('rule' in decided ? decided.rule : undefined))
  const replaced = columns.flatMap(({ as }, i) => {
    const rule = rules[i]
    return rule && as !== undefined ? [{ rule, column: as }] : []
  })
  return { ...shape, columns, replaced }
}

/**
 * @param first shape of the run's first file
 * @param schemaChanges `add`: files may have columns more or less, which the table's approved columns decide on
 * @throws PseudolakeError `input/mixed-schemas` naming the file and what differs: names and types
 */
export function requireSame(
  first: Shape,
  firstFile: string,
  shape: Shape,
  file: string,
  schemaChanges: BatchJob['schemaChanges'],
): void {
  const all = compareSchemas(shape.output.root, first.schema)
  const differences = schemaChanges === 'add' ? all.filter(({ kind }) => kind === 'type-changed') : all
  if (differences.length === 0) return
  const said = differences.map(({ kind, path, table, file: here }) => {
    const name = path.join('.')
    if (kind === 'missing') return `${name} is missing`
    return kind === 'added' ? `${name} is there too` : `${name} is ${here}, not ${table}`
  })
  throw new PseudolakeError(
    'input/mixed-schemas',
    `${file} differs from ${firstFile}: ${said.slice(0, 10).join('; ')}`,
    {
      location: file,
      columns: differences.slice(0, 20).map(({ path }) => path.join('.')),
    },
  )
}

/** What a table is approved for: each input column with its fate, and the type it comes out as. */
export function approvedOf({ columns, schema }: Shape): Approved {
  const types = new Map([...fieldsOf(schema)].map((field) => [field.path.join('.'), typeText(field.type)]))
  const approved: Record<string, Approved[string]> = {}
  for (const { column, action, as, mode } of columns) {
    const type = as === undefined ? undefined : types.get(as)
    const fate = [action, mode, as === undefined || as === column ? undefined : `as ${as}`].filter(Boolean).join(' ')
    approved[column] = { fate, ...(type === undefined ? {} : { type }) }
  }
  return approved
}

/**
 * Types are not compared here: what fits is for the table's schema to say (an int goes into a long).
 * @param hint the way on
 * @returns what the table is approved for after files like this one: with `schema_changes: add` new columns too
 * @throws PseudolakeError `table/schema-changed` for a column that is new, gone or treated otherwise than the table was approved for
 */
export function requireApproved(
  approved: Approved,
  now: Approved,
  schemaChanges: BatchJob['schemaChanges'],
  hint: ColumnsHint,
): Approved {
  const said: string[] = []
  const changed: string[] = []
  let onlyNew = true
  const after: Record<string, Approved[string]> = { ...approved }
  for (const column of new Set([...Object.keys(approved), ...Object.keys(now)])) {
    const [before, here] = [approved[column], now[column]]
    if (before?.fate === here?.fate) continue
    // A column that came later and is left out changes nothing for the table's readers.
    if (!before && here?.fate === 'dropped') continue
    if (!before && here && schemaChanges === 'add') {
      after[column] = { ...here, added: true }
      continue
    }
    if (before?.added && !here) continue
    changed.push(column)
    onlyNew &&= before === undefined
    if (!before) said.push(`${column} is new`)
    else if (!here) said.push(`${column} is gone`)
    else said.push(`${column} was ${before.fate}, and would be ${here.fate}`)
  }
  if (said.length > 0)
    throw new PseudolakeError(
      'table/schema-changed',
      `the table was approved for other columns: ${said.slice(0, 10).join('; ')}`,
      { columns: changed.slice(0, 20), hint: hint(onlyNew) },
    )
  return after
}

function reportOf(shape: Omit<Shape, 'columns' | 'replaced'>, inputNames: ReadonlyMap<string, string>): ColumnReport[] {
  const outputNames = leafNames(shape.output.root)
  const outputs = new Map(
    shape.output.columns.flatMap(({ source, leaf }) =>
      source ? [[pathKey(source.path), outputNames.get(pathKey(leaf.path)) ?? ''] as const] : [],
    ),
  )
  return [
    ...shape.decisions.map((decision): ColumnReport => {
      const key = pathKey(decision.leaf.path)
      const column = inputNames.get(key) ?? ''
      const as = outputs.get(key) ?? column
      if (decision.kind === 'drop') return { column, action: 'dropped' }
      if (decision.kind === 'copy') return { column, action: 'copied', as }
      return { column, action: 'replaced', as, mode: decision.rule.mode, domain: decision.rule.domain }
    }),
    ...shape.partitions.map(
      ({ key, as, rule }): ColumnReport =>
        rule
          ? { column: key, action: 'replaced', as, mode: rule.mode, domain: rule.domain }
          : { column: key, action: 'added', as },
    ),
  ]
}
