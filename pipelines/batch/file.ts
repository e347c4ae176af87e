/** One input file to one data file. */
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { Gathering, type GatherOptions } from '../../lib/parquet/gather.ts'
import { openParquet, type ParquetFile } from '../../lib/parquet/open.ts'
import type { ConstantColumn, OutputColumn } from '../../lib/parquet/output-tree.ts'
import type { RemoteRowGroup } from '../../lib/parquet/pieces.ts'
import { planRewrite, type RewritePlan } from '../../lib/parquet/plan.ts'
import { rewrite, rewriteSource } from '../../lib/parquet/rewrite.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import type { Approved } from '../pins.ts'
import type { Gate } from './gate/gate.ts'
import { gateWork } from './gate/open.ts'
import type { Pinned } from './identities.ts'
import type { InputFile } from './inputs.ts'
import type { BatchJob } from './job.ts'
import type { Replacers } from './replacer.ts'
import { type Shape, shapeOf } from './shape.ts'
import type { Timings } from './timings.ts'
import { checksummed, type Finished, type FinishedFile } from './unpublished.ts'

export interface FileWork {
  readonly storage: Storage
  readonly file: ParquetFile
  readonly input: InputFile
  readonly shape: Shape
  readonly pinned: readonly Pinned[]
  readonly replacers: Replacers
  readonly fieldIds: (path: readonly string[]) => number
  /** Where the data file goes; there must be none. */
  readonly output: string
  readonly createdBy: string
  readonly signal: AbortSignal
  readonly timings: Timings
  readonly gate: Gate
  /** Makes row groups elsewhere. @default they are made here */
  readonly groups?: RowGroups
  readonly onProgress: (done: { readonly rows: number; readonly bytes: number }) => void
}

/** What the files of a step have in common. */
export interface StepWork {
  /** Of a data file that one input is cut into. */
  readonly targetBytes: number
  /** Of an input, which are for one data file at most, where it can be cut. @default no limit */
  readonly inputBytes?: number
  readonly job: BatchJob
  readonly approved: Approved | undefined
  readonly schema: Schema
  readonly pinned: readonly Pinned[]
  readonly createdBy: string
}

export interface InputWork
  extends StepWork,
    Pick<FileWork, 'storage' | 'replacers' | 'signal' | 'timings' | 'gate' | 'groups'> {
  readonly input: InputFile
  readonly output: string
  /** Where it is open already. */
  readonly opened?: ParquetFile
  /** Of the memory of a run. @default 1 */
  readonly share?: number
  readonly onProgress: FileWork['onProgress']
}

/** Opens an input and makes its data file. @throws as `rewriteFile`; PseudolakeError `input/*` */
export async function finishParquet({ job, approved, schema, opened, ...work }: InputWork): Promise<Finished> {
  const { storage, signal, input } = work
  const file = opened ?? (await openParquet(storage, input.object, { signal }))
  const shape = shapeOf(file, input, job, approved)
  // Of this file's own paths: what is inside a list is called `element` by one writer and `item` by another.
  const result = await rewriteFile({ ...work, file, shape, fieldIds: fieldIdsFor(shape.output.root, schema) })
  return { rows: file.rows, files: result ? [result] : [] }
}

/** Gives what makes a file's row groups, in the order of its plan. */
export interface RowGroups {
  of(input: InputFile, constants: readonly ConstantColumn[], count: number): (position: number) => RemoteRowGroup
}

/**
 * Gathers the file's distinct values and has them pseudonymized in full requests, then rewrites it with what the client now knows.
 * @returns undefined for a file without rows: there is nothing to list in a table
 * @throws PseudolakeError of lib/parquet, the client and the storage, `gate/failed`; nothing is left at `output` then
 */
export async function rewriteFile(work: FileWork): Promise<FinishedFile | undefined> {
  const { storage, file, shape, input, signal } = work
  if (file.rows === 0) return undefined
  const { replacers } = work
  replacers.know(shape, work.pinned)
  const { gate, timings, pinned, output } = work
  const stored = await storage.write(output)
  try {
    const constants = await constantsOf(shape, work)
    const plan = planRewrite(file, shape.treatments, { fieldIds: work.fieldIds, constants, renames: shape.renames })
    const rowGroup = work.groups?.of(input, constants, plan.rowGroups.length)
    const provenance = gate.provenance()
    // Threads ask by themselves, and their requests are filled from what all of them ask.
    const source = rowGroup ? undefined : rewriteSource(plan, { storage, file, writer: stored, provenance, signal })
    const gathering = rowGroup ? new Map<number, Gathering>() : gatheringOf(plan, { ...work, ahead: source })
    const first = plan.rowGroups[0]?.index ?? 0
    for (const column of gathering.values()) await timings.time('pseudonymize', () => column.upTo(first))
    const columnOf = new Map(plan.columns.map(({ source }, i) => [source?.column, i]))
    const known = ({ column }: LeafNode, group: number) => gathering.get(columnOf.get(column) ?? -1)?.known.get(group)
    const look = gateWork({ file, input, shape, pinned, plan, output, provenance, known })
    const handed = await gate.handed(look, stored)
    const writer = checksummed(handed?.writer ?? stored)
    const looked = { ...look, handed }
    const written = await rewrite(plan, {
      storage,
      file,
      writer,
      createdBy: work.createdBy,
      signal,
      provenance,
      onProgress: work.onProgress,
      replace: replacers.tables,
      gathering,
      source,
      ...(handed && { onRowGroup: (group, i) => timings.time('gate', () => gate.rowGroup(looked, group, i)) }),
      ...(rowGroup && { rowGroup }),
    })
    await timings
      .time('gate', () => gate.file({ ...looked, stored: writer.stored }))
      .catch(async (error: unknown) => {
        await storage.delete(output)
        throw error
      })
    return { file: written, ...writer.finished }
  } finally {
    await stored.abort()
  }
}

/** Columns of folders, as they come out. @throws as the client */
export async function constantsOf(
  { partitions }: Pick<Shape, 'partitions'>,
  { input, pinned, replacers, signal }: Pick<FileWork, 'input' | 'pinned' | 'replacers' | 'signal'>,
): Promise<ConstantColumn[]> {
  const values = new Map(input.partitions)
  const constants: ConstantColumn[] = []
  for (const { key, as, rule } of partitions) {
    const value = values.get(key) ?? null
    const known = pinned.find((pin) => pin.rule === rule)
    const replaced =
      rule && known && value !== null ? await replacers.one(rule, known.identity.key, value, signal) : value
    constants.push({ name: as, value: replaced, replaced: rule !== undefined })
  }
  return constants
}

/** Requests are full when the values of the whole file are known before it is rewritten, or of as many row groups as a table holds. */
export function gatheringOf(
  plan: RewritePlan,
  {
    storage,
    file,
    replacers,
    ahead,
    signal,
  }: Pick<FileWork, 'storage' | 'file' | 'replacers' | 'signal'> & Pick<GatherOptions, 'ahead'>,
): Map<number, Gathering> {
  const gathering = new Map<number, Gathering>()
  for (const [i, column] of plan.columns.entries()) {
    if (!column.replaced || column.perCell || !isFromInput(column)) continue
    const replacement = replacers.tables.of(column)
    const options = { storage, file, leaf: column.source, replacement, flush: FLUSH_VALUES, ahead, signal }
    gathering.set(i, new Gathering(options))
  }
  // Columns that take turns would forget each other's values before they are needed.
  if (replacers.tables.crowded) gathering.clear()
  return gathering
}

function isFromInput(column: OutputColumn): column is OutputColumn & { source: LeafNode } {
  return column.source !== undefined
}

/** Values asked for at a time while gathering: twenty requests of the default size. */
const FLUSH_VALUES = 18_000
