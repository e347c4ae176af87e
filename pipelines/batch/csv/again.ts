/**
 * Files that an earlier run made of a CSV file and nobody published. They are those that were looked at then, by their checksum; their values
 * belong to this run's mapping and originals, so the CSV is read once more and held against them, row group by row group.
 */
import { PseudolakeError } from '../../../lib/core/errors.ts'
import type { CsvDialect } from '../../../lib/csv/dialect.ts'
import { fieldIdsFor } from '../../../lib/iceberg/parquet-schema.ts'
import { MAGIC, serializeFooter, type WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import { planRewrite } from '../../../lib/parquet/plan.ts'
import type { Storage, Version } from '../../../lib/storage/storage.ts'
import type { Gate } from '../gate/gate.ts'
import { gateFile, type TakenOver } from '../gate/open.ts'
import type { InputFile } from '../inputs.ts'
import { shapeOf } from '../shape.ts'
import type { FinishedFile } from '../unpublished.ts'
import { openCsv } from './open.ts'
import { rowGroupLimits, rowGroups } from './row-groups.ts'

/** @throws as `Gate.file`, and as `openCsv` for the input */
export async function gateCsvTakenOver(
  gate: Gate,
  input: InputFile,
  files: readonly FinishedFile[],
  dialect: CsvDialect,
  work: TakenOver,
): Promise<void> {
  const { storage, signal, job, approved, schema, pinned } = work
  const made: { readonly file: ParquetFile; readonly rowGroup: number }[] = []
  for (const { file } of files) {
    const opened = await openParquet(storage, await storage.stat(file.location), { signal })
    for (const rowGroup of opened.rowGroups.keys()) made.push({ file: opened, rowGroup })
  }
  const csv = await openCsv(storage, input, dialect, signal)
  const shape = shapeOf(csv.file, input, job, approved)
  const values = new Map(input.partitions)
  const constants = shape.partitions.map(({ key, as, rule }) => ({
    name: as,
    value: values.get(key) ?? null,
    replaced: rule !== undefined,
  }))
  const fieldIds = fieldIdsFor(shape.output.root, schema)
  const rows = made.map(({ file, rowGroup }) => file.rowGroups[rowGroup]?.rows ?? 0)
  let next = 0
  for await (const held of rowGroups(csv, shape, rowGroupLimits(job, 1), rows)) {
    const one = made[next++]
    if (!one) throw other(input)
    const plan = planRewrite(held.file, shape.treatments, { fieldIds, constants, renames: shape.renames })
    const bytes = await alone(storage, one.file, one.rowGroup)
    const name = `${one.file.object.location}#${one.rowGroup}`
    const objects = [
      { object: { location: name, bytes: bytes.length, version: 'held' as Version, modified: 0 }, bytes },
      { object: held.file.object, bytes: await held.storage.read(held.file.object.location) },
    ]
    await gate.held.while(objects, () => gateFile(gate, { file: held.file, input, shape, pinned, plan, output: name }))
  }
  if (next < made.length) throw other(input)
  for (const { file } of new Map(made.map((one) => [one.file.object.location, one])).values())
    await gate.assembled({
      output: file.object.location,
      plan: { columns: shape.output.columns },
      rowGroups: file.rowGroups.map((_, i) => written(file, i)),
      chunks: [],
    })
}

/** A row group of a file as a file in memory. */
async function alone(storage: Storage, file: ParquetFile, rowGroup: number): Promise<Uint8Array> {
  const { rows, chunks } = written(file, rowGroup)
  const start = Math.min(...chunks.map((chunk) => chunk.start))
  const end = Math.max(...chunks.map((chunk) => chunk.end))
  const { location, version } = file.object
  const body = await storage.read(location, { start, end, ifMatch: version })
  const by = MAGIC.length - start
  const moved = chunks.map(({ dictionaryPageOffset, ...chunk }) => ({
    ...chunk,
    start: chunk.start + by,
    end: chunk.end + by,
    dataPageOffset: chunk.dataPageOffset + by,
    ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + by }),
  }))
  return Buffer.concat([MAGIC, body, serializeFooter(file.root, [{ rows, chunks: moved }], file.createdBy ?? '')])
}

function written({ rowGroups, leaves }: ParquetFile, rowGroup: number): WrittenRowGroup {
  const { rows = 0, columns = [] } = rowGroups[rowGroup] ?? {}
  return { rows, chunks: leaves.map((leaf, i) => ({ leaf, ...(columns[i] as (typeof columns)[number]) })) }
}

/** The version of the input is the one that they were made of, so there is nothing that could differ. */
function other({ object: { location } }: InputFile): PseudolakeError {
  return new PseudolakeError('internal/bug', `${location} has other rows than the files that were made of it`, {
    location,
  })
}
