/** Adds up what happens to the columns of files: actions of chunks, cells, nulls, and what the values will be to the service. */
import { fieldsOf } from '../../../lib/iceberg/schema.ts'
import { typeText } from '../../../lib/iceberg/types.ts'
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { type PlannedChunk, planRewrite } from '../../../lib/parquet/plan.ts'
import { allInDictionary, scanTexts } from '../../../lib/parquet/scan.ts'
import { type LeafNode, pathKey } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { InputFile } from '../inputs.ts'
import type { ColumnRule } from '../job.ts'
import type { Shape } from '../shape.ts'
import type { PlannedChunks, PlannedColumn } from './document.ts'
import { HyperLogLog } from './hyperloglog.ts'
import type { Sender, Senders } from './senders.ts'
import { FOOTER_BYTES, type Found, pseudonymBytes, swappedBytes, transcodedBytes } from './sizes.ts'

export interface TallyOutside {
  readonly storage: Storage
  readonly signal: AbortSignal
  readonly senders: Senders
  /** Of pages without a dictionary that may be read in all, to count their values; footers and dictionaries are read anyway. */
  readonly sampleBytes: number
  /** Of the table's pseudonyms, as far as that is known. */
  readonly formatOf: (rule: ColumnRule) => 'original' | 'v2'
}

/** A pseudonym of 17 characters, where no value was looked at. */
const TYPICAL_PSEUDONYM = pseudonymBytes(17, 'v2')

interface Column {
  readonly chunks: Map<string, { -readonly [K in keyof PlannedChunks]: PlannedChunks[K] }>
  cells: number
  nulls: number | null
  sender: Sender | undefined
  deterministic: boolean
  /** Values that were looked at, their bytes and those of their pseudonyms: to guess others by. */
  values: number
  valueBytes: number
  pseudonymBytes: number
}

export class Tally {
  readonly #outside: TallyOutside
  readonly #columns = new Map<string, Column>()
  #sampleLeft: number
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
    this.#sampleLeft = outside.sampleBytes
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
        act(column, planned)
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
    const found = await this.#look(column, rule, file, leaf, rowGroup, cells)
    if (rule.mode === 'random') sender.cells(cells, column.values === 0 ? undefined : column.valueBytes / column.values)
    if (rule.mode !== 'random' && found.unseen > 0) sender.unseen(found.unseen)
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

  /** Reads a chunk's dictionary; and its other pages while the sample lasts, all of it where there is no dictionary. */
  async #look(
    column: Column,
    rule: ColumnRule,
    file: ParquetFile,
    leaf: LeafNode,
    rowGroup: number,
    cells: number,
  ): Promise<Found> {
    const { storage, signal, senders, formatOf } = this.#outside
    const chunk = file.rowGroups[rowGroup]?.columns[leaf.column] as ColumnChunk
    const found = { entries: 0, entryBytes: 0, plain: 0, plainBytes: 0, oldBytes: 0, plainDistinct: 0, unseen: 0 }
    // Cells of mode random are all sent: their dictionary tells nothing but how long they are, and one chunk is enough for that.
    const random = rule.mode === 'random'
    if (chunk.values === 0 || (random && column.values > 0)) return found
    const whole = allInDictionary(chunk)
    const bytes = chunk.end - chunk.start
    const sampled = !whole && bytes <= this.#sampleLeft
    if (sampled) this.#sampleLeft -= bytes
    if (!whole && !sampled && chunk.dictionaryPageOffset === undefined) return { ...found, unseen: cells }
    const format = formatOf(rule)
    const different = new HyperLogLog()
    for await (const { texts, dictionary } of scanTexts(storage, file, leaf, { signal, rowGroups: [rowGroup] })) {
      const sizes = random ? texts.map((text) => Buffer.byteLength(text)) : await senders.of(rule).observe(texts)
      let pseudonyms = 0
      let old = 0
      for (const utf8 of sizes) {
        pseudonyms += pseudonymBytes(utf8, format)
        old += utf8 + 4
      }
      column.values += sizes.length
      column.valueBytes += old - 4 * sizes.length
      column.pseudonymBytes += pseudonyms
      if (dictionary) {
        found.entries += texts.length
        found.entryBytes += pseudonyms
        if (!whole && !sampled) break
      } else {
        found.plain += texts.length
        found.plainBytes += pseudonyms
        found.oldBytes += old
        for (const text of texts) different.add(text)
      }
    }
    found.plainDistinct = different.count()
    if (!whole && !sampled) found.unseen = Math.max(0, cells - found.entries)
    return found
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
      chunks: new Map(),
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
        chunks: [...column.chunks.values()],
        cells: column.cells,
        nulls: column.nulls,
        ...(sender && deterministic ? { distinct: sender.distinct } : {}),
        ...(sender?.merged && deterministic ? { merged: sender.merged } : {}),
      }
    })
  }
}

function act(column: Column, { action, why, from }: PlannedChunk): void {
  const key = `${action}\0${why}`
  const entry = column.chunks.get(key) ?? { action, why, chunks: 0, bytes_in: 0 }
  entry.chunks++
  entry.bytes_in += from ? from[1] - from[0] : 0
  column.chunks.set(key, entry)
}

/** @returns cells that are not null, as far as the footer says */
function count(column: Column, chunk: ColumnChunk, leaf: LeafNode): number {
  const nulls = leaf.maxDefinitionLevel === 0 ? 0 : chunk.statistics?.nulls
  column.cells += chunk.values
  column.nulls = column.nulls === null || nulls === undefined ? null : column.nulls + nulls
  return chunk.values - (nulls ?? 0)
}
