import { createHash } from 'node:crypto'
import { PseudolakeError } from '../../core/errors.ts'
import { openParquet, type ParquetFile } from '../../parquet/open.ts'
import type { Treatments } from '../../parquet/output-tree.ts'
import { planRewrite, type RewritePlan } from '../../parquet/plan.ts'
import { pathKey, type SchemaNode } from '../../parquet/schema.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageLocation } from '../locations.ts'
import { currentSchema, type TableMetadata } from '../metadata.ts'
import { fieldsById } from '../schema.ts'

/** A data file on its way into another one. */

/** Why a file stays as it is. */
export const LEFT_ALONE = {
  excluded: 'a job’s ledger names it, or the caller wants it as it is',
  'equality-deletes': 'equality deletes by nested columns are about it, which are not applied',
  deletes: 'deletes of another format than Parquet, or encrypted ones, are about it',
  format: 'it is not Parquet, or encrypted',
  partition: 'it belongs to a partition',
  schema: 'its columns have no field ids, none of the table’s, or types that would have to change',
} as const
export type LeftAlone = keyof typeof LEFT_ALONE

export interface Mergeable {
  readonly file: ParquetFile
  readonly plan: RewritePlan
  /** Files with equal ones can be one file. */
  readonly print: string
}

/**
 * Opens a file and plans to copy what the table has of it: columns that were dropped stay behind.
 * @param replaced field ids of columns that get no statistics of values
 * @throws PseudolakeError `table/invalid` where it is not the file that the manifest is about; `input/*`, `storage/*`
 */
export async function openMergeable(
  storage: Storage,
  { path, bytes, rows }: { readonly path: string; readonly bytes: number; readonly rows: number },
  metadata: TableMetadata,
  replaced: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<Mergeable | 'schema'> {
  const location = storageLocation(path)
  const file = await openParquet(storage, await storage.stat(location), signal ? { signal } : {})
  if (file.object.bytes !== bytes || file.rows !== rows)
    throw new PseudolakeError(
      'table/invalid',
      `${location}: has ${file.object.bytes} bytes and ${file.rows} rows, its manifest says ${bytes} and ${rows}`,
      { location },
    )
  const ids = new Map<string, number>()
  if (!gatherIds(file.root, ids)) return 'schema'
  const known = fieldsById(currentSchema(metadata))
  const treatments: Treatments = new Map(
    file.leaves.flatMap(({ path: leaf, fieldId }) =>
      known.has(fieldId as number) ? [] : [[pathKey(leaf), { kind: 'drop' }] as const],
    ),
  )
  if (treatments.size === file.leaves.length) return 'schema'
  const planned = planRewrite(file, treatments, { fieldIds: (at) => ids.get(pathKey(at)) ?? Number.NaN })
  if (planned.columns.some(({ widening, leaf }) => widening !== undefined || Number.isNaN(leaf.fieldId)))
    return 'schema'
  const columns = planned.columns.map((column) => ({
    ...column,
    replaced: replaced.has(column.leaf.fieldId as number),
  }))
  const print = createHash('sha256').update(JSON.stringify(planned.root)).digest('hex')
  return { file, plan: { ...planned, columns }, print }
}

/** @returns false where a node has none */
function gatherIds(nodes: readonly SchemaNode[], ids: Map<string, number>): boolean {
  return nodes.every((node) => {
    if (node.fieldId === undefined || (node.kind === 'list' && node.spelled)) return false
    ids.set(pathKey(node.path), node.fieldId)
    if (node.kind === 'struct') return gatherIds(node.children, ids)
    if (node.kind === 'list') return gatherIds([node.element], ids)
    return node.kind === 'leaf' || gatherIds([node.key, node.value], ids)
  })
}
