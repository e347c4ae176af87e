/**
 * Rows of a stream to data files: as those of a CSV file they are row groups in memory, each pseudonymized and looked at by the gate before it
 * is put into a file. What records held in plain is nowhere else.
 */
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { GrowingBytes } from '../../lib/core/growing-bytes.ts'
import { fieldIdsFor } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import { TextGroup } from '../../lib/parquet/text-group.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { lookAtHeld, makeHeld, type Work } from '../batch/csv/file.ts'
import { Pieces } from '../batch/csv/pieces.ts'
import { type RowGroupLimits, rowGroupLimits, usesOf } from '../batch/csv/row-groups.ts'
import type { Gate } from '../batch/gate/gate.ts'
import type { Pinned } from '../batch/identities.ts'
import type { Replacers } from '../batch/replacer.ts'
import type { Timings } from '../batch/timings.ts'
import type { FinishedFile } from '../batch/unpublished.ts'
import type { StreamColumns } from './fields.ts'

/** Rows that become a page: a batch of few records is no page of its own. */
const PAGE_ROWS = 8192
/** Bytes of cells after which they become one all the same. */
const PAGE_BYTES = 1 << 20
/** Of a pseudonym beside the identifier it stands for. */
const GROWTH = 4

export interface RowsWriterOptions {
  readonly columns: StreamColumns
  /** The table's, or as it will be. */
  readonly schema: Schema
  readonly pinned: readonly Pinned[]
  readonly storage: Storage
  readonly replacers: Replacers
  readonly gate: Gate
  readonly timings: Timings
  readonly signal: AbortSignal
  readonly createdBy: string
  readonly targetBytes: number
  /** Location of the data files, without number and ending. */
  readonly output: string
}

export class RowsWriter {
  /** Rows that were taken and are not published. */
  rows = 0
  readonly #options: RowsWriterOptions
  readonly #work: Work
  readonly #group: TextGroup
  readonly #limits: RowGroupLimits
  readonly #growth: number
  readonly #pieces: Pieces
  #groups = 0

  constructor(options: RowsWriterOptions) {
    this.#options = options
    const { columns, schema, pinned, storage, replacers, gate, timings, signal, createdBy, targetBytes } = options
    const { shape, input, job, decoder } = columns
    const output = `${options.output}.parquet`
    replacers.know(shape, pinned)
    this.#work = {
      ...{ job, approved: undefined, schema, pinned, createdBy, targetBytes },
      ...{ storage, replacers, signal, timings, gate, input, output },
      shape,
      fieldIds: fieldIdsFor(shape.output.root, schema),
      constants: [],
      memory: new GrowingBytes(),
      onProgress: () => undefined,
    }
    this.#limits = rowGroupLimits(job, 1)
    const uses = usesOf(shape)
    this.#growth = uses.includes('replace') ? GROWTH : 1
    const { root, leaves } = decoder
    this.#group = new TextGroup({ root, leaves, uses, dictionaries: this.#limits.dictionaries })
    this.#pieces = new Pieces({ storage, output, targetBytes, createdBy, gate })
  }

  /** After rows were added to the decoder: makes pages and row groups of them where there are enough. */
  async advance(): Promise<void> {
    const { decoder } = this.#options.columns
    if (decoder.rows >= PAGE_ROWS || decoder.bytes >= PAGE_BYTES) this.#page()
    const { rows, bytes } = this.#limits
    if (this.#group.rows >= rows || this.#group.bytes * this.#growth >= bytes) await this.#end()
  }

  /** @returns the data files of all rows until now, whole and looked at */
  async finish(client: Pseudonymizer | undefined): Promise<readonly FinishedFile[]> {
    this.#page()
    if (this.#group.rows > 0) await this.#end()
    const { timings, gate } = this.#options
    await timings.time('write', () => this.#pieces.end())
    await timings.time('gate', () => gate.step(client))
    return this.#pieces.files
  }

  /** Nothing is left of the files. Not for files that a commit of unknown outcome may have. */
  async abort(): Promise<void> {
    this.#options.columns.decoder.take()
    await this.#pieces.abort()
  }

  #page(): void {
    const { rows, columns } = this.#options.columns.decoder.take()
    if (rows > 0) this.#group.add(rows, columns)
    this.rows += rows
  }

  async #end(): Promise<void> {
    const { timings, signal } = this.#options
    signal.throwIfAborted()
    const held = await this.#group.take(`${this.#work.input.object.location}#${this.#groups++}`)
    const made = await timings.time('pseudonymize', () => makeHeld(held, this.#work))
    await timings.time('gate', () => lookAtHeld(held, made, this.#work, `${this.#work.output}#${this.#groups}`))
    await timings.time('write', () => this.#pieces.add(made))
  }
}
