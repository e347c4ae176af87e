/** What a catalog needs to know of a file that was written. Pure. */
import type { StoredObject } from '../storage/storage.ts'
import type { WrittenChunk, WrittenRowGroup } from './footer.ts'
import type { RewritePlan } from './plan.ts'
import type { LeafNode } from './schema.ts'
import { unscaled } from './types.ts'
import type { WrittenColumn, WrittenFile } from './written.ts'

export function summarize(
  stored: StoredObject,
  plan: Pick<RewritePlan, 'columns'>,
  rowGroups: readonly WrittenRowGroup[],
): WrittenFile {
  return {
    location: stored.location,
    bytes: stored.bytes,
    rows: rowGroups.reduce((sum, group) => sum + group.rows, 0),
    splitOffsets: rowGroups.flatMap((group) => group.chunks[0]?.start ?? []),
    columns: plan.columns.map(({ leaf, replaced }, i) =>
      column(
        leaf,
        replaced,
        rowGroups.flatMap((group) => group.chunks[i] ?? []),
      ),
    ),
  }
}

function column(leaf: LeafNode, replaced: boolean, chunks: readonly WrittenChunk[]): WrittenColumn {
  const nulls = chunks.map((chunk) => (leaf.maxDefinitionLevel === 0 ? 0 : chunk.statistics?.nulls))
  const bounds = replaced || leaf.maxRepetitionLevel > 0 ? undefined : merge(leaf, chunks)
  return {
    path: leaf.path,
    fieldId: leaf.fieldId ?? -1,
    physical: leaf.physical,
    ...(leaf.logical && { logical: leaf.logical }),
    repeated: leaf.maxRepetitionLevel > 0,
    replaced,
    bytes: chunks.reduce((sum, chunk) => sum + chunk.end - chunk.start, 0),
    values: chunks.reduce((sum, chunk) => sum + chunk.values, 0),
    ...(nulls.every((n) => n !== undefined) && { nulls: nulls.reduce((sum, n) => sum + n, 0) }),
    ...bounds,
  }
}

/** Bounds over all row groups that have a value, or nothing where one of those does not say. */
function merge(leaf: LeafNode, chunks: readonly WrittenChunk[]): { min: Uint8Array; max: Uint8Array } | undefined {
  const compare = order(leaf)
  if (!compare) return undefined
  let bounds: { min: Uint8Array; max: Uint8Array } | undefined
  for (const { statistics, values } of chunks) {
    if (statistics?.nulls === values) continue
    const { min, max } = statistics ?? {}
    if (!min || !max || !valid(leaf, min) || !valid(leaf, max)) return undefined
    bounds = bounds
      ? { min: compare(min, bounds.min) < 0 ? min : bounds.min, max: compare(max, bounds.max) > 0 ? max : bounds.max }
      : { min, max }
  }
  return bounds && { min: zero(leaf, bounds.min, -0), max: zero(leaf, bounds.max, 0) }
}

type Compare = (a: Uint8Array, b: Uint8Array) => number

function order(leaf: LeafNode): Compare | undefined {
  switch (leaf.physical) {
    case 'BOOLEAN':
    case 'INT32':
    case 'INT64':
    case 'FLOAT':
    case 'DOUBLE':
      return (a, b) => {
        const [x, y] = [number(leaf, a), number(leaf, b)]
        return x < y ? -1 : x > y ? 1 : 0
      }
    case 'INT96':
      return undefined
    default:
      if (leaf.logical?.type !== 'decimal') return Buffer.compare
      return (a, b) => {
        const [x, y] = [unscaled(a), unscaled(b)]
        return x < y ? -1 : x > y ? 1 : 0
      }
  }
}

function number({ physical }: LeafNode, bytes: Uint8Array): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (physical === 'INT32') return view.getInt32(0, true)
  if (physical === 'INT64') return view.getBigInt64(0, true)
  if (physical === 'FLOAT') return view.getFloat32(0, true)
  if (physical === 'DOUBLE') return view.getFloat64(0, true)
  return view.getUint8(0)
}

const WIDTH: Partial<Record<LeafNode['physical'], number>> = { BOOLEAN: 1, INT32: 4, INT64: 8, FLOAT: 4, DOUBLE: 8 }

/** Bounds came from the input: of the right length, and not NaN, or they are none. */
function valid(leaf: LeafNode, bytes: Uint8Array): boolean {
  const width = WIDTH[leaf.physical] ?? leaf.typeLength
  if (leaf.physical === 'FIXED_LEN_BYTE_ARRAY' && leaf.logical === undefined) return bytes.length <= (width ?? 0)
  if (width !== undefined && bytes.length !== width) return false
  return width === undefined || leaf.physical === 'FIXED_LEN_BYTE_ARRAY' || !Number.isNaN(number(leaf, bytes))
}

/** Parquet lets a writer say either zero for both; Iceberg orders -0 before 0. */
function zero(leaf: LeafNode, bytes: Uint8Array, sign: 0 | -0): Uint8Array {
  if ((leaf.physical !== 'FLOAT' && leaf.physical !== 'DOUBLE') || number(leaf, bytes) !== 0) return bytes
  const out = Buffer.alloc(bytes.length)
  if (leaf.physical === 'FLOAT') out.writeFloatLE(sign)
  else out.writeDoubleLE(sign)
  return out
}
