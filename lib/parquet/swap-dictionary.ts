/**
 * A new dictionary with the same entries in the same order, so that the bodies of pages that refer to it stay as they are.
 *
 * No byte of the chunk reaches the output but the bodies of pages that are proven to hold levels and positions.
 */
import { type InputTask, type Nulls, pagesOf, type SwapMemory } from './chunk-task.ts'
import { type ChunkWriter, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import { decodeData, decodePlain, plainDictionary } from './decode.ts'
import { bitWidth, encodeHybrid } from './levels.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import { recompressed } from './pages.ts'
import { corrupt } from './place.ts'
import { provenPositions } from './positions.ts'
import type { Window } from './ranges.ts'
import type { Replacement } from './replacement.ts'
import { isDictionaryEncoded } from './scan.ts'
import { replacedCells } from './slot-cells.ts'
import { plainSlotPages } from './slot-encoder.ts'

/** @param memory of the file's rewriting: one dictionary after the other is made in it */
export async function swapDictionary(
  task: InputTask,
  target: ChunkWriter,
  nulls: Nulls,
  memory: SwapMemory,
): Promise<void> {
  const replacement = task.replacements.of(task.column)
  const { codec } = task.planned
  let entries: number | undefined
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      entries = page.header.values
      const values = await dictionaryBytes(page as Page<DictionaryHeader>, task, replacement, memory.values)
      const room = memory.page.room(values.length + values.length / 1000 + 64)
      await target.page(encodeDictionaryPage(codec, values, entries, true, page.header.encoding, room))
    } else if (isDictionaryEncoded(page.header.encoding))
      await keepProven(task, target, nulls, page as Page<DataHeader>, entries)
    else {
      const decoded = decodePlain(page as Page<DataHeader>, task.column.source, task.chunk.codec, entries)
      nulls.add(decoded.count - decoded.present)
      const makeRoom = async () => replacement.makeRoom()
      for await (const cells of replacedCells(decoded, page.place, task, replacement, makeRoom))
        for (const plain of plainSlotPages(task.column.leaf, codec, cells, replacement)) await target.page(plain)
    }
  }
}

/** The new dictionary in PLAIN encoding; valid until the next. */
async function dictionaryBytes(
  page: Page<DictionaryHeader>,
  { known, chunk }: InputTask,
  replacement: Replacement,
  memory: Window,
): Promise<Uint8Array> {
  const count = page.header.values
  if (known?.generation === replacement.generation && known.slots.length === count) return emitted(known.slots)
  const plain = plainDictionary(page, chunk.codec)
  const pieces: Uint8Array[] = []
  for (let done = 0, at = 0; done < count; ) {
    // A dictionary that is larger than the table may be is replaced piece by piece.
    replacement.makeRoom()
    const piece = Math.min(count - done, PIECE)
    const { slots, bytes } = replacement.lookAll(plain.subarray(at), piece, page.place)
    await replacement.settle()
    if (piece === count) return emitted(slots)
    pieces.push(new Uint8Array(emitted(slots)))
    done += piece
    at += bytes
  }
  return Buffer.concat(pieces)

  function emitted(slots: Int32Array): Uint8Array {
    const size = replacement.sizeOf(slots)
    const into = memory.room(size)
    replacement.emit(slots, into)
    return into.subarray(0, size)
  }
}
const PIECE = 1 << 17

/**
 * The body of a page of a protected column, once it is proven to hold nothing but levels and positions in the dictionary: a header
 * can say so of a page that holds values. What else is in it, behind the last run say, stays behind.
 */
async function keepProven(
  { column, planned, chunk }: InputTask,
  target: ChunkWriter,
  nulls: Nulls,
  page: Page<DataHeader>,
  entries: number | undefined,
): Promise<void> {
  const present = entries === undefined ? undefined : provenPositions(page, column.source, chunk.codec, entries)
  if (present !== undefined) {
    nulls.add(page.header.values - present)
    return target.page(recompressed(page, chunk.codec, planned.codec))
  }
  if (entries === undefined) throw corrupt(page.place, 'its values are in a dictionary, and there is none')
  const decoded = decodeData(page, column.source, chunk.codec, entries)
  const { indices = new Int32Array(0), count, repetition, definition, tight } = decoded
  nulls.add(count - indices.length)
  if (tight) return target.page(recompressed(page, chunk.codec, planned.codec))
  const width = bitWidth(Math.max(0, entries - 1))
  const values = Uint8Array.from([width, ...encodeHybrid(indices, width)])
  await target.page(
    encodeDataPage(column.leaf, planned.codec, {
      count,
      ...(repetition && { repetition }),
      ...(definition && { definition }),
      encoding: page.header.encoding,
      values,
      random: false,
    }),
  )
}
