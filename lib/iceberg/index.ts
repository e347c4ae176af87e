/** Iceberg tables: what the package exports as `pseudolake/iceberg`. */
export type { Catalog, TableIdentifier, TableState } from './catalogs/catalog.ts'
export { type FilesystemCatalogOptions, filesystemCatalog } from './catalogs/filesystem.ts'
export { type GlueCatalogOptions, glueCatalog } from './catalogs/glue.ts'
export { type MemoryCatalogOptions, memoryCatalog } from './catalogs/memory.ts'
export { type RestCatalogOptions, restCatalog } from './catalogs/rest.ts'
export {
  bearerAuth,
  noAuth,
  type OAuth2Options,
  oauth2Auth,
  type RestAuth,
  signedAuth,
} from './catalogs/rest-auth.ts'
export { fetchSend, type HttpRequest, type HttpResponse, type HttpSend } from './catalogs/rest-http.ts'
export type { VendedAccess, VendedCredentials } from './catalogs/rest-storage.ts'
export { type CommitContext, RETRY_DEFAULTS } from './commit.ts'
export type { DataFile } from './data-file.ts'
export {
  currentSchema,
  currentSnapshot,
  parseMetadata,
  type Snapshot,
  serializeMetadata,
  snapshotById,
  type TableMetadata,
} from './metadata.ts'
export { countsOnlyProperty, dataFileFrom, type MetricsMode, metricsModes } from './metrics.ts'
export { type CatalogKind, type CatalogOptions, catalogLocation, openCatalog, openTable } from './open.ts'
export { appendFiles } from './operations/append.ts'
export { type BoundOptions, boundSnapshots } from './operations/bound-snapshots.ts'
export {
  type CompactOptions,
  type CompactProgress,
  type CompactResult,
  compactTable,
  planCompactTable,
} from './operations/compact.ts'
export { LEFT_ALONE, type LeftAlone } from './operations/compact-file.ts'
export type { Bin, BinFile, CompactPlan } from './operations/compact-plan.ts'
export {
  type ExpireOptions,
  type ExpirePlan,
  type ExpireResult,
  expireSnapshots,
  planExpireSnapshots,
} from './operations/expire.ts'
export { type NullValuesOptions, nullValues } from './operations/null-values.ts'
export { type OrphanOptions, type OrphanResult, removeOrphans } from './operations/orphans.ts'
export { type OverwriteOptions, overwriteFiles } from './operations/overwrite.ts'
export type { FileKind, Removed } from './operations/remove-files.ts'
export { type SetPropertiesOptions, setProperties } from './operations/set-properties.ts'
export type { OperationContext, SnapshotOptions, SnapshotResult } from './operations/snapshot.ts'
export { compareSchemas, fieldIdsFor, type SchemaDifference, schemaFromParquet } from './parquet-schema.ts'
export { type PlannedFile, planFiles } from './scan.ts'
export type { Field, ListType, MapType, Schema, StructType, Type } from './types.ts'
export type { TableUpdate } from './updates.ts'
