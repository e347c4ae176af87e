/** What the package exports as `pseudolake/parquet`. */
export type { OutputCodec } from './codec.ts'
export type { ChunkStatistics, ColumnChunk, RowGroup } from './footer.ts'
export { openParquet, type ParquetFile } from './open.ts'
export {
  type ConstantColumn,
  type OutputColumn,
  type OutputTree,
  outputTree,
  type Treatment,
  type Treatments,
} from './output-tree.ts'
export {
  type ChunkAction,
  type PlannedChunk,
  type PlannedRowGroup,
  type PlanOptions,
  planRewrite,
  type RewritePlan,
} from './plan.ts'
export { type Replace, type RewriteOptions, rewrite } from './rewrite.ts'
export { type ScanOptions, scanTexts, type TextBatch } from './scan.ts'
export {
  type LeafNode,
  type ListNode,
  type LogicalType,
  type MapNode,
  type PhysicalType,
  pathKey,
  type SchemaNode,
  type StructNode,
} from './schema.ts'
export type { WrittenColumn, WrittenFile } from './written.ts'
