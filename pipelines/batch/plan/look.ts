/** What a plan knows of the values of a chunk: a port, and the adapter that reads dictionaries and a bounded sample of other pages. */
import type { ColumnChunk } from '../../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../../lib/parquet/open.ts'
import { allInDictionary, scanTexts } from '../../../lib/parquet/scan.ts'
import type { LeafNode } from '../../../lib/parquet/schema.ts'
import type { Storage } from '../../../lib/storage/storage.ts'
import type { ColumnRule } from '../job.ts'
import { Distinct } from './distinct.ts'
import type { Sender } from './senders.ts'
import { type Found, NOTHING_FOUND, pseudonymBytes } from './sizes.ts'

/** A chunk whose values are replaced. */
export interface Looked {
  readonly rule: ColumnRule
  readonly sender: Sender
  readonly format: 'original' | 'v2'
  readonly file: ParquetFile
  readonly leaf: LeafNode
  readonly rowGroup: number
  /** Not null, as far as the footer says. */
  readonly cells: number
  /** Of its column, until now. */
  readonly lengths: Lengths
}

/** Values of a column that were looked at, their bytes and those of their pseudonyms: to guess others by. */
export interface Lengths {
  values: number
  valueBytes: number
  pseudonymBytes: number
}

/** Tells the sender what it will send, adds to the lengths, and says what was found. */
export type Look = (chunk: Looked) => Promise<Found>

/** Of a chunk's different values, until a sketch is enough to tell how large it will be. */
const CHUNK_BYTES = 4 << 20

/** @param sampleBytes of pages without a dictionary that may be read in all; dictionaries are read anyway */
export function lookInside(storage: Storage, signal: AbortSignal, sampleBytes: number): Look {
  let sampleLeft = sampleBytes
  return async ({ rule, sender, format, file, leaf, rowGroup, cells, lengths }) => {
    const chunk = file.rowGroups[rowGroup]?.columns[leaf.column] as ColumnChunk
    const found: { -readonly [K in keyof Found]: number } = { ...NOTHING_FOUND }
    // Cells of mode random are all sent: their dictionary tells nothing but how long they are, and one chunk is enough for that.
    const random = rule.mode === 'random'
    if (chunk.values === 0 || (random && lengths.values > 0)) return found
    const whole = allInDictionary(chunk)
    const bytes = chunk.end - chunk.start
    const sampled = !whole && bytes <= sampleLeft
    if (sampled) sampleLeft -= bytes
    const unseen = (entries: number) => {
      found.unseen = Math.max(0, cells - entries)
      if (!random && found.unseen > 0) sender.unseen(found.unseen)
      return found
    }
    if (!whole && !sampled && chunk.dictionaryPageOffset === undefined) return unseen(0)
    const different = new Distinct(CHUNK_BYTES)
    for await (const { texts, dictionary } of scanTexts(storage, file, leaf, { signal, rowGroups: [rowGroup] })) {
      const sizes = random ? texts.map((text) => Buffer.byteLength(text)) : await sender.observe(texts)
      let pseudonyms = 0
      let old = 0
      for (const utf8 of sizes) {
        pseudonyms += pseudonymBytes(utf8, format)
        old += utf8 + 4
      }
      lengths.values += sizes.length
      lengths.valueBytes += old - 4 * sizes.length
      lengths.pseudonymBytes += pseudonyms
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
    found.plainDistinct = different.estimate().values
    return whole || sampled ? found : unseen(found.entries)
  }
}
