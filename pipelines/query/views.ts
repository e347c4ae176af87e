/** Iceberg tables as DuckDB views: the scan is planned here, DuckDB gets a list of files and needs no extension. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import type { DataFile } from '../../lib/iceberg/data-file.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import { DELETE_FILE_PATH, DELETE_POS, type PlannedDelete, type PlannedFile } from '../../lib/iceberg/scan.ts'
import { type Field, primitive, type Type } from '../../lib/iceberg/types.ts'

/** Names that no column has, for what DuckDB adds to each row. */
const FILE = '_pseudolake_file'
const DROPPED = '_pseudolake_column_'
const SIGN = '_pseudolake_sign_'

/**
 * SQL that defines a view with the table's current columns and live rows.
 *
 * Where the schema never changed, columns are found by name, nested ones too. Where it did, they are found by field id, so that a renamed
 * column keeps its old values, and one that came later reads as null in old files; names do where columns were only added and some are nested. Rows that other engines deleted by position or by
 * equal values are left out; only files that such deletes may be about pay for it.
 * @param pathOf where DuckDB finds a file, by the path the table knows it under
 * @throws PseudolakeError `table/unsupported` for files of other formats (deletion vectors too), and nested columns in a changed schema
 */
export function viewSql(
  name: string,
  metadata: TableMetadata,
  files: readonly PlannedFile[],
  pathOf: (path: string) => string,
): string {
  const { location } = metadata
  for (const { file, deletes } of files)
    for (const each of [file, ...deletes])
      if (each.format.toUpperCase() !== 'PARQUET')
        throw unsupported(location, `has files of format ${each.format}: use Spark, Trino or Athena`)
  const { fields } = currentSchema(metadata)
  const columns = fields.map(
    (field) => `cast(${identifier(field.name)} as ${duckType(field.type, location)}) as ${identifier(field.name)}`,
  )
  const view = `create view ${identifier(name)} as`
  if (files.length === 0) {
    const nulls = fields.map((field) => `cast(null as ${duckType(field.type, location)}) as ${identifier(field.name)}`)
    return `${view} select ${nulls.join(', ')} where false`
  }
  const table = new View(metadata, pathOf)
  const whole = files.filter(({ deletes }) => deletes.length === 0)
  const struck = files.filter(({ deletes }) => deletes.length > 0)
  const parts = [
    ...(whole.length > 0 ? [`select ${columns.join(', ')} from ${table.read(whole)}`] : []),
    ...(struck.length > 0 ? [`select ${columns.join(', ')} from ${table.readStruck(struck)}`] : []),
  ]
  return `${view} ${parts.join(' union all ')}`
}

class View {
  readonly #location: string
  readonly #fields: readonly Field[]
  /** Every field that any schema has, as its newest schema has it. */
  readonly #known: ReadonlyMap<number, Field>
  readonly #byName: boolean
  readonly #grownByName: boolean
  readonly #pathOf: (path: string) => string

  constructor(metadata: TableMetadata, pathOf: (path: string) => string) {
    this.#location = metadata.location
    this.#fields = currentSchema(metadata).fields
    this.#known = new Map(
      [...metadata.schemas, currentSchema(metadata)].flatMap(({ fields }) => fields.map((field) => [field.id, field])),
    )
    const grown = metadata.schemas.length > 1
    // By field id DuckDB finds no nested column; where columns were only added, names do as well.
    this.#grownByName = grown && this.#fields.some(isNested) && onlyAdded(metadata)
    this.#byName = !grown || this.#grownByName
    this.#pathOf = pathOf
  }

  read(files: readonly PlannedFile[]): string {
    return this.#parquet(
      files.map(({ file }) => file),
      this.#byName ? undefined : this.#columns([]),
    )
  }

  /** Files with the rows left out that deletes are about. */
  readStruck(files: readonly PlannedFile[]): string {
    const deletes = [...new Map(files.flatMap((each) => each.deletes.map((one) => [one.path, one]))).values()]
    const positions = deletes.filter(({ content }) => content === 'position-deletes')
    const equalities = deletes.filter(({ content }) => content === 'equality-deletes')
    if (
      positions.length > 0 &&
      [...this.#known.values()].some((field) => field.name.toLowerCase() === 'file_row_number')
    )
      throw unsupported(
        this.#location,
        'has row-level deletes and a column file_row_number, which DuckDB cannot tell apart',
      )
    const groups = Map.groupBy(equalities, ({ equalityIds = [] }) => equalityIds.toSorted((a, b) => a - b).join())
    const gone = [...groups.keys()]
      .flatMap((key) => idsOf(key))
      .filter((id) => !this.#fields.some((field) => field.id === id))
    const read = this.#parquet(
      files.map(({ file }) => file),
      this.#byName ? undefined : this.#columns(gone),
      `filename = '${FILE}'${positions.length > 0 ? ', file_row_number = true' : ''}`,
    )
    const data = this.#withSigns(
      read,
      [...groups.keys()].flatMap((key) => idsOf(key)),
    )
    const rows = files.map(({ file, sequenceNumber, scope }) => [
      text(this.#pathOf(file.path)),
      text(file.path),
      String(sequenceNumber),
      text(scope),
    ])
    const tests = [
      ...(positions.length > 0 ? [this.#positionTest(positions)] : []),
      ...[...groups].map(([key, group]) => this.#equalityTest(idsOf(key), group)),
    ]
    return `${data} d join ${values(rows, 'm', ['file', 'path', 'sequence', 'scope'])} on d.${FILE} = m.file where ${tests.join(' and ')}`
  }

  #positionTest(deletes: readonly PlannedDelete[]): string {
    const columns = [
      `${DELETE_FILE_PATH}: {name: 'file_path', type: 'varchar', default_value: NULL}`,
      `${DELETE_POS}: {name: 'pos', type: 'bigint', default_value: NULL}`,
    ]
    const files = this.#parquet(deletes, columns, `filename = '${FILE}'`)
    const rows = deletes.map((file) => [text(this.#pathOf(file.path)), String(file.sequenceNumber)])
    return (
      `not exists (select 1 from ${files} p join ${values(rows, 's', ['file', 'sequence'])} on p.${FILE} = s.file ` +
      'where p.file_path = m.path and p.pos = d.file_row_number and s.sequence >= m.sequence)'
    )
  }

  #equalityTest(ids: readonly number[], deletes: readonly PlannedDelete[]): string {
    const fields = ids.map((id) => {
      const field = this.#known.get(id)
      if (!field) throw unsupported(this.#location, 'has deletes by the value of a nested column: use Spark or Trino')
      return field
    })
    const columns = fields.map((field) => entry(field.id, `c${field.id}`, duckType(field.type, this.#location)))
    const files = this.#parquet(deletes, columns, `filename = '${FILE}'`)
    const rows = deletes.map((file) => [
      text(this.#pathOf(file.path)),
      String(file.sequenceNumber),
      file.scope === undefined ? 'null' : text(file.scope),
    ])
    const equal = fields.map((field) => {
      const column = this.#columnOf(field.id)
      const isEqual = `e.c${field.id} is not distinct from cast(d.${identifier(column)} as ${duckType(field.type, this.#location)})`
      const sign = `(e.c${field.id} is distinct from 0 or signbit(e.c${field.id}) = d.${SIGN}${field.id})`
      return isFloating(field) ? `${isEqual} and ${sign}` : isEqual
    })
    return (
      `not exists (select 1 from ${files} e join ${values(rows, 's', ['file', 'sequence', 'scope'])} on e.${FILE} = s.file ` +
      `where ${equal.join(' and ')} and s.sequence > m.sequence and (s.scope is null or s.scope = m.scope))`
    )
  }

  /** As the files with deletes are read. */
  #columnOf(id: number): string {
    return this.#fields.find((field) => field.id === id)?.name ?? `${DROPPED}${id}`
  }

  /** With a column for the sign of each zero: to Iceberg -0 is not 0, to DuckDB it is, and it would look at one of them only. */
  #withSigns(data: string, ids: readonly number[]): string {
    const signs = [...new Set(ids)].flatMap((id) => {
      const field = this.#known.get(id)
      if (!field || !isFloating(field)) return []
      const column = identifier(this.#columnOf(id))
      return [`(${column} = 0 and signbit(${column})) as ${SIGN}${id}`]
    })
    return signs.length === 0 ? data : `(select *, ${signs.join(', ')} from ${data})`
  }

  /** The current columns by field id, and dropped ones by which rows were deleted. */
  #columns(dropped: readonly number[]): string[] {
    if (this.#fields.some(isNested))
      throw unsupported(this.#location, 'has nested columns and its schema was changed: use Spark, Trino or Athena')
    return [
      ...this.#fields.map((field) => entry(field.id, field.name, duckType(field.type, this.#location))),
      ...[...new Set(dropped)].flatMap((id) => {
        const field = this.#known.get(id)
        return field ? [entry(id, `${DROPPED}${id}`, duckType(field.type, this.#location))] : []
      }),
    ]
  }

  #parquet(files: readonly DataFile[], columns: readonly string[] | undefined, more?: string): string {
    const paths = files.map(({ path }) => text(withoutWildcards(this.#pathOf(path))))
    const union = this.#grownByName && columns === undefined ? ', union_by_name = true' : ''
    const schema = columns === undefined ? union : `, schema = MAP {${columns.join(', ')}}`
    return `read_parquet([${paths.join(', ')}]${schema}, hive_partitioning = false${more === undefined ? '' : `, ${more}`})`
  }
}

function isNested({ type }: Field): boolean {
  return typeof type !== 'string'
}

function isFloating({ type }: Field): boolean {
  return type === 'float' || type === 'double'
}

/** Whether each schema's columns are the current ones of the same names, ids and all. */
function onlyAdded(metadata: TableMetadata): boolean {
  const current = new Map(currentSchema(metadata).fields.map((field) => [field.name, JSON.stringify(field)]))
  return metadata.schemas.every(({ fields }) =>
    fields.every((field) => current.get(field.name) === JSON.stringify(field)),
  )
}

function idsOf(key: string): number[] {
  return key.split(',').map(Number)
}

function entry(id: number, name: string, type: string): string {
  return `${id}: {name: ${text(name)}, type: ${text(type)}, default_value: NULL}`
}

function values(rows: readonly (readonly string[])[], name: string, columns: readonly string[]): string {
  return `(values ${rows.map((row) => `(${row.join(', ')})`).join(', ')}) as ${name}(${columns.join(', ')})`
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

/** DuckDB expands wildcards in paths: a bracket class of the one character stands for itself. */
function withoutWildcards(path: string): string {
  return path.replaceAll(/[[*?]/g, '[$&]')
}
function duckType(type: Type, location: string): string {
  if (typeof type !== 'string') {
    switch (type.type) {
      case 'struct':
        return `struct(${type.fields.map((field) => `${identifier(field.name)} ${duckType(field.type, location)}`).join(', ')})`
      case 'list':
        return `${duckType(type.element, location)}[]`
      case 'map':
        return `map(${duckType(type.key, location)}, ${duckType(type.value, location)})`
    }
  }
  const known = primitive(type)
  switch (known?.kind) {
    case 'string':
      return 'varchar'
    case 'long':
      return 'bigint'
    case 'int':
      return 'integer'
    case 'decimal':
      return `decimal(${known.precision}, ${known.scale})`
    case 'fixed':
    case 'binary':
      return 'blob'
  }
  if (!known) throw unsupported(location, `has a column of type ${type}`)
  return known.kind
}

function unsupported(location: string, what: string): PseudolakeError {
  return new PseudolakeError('table/unsupported', `${location} ${what}`, { location })
}
