/** Looks the values of a file up before it is rewritten, so that requests are full: a row group alone would end each time with a request of a few. */
import type { Storage } from '../storage/storage.ts'
import { decodePlain, plainDictionary } from './decode.ts'
import type { ParquetFile } from './open.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page, readPages } from './page.ts'
import type { Place } from './place.ts'
import { rangeReader, Window } from './ranges.ts'
import type { Replacement } from './replacement.ts'
import { allInDictionary, isDictionaryEncoded } from './scan.ts'
import type { LeafNode } from './schema.ts'

/** Numbers of a dictionary's values. */
export interface Known {
  readonly generation: number
  readonly slots: Int32Array
}

/** By row group. */
export type Gathered = ReadonlyMap<number, Known>

/** Requests under way while looking on. */
const MOST_ASKING = 4
/** Numbers that are kept for the rewriting; what is beyond is looked up again. */
const KEPT_BYTES = 16 << 20

/**
 * Stops where the table has what it may have: what is asked now must still be known when the rewriting needs it.
 * @param flush texts that are asked for together
 * @returns the numbers of dictionaries; all values seen have their replacements
 * @throws PseudolakeError `input/*`, and what the replacement throws
 */
export async function gather(
  storage: Storage,
  file: ParquetFile,
  leaf: LeafNode,
  replacement: Replacement,
  { flush, signal }: { readonly flush: number; readonly signal?: AbortSignal },
): Promise<Gathered> {
  const gathered = new Map<number, Known>()
  let kept = 0
  const memory = { window: new Window(), page: Buffer.alloc(0) as Uint8Array }
  replacement.makeRoom(true)
  for (const rowGroup of file.rowGroups.keys()) {
    for await (const { plain, count, place, dictionary } of plainValues(
      storage,
      file,
      leaf,
      rowGroup,
      memory,
      signal,
    )) {
      const slots = dictionary && kept < KEPT_BYTES ? new Int32Array(count) : undefined
      let done = 0
      for (const piece of replacement.look(plain, count, place)) {
        slots?.set(piece.slots, done)
        done += piece.slots.length
        replacement.ask(flush)
        while (replacement.asking >= MOST_ASKING) await replacement.one()
        if (replacement.full) break
      }
      if (slots && done === count) {
        gathered.set(rowGroup, { generation: replacement.generation, slots })
        kept += slots.byteLength
      }
      if (replacement.full) break
    }
    if (replacement.full) break
  }
  await replacement.settle()
  replacement.gathered()
  return gathered
}

/** Used for one page after the other. */
interface Memory {
  readonly window: Window
  page: Uint8Array
}
const SCRATCH_BYTES = 4 << 20

interface PlainValues {
  readonly plain: Uint8Array
  readonly count: number
  readonly place: Place
  readonly dictionary: boolean
}

/** A dictionary's entries, and the values of pages that do without. What need not be read is not. */
async function* plainValues(
  storage: Storage,
  file: ParquetFile,
  leaf: LeafNode,
  rowGroup: number,
  memory: Memory,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlainValues> {
  const chunk = file.rowGroups[rowGroup]?.columns[leaf.column]
  if (!chunk || chunk.values === 0) return
  const place: Place = { location: file.object.location, column: leaf.path, rowGroup }
  const dictionaryOnly = allInDictionary(chunk)
  const source = rangeReader(
    storage,
    file.object,
    [[chunk.start, dictionaryOnly ? chunk.dataPageOffset : chunk.end]],
    signal,
    memory.window,
  )
  let entries: number | undefined
  for await (const page of readPages(source, chunk, place, { signal, dictionaryOnly })) {
    if (page.header.type === PAGE.DICTIONARY) {
      entries = page.header.values
      const { uncompressedBytes: size } = page.header
      if (memory.page.length < size && size <= SCRATCH_BYTES) memory.page = new Uint8Array(2 * size)
      const plain = plainDictionary(page as Page<DictionaryHeader>, chunk.codec, memory.page)
      yield { plain, count: entries, place: page.place, dictionary: true }
    } else if (!isDictionaryEncoded(page.header.encoding)) {
      const { plain, present } = decodePlain(page as Page<DataHeader>, leaf, chunk.codec, entries)
      if (plain && present > 0) yield { plain, count: present, place: page.place, dictionary: false }
    }
  }
}
