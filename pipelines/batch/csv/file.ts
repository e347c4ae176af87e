/**
 * One CSV file to its data files. It is read once: row groups of it are made in memory, and each goes the way of a Parquet file's, planned,
 * rewritten, looked at by the gate, before the next one is read. The memory it was in is all that its plaintext ever was in.
 */
import { GrowingBytes } from '../../../lib/core/growing-bytes.ts'
import type { CsvDialect } from '../../../lib/csv/dialect.ts'
import { fieldIdsFor } from '../../../lib/iceberg/parquet-schema.ts'
import { swapMemory } from '../../../lib/parquet/chunk-task.ts'
import { MAGIC, serializeFooter } from '../../../lib/parquet/footer.ts'
import type { Known } from '../../../lib/parquet/gather.ts'
import { Output } from '../../../lib/parquet/output.ts'
import type { ConstantColumn } from '../../../lib/parquet/output-tree.ts'
import { type PlannedRowGroup, planRewrite } from '../../../lib/parquet/plan.ts'
import { rangeReader } from '../../../lib/parquet/ranges.ts'
import { neededRanges, rewriteRowGroup } from '../../../lib/parquet/row-group.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { HeldFile } from '../../../lib/parquet/text-group.ts'
import type { ObjectWriter, Version } from '../../../lib/storage/storage.ts'
import { constantsOf, gatheringOf, type InputWork } from '../file.ts'
import { gateFile } from '../gate/open.ts'
import { type Shape, shapeOf } from '../shape.ts'
import type { Finished } from '../unpublished.ts'
import { openCsv } from './open.ts'
import { type MadeRowGroup, Pieces } from './pieces.ts'
import { GROWTH, rowGroupLimits, rowGroups } from './row-groups.ts'

/** What the row groups of a file have in common. */
export interface Work extends InputWork {
  readonly shape: Shape
  readonly fieldIds: (path: readonly string[]) => number
  readonly constants: readonly ConstantColumn[]
  /** What the row group in hand is made in. */
  readonly memory: GrowingBytes
}

/**
 * @throws PseudolakeError `input/*`, `gate/failed`, those of the client and the storage; nothing is left of its data files then
 */
export async function finishCsv(input: InputWork, dialect: CsvDialect): Promise<Finished> {
  const { job, approved, schema, storage, signal, replacers, pinned, onProgress } = input
  const { share = 1, inputBytes = Number.POSITIVE_INFINITY } = input
  const csv = await openCsv(storage, input.input, dialect, signal)
  const pieces = new Pieces({ ...input })
  const memory = new GrowingBytes()
  try {
    const shape = shapeOf(csv.file, input.input, job, approved)
    replacers.know(shape, pinned)
    const fieldIds = fieldIdsFor(shape.output.root, schema)
    const work = { ...input, shape, fieldIds, constants: await constantsOf(shape, input), memory }
    let rows = 0
    let cut = inputBytes
    const limits = { ...rowGroupLimits(job, share), ends: () => csv.source.bytesRead >= cut }
    for await (const held of rowGroups(csv, shape, limits)) {
      signal.throwIfAborted()
      const made = await makeHeld(held, work)
      await input.timings.time('gate', () => lookAtHeld(held, made, work, `${input.output}#${rows}`))
      await pieces.add(made)
      rows += made.written.rows
      if (limits.ends()) {
        await pieces.end()
        while (limits.ends()) cut += inputBytes
      }
      onProgress({ rows, bytes: csv.source.bytesRead })
    }
    await pieces.end()
    return { rows, files: pieces.files }
  } catch (error) {
    await pieces.abort()
    throw error
  } finally {
    memory.free()
    await csv.reader.close()
  }
}

export interface Made extends MadeRowGroup {
  readonly file: Uint8Array
  readonly provenance: ReturnType<InputWork['gate']['provenance']>
  readonly known: (leaf: LeafNode, group: number) => Known | undefined
}

/** A row group as a file in memory, until the next is made in it. @throws PseudolakeError those of lib/parquet and of the client */
export async function makeHeld({ file, storage }: HeldFile, work: Work): Promise<Made> {
  const { memory, shape, fieldIds, constants, replacers, signal, gate, timings, createdBy } = work
  const plan = planRewrite(file, shape.treatments, { fieldIds, constants, renames: shape.renames })
  const gathering = gatheringOf(plan, { storage, file, replacers, signal })
  for (const column of gathering.values()) await timings.time('pseudonymize', () => column.upTo(0))
  memory.clear()
  memory.expect(GROWTH * file.object.bytes)
  const provenance = gate.provenance()
  const out = new Output(into(memory), provenance)
  await out.write(MAGIC)
  const group = plan.rowGroups[0] as PlannedRowGroup
  const source = rangeReader(storage, file.object, neededRanges([group]), signal)
  const written = await rewriteRowGroup(group, {
    plan,
    file,
    source,
    out,
    replacements: replacers.tables,
    memory: swapMemory(),
    gathering,
    signal,
  })
  const end = out.position
  await out.write(serializeFooter(plan.root, [written], createdBy))
  await out.flush()
  const { bytes } = memory
  const columnOf = new Map(plan.columns.map(({ source: leaf }, i) => [leaf?.column, i]))
  const known = ({ column }: LeafNode, index: number) => gathering.get(columnOf.get(column) ?? -1)?.known.get(index)
  return { plan, written, file: bytes, bytes: bytes.subarray(0, end), provenance, known }
}

function into(memory: GrowingBytes): ObjectWriter {
  const refused = (): never => {
    throw new Error('what is in memory is not closed')
  }
  return {
    get bytes() {
      return memory.length
    },
    write: async (bytes) => memory.append(bytes),
    close: refused,
    abort: refused,
  }
}

/** Holds what was made against what it was made of. @throws PseudolakeError `gate/failed` */
export async function lookAtHeld({ file, storage }: HeldFile, made: Made, work: Work, name: string): Promise<void> {
  const { gate, input, shape, pinned } = work
  const object = { location: name, bytes: made.file.length, version: 'held' as Version, modified: 0 }
  const held = [
    { object, bytes: made.file },
    { object: file.object, bytes: await storage.read(file.object.location) },
  ]
  const { plan, provenance, known } = made
  await gate.held.while(held, () =>
    gateFile(gate, { file, input, shape, pinned, plan, output: name, provenance, known }),
  )
}
