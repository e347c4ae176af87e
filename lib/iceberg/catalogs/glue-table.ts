/**
 * Iceberg tables as Glue describes them. Only `metadata_location` says what the table is; columns and types are for people, crawlers and the
 * consoles, and Athena refuses a table without them. Names and forms as in Iceberg's `IcebergToGlueConverter`. Pure.
 */
import type { Column, StorageDescriptor, Table, TableInput } from '@aws-sdk/client-glue'
import { PseudolakeError } from '../../core/errors.ts'
import { currentSchema, type TableMetadata } from '../metadata.ts'
import { type Field, primitive, type Type } from '../types.ts'
import type { TableIdentifier } from './catalog.ts'

/** What a table's parameters say, and Glue itself does not know. */
const TABLE_TYPE = 'table_type'
const METADATA_LOCATION = 'metadata_location'
const PREVIOUS_METADATA_LOCATION = 'previous_metadata_location'
/** Glue refuses longer comments. */
const COMMENT_LENGTH = 255

/** @throws PseudolakeError `options/invalid` for a name that Glue, or Iceberg's own catalog for it, does not take */
export function checkGlueNames({ database, name }: TableIdentifier): void {
  for (const [what, text, most] of [
    ['database', database, 252],
    ['table', name, 255],
  ] as const)
    if (!/^[a-z0-9_]+$/.test(text) || text.length > most)
      throw new PseudolakeError(
        'options/invalid',
        `${what} name in Glue: expected 1 to ${most} lower-case letters, digits and _, got ${text.length} characters that are not so`,
      )
}

/** A table that is a whole bucket cannot be vacuumed by Athena, and everything else in the bucket would count as its garbage. */
export function checkGlueLocation(location: string): void {
  if (/^s3[an]?:\/\/[^/]*\/*$/i.test(location))
    throw new PseudolakeError('table/unsupported', `${location}: an Iceberg table at the root of a bucket`, {
      location,
    })
}

/** @throws PseudolakeError `table/unsupported` for what is no Iceberg table, `table/invalid` for one without metadata */
export function metadataLocationOf(table: Table, name: string): string {
  const parameters = table.Parameters ?? {}
  const type = parameters[TABLE_TYPE]?.toUpperCase() ?? ''
  if (table.TableType === 'VIRTUAL_VIEW' || type.includes('VIEW'))
    throw new PseudolakeError('table/unsupported', `${name} in Glue is a view`, { table: name })
  if (type !== 'ICEBERG')
    throw new PseudolakeError(
      'table/unsupported',
      `${name} in Glue is ${type === '' ? 'no Iceberg table' : `of type ${type}, not ICEBERG`}: it was left as it is`,
      { table: name },
    )
  const location = parameters[METADATA_LOCATION]
  if (location === undefined || location === '')
    throw new PseudolakeError('table/invalid', `${name} in Glue has no ${METADATA_LOCATION}`, { table: name })
  return location
}

/**
 * What Glue is to know after a commit. UpdateTable replaces everything, so all that was there and is not ours goes along.
 * @param before as GetTable gave it; undefined for a new table
 */
export function glueTableInput(
  name: string,
  before: Table | undefined,
  metadata: TableMetadata,
  metadataLocation: string,
): TableInput {
  const previous = before?.Parameters?.[METADATA_LOCATION]
  const { Parameters, StorageDescriptor: descriptor = {}, ...kept } = before ? inputPart(before) : ({} as TableInput)
  const storage: StorageDescriptor = {
    ...descriptor,
    Location: metadata.location,
    Columns: columnsOf(metadata, descriptor.Columns ?? []),
    ...additionalLocations(metadata),
  }
  const comment = metadata.properties.comment
  return {
    ...kept,
    Name: name,
    ...(comment !== undefined && { Description: comment.slice(0, 2048) }),
    TableType: 'EXTERNAL_TABLE',
    // Athena wants the list to be there; Iceberg's partitions are not Glue's.
    PartitionKeys: kept.PartitionKeys ?? [],
    StorageDescriptor: storage,
    Parameters: {
      ...Parameters,
      [TABLE_TYPE]: 'ICEBERG',
      [METADATA_LOCATION]: metadataLocation,
      ...(previous !== undefined && { [PREVIOUS_METADATA_LOCATION]: previous }),
    },
  }
}

/** The fields of a Table that a TableInput has; the others (times, versions, owners of permissions) are Glue's to write. */
function inputPart(table: Table): Partial<TableInput> {
  const { Description, Owner, LastAccessTime, LastAnalyzedTime, Retention, StorageDescriptor } = table
  const { PartitionKeys, ViewOriginalText, ViewExpandedText, TableType, Parameters, TargetTable } = table
  const all = {
    ...{ Description, Owner, LastAccessTime, LastAnalyzedTime, Retention, StorageDescriptor },
    ...{ PartitionKeys, ViewOriginalText, ViewExpandedText, TableType, Parameters, TargetTable },
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** Where Lake Formation and others must look besides the table's folder. */
function additionalLocations({ properties }: TableMetadata): Pick<StorageDescriptor, 'AdditionalLocations'> {
  const paths = ['write.data.path', 'write.metadata.path', 'write.object-storage.path', 'write.folder-storage.path']
  const found = [...new Set(paths.flatMap((key) => properties[key] ?? []))].sort()
  return found.length > 0 ? { AdditionalLocations: found } : {}
}

/** The current schema's columns, then those that only earlier schemas have. */
function columnsOf(metadata: TableMetadata, before: readonly Column[]): Column[] {
  const comments = new Map(before.map((column) => [column.Name, column.Comment]))
  const columns = new Map<string, Column>()
  const current = currentSchema(metadata)
  const earlier = metadata.schemas.filter((schema) => schema !== current)
  for (const schema of [current, ...earlier])
    for (const field of schema.fields)
      if (!columns.has(field.name)) columns.set(field.name, columnOf(field, schema === current, comments))
  return [...columns.values()]
}

function columnOf(
  { id, name, type, required, doc }: Field,
  current: boolean,
  comments: ReadonlyMap<string | undefined, string | undefined>,
): Column {
  const comment = doc ?? comments.get(name)
  return {
    Name: name,
    Type: hiveType(type),
    ...(comment !== undefined && { Comment: comment.slice(0, COMMENT_LENGTH) }),
    Parameters: {
      'iceberg.field.id': String(id),
      'iceberg.field.optional': String(!required),
      'iceberg.field.current': String(current),
    },
  }
}

/** The Hive type that stands for an Iceberg type. */
export function hiveType(type: Type): string {
  if (typeof type !== 'string') {
    switch (type.type) {
      case 'struct':
        return `struct<${type.fields.map((field) => `${field.name}:${hiveType(field.type)}`).join(',')}>`
      case 'list':
        return `array<${hiveType(type.element)}>`
      case 'map':
        return `map<${hiveType(type.key)},${hiveType(type.value)}>`
    }
  }
  const known = primitive(type)
  if (!known) return type
  switch (known.kind) {
    case 'long':
      return 'bigint'
    case 'time':
    case 'uuid':
      return 'string'
    case 'timestamptz':
      return 'timestamp'
    case 'fixed':
      return 'binary'
    case 'decimal':
      return `decimal(${known.precision},${known.scale})`
    default:
      return known.kind
  }
}
