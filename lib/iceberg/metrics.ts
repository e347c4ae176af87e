import { PseudolakeError } from '../core/errors.ts'
import type { WrittenColumn, WrittenFile } from '../parquet/written.ts'
import type { DataFile } from './data-file.ts'
import { fieldsById, fieldsOf } from './schema.ts'
import { type Bounds, boundsFromPlain, decimalBound } from './single-value.ts'
import { primitive, type Schema } from './types.ts'

/**
 * What a manifest says of a file's columns: sizes, counts and bounds by field id, in the modes that the table's properties ask for
 * (Iceberg documentation, "Configuration", `write.metadata.metrics.*`). Pure.
 */

export type MetricsMode =
  | { readonly kind: 'none' | 'counts' | 'full' }
  | { readonly kind: 'truncate'; readonly length: number }

const DEFAULT_MODE: MetricsMode = { kind: 'truncate', length: 16 }
const DEFAULT_INFERRED_COLUMNS = 100
const COLUMN = 'write.metadata.metrics.column.'

/**
 * The mode of every primitive field. Beyond the first `write.metadata.metrics.max-inferred-column-defaults` (100) columns there are no
 * metrics unless a property asks for them. Sort columns get at least truncated bounds, as in Iceberg's own library, unless they are set
 * one by one; a mode that cannot be read counts as the default.
 * @param sortedBy field ids of the table's sort order
 */
export function metricsModes(
  schema: Schema,
  properties: Readonly<Record<string, string>>,
  sortedBy: readonly number[] = [],
): ReadonlyMap<number, MetricsMode> {
  const modes = new Map<number, MetricsMode>()
  const set = properties['write.metadata.metrics.default']
  const inferred = Number(properties['write.metadata.metrics.max-inferred-column-defaults'] ?? DEFAULT_INFERRED_COLUMNS)
  let columns = 0
  for (const field of fieldsOf(schema)) {
    if (typeof field.type !== 'string') continue
    columns++
    let mode = set === undefined ? (columns > inferred ? NONE : DEFAULT_MODE) : parseMode(set)
    if (sortedBy.includes(field.id) && (mode.kind === 'none' || mode.kind === 'counts')) mode = DEFAULT_MODE
    const own = properties[COLUMN + field.path.join('.')]
    modes.set(field.id, own === undefined ? mode : parseMode(own))
  }
  return modes
}

const NONE: MetricsMode = { kind: 'none' }

function parseMode(text: string): MetricsMode {
  const mode = text.trim().toLowerCase()
  if (mode === 'none' || mode === 'counts' || mode === 'full') return { kind: mode }
  const length = Number(/^truncate\((\d+)\)$/.exec(mode)?.[1])
  return length > 0 ? { kind: 'truncate', length } : DEFAULT_MODE
}

/** The property that keeps a column's values out of bounds, for other writers of the table too. */
export function countsOnlyProperty(column: readonly string[]): readonly [key: string, value: string] {
  return [COLUMN + column.join('.'), 'counts']
}

/**
 * The manifest's view of a file that was written with the table's field ids.
 *
 * Columns whose values were replaced get counts only, whatever the mode: bounds of pseudonyms help no query, and a property that
 * somebody changed must not be what keeps a value out of the manifest.
 * @param location how the table spells the file's location, where that is not as the file's writer did
 */
export function dataFileFrom(
  file: WrittenFile,
  schema: Schema,
  modes: ReadonlyMap<number, MetricsMode>,
  location: string = file.location,
): DataFile {
  const fields = fieldsById(schema)
  const columnSizes = new Map<number, number>()
  const valueCounts = new Map<number, number>()
  const nullCounts = new Map<number, number>()
  const lowerBounds = new Map<number, Uint8Array>()
  const upperBounds = new Map<number, Uint8Array>()

  for (const column of file.columns) {
    const { fieldId } = column
    const type = fields.get(fieldId)?.type
    // Iceberg finds columns by id alone: such a file would read as nulls.
    if (type === undefined)
      throw new PseudolakeError('internal/bug', `column ${column.path.join('.')}: no field ${fieldId} in the schema`)
    columnSizes.set(fieldId, column.bytes)
    const mode = modes.get(fieldId) ?? NONE
    if (mode.kind === 'none') continue
    valueCounts.set(fieldId, column.values)
    if (column.nulls !== undefined) nullCounts.set(fieldId, column.nulls)
    if (mode.kind === 'counts' || column.replaced || column.repeated || typeof type !== 'string') continue
    const { lower, upper } = bounds(column, type, mode.kind === 'truncate' ? mode.length : Number.POSITIVE_INFINITY)
    if (lower) lowerBounds.set(fieldId, lower)
    if (upper) upperBounds.set(fieldId, upper)
  }

  return {
    content: 'data',
    path: location,
    format: 'PARQUET',
    partition: new Map(),
    rows: file.rows,
    bytes: file.bytes,
    columnSizes,
    valueCounts,
    nullCounts,
    lowerBounds,
    upperBounds,
    splitOffsets: file.splitOffsets,
  }
}

function bounds({ min, max, physical }: WrittenColumn, type: string, truncateTo: number): Bounds {
  // INT96 has no defined order; its statistics mean nothing.
  if (!min || !max || physical === 'INT96') return {}
  if (primitive(type)?.kind !== 'decimal') return boundsFromPlain(type, min, max, truncateTo)
  const bigEndian = physical === 'BYTE_ARRAY' || physical === 'FIXED_LEN_BYTE_ARRAY'
  const [lower, upper] = [decimalBound(min, bigEndian), decimalBound(max, bigEndian)]
  return lower && upper ? { lower, upper } : {}
}
