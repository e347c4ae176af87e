/** The gate of a batch run: what it needs out of the job, the plan and the rules of a file. */
import { fieldIdsFor } from '../../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../../lib/iceberg/types.ts'
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import { planRewrite, type RewritePlan } from '../../../lib/parquet/plan.ts'
import type { Provenance } from '../../../lib/parquet/provenance.ts'
import { pathKey } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { Approved } from '../../pins.ts'
import type { Pinned } from '../identities.ts'
import type { InputFile } from '../inputs.ts'
import type { BatchJob } from '../job.ts'
import { type Shape, shapeOf } from '../shape.ts'
import { Gate, type GateFile, type GateOptions, type GateRule } from './gate.ts'

/** Of the memory a run may use, what hashes of values may take. */
const MEMORY_SHARE = 1 / 16

/** @param outside `share` of the memory that all gates of the run may take; 1 where it is missing */
export function gateWith(
  { settings }: BatchJob,
  outside: Pick<GateOptions, 'storage' | 'signal' | 'seed' | 'part'> & { readonly share?: number },
): Gate {
  const { share = 1, ...options } = outside
  const { full, max_match_ratio: maxMatchRatio, reidentify } = settings.gate
  const memoryBytes = settings.limits.memory_mb * 2 ** 20 * MEMORY_SHARE * share
  return new Gate({ ...options, full, maxMatchRatio, reidentify, memoryBytes })
}

export interface Written {
  readonly file: ParquetFile
  readonly input: InputFile
  readonly shape: Shape
  readonly pinned: readonly Pinned[]
  readonly plan: RewritePlan
  readonly output: string
  readonly provenance?: Provenance
  readonly known?: GateFile['known']
}

/** @throws as `Gate.file` */
export async function gateFile(gate: Gate, written: Written): Promise<void> {
  await gate.file(gateWork(written))
}

/** What the gate has to know of a file, before or after it is written. */
export function gateWork({ shape, pinned, input, file, ...written }: Written): GateFile {
  const ruleOf = (rule: GateRule['rule']): GateRule => ({
    rule,
    key: pinned.find((pin) => pin.rule === rule)?.identity.key,
  })
  const values = new Map(input.partitions)
  const rules = new Map<string, GateRule>()
  for (const decision of shape.decisions)
    if (decision.kind === 'replace') rules.set(pathKey(decision.leaf.path), ruleOf(decision.rule))
  const constants = new Map<string, string | null>()
  for (const { key, as, rule } of shape.partitions) {
    if (rule) rules.set(pathKey([as]), ruleOf(rule))
    constants.set(pathKey([as]), values.get(key) ?? null)
  }
  return { input: file, rules, constants, ...written }
}

export interface TakenOver {
  readonly storage: Storage
  readonly signal: AbortSignal
  readonly job: BatchJob
  readonly approved: Approved | undefined
  readonly schema: Schema
  readonly pinned: readonly Pinned[]
}

/**
 * A file that an earlier run finished: its bytes are those that were looked at then, by their checksum. Its values belong to this run's
 * mapping and originals, so it is read once more.
 * @throws as `Gate.file`, and as `openParquet` for the input
 */
export async function gateTakenOver(gate: Gate, input: InputFile, output: string, work: TakenOver): Promise<void> {
  const { storage, signal, job, approved, schema, pinned } = work
  const file = await openParquet(storage, input.object, { signal })
  const shape = shapeOf(file, input, job, approved)
  const values = new Map(input.partitions)
  const constants = shape.partitions.map(({ key, as, rule }) => ({
    name: as,
    value: values.get(key) ?? null,
    replaced: rule !== undefined,
  }))
  const fieldIds = fieldIdsFor(shape.output.root, schema)
  const plan = planRewrite(file, shape.treatments, { fieldIds, constants, renames: shape.renames })
  await gateFile(gate, { file, input, shape, pinned, plan, output })
}
