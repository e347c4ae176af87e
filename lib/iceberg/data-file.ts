/** A data or delete file as manifests describe it (Iceberg specification, "Manifests", `data_file`). Pure data. */
export interface DataFile {
  readonly content: 'data' | 'position-deletes' | 'equality-deletes'
  /** The full location, spelt the same everywhere: orphan clean-up compares strings. */
  readonly path: string
  readonly format: string
  /** Values by partition field id; empty in an unpartitioned table. */
  readonly partition: ReadonlyMap<number, unknown>
  readonly rows: number
  readonly bytes: number
  readonly columnSizes?: ReadonlyMap<number, number>
  readonly valueCounts?: ReadonlyMap<number, number>
  readonly nullCounts?: ReadonlyMap<number, number>
  readonly nanCounts?: ReadonlyMap<number, number>
  /** Single-value binary form (appendix D). */
  readonly lowerBounds?: ReadonlyMap<number, Uint8Array>
  readonly upperBounds?: ReadonlyMap<number, Uint8Array>
  readonly keyMetadata?: Uint8Array
  readonly splitOffsets?: readonly number[]
  readonly equalityIds?: readonly number[]
  readonly sortOrderId?: number
  /** The one data file that a position-delete file is about. */
  readonly referencedDataFile?: string
}
