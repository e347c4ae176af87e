import type { LogicalType, PhysicalType } from './schema.ts'

/** What the footer of a file we wrote says of it: enough for a catalog to list the file, without opening it again. */
export interface WrittenFile {
  readonly location: string
  readonly bytes: number
  readonly rows: number
  /** Where each row group starts, ascending. */
  readonly splitOffsets: readonly number[]
  readonly columns: readonly WrittenColumn[]
}

/** One leaf column over all row groups of a file. */
export interface WrittenColumn {
  readonly path: readonly string[]
  readonly fieldId: number
  readonly physical: PhysicalType
  readonly logical?: LogicalType
  /** True for list elements and map keys and values, which get no bounds. */
  readonly repeated: boolean
  /** True for a column whose values were replaced: counts only, never bounds. */
  readonly replaced: boolean
  /** Sum of the chunks' compressed sizes, page headers included. */
  readonly bytes: number
  /** Values, nulls included. */
  readonly values: number
  /** Missing where a copied chunk's statistics do not say. */
  readonly nulls?: number
  /** Least and greatest value in Parquet's PLAIN form, where every row group has both in the order of the type; else missing. */
  readonly min?: Uint8Array
  readonly max?: Uint8Array
}
