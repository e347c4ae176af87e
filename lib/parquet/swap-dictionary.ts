/**
 * A new dictionary with the same entries in the same order, so that the bodies of pages that refer to it stay as they are.
 *
 * No byte of the chunk reaches the output but the bodies of pages that are proven to hold levels and positions.
 */
import { rowsOf } from './cells.ts'
import { type InputTask, type Nulls, pagesOf, requireRows } from './chunk-task.ts'
import {
  type ChunkWriter,
  dictionaryPage,
  type EncodedPage,
  encodeDataPage,
  encodeDictionaryPage,
} from './chunk-writer.ts'
import { decompress, literalOf, type OutputCodec } from './codec.ts'
import { decodeData, decodePlain, plainDictionary } from './decode.ts'
import type { Known } from './gather.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import { recompressed } from './pages.ts'
import { corrupt } from './place.ts'
import { encodePositions, provenPositions } from './positions.ts'
import type { Replacement } from './replacement.ts'
import { isDictionaryEncoded } from './scan.ts'
import { replacedCells } from './slot-cells.ts'
import { plainSlotPages } from './slot-encoder.ts'

export async function swapDictionary(task: InputTask, target: ChunkWriter, nulls: Nulls): Promise<void> {
  const replacement = task.replacements.of(task.column)
  const { codec } = task.planned
  let entries: number | undefined
  let rows = 0
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      entries = page.header.values
      await target.page(await newDictionary(page as Page<DictionaryHeader>, task, replacement))
    } else if (isDictionaryEncoded(page.header.encoding))
      rows += await keepProven(task, target, nulls, page as Page<DataHeader>, entries)
    else {
      const decoded = decodePlain(page as Page<DataHeader>, task.column.source, task.chunk.codec, entries)
      nulls.add(decoded.count - decoded.present)
      rows += rowsOf(decoded)
      const makeRoom = async () => replacement.makeRoom()
      for await (const cells of replacedCells(decoded, page.place, task, replacement, makeRoom))
        for (const plain of plainSlotPages(task.column.leaf, codec, cells, replacement)) await target.page(plain)
    }
  }
  requireRows(task, rows)
}

/** The page with the new entries; valid until the next. */
async function newDictionary(
  page: Page<DictionaryHeader>,
  { known, chunk, planned, memory, out }: InputTask,
  replacement: Replacement,
): Promise<EncodedPage> {
  const { values: count, encoding } = page.header
  if (known?.generation === replacement.generation && known.slots.length === count) return ofSlots(known.slots, known)
  const plain = plainDictionary(page, chunk.codec)
  const pieces: Uint8Array[] = []
  for (let done = 0, at = 0; done < count; ) {
    // A dictionary that is larger than the table may be is replaced piece by piece.
    replacement.makeRoom()
    const piece = Math.min(count - done, PIECE)
    const { slots, bytes } = replacement.lookAll(plain.subarray(at), piece, page.place)
    await replacement.settle()
    if (piece === count) return ofSlots(slots)
    const into = new Uint8Array(replacement.sizeOf(slots))
    replacement.emit(slots, into)
    pieces.push(into)
    done += piece
    at += bytes
  }
  return encodeDictionaryPage(planned.codec, Buffer.concat(pieces), count, true, encoding)

  function ofSlots(slots: Int32Array, looked?: Known): EncodedPage {
    // Where pages are not copied their cells are looked at, for which the dictionary must be read anyway.
    const attempt = chunk.codec === planned.codec ? out.attempt : undefined
    const emitted = replacement.emitPage(slots, attempt && looked && { prints: looked.prints, attempt })
    const size = emitted?.plain.length ?? replacement.sizeOf(slots)
    const plain = emitted?.plain ?? memory.values.room(size).subarray(0, size)
    if (!emitted) replacement.emit(slots, plain)
    const made =
      emitted && planned.codec === 'snappy'
        ? dictionaryPage(emitted.literal, size, count, encoding)
        : encodeDictionaryPage(planned.codec, plain, count, true, encoding)
    if (!looked || emitted?.repeated === undefined) return made
    const repeated = emitted.repeated && isOf(planned.codec, made, plain)
    return {
      ...made,
      pairs: { repeated, known: looked.id, codec: planned.codec, values: count, uncompressedBytes: size },
    }
  }
}

/** Whether a page is what it was made of: the pairs were looked at in that. */
function isOf(codec: OutputCodec, { body }: EncodedPage, plain: Uint8Array): boolean {
  if (codec === 'none') return body.length === plain.length
  // Where the literal is the memory that was looked at.
  if (codec === 'snappy') return literalOf(body, plain.length) !== undefined
  return Buffer.compare(decompress(codec, body, plain.length), plain) === 0
}

const PIECE = 1 << 17

/**
 * The body of a page of a protected column, once it is proven to hold nothing but levels and positions in the dictionary: a header
 * can say so of a page that holds values. What else is in it, behind the last run say, stays behind.
 * @returns the rows that begin in it
 */
async function keepProven(
  { column, planned, chunk }: InputTask,
  target: ChunkWriter,
  nulls: Nulls,
  page: Page<DataHeader>,
  entries: number | undefined,
): Promise<number> {
  const proven = entries === undefined ? undefined : provenPositions(page, column.source, chunk.codec, entries)
  if (proven) {
    nulls.add(page.header.values - proven.present)
    await target.page(recompressed(page, chunk.codec, planned.codec))
    return proven.rows
  }
  if (entries === undefined) throw corrupt(page.place, 'its values are in a dictionary, and there is none')
  const decoded = decodeData(page, column.source, chunk.codec, entries)
  const { indices = new Int32Array(0), count, repetition, definition, tight } = decoded
  nulls.add(count - indices.length)
  const rows = rowsOf(decoded)
  // Readers skip by the header's number.
  if (page.header.type === PAGE.DATA_V2 && page.header.rows !== rows)
    throw corrupt(page.place, `has ${rows} rows, its header says ${page.header.rows}`)
  if (tight) {
    await target.page(recompressed(page, chunk.codec, planned.codec))
    return rows
  }
  await target.page(
    encodeDataPage(column.leaf, planned.codec, {
      count,
      ...(repetition && { repetition }),
      ...(definition && { definition }),
      encoding: page.header.encoding,
      values: encodePositions(indices, entries),
      random: false,
    }),
  )
  return rows
}
