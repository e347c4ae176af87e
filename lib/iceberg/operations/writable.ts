import { PseudolakeError } from '../../core/errors.ts'
import { currentSchema, defaultSpec, type PartitionSpec, type TableMetadata } from '../metadata.ts'
import { type SchemaDifference, schemaChanged } from '../parquet-schema.ts'
import { childrenOf, fieldsById } from '../schema.ts'
import { readableAs, type Schema, typeText } from '../types.ts'
import type { TableUpdate } from '../updates.ts'

/** What every commit of ours requires of a table, tested anew in each try: the table may have changed since the files were written. Pure. */

/** @throws PseudolakeError `table/unsupported` for format version 3 and for a partitioned table */
export function requireWritable(metadata: TableMetadata): void {
  const unsupported = (what: string) =>
    new PseudolakeError('table/unsupported', `${metadata.location}: ${what}`, { location: metadata.location })
  if (metadata['format-version'] === 3) throw unsupported('tables of format version 3 are read, not written')
  if (defaultSpec(metadata).fields.some((field) => field.transform !== 'void'))
    throw unsupported('the table is partitioned')
  if (!specToWrite(metadata)) throw unsupported('the table was partitioned: its files would need null partitions')
}

/**
 * The spec of files that we add. One whose fields were all dropped partitions nothing, and yet its files have a null for each field: where the
 * table has a spec without fields, files are of that one. Undefined for a table that `requireWritable` refuses.
 */
export function specToWrite(metadata: TableMetadata): PartitionSpec | undefined {
  const chosen = defaultSpec(metadata)
  return chosen.fields.length === 0 ? chosen : metadata['partition-specs'].find(({ fields }) => fields.length === 0)
}

/** The updates that bring an older table to format version 2; none for one that is there. */
export function upgradeUpdates(metadata: TableMetadata, uuid: () => string): TableUpdate[] {
  if (metadata['format-version'] !== 1) return []
  return [
    ...(metadata['table-uuid'] === '' ? [{ action: 'assign-uuid', uuid: uuid() } as const] : []),
    { action: 'upgrade-format-version', 'format-version': 2 },
  ]
}

/**
 * Requires that files written for `written` can be read as the table's current schema, by field id: that each of its fields is there with a
 * type that reads it, and that the table demands no value that the files lack.
 * @throws PseudolakeError `table/schema-changed`
 */
export function requireFields(metadata: TableMetadata, written: Schema): void {
  const current = fieldsById(currentSchema(metadata))
  const ours = fieldsById(written)
  const differences: SchemaDifference[] = []
  for (const { id, path, type } of ours.values()) {
    const field = current.get(id)
    if (!field) {
      differences.push({ kind: 'added', path, required: false, file: typeText(type) })
      continue
    }
    const fits =
      typeof type === 'string'
        ? typeof field.type === 'string' && readableAs(type, field.type)
        : typeof field.type === 'object' && field.type.type === type.type && sameShape(type, field.type)
    if (!fits)
      differences.push({
        kind: 'type-changed',
        path,
        required: field.required,
        table: typeText(field.type),
        file: typeText(type),
      })
  }
  for (const { id, path, required, type } of current.values())
    if (required && !ours.has(id))
      differences.push({ kind: 'missing', path, required, table: `required ${typeText(type)}` })
  if (differences.length > 0) throw schemaChanged(differences)
}

/** Elements, keys and values are found by position, so their ids must be the same ones. */
function sameShape(written: Exclude<Schema['fields'][number]['type'], string>, table: typeof written): boolean {
  if (written.type === 'struct') return true
  const inner = childrenOf(table)
  return childrenOf(written).every(({ id }, i) => inner[i]?.id === id)
}

/** In file names, so that it says whose they are. @throws PseudolakeError `options/invalid` */
export function requireRunId(runId: string): void {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(runId))
    throw new PseudolakeError(
      'options/invalid',
      `runId: expected 1 to 64 letters, digits and -, got ${runId.length} characters`,
    )
}
