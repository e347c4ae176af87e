/** Iceberg tables as DuckDB views: the scan is planned here, DuckDB gets a list of data files and needs no extension. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { currentSchema, type TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { PlannedFile } from '../../lib/iceberg/scan.ts'
import { primitive, type Type } from '../../lib/iceberg/types.ts'

/**
 * SQL that defines a view with the table's current columns.
 *
 * Where the schema never changed, columns are found by name, nested ones too. Where it did, they are found by field id, so that a renamed
 * column keeps its old values, and one that came later reads as null in old files.
 * @throws PseudolakeError `table/unsupported` for row-level deletes, files of other formats, and nested columns in a changed schema
 */
export function viewSql(name: string, metadata: TableMetadata, files: readonly PlannedFile[]): string {
  const location = metadata.location
  for (const { file, deletes } of files) {
    if (deletes.length > 0)
      throw unsupported(
        location,
        'has row-level deletes, which this query does not apply: compact the table first, or use Spark, Trino or Athena',
      )
    if (file.format.toUpperCase() !== 'PARQUET') throw unsupported(location, `has files of format ${file.format}`)
  }
  const { fields } = currentSchema(metadata)
  const columns = fields.map(
    (field) => `cast(${identifier(field.name)} as ${duckType(field.type, location)}) as ${identifier(field.name)}`,
  )
  const view = `create view ${identifier(name)} as`
  if (files.length === 0) {
    const nulls = fields.map((field) => `cast(null as ${duckType(field.type, location)}) as ${identifier(field.name)}`)
    return `${view} select ${nulls.join(', ')} where false`
  }
  const paths = `[${files.map(({ file }) => literal(plainPath(file.path))).join(', ')}]`
  if (metadata.schemas.length === 1)
    return `${view} select ${columns.join(', ')} from read_parquet(${paths}, hive_partitioning = false)`
  if (fields.some((field) => typeof field.type !== 'string'))
    throw unsupported(location, 'has nested columns and its schema was changed: use Spark, Trino or Athena')
  const entries = fields.map(
    (field) =>
      `${field.id}: {name: ${literal(field.name)}, type: ${literal(duckType(field.type, location))}, default_value: NULL}`,
  )
  return `${view} select ${columns.join(', ')} from read_parquet(${paths}, schema = MAP {${entries.join(', ')}}, hive_partitioning = false)`
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** DuckDB expands wildcards in paths: a bracket class of the one character stands for itself. */
function plainPath(path: string): string {
  return path.replace(/^file:(?:\/\/)?(?=\/)/, '').replaceAll(/[[*?]/g, '[$&]')
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
