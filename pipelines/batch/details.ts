/** What a report says beside the counts: enough for somebody who was not there to see what ran, with which settings. Pure. */
import { createHash } from 'node:crypto'
import { isPseudolakeError, PseudolakeError } from '../../lib/core/errors.ts'
import { fieldsOf } from '../../lib/iceberg/schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { BatchSettings } from '../config/native.ts'
import type { Pinned } from './identities.ts'
import type { Quality } from './plan/distinct.ts'
import type { PlannedColumn } from './plan/document.ts'
import type { PlanSums } from './plan/sums.ts'
import type { BatchReport, ColumnAgainstActual, ColumnReport, PlanAgainstActual } from './report.ts'
import type { Totals } from './totals.ts'

/** @param basis what the plan was made from */
export function against(plan: PlanSums, basis: PlanAgainstActual['basis'], actual: BatchReport): PlanAgainstActual {
  const { distinct, service, cost } = plan
  const { quality } = distinct
  // The time of planning is no part of what was planned.
  const planning = actual.phases.find(({ name }) => name === 'plan')?.seconds ?? 0
  const columns = new Map(actual.columns.map((column) => [column.column, column]))
  // A report counts them as the client does: each cell of mode random is a value of its own.
  const random = plan.columns.reduce((sum, column) => sum + randomCells(column), 0)
  return {
    basis,
    files: { planned: plan.files, actual: actual.files },
    rows: { planned: plan.rows, actual: actual.rows },
    distinct: {
      planned: distinct.values + random,
      at_most: distinct.at_most + random,
      actual: actual.distinct,
      quality,
    },
    // Which values are asked for together is not known to the value.
    requests: {
      planned: service.requests,
      actual: actual.service.requests,
      quality: quality === 'exact' ? 'estimated' : quality,
    },
    identifiers: { planned: service.identifiers, actual: actual.service.identifiers, quality },
    bytes_out: { planned: plan.bytes_out, actual: actual.bytes_out, quality: sizeQuality(plan, basis) },
    seconds: { planned: plan.seconds, actual: actual.seconds - planning, quality: 'guessed' },
    cost: { planned: cost.total, currency: cost.currency, prices_of: cost.date },
    columns: plan.columns.map((column) => comparedColumn(column, columns.get(column.column))),
  }
}

/** Compressed sizes are never exact; by footers alone those of pseudonyms are guessed, whatever is known of their number. */
function sizeQuality({ columns, distinct }: PlanSums, basis: PlanAgainstActual['basis']): Quality {
  if (basis === 'footers' && columns.some(({ action }) => action === 'replaced')) return 'guessed'
  return distinct.quality === 'exact' ? 'estimated' : distinct.quality
}

function randomCells({ mode, chunks, cells, nulls }: PlannedColumn): number {
  if (mode !== 'random') return 0
  const isFolder = chunks.some(({ action }) => action === 'constant')
  return isFolder ? 0 : cells - (nulls ?? 0)
}

function comparedColumn(planned: PlannedColumn, actual: ColumnReport | undefined): ColumnAgainstActual {
  const { column, action, as, chunks, cells, nulls } = planned
  return {
    column,
    action,
    ...(as === undefined ? {} : { as }),
    chunks,
    cells: { planned: cells, actual: actual?.cells ?? null },
    nulls: { planned: nulls, actual: actual?.nulls ?? null },
  }
}

/** Names settings without showing them: first 16 hex digits of SHA-256 over the effective configuration, in the order of its names. */
export function configDigest(settings: BatchSettings): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(settings)))
    .digest('hex')
    .slice(0, 16)
}

function sorted(value: unknown): unknown {
  if (value instanceof Map) return sorted(Object.fromEntries(value))
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

/** Columns with what was published of them: cells, nulls, bytes; and the key that a replaced one was made with. */
export function columnsWithCounts(
  columns: readonly ColumnReport[],
  published: Totals,
  schema: Schema | undefined,
  pinned: readonly Pinned[],
): ColumnReport[] {
  const ids = new Map([...(schema ? fieldsOf(schema) : [])].map((field) => [field.path.join('.'), field.id]))
  const keys = new Map(pinned.map(({ column, identity }) => [column, identity.key]))
  return columns.map((column) => {
    const key = column.as === undefined ? undefined : keys.get(column.as)
    const keyed = key === undefined ? column : { ...column, key }
    const id = column.as === undefined ? undefined : ids.get(column.as)
    if (id === undefined || published.files === 0) return keyed
    const [cells, nulls, bytes] = [
      published.sum('valueCounts', id),
      published.sum('nullCounts', id),
      published.sum('columnSizes', id),
    ]
    return {
      ...keyed,
      ...(cells === undefined ? {} : { cells }),
      ...(nulls === undefined ? {} : { nulls }),
      ...(bytes === undefined ? {} : { bytes_out: bytes }),
    }
  })
}

/**
 * Folders of partitions are named by values (`vin=…/`): those of protected columns are no part of a report.
 * @param names of the columns; every folder's value goes where they are not known
 */
export function withoutFolderValues(text: string, names: readonly string[] | undefined): string {
  const hidden = names && new Set(names.map((name) => name.toLowerCase()))
  return text.replaceAll(/(?<=\/)([^/=\s]+)=[^/]*(?=\/)/g, (segment, key: string) =>
    hidden && !hidden.has(unescaped(key).toLowerCase()) ? segment : `${key}=…`,
  )
}

/** An error as it may be printed: a location in it still names the file, and no folder's value. What it was caused by is printed too. */
export function withoutFolders(error: PseudolakeError, names: readonly string[]): PseudolakeError {
  const shown = (text: string) => withoutFolderValues(text, names)
  const context = Object.fromEntries(
    Object.entries(error.context).map(([key, value]) => {
      if (typeof value === 'string') return [key, shown(value)]
      return [key, Array.isArray(value) ? value.map((one) => (typeof one === 'string' ? shown(one) : one)) : value]
    }),
  )
  const cause = isPseudolakeError(error.cause) ? withoutFolders(error.cause, names) : error.cause
  return new PseudolakeError(error.code, shown(error.message), context, cause === undefined ? {} : { cause })
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}
