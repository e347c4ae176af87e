import type { Catalog, TableIdentifier } from '../catalogs/catalog.ts'
import { commit } from '../commit.ts'
import type { TableMetadata } from '../metadata.ts'
import type { TableUpdate } from '../updates.ts'
import type { OperationContext, SnapshotResult } from './snapshot.ts'
import { requireWritable, upgradeUpdates } from './writable.ts'

export interface SetPropertiesOptions {
  readonly set?: Readonly<Record<string, string>>
  readonly remove?: readonly string[]
  /** Called in every try with the table it builds on: throw to stop. */
  readonly check?: (metadata: TableMetadata) => void | Promise<void>
}

/**
 * Changes table properties without a snapshot.
 * @throws PseudolakeError `table/not-found`, `table/conflict`, `table/commit-unknown`, `table/unsupported`, and what `check` throws
 */
export async function setProperties(
  catalog: Catalog,
  table: TableIdentifier,
  { set = {}, remove = [], check }: SetPropertiesOptions,
  context: OperationContext,
): Promise<Omit<SnapshotResult, 'snapshotId' | 'created'>> {
  let upgraded = false
  const { state, attempts } = await commit(
    {
      catalog,
      table,
      create: false,
      prepared: [],
      uses: () => true,
      isIn: ({ properties }) =>
        Object.entries(set).every(([key, value]) => properties[key] === value) &&
        remove.every((key) => !Object.hasOwn(properties, key)),
      async stage(base) {
        if (!base) return []
        requireWritable(base.metadata)
        await check?.(base.metadata)
        upgraded = base.metadata['format-version'] === 1
        const updates: TableUpdate[] = upgradeUpdates(base.metadata, context.uuid)
        if (Object.keys(set).length > 0) updates.push({ action: 'set-properties', updates: set })
        if (remove.length > 0) updates.push({ action: 'remove-properties', removals: remove })
        return updates
      },
    },
    context,
  )
  return { table: state, attempts, upgraded }
}
