/** A copied column whose type Iceberg lacks: its values in a wider one, dictionary or not. */
import { PseudolakeError } from '../core/errors.ts'
import { type InputTask, type Nulls, pagesOf } from './chunk-task.ts'
import { type ChunkWriter, encodeDictionaryPage } from './chunk-writer.ts'
import { decodeData, decodeDictionary, type RawValues } from './decode.ts'
import { plainPages } from './encode.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import { recompressed } from './pages.ts'
import { corrupt, failure, type Place } from './place.ts'
import { isDictionaryEncoded } from './scan.ts'
import { NotWidened, widen, widenedBytes } from './types.ts'

export async function widenPages(task: InputTask, target: ChunkWriter, nulls: Nulls): Promise<void> {
  const { column, planned, chunk } = task
  const { leaf, source } = column
  const size = widenedBytes(leaf)
  let entries: number | undefined
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      const values = decodeDictionary(page as Page<DictionaryHeader>, source, chunk.codec)
      entries = values.length
      const bytes = widened(values, task, page.place)
      await target.page(encodeDictionaryPage(planned.codec, bytes, entries, false, page.header.encoding))
    } else if (isDictionaryEncoded(page.header.encoding)) {
      if (entries === undefined) throw corrupt(page.place, 'its values are in a dictionary, and there is none')
      if (page.header.type === PAGE.DATA_V2) nulls.add(page.header.nulls)
      else if (leaf.maxDefinitionLevel > 0) nulls.unsaid()
      await target.page(recompressed(page, chunk.codec, planned.codec))
    } else {
      const decoded = decodeData(page as Page<DataHeader>, source, chunk.codec, entries)
      const values = decoded.values ?? []
      nulls.add(decoded.count - values.length)
      const bytes = widened(values, task, page.place)
      const cut = (from: number, to: number) => bytes.subarray(from * size, to * size)
      for (const plain of plainPages(leaf, planned.codec, decoded, () => size, cut, false)) await target.page(plain)
    }
  }
}

function widened(values: RawValues, { column }: InputTask, place: Place): Uint8Array {
  const { widening, source, leaf } = column
  if (!widening) throw new PseudolakeError('internal/bug', 'a widening without its name')
  try {
    return widen(widening, source, leaf, values)
  } catch (error) {
    if (!(error instanceof NotWidened)) throw error
    const type = source.logical?.type ?? source.physical
    throw failure('input/unsupported', place, `value ${error.index} of the page (${type}) ${error.message}`, {
      index: error.index,
      type,
    })
  }
}
