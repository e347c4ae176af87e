/** What a plan says: the document of `batch --plan --json`. Names, counts and sizes, never values. */
import type { ColumnReport } from '../report.ts'
import type { PlannedChunks } from './chunks.ts'
import type { DistinctEstimate, Quality } from './distinct.ts'
import type { Cost } from './prices.ts'

export interface BatchPlan {
  readonly job: string
  readonly status: 'planned' | 'nothing-to-do'
  readonly table: string
  readonly location: string
  /** Input files to be read. */
  readonly files: number
  /** Inputs that an earlier run has done. */
  readonly skipped_files: number
  readonly bytes_in: number
  readonly rows: number
  readonly row_groups: number
  /** Commits. */
  readonly steps: number
  readonly columns: readonly PlannedColumn[]
  /** Values that deterministic columns send; equal values of two columns of one domain and key are one. */
  readonly distinct: DistinctEstimate
  readonly service: PlannedService
  /** Expected; within a few percent where `distinct` is exact. */
  readonly bytes_out: number
  readonly creates: Creates
  /** Rough: from measured rates that stand in the price file, for one machine. */
  readonly seconds: number
  readonly cost: Cost
  readonly notes: readonly string[]
}

export interface PlannedColumn extends Omit<ColumnReport, 'key' | 'cells' | 'nulls' | 'bytes_out'> {
  /** Type in the table; missing for a dropped column. */
  readonly type?: string
  /** How its chunks are treated, and why; empty for a dropped column. */
  readonly chunks: readonly PlannedChunks[]
  /** Cells, nulls included. */
  readonly cells: number
  /** Null where a file does not say. */
  readonly nulls: number | null
  /** Of a deterministic column: as the service gets to see its values, normalized. */
  readonly distinct?: DistinctEstimate
  /** Distinct values that normalization makes equal to others. Missing without normalization. */
  readonly merged?: { readonly values: number; readonly quality: Quality }
}

export interface PlannedService {
  /** Attempts when nothing goes wrong, the key check included. */
  readonly requests: number
  /** Of which for the key check. */
  readonly key_checks: number
  readonly identifiers: number
  readonly request_bytes: number
  /** At most. */
  readonly response_bytes: number
  /** What the service said to the constant whose pseudonym tells its key. */
  readonly key_check: 'passed' | 'not-reached' | 'not-asked'
}

export interface Creates {
  readonly table: boolean
  /** The database's folder. */
  readonly database: boolean
  /** Columns of a table that is made: name and type. */
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** Table properties that are not there yet. */
  readonly properties: readonly string[]
  readonly data_files: number
  readonly snapshots: number
}
