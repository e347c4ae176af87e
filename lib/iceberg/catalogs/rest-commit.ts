/** A commit in the words of the REST protocol. Pure. */
import { MAIN, type TableMetadata } from '../metadata.ts'
import { highestFieldId } from '../schema.ts'
import type { TableUpdate } from '../updates.ts'
import { POINTED_TABLE_PROPERTIES } from './metadata-files.ts'

/**
 * What must be true of the table for the updates to be applied: that it is the one they were made for. The protocol has no requirement for
 * properties: ours that matter change together with a snapshot, which has one, and somebody's change of properties alone is looked for right
 * before the commit (rest.ts).
 * @param base undefined for a table to be made
 */
export function requirementsOf(base: TableMetadata | undefined): object[] {
  if (!base) return [{ type: 'assert-create' }]
  const uuid = base['table-uuid']
  return [
    ...(uuid === '' ? [] : [{ type: 'assert-table-uuid', uuid }]),
    { type: 'assert-ref-snapshot-id', ref: MAIN, 'snapshot-id': base['current-snapshot-id'] ?? null },
    { type: 'assert-current-schema-id', 'current-schema-id': base['current-schema-id'] },
    { type: 'assert-last-assigned-field-id', 'last-assigned-field-id': base['last-column-id'] },
    { type: 'assert-default-spec-id', 'default-spec-id': base['default-spec-id'] },
    { type: 'assert-default-sort-order-id', 'default-sort-order-id': base['default-sort-order-id'] },
  ]
}

/** Servers older than 1.5 want the highest field id with a schema. */
export function updatesFor(base: TableMetadata | undefined, updates: readonly TableUpdate[]): object[] {
  const defaults: TableUpdate = { action: 'set-properties', updates: POINTED_TABLE_PROPERTIES }
  const sent = updates.filter((update) => update.action !== 'set-properties' || Object.keys(update.updates).length > 0)
  return (base ? sent : withDefaults(sent, defaults)).map((update) =>
    update.action === 'add-schema'
      ? { ...update, 'last-column-id': Math.max(base?.['last-column-id'] ?? 0, highestFieldId(update.schema)) }
      : update,
  )
}

/** Before the properties that the maker asks for, and after what the table must have first. */
function withDefaults(updates: readonly TableUpdate[], defaults: TableUpdate): TableUpdate[] {
  const at = updates.findIndex(({ action }) => action === 'set-properties' || action === 'add-snapshot')
  return at < 0 ? [...updates, defaults] : [...updates.slice(0, at), defaults, ...updates.slice(at)]
}
