/** What a report says beside the counts: enough for somebody who was not there to see what ran, with which settings. Pure. */
import { createHash } from 'node:crypto'
import { fieldsOf } from '../../lib/iceberg/schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { BatchSettings } from '../config/native.ts'
import type { Pinned } from './identities.ts'
import type { BatchPlan } from './plan/document.ts'
import type { ColumnReport, PlanAgainstActual } from './report.ts'
import type { PhaseTime } from './timings.ts'
import type { Totals } from './totals.ts'

interface Actual {
  readonly files: number
  readonly rows: number
  readonly distinct: number
  readonly service: { readonly requests: number; readonly identifiers: number }
  readonly bytes_out: number
  readonly seconds: number
}

/** @param phases of the run: the time of planning is no part of what was planned */
export function against(plan: BatchPlan, actual: Actual, phases: readonly PhaseTime[]): PlanAgainstActual {
  const planning = phases.find(({ name }) => name === 'plan')?.seconds ?? 0
  const { distinct, service, cost } = plan
  return {
    files: { planned: plan.files, actual: actual.files },
    rows: { planned: plan.rows, actual: actual.rows },
    distinct: { planned: distinct.values, actual: actual.distinct, quality: distinct.quality },
    requests: { planned: service.requests, actual: actual.service.requests },
    identifiers: { planned: service.identifiers, actual: actual.service.identifiers },
    bytes_out: { planned: plan.bytes_out, actual: actual.bytes_out },
    seconds: { planned: plan.seconds, actual: actual.seconds - planning },
    cost: { planned: cost.total, currency: cost.currency, prices_of: cost.date },
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
    const id = column.as === undefined ? undefined : ids.get(column.as)
    if (id === undefined || published.files === 0) return column
    const [cells, nulls, bytes] = [
      published.sum('valueCounts', id),
      published.sum('nullCounts', id),
      published.sum('columnSizes', id),
    ]
    const key = column.as === undefined ? undefined : keys.get(column.as)
    return {
      ...column,
      ...(key === undefined ? {} : { key }),
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

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}
