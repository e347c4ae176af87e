/** Executes what a plan says of one chunk. */
import { PseudolakeError } from '../core/errors.ts'
import { type ChunkTask, type InputTask, isFromInput, Nulls, pagesOf } from './chunk-task.ts'
import { ChunkWriter, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import { decodeData } from './decode.ts'
import { plainTexts, plainValuePages } from './encode.ts'
import { isOutputEncoding } from './encodings.ts'
import { ENCODING, type WrittenChunk } from './footer.ts'
import { encodeHybrid } from './levels.ts'
import { type DataHeader, PAGE, type Page } from './page.ts'
import { recompressed } from './pages.ts'
import { swapDictionary } from './swap-dictionary.ts'
import { transcode, transcodeCells } from './transcode.ts'
import { widenPages } from './widen-chunk.ts'

/** Rows in a page of a constant. */
const CONSTANT_ROWS = 1 << 20

/** Writes one chunk of the output. @throws as `rewrite` does */
export async function rewriteChunk(task: ChunkTask): Promise<WrittenChunk> {
  const { action, codec } = task.planned
  const target = new ChunkWriter(task.out, task.column.leaf, codec)
  if (action === 'constant') return constant(task, target)
  if (!isFromInput(task)) throw new PseudolakeError('internal/bug', 'a plan without an input for a chunk')
  if (action === 'copy') return copy(task)
  if (action === 'recompress' || action === 'reencode') {
    await reencode(task, target, action === 'reencode')
    return target.finish(task.chunk.statistics)
  }
  const nulls = new Nulls()
  if (task.column.widening) await widenPages(task, target, nulls)
  else if (action === 'swap-dictionary') await swapDictionary(task, target, nulls)
  else if (task.column.perCell) await transcodeCells(task, target, nulls)
  else await transcode(task, target, nulls)
  // Counts tell nothing of a value; everything else of the statistics does.
  const count = nulls.count ?? task.chunk.statistics?.nulls
  return target.finish(count === undefined ? undefined : { nulls: count })
}

async function copy({ chunk, out, source, column }: InputTask): Promise<WrittenChunk> {
  const start = out.position
  await out.copy(source, chunk.start, chunk.end)
  const shift = start - chunk.start
  const { dictionaryPageOffset, ...kept } = chunk
  return {
    ...kept,
    leaf: column.leaf,
    start,
    end: out.position,
    dataPageOffset: chunk.dataPageOffset + shift,
    ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset: dictionaryPageOffset + shift }),
  }
}

/** @param encodings pages in encodings that not every engine reads are written anew too */
export async function reencode(task: InputTask, target: ChunkWriter, encodings: boolean): Promise<void> {
  const { column, planned, chunk } = task
  for await (const page of pagesOf(task)) {
    if (!encodings || page.header.type === PAGE.DICTIONARY || isOutputEncoding(page.header.encoding)) {
      await target.page(recompressed(page, chunk.codec, planned.codec))
      continue
    }
    const decoded = decodeData(page as Page<DataHeader>, column.source, chunk.codec, undefined)
    for (const plain of plainValuePages(column.leaf, planned.codec, decoded)) await target.page(plain)
  }
}

async function constant({ column, planned, rows }: ChunkTask, target: ChunkWriter): Promise<WrittenChunk> {
  const { leaf, constant: value = null, replaced } = column
  const { codec } = planned
  if (value !== null) {
    const bytes = Buffer.from(value)
    const entry = plainTexts({ bytes, offsets: Uint32Array.of(0, bytes.length) })
    await target.page(encodeDictionaryPage(codec, entry, 1, true))
  }
  for (let written = 0; written < rows; written += CONSTANT_ROWS) {
    const count = Math.min(CONSTANT_ROWS, rows - written)
    const definition = new Uint8Array(count).fill(value === null ? 0 : 1)
    // One bit for each position, and all of them are 0: one run, however many rows there are.
    const positions = value === null ? new Uint8Array(0) : [1, ...encodeHybrid(new Uint8Array(count), 1)]
    await target.page(
      encodeDataPage(leaf, codec, {
        count,
        definition,
        encoding: value === null ? ENCODING.PLAIN : ENCODING.RLE_DICTIONARY,
        values: Uint8Array.from(positions),
        random: false,
      }),
    )
  }
  if (value === null) return target.finish({ nulls: rows })
  const bound = Buffer.from(value)
  return target.finish(replaced ? { nulls: 0 } : { nulls: 0, min: bound, max: bound })
}
