/**
 * The gate of a run: what was written is held against plan and input before a step is published. docs/gate.md.
 *
 * Two passes. A file is looked at as soon as it is written: where its bytes come from, its headers, its pseudonyms, cell by cell. At
 * the end of the step, when the originals of all its files are known, copied columns are searched for them.
 */
import type { Pseudonymizer } from '../../../lib/client/pseudonymizer.ts'
import { type ErrorContext, isPseudolakeError, PseudolakeError } from '../../../lib/core/errors.ts'
import type { ColumnChunk, WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import type { OutputColumn } from '../../../lib/parquet/output-tree.ts'
import { corrupt } from '../../../lib/parquet/place.ts'
import type { PlannedChunk, PlannedRowGroup, RewritePlan } from '../../../lib/parquet/plan.ts'
import { Provenance, SAMPLE_BYTES, type Sample } from '../../../lib/parquet/provenance.ts'
import { readingAhead } from '../../../lib/parquet/reading-ahead.ts'
import type { ObjectWriter, StoredObject } from '../../../lib/storage/storage.ts'
import { AHEAD_BYTES, readBackAhead } from './ahead.ts'
import type { Assembled } from './assembled.ts'
import { CHECKS, type CheckName, type GateReport, Tally, type TallyPart } from './check.ts'
import { ReplacedColumn } from './column.ts'
import { checkNulls, checkRows } from './counts.ts'
import { isBytes, Scratch } from './entries.ts'
import type { Handed, Waiting } from './handed.ts'
import { FooterCheck } from './headers.ts'
import { Held } from './held.ts'
import type { SearchedFile } from './originals.ts'
import type { GatePart } from './part.ts'
import { type ChunkRange, checkRanges, checkSample } from './ranges.ts'
import { Seen } from './seen.ts'
import type { GateFile, GateOptions } from './work.ts'

export type { GateRule } from './part.ts'
export type { GateFile, GateOptions } from './work.ts'

/** A file of a bucket that is read back by one request, in the place of several one after the other. */
const SMALL_BYTES = 4 << 20
/** Of pieces that were copied, or looked at before they were in the storage, one in so many is read back and compared by checksum. */
const SAMPLE_EVERY = 16

export class Gate {
  /** What is looked at before it is in the storage. */
  readonly held = new Held()
  /** What was read back in one piece. */
  readonly #readBack = new Held()
  readonly #options: GateOptions
  readonly #scratch = {
    input: new Scratch(),
    output: new Scratch(),
    inputCells: new Scratch(),
    outputCells: new Scratch(),
    copied: new Scratch(),
  }
  readonly #tallies: Readonly<Record<CheckName, Tally>>
  readonly #seen: Seen
  /** Of the step. */
  #files: SearchedFile[] = []
  #lastOpened: ParquetFile | undefined

  constructor(options: GateOptions) {
    this.#options = { ...options, storage: this.held.over(this.#readBack.over(options.storage)) }
    this.#tallies = Object.fromEntries(
      Object.keys(CHECKS).map((name) => [name, new Tally(name as CheckName)]),
    ) as Record<CheckName, Tally>
    const { memoryBytes, reidentify, part = false } = options
    this.#seen = new Seen({ memoryBytes, samples: reidentify, part, tallies: this.#tallies })
    if (!reidentify) this.#tallies.round_trip.missed('gate.reidentify is not set')
  }

  /** To be filled while a file is written. */
  provenance(): Provenance {
    return new Provenance(this.#options.full ? 1 : SAMPLE_EVERY)
  }

  /**
   * For a file that is about to be written: its chunks with new dictionaries can be looked at on their way to the storage.
   * @returns what stands in the writer's place, or nothing where there are no such chunks
   */
  async handed({ plan, known, output, provenance }: GateFile, writer: ObjectWriter): Promise<Handed | undefined> {
    // On a disk the bytes are read back as fast as they would be held.
    if (!known || !provenance || !this.#options.storage.reads?.(output)) return undefined
    const some = plan.rowGroups.some(({ chunks }) => chunks.some((chunk, i) => isSwap(plan, chunk, i)))
    if (!some) return undefined
    const { Handed } = await import('./handed.ts')
    return new Handed(output, writer, provenance, this.#options.full ? 1 : SAMPLE_EVERY)
  }

  /**
   * Looks at a row group that was written, as far as it was handed over, and at what of those before was not yet then.
   * @throws PseudolakeError `gate/failed`
   */
  async rowGroup(work: GateFile, { chunks }: WrittenRowGroup, rowGroup: number): Promise<void> {
    const { handed, plan, known } = work
    const planned = plan.rowGroups[rowGroup]
    if (!handed || !planned) return
    for (const [column, chunk] of chunks.entries()) {
      const { source } = plan.columns[column] ?? {}
      const swap = isSwap(plan, planned.chunks[column], column)
      if (swap && source && known?.(source, planned.index)) handed.waiting.push({ rowGroup, column, chunk })
    }
    await this.#lookHanded(work, handed)
    handed.release(handed.waiting[0]?.chunk.start ?? chunks.at(-1)?.end ?? 0)
  }

  async #lookHanded(work: GateFile, handed: Handed): Promise<void> {
    const { waiting } = handed
    const storage = handed.over(this.#options.storage)
    const columns = this.#columns(work)
    while (waiting[0] && waiting[0].chunk.end <= handed.position) {
      const { rowGroup, column, chunk } = waiting.shift() as Waiting
      const { leaf } = work.plan.columns[column] as OutputColumn
      const { index } = work.plan.rowGroups[rowGroup] as PlannedRowGroup
      // What is not held is read back.
      if (!handed.holds(chunk) || chunk.values === 0) continue
      const output = { file: handed, leaf, rowGroup, chunk }
      try {
        const { positions, spared } = await columns(column).chunk(storage, output, index)
        handed.looked(chunk, leaf, positions, spared)
      } catch (error) {
        // What can't be read here is read back too, and said there.
        if (!isUnreadable(error, work.output)) throw error
      }
      this.#requirePassed()
    }
  }

  /**
   * Looks at a file that was written.
   * @throws PseudolakeError `gate/failed` naming the first thing that is wrong; `storage/*`
   */
  async file(work: GateFile): Promise<void> {
    const { storage } = this.#options
    if (work.handed) await this.#lookHanded(work, work.handed)
    const { stored } = work
    const late = storage.reads?.(work.output) !== undefined
    // Read whole, so that how long it is need not be asked for before.
    const isKnown = late && stored !== undefined && stored.version !== '' && stored.bytes <= SMALL_BYTES
    const object = isKnown ? stored : await storage.stat(work.output)
    const small = late && object.bytes <= SMALL_BYTES
    const bytes = small && (await storage.read(work.output, { ifMatch: object.version }))
    const look = () =>
      this.#whole(work.output, async () => {
        if (bytes && bytes.length !== object.bytes)
          throw corrupt({ location: work.output }, `has ${bytes.length} bytes, and ${object.bytes} were written`)
        await this.#file(work, object)
      })
    await (bytes ? this.#readBack.while([{ object, bytes }], look) : look())
    this.#requirePassed()
    if (work.provenance) work.provenance.attempt.passed = true
  }

  /** What of the output can't be read fails. */
  async #whole(output: string, look: () => Promise<void>): Promise<void> {
    try {
      await look()
    } catch (error) {
      if (!isUnreadable(error, output)) throw error
      this.#tallies.readable.fail(output, [{ message: error.message }])
    }
  }

  /**
   * Looks at a file that was put together out of row groups that were looked at before (`held`).
   * @throws PseudolakeError `gate/failed`, `storage/*`
   */
  async assembled(work: Assembled): Promise<void> {
    const { storage, signal, full } = this.#options
    const { readable, rows, headers, byte_ranges: byteRanges, copied_bytes: copiedBytes } = this.#tallies
    // What not every run needs is loaded where it serves.
    const { checkAssembled, checkBytes, checkPlaces } = await import('./assembled.ts')
    const object = await storage.stat(work.output)
    try {
      const footer = new FooterCheck(columnsOf(work.plan))
      const file = await openParquet(storage, object, { signal, look: footer })
      readable.looked({ files: 1, bytes: object.bytes })
      rows.looked({ files: 1 })
      rows.fail(work.output, checkAssembled(work, file))
      headers.looked({ footers: 1 })
      headers.fail(work.output, footer.findings)
      byteRanges.fail(work.output, checkPlaces(work, file))
      for (const [i, chunk] of work.chunks.entries()) {
        if (!full && !chunk.replaced && i % SAMPLE_EVERY !== 0) continue
        signal.throwIfAborted()
        copiedBytes.looked({ pieces: 1, bytes: chunk.end - chunk.start })
        copiedBytes.fail(work.output, await checkBytes(storage, file, chunk))
      }
      this.#search(file, work.plan)
    } catch (error) {
      if (!isPseudolakeError(error) || !error.code.startsWith('input/')) throw error
      readable.fail(work.output, [{ message: error.message }])
    }
    this.#requirePassed()
  }

  /**
   * Ends a step: all its files were looked at.
   * @param client asked for the way back, only with `reidentify`
   * @throws PseudolakeError `gate/failed`, `storage/*`, `service/*`
   */
  async step(client: Pseudonymizer | undefined): Promise<void> {
    const files = this.#files
    this.#files = []
    if (files.length > 0 && this.#seen.originals.size > 0)
      await (await import('./originals.ts')).findOriginals(files, {
        ...this.#options,
        originals: this.#seen.originals,
        scratch: this.#scratch,
        tally: this.#tallies.originals,
        opened: this.#lastOpened,
      })
    const { reidentify, signal } = this.#options
    if (reidentify && client)
      await (await import('./round-trip.ts')).roundTrip(this.#seen.groups, client, this.#tallies.round_trip, signal)
    this.#requirePassed()
  }

  /** What was seen since the last time, for the gate of the run. */
  takePart(): GatePart {
    const files = this.#files
    this.#files = []
    const tallies = Object.entries(this.#tallies).map(([name, tally]) => [name, tally.take()])
    return { tallies: Object.fromEntries(tallies) as Record<CheckName, TallyPart>, ...this.#seen.take(), files }
  }

  /** @param location of the file that the part is about @throws PseudolakeError `gate/failed` */
  addPart({ tallies, files, ...seen }: GatePart, location: string): void {
    for (const [name, tally] of Object.entries(tallies)) this.#tallies[name as CheckName].add(tally)
    this.#files.push(...files)
    const wrong = this.#seen.add(seen).map((message) => ({ message }))
    this.#tallies.one_to_one.fail(location, wrong)
    this.#requirePassed()
  }

  report(): GateReport {
    const checks = Object.values(this.#tallies).map((tally) => tally.result())
    return { passed: checks.every((check) => check.passed), checks }
  }

  #requirePassed(): void {
    const [failed] = this.report().checks.filter((check) => !check.passed)
    if (!failed) return
    const [first] = failed.findings
    const where = first?.column === undefined ? '' : `, column ${first.column}`
    throw new PseudolakeError(
      'gate/failed',
      `${first?.location ?? ''}${where}: ${failed.name}: ${first?.message ?? 'failed'}`,
      { check: failed.name, ...(first as unknown as ErrorContext) },
    )
  }

  async #file(work: GateFile, object: StoredObject): Promise<void> {
    const { storage, signal } = this.#options
    const { input, plan, provenance } = work
    const { readable, rows, nulls, headers } = this.#tallies
    const footer = new FooterCheck(columnsOf(plan))
    const output = await openParquet(storage, object, { signal, look: footer })
    const held = this.held.has(object.location)
    if (!held) readable.looked({ files: 1, bytes: object.bytes })

    rows.looked({ ...(!held && { files: 1 }), rows: plan.rows, row_groups: plan.rowGroups.length })
    const miscounted = checkRows(plan, input, output)
    rows.fail(object.location, miscounted)
    const counted = checkNulls(plan, input, output)
    nulls.looked({ chunks: counted.compared })
    if (counted.unsaid > 0)
      nulls.missed('columns whose footers do not count nulls, or not all alike; replaced cells are compared one by one')
    nulls.fail(object.location, counted.findings)
    headers.looked({ footers: 1 })
    headers.fail(object.location, footer.findings)
    // Cells that have no counterpart can't be compared.
    if (miscounted.length > 0) return

    const chunks = await this.#chunks(work, output)
    // What is in memory is not in the storage yet; when it is, all of it is compared (`assembled`).
    if (!held) await this.#handedBytes(object, work)
    if (provenance) await this.#ranges(object, provenance, chunks)
    else this.#tallies.byte_ranges.missed('files that an earlier run wrote, and looked at then')
    if (!held) this.#search(output, plan)
  }

  /** At the end of the step, in its copied columns. */
  #search(output: ParquetFile, plan: Pick<RewritePlan, 'columns'>): void {
    // Numbers of six digits would match by chance.
    const columns = plan.columns.flatMap(({ leaf, treatment }, i) => (treatment === 'copy' && isBytes(leaf) ? [i] : []))
    if (columns.length === 0) return
    // A step of one file need not open it again; footers of many would fill the memory.
    this.#lastOpened = output
    this.#files.push({ object: output.object, columns })
  }

  /** A file's replaced columns, by their position. */
  #columns(work: GateFile): (column: number) => ReplacedColumn {
    const { signal, seed } = this.#options
    const [scratch, tallies, seen] = [this.#scratch, this.#tallies, this.#seen]
    const rangeFrom = (start: number) => work.provenance?.from(start)
    const options = { signal, seed, scratch, tallies, seen, rangeFrom }
    const made = new Map<number, ReplacedColumn>()
    return (i) => {
      const column = made.get(i) ?? new ReplacedColumn(work, work.plan.columns[i] as OutputColumn, options)
      made.set(i, column)
      return column
    }
  }

  /** Reads back the replaced chunks, and says of all chunks where they are. */
  async #chunks(work: GateFile, output: ParquetFile): Promise<ChunkRange[]> {
    const { plan, provenance, handed } = work
    const columns = this.#columns(work)
    const { storage, signal } = this.#options
    const isLooked = (chunk: ColumnChunk) => handed?.found(chunk) !== undefined
    const isLate = [output, work.input].some(({ object }) => storage.reads?.(object.location))
    const ahead = isLate ? readBackAhead(work.input, output, plan, provenance, work.known, isLooked) : []
    const late = readingAhead(storage, ahead, { bytes: AHEAD_BYTES, signal })
    const ranges: ChunkRange[] = []
    for (const [rowGroup, planned] of plan.rowGroups.entries())
      for (const [i, column] of plan.columns.entries()) {
        const chunk = output.rowGroups[rowGroup]?.columns[i]
        const leaf = output.leaves[i]
        if (!chunk || !leaf || chunk.values === 0) continue
        const range = { column: leaf.path, rowGroup, start: chunk.start, end: chunk.end, replaced: column.replaced }
        const from = planned.chunks[i]?.from
        let positions = column.replaced ? handed?.found(chunk, leaf) : NO_POSITIONS
        if (!positions) {
          const side = { file: output, leaf, rowGroup, chunk }
          const found = await columns(i).chunk(late, side, planned.index)
          if (!found.spared) this.#tallies.handed_bytes.looked({ chunks_read_back: 1 })
          positions = found.positions
        }
        ranges.push({ ...range, ...(from && { from }), positions })
      }
    return ranges
  }

  async #ranges(object: StoredObject, provenance: Provenance, chunks: readonly ChunkRange[]): Promise<void> {
    const { full } = this.#options
    const { location } = object
    const { byte_ranges: byteRanges, copied_bytes: copiedBytes } = this.#tallies
    byteRanges.looked({ ranges: provenance.ranges.length, bytes: object.bytes })
    byteRanges.fail(location, checkRanges(provenance.ranges, object.bytes, chunks))
    copiedBytes.know({ copied_bytes: provenance.copiedBytes })
    await this.#samples(object, provenance.samples, copiedBytes)
    if (!full)
      copiedBytes.missed(`${SAMPLE_BYTES >> 10} KB of one copied piece in ${SAMPLE_EVERY}; all of them with gate.full`)
  }

  async #handedBytes(object: StoredObject, { handed, provenance }: GateFile): Promise<void> {
    const { handed_bytes: tally } = this.#tallies
    const { full } = this.#options
    const { samples = [], chunks = 0 } = handed ?? {}
    const { repeatedSamples: repeated = [] } = provenance ?? {}
    if (handed) tally.looked({ chunks_on_their_way: chunks })
    const all = [...samples, ...repeated].sort((a, b) => a.start - b.start)
    await this.#samples(object, all, tally)
    if (!full && samples.length > 0)
      tally.missed(`one chunk in ${SAMPLE_EVERY} that was looked at on its way; all of them with gate.full`)
    if (!full && repeated.length > 0)
      tally.missed(
        `${SAMPLE_BYTES >> 10} KB of one dictionary in ${SAMPLE_EVERY} that repeats others; all of them with gate.full`,
      )
  }

  async #samples(object: StoredObject, samples: readonly Sample[], tally: Tally): Promise<void> {
    const { signal } = this.#options
    const { location, version } = object
    const ranges = samples.map(({ start, end }) => [start, end] as const)
    const storage = readingAhead(this.#options.storage, [{ object, ranges }], { bytes: AHEAD_BYTES, signal })
    for (const sample of samples) {
      signal.throwIfAborted()
      const { start, end } = sample
      const into = this.#scratch.copied.room(end - start)
      const bytes = await storage.read(location, { start, end, ifMatch: version, into })
      tally.looked({ pieces: 1, bytes: bytes.length })
      tally.fail(location, checkSample(sample, bytes))
    }
  }
}

const NO_POSITIONS: ReadonlyMap<number, number> = new Map()

function isUnreadable(error: unknown, output: string): error is PseudolakeError {
  return isPseudolakeError(error) && error.code.startsWith('input/') && error.context.location === output
}

function isSwap({ columns }: RewritePlan, chunk: PlannedChunk | undefined, column: number): boolean {
  return chunk?.action === 'swap-dictionary' && columns[column]?.replaced === true
}

function columnsOf({ columns }: Pick<RewritePlan, 'columns'>): { path: readonly string[]; replaced: boolean }[] {
  return columns.map(({ leaf, replaced }) => ({ path: leaf.path, replaced }))
}
