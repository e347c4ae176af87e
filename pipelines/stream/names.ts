/** Names of fields and columns. Pure. */
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { Schema } from '../../lib/iceberg/types.ts'

/**
 * A name of a field as a message may have it, with a blank behind it: producers put values there too, as keys of maps, and what has digits
 * like one is not shown.
 */
export function shownName(name: string): string {
  return /^[A-Za-z_][A-Za-z_.-]{0,63}\d{0,2}$/.test(name) ? `${name} ` : ''
}

/**
 * A grown schema with its columns in the order of the records. Only of a table without a row: the columns that were known before the first
 * record stood alone in it, and readers of others may go by position.
 */
export function inShapesOrder(grown: Schema, shape: Schema, { snapshots }: Pick<TableMetadata, 'snapshots'>): Schema {
  if (snapshots.some(({ summary }) => Number(summary['total-records'] ?? 0) > 0)) return grown
  const places = new Map(shape.fields.map(({ name }, i) => [name, i]))
  const placeOf = (name: string) => places.get(name) ?? shape.fields.length
  return { ...grown, fields: grown.fields.toSorted((a, b) => placeOf(a.name) - placeOf(b.name)) }
}
