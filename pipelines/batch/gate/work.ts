/** What a gate is told: of the run, and of each file. */
import type { Known } from '../../../lib/parquet/gather.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import type { RewritePlan } from '../../../lib/parquet/plan.ts'
import type { Provenance } from '../../../lib/parquet/provenance.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Storage, StoredObject } from '../../../lib/storage/storage.ts'
import type { Handed } from './handed.ts'
import type { GateRule } from './part.ts'

export interface GateOptions {
  readonly storage: Storage
  /** Every cell of copied columns, and the checksum of every copied byte. */
  readonly full: boolean
  /** Of matches to cells looked at, in each copied column. */
  readonly maxMatchRatio: number
  /** Turns a sample of pseudonyms back, where the service allows it. */
  readonly reidentify: boolean
  /** What the tables of hashes may take. */
  readonly memoryBytes: number
  /** Any number: hashes of two runs differ. */
  readonly seed: number
  readonly signal: AbortSignal
  /** Gathers what `takePart` gives: the gate of a thread, beside that of the run. @default false */
  readonly part?: boolean
}

export interface GateFile {
  readonly input: ParquetFile
  readonly plan: RewritePlan
  /** Location of what was written. */
  readonly output: string
  /** What the storage said of it when it was closed. @default asked for again */
  readonly stored?: StoredObject | undefined
  /** As recorded while it was written; missing for a file that an earlier run wrote, and looked at then. */
  readonly provenance?: Provenance
  /** Some of its chunks were looked at while it was written (`handed`, `rowGroup`). */
  readonly handed?: Handed | undefined
  /** Dictionaries that were read a moment ago, and where their values were found, by column and row group of the input. */
  readonly known?: ((source: LeafNode, rowGroup: number) => Known | undefined) | undefined
  /** By `pathKey` of the source, or of the output for a constant. */
  readonly rules: ReadonlyMap<string, GateRule>
  /** Values of constants before they were replaced, by `pathKey` of the output. */
  readonly constants: ReadonlyMap<string, string | null>
}
