/** The data files that come of one CSV file: row groups are looked at in memory, one by one, and then put behind each other. */
import { crc32 } from 'node:zlib'
import { MAGIC, serializeFooter, type WrittenRowGroup } from '../../../lib/parquet/footer.ts'
import { Output } from '../../../lib/parquet/output.ts'
import type { RewritePlan } from '../../../lib/parquet/plan.ts'
import { summarize } from '../../../lib/parquet/summary.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { AssembledChunk } from '../gate/assembled.ts'
import type { Gate } from '../gate/gate.ts'
import { checksummed, type FinishedFile, pieceOf } from '../unpublished.ts'

export interface PiecesOptions {
  readonly storage: Storage
  /** Location that a single file would have; each gets a number behind it. */
  readonly output: string
  /** A file that has as many bytes gets no further row group. */
  readonly targetBytes: number
  readonly createdBy: string
  readonly gate: Gate
}

/** A row group of a file in memory. */
export interface MadeRowGroup {
  readonly plan: RewritePlan
  /** The file up to its footer. */
  readonly bytes: Uint8Array
  readonly written: WrittenRowGroup
}

interface Open {
  readonly location: string
  readonly writer: ReturnType<typeof checksummed>
  readonly out: Output
  readonly rowGroups: WrittenRowGroup[]
  readonly chunks: AssembledChunk[]
  plan: RewritePlan
}

export class Pieces {
  readonly files: FinishedFile[] = []
  readonly #options: PiecesOptions
  #open: Open | undefined

  constructor(options: PiecesOptions) {
    this.#options = options
  }

  async add({ plan, bytes, written }: MadeRowGroup): Promise<void> {
    this.#open ??= await this.#begin(plan)
    const { out, rowGroups, chunks } = this.#open
    this.#open.plan = plan
    const shift = out.position - MAGIC.length
    await out.write(bytes.subarray(MAGIC.length))
    const rowGroup = rowGroups.length
    for (const [i, { leaf, start, end }] of written.chunks.entries()) {
      const replaced = plan.columns[i]?.replaced ?? true
      const crc = crc32(bytes.subarray(start, end))
      chunks.push({ column: leaf.path, rowGroup, start: start + shift, end: end + shift, replaced, crc })
    }
    rowGroups.push(shifted(written, shift))
    if (out.position >= this.#options.targetBytes) await this.end()
  }

  /** Closes the file that is open, and has the gate look at it. @throws PseudolakeError `gate/failed`, `storage/*` */
  async end(): Promise<void> {
    if (!this.#open) return
    const { location, writer, out, rowGroups, chunks, plan } = this.#open
    await out.write(serializeFooter(plan.root, rowGroups, this.#options.createdBy))
    await out.flush()
    const stored = await writer.close()
    this.#open = undefined
    this.files.push({ file: summarize(stored, plan, rowGroups), ...writer.finished })
    await this.#options.gate.assembled({ output: location, plan, rowGroups, chunks })
  }

  /** After a failure: nothing is left. */
  async abort(): Promise<void> {
    await this.#open?.writer.abort()
    this.#open = undefined
    for (const { file } of this.files) await this.#options.storage.delete(file.location)
  }

  async #begin(plan: RewritePlan): Promise<Open> {
    const { storage, output } = this.#options
    const location = pieceOf(output, this.files.length)
    const writer = checksummed(await storage.write(location))
    const out = new Output(writer)
    await out.write(MAGIC)
    return { location, writer, out, rowGroups: [], chunks: [], plan }
  }
}

function shifted({ rows, chunks }: WrittenRowGroup, by: number): WrittenRowGroup {
  return {
    rows,
    chunks: chunks.map(({ dictionaryPageOffset, ...chunk }) => ({
      ...chunk,
      start: chunk.start + by,
      end: chunk.end + by,
      dataPageOffset: chunk.dataPageOffset + by,
      ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + by }),
    })),
  }
}
