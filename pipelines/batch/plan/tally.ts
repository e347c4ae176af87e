/** Adds up what happens to the columns of files: actions of chunks, cells, nulls, and what the values will be to the service. */
import { fieldsOf } from '../../../lib/iceberg/schema.ts'
import { typeText } from '../../../lib/iceberg/types.ts'
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { type PlannedChunk, planRewrite } from '../../../lib/parquet/plan.ts'
import { type LeafNode, pathKey } from '../../../lib/parquet/schema.ts'
import type { InputFile } from '../inputs.ts'
import type { ColumnRule } from '../job.ts'
import type { Shape } from '../shape.ts'
import { ChunkCounts } from './chunks.ts'
import type { PlannedColumn } from './document.ts'
import type { Lengths, Look } from './look.ts'
import type { Sender, Senders } from './senders.ts'
import { FOOTER_BYTES, pseudonymBytes, swappedBytes, TYPICAL_BYTES, transcodedBytes } from './sizes.ts'

export interface TallyOutside {
  readonly senders: Senders
  /** How the values of a chunk are learned. */
  readonly look: Look
  /** Of the table's pseudonyms, as far as that is known. */
  readonly formatOf: (rule: ColumnRule) => 'original' | 'v2'
}

/** Where no value was looked at. */
const TYPICAL_PSEUDONYM = pseudonymBytes(TYPICAL_BYTES, 'v2')

interface Column extends Lengths {
  readonly chunks: ChunkCounts
  cells: number
  nulls: number | null
  sender: Sender | undefined
  deterministic: boolean
}

export class Tally {
  readonly #outside: TallyOutside
  readonly #columns = new Map<string, Column>()
  #bytesOut = 0
  files = 0
  rows = 0
  rowGroups = 0
  dataFiles = 0
  copiedBytes = 0
  values = 0
  swappedCells = 0
  transcodedCells = 0

  constructor(outside: TallyOutside) {
    this.#outside = outside
  }

  get bytesOut(): number {
    return Math.round(this.#bytesOut)
  }

  async add(file: ParquetFile, input: InputFile, shape: Shape): Promise<void> {
    const values = new Map(input.partitions)
    const constants = shape.partitions.map(({ key, as, rule }) => ({
      name: as,
      value: values.get(key) ?? null,
      replaced: rule !== undefined,
    }))
    const { treatments, renames, decisions } = shape
    const plan = planRewrite(file, treatments, { fieldIds: () => 0, constants, renames })
    const names = new Map(decisions.map(({ leaf }, i) => [pathKey(leaf.path), shape.columns[i]?.column ?? '']))
    const rules = new Map(decisions.flatMap((d) => (d.kind === 'replace' ? [[pathKey(d.leaf.path), d.rule]] : [])))
    this.files++
    this.rows += file.rows
    this.rowGroups += plan.rowGroups.length
    if (file.rows > 0) {
      this.dataFiles++
      this.#bytesOut += FOOTER_BYTES.file
    }
    for (const decision of decisions) {
      if (decision.kind !== 'drop') continue
      const column = this.#column(names.get(pathKey(decision.leaf.path)) ?? '')
      for (const group of file.rowGroups)
        count(column, group.columns[decision.leaf.column] as ColumnChunk, decision.leaf)
    }
    for (const [i, output] of plan.columns.entries()) {
      const { source } = output
      const rule = source && rules.get(pathKey(source.path))
      const name = source
        ? names.get(pathKey(source.path))
        : shape.partitions.find(({ as }) => as === output.leaf.name)?.key
      const column = this.#column(name ?? output.leaf.name)
      for (const group of plan.rowGroups) {
        const planned = group.chunks[i] as PlannedChunk
        this.#bytesOut += FOOTER_BYTES.chunk
        column.chunks.add(planned)
        if (!source) this.#constant(column, output.constant ?? null, group.rows)
        else {
          const chunk = file.rowGroups[group.index]?.columns[source.column] as ColumnChunk
          const cells = count(column, chunk, source)
          if (rule) await this.#replaced(column, rule, file, source, group.index, planned, cells)
          else if (planned.action === 'copy') {
            this.copiedBytes += chunk.end - chunk.start
            this.#bytesOut += chunk.end - chunk.start
          } else {
            this.transcodedCells += cells
            this.#bytesOut += chunk.end - chunk.start
          }
        }
      }
      if (rule) this.#sender(column, rule).endFile()
    }
    for (const { key, rule } of shape.partitions) {
      const value = values.get(key) ?? null
      if (rule && value !== null && file.rows > 0) await this.#partition(this.#column(key), rule, value)
    }
  }

  async #partition(column: Column, rule: ColumnRule, value: string): Promise<void> {
    const sender = this.#sender(column, rule)
    if (rule.mode === 'random') sender.cells(1, Buffer.byteLength(value))
    else {
      await sender.observe([value])
      sender.endFile()
    }
  }

  #constant(column: Column, value: string | null, rows: number): void {
    column.cells += rows
    if (column.nulls !== null && value === null) column.nulls += rows
    this.#bytesOut += value === null ? 30 : TYPICAL_PSEUDONYM + 40
  }

  async #replaced(
    column: Column,
    rule: ColumnRule,
    file: ParquetFile,
    leaf: LeafNode,
    rowGroup: number,
    { action, codec }: PlannedChunk,
    cells: number,
  ): Promise<void> {
    const chunk = file.rowGroups[rowGroup]?.columns[leaf.column] as ColumnChunk
    const sender = this.#sender(column, rule)
    const { look, formatOf } = this.#outside
    const found = await look({ rule, sender, format: formatOf(rule), file, leaf, rowGroup, cells, lengths: column })
    if (rule.mode === 'random') sender.cells(cells, column.values === 0 ? undefined : column.valueBytes / column.values)
    this.values += rule.mode === 'random' ? cells : found.entries + found.plain + found.unseen
    const typical = column.values === 0 ? TYPICAL_PSEUDONYM : column.pseudonymBytes / column.values
    if (action === 'swap-dictionary') {
      this.swappedCells += cells
      this.#bytesOut += swappedBytes(chunk, found, codec, typical)
    } else {
      this.transcodedCells += cells
      this.#bytesOut += transcodedBytes(cells, found, codec, typical, rule.mode !== 'random')
    }
  }

  #sender(column: Column, rule: ColumnRule): Sender {
    column.sender ??= this.#outside.senders.of(rule)
    column.deterministic = rule.mode === 'deterministic'
    return column.sender
  }

  #column(name: string): Column {
    const known = this.#columns.get(name)
    if (known) return known
    const column: Column = {
      chunks: new ChunkCounts(),
      cells: 0,
      nulls: 0,
      sender: undefined,
      deterministic: false,
      values: 0,
      valueBytes: 0,
      pseudonymBytes: 0,
    }
    this.#columns.set(name, column)
    return column
  }

  /** In the order of the input. */
  columns(shape: Shape): PlannedColumn[] {
    const types = new Map([...fieldsOf(shape.schema)].map((field) => [field.path.join('.'), typeText(field.type)]))
    return shape.columns.map((report) => {
      const column = this.#column(report.column)
      const type = report.as === undefined ? undefined : types.get(report.as)
      const { sender, deterministic } = column
      return {
        ...report,
        ...(type === undefined ? {} : { type }),
        chunks: column.chunks.list(),
        cells: column.cells,
        nulls: column.nulls,
        ...(sender && deterministic ? { distinct: sender.distinct } : {}),
        ...(sender?.merged && deterministic ? { merged: sender.merged } : {}),
      }
    })
  }
}

/** @returns cells that are not null, as far as the footer says */
function count(column: Column, chunk: ColumnChunk, leaf: LeafNode): number {
  const nulls = leaf.maxDefinitionLevel === 0 ? 0 : chunk.statistics?.nulls
  column.cells += chunk.values
  column.nulls = column.nulls === null || nulls === undefined ? null : column.nulls + nulls
  return chunk.values - (nulls ?? 0)
}
