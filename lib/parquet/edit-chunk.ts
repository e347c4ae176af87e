/**
 * A chunk with some rows left out, or some values made null. Pages that refer to a dictionary still do, and the dictionary loses the entries
 * that only those cells had: what is deleted must not be found in a file that was written since.
 */
import { type InputTask, Nulls, pagesOf, requireRows } from './chunk-task.ts'
import { ChunkWriter, encodeDataPage, encodeDictionaryPage } from './chunk-writer.ts'
import { type DecodedPage, decodeData, decodeDictionary } from './decode.ts'
import { plainValuePages } from './encode.ts'
import { ENCODING, type WrittenChunk } from './footer.ts'
import { type DataHeader, type DictionaryHeader, PAGE, type Page } from './page.ts'
import { failure } from './place.ts'
import { plainBytes, type RawValues } from './plain.ts'
import { encodePositions } from './positions.ts'

export interface ChunkEdit {
  /** By position of the row in the row group: 1 where it stays. @default all stay */
  readonly kept?: Uint8Array
  /** Whether a value becomes null, by its bytes; of byte arrays in optional leaves only. @default none does */
  readonly isNulled?: (value: Uint8Array) => boolean
}

/** @throws PseudolakeError `input/unsupported` for values of a leaf that cannot become null */
export async function editChunk(task: InputTask, edit: ChunkEdit): Promise<WrittenChunk> {
  const { column, planned, chunk, out } = task
  const { physical, repetition: how, path } = column.source
  if (edit.isNulled && (physical !== 'BYTE_ARRAY' || how !== 'optional'))
    throw failure('input/unsupported', { location: task.location, column: path }, 'its values cannot become null')
  const target = new ChunkWriter(out, column.leaf, planned.codec)
  const nulls = new Nulls()
  const used = await usedEntries(task, edit)
  let entries: number | undefined
  for await (const [page, cells] of keptPages(task, edit)) {
    if (!cells) {
      if (!used) continue
      entries = page.header.values
      const values = decodeDictionary(page as Page<DictionaryHeader>, column.source, chunk.codec)
      const bytes = plainBytes(column.source, entriesOf(values, used.positions), 0, used.count)
      await target.page(encodeDictionaryPage(planned.codec, bytes, used.count, column.replaced))
      continue
    }
    nulls.add(cells.count - cells.present)
    if (cells.count === 0) continue
    if (cells.indices && used && entries !== undefined) {
      const { count, repetition, definition, indices } = cells
      await target.page(
        encodeDataPage(column.leaf, planned.codec, {
          count,
          ...(repetition && { repetition }),
          ...(definition && { definition }),
          encoding: ENCODING.RLE_DICTIONARY,
          values: encodePositions(
            indices.map((position) => used.positions[position] as number),
            used.count,
          ),
          random: false,
        }),
      )
    } else for (const plain of plainValuePages(column.leaf, planned.codec, cells)) await target.page(plain)
  }
  // Bounds may be those of a row that is gone.
  return target.finish({ nulls: nulls.count ?? 0 })
}

interface UsedEntries {
  /** New position of each entry; -1 where no row that stays has it. */
  readonly positions: Int32Array
  readonly count: number
}

/** Undefined where no value that stays refers to a dictionary. */
async function usedEntries(task: InputTask, edit: ChunkEdit): Promise<UsedEntries | undefined> {
  let positions: Int32Array | undefined
  for await (const [page, cells] of keptPages(task, edit)) {
    if (!cells) positions = new Int32Array(page.header.values).fill(-1)
    else if (positions) for (const position of cells.indices ?? []) positions[position] = 0
  }
  if (!positions) return undefined
  let count = 0
  for (let i = 0; i < positions.length; i++) if (positions[i] === 0) positions[i] = count++
  // Not every reader knows what to do with a dictionary of nothing.
  return count > 0 ? { positions, count } : undefined
}

type KeptCells = DecodedPage & { readonly present: number }

/** A chunk's pages with what stays of each; the dictionary comes without. */
async function* keptPages(
  task: InputTask,
  { kept, isNulled }: ChunkEdit,
): AsyncGenerator<readonly [Page, KeptCells | undefined]> {
  const { column, chunk } = task
  let entries: number | undefined
  let nulled: Uint8Array | undefined
  let row = -1
  for await (const page of pagesOf(task)) {
    if (page.header.type === PAGE.DICTIONARY) {
      entries = page.header.values
      nulled =
        isNulled && nulledOf(decodeDictionary(page as Page<DictionaryHeader>, column.source, chunk.codec), isNulled)
      yield [page, undefined]
      continue
    }
    const decoded = decodeData(page as Page<DataHeader>, column.source, chunk.codec, entries)
    // By position among the page's values, whatever they are.
    const gone =
      isNulled && (decoded.indices ? picked(decoded.indices, nulled) : nulledOf(decoded.values ?? [], isNulled))
    const { cells, last } = keptCells(decoded, column.source.maxDefinitionLevel, { kept, gone }, row)
    row = last
    yield [page, cells]
  }
  requireRows(task, row + 1)
}

/** @param before the row that the page before ended in */
function keptCells(
  { count, repetition, definition, indices, values, tight }: DecodedPage,
  most: number,
  { kept, gone }: { readonly kept: Uint8Array | undefined; readonly gone: Uint8Array | undefined },
  before: number,
): { readonly cells: KeptCells; readonly last: number } {
  const keptRepetition = repetition && new Uint8Array(count)
  const keptDefinition = definition && new Uint8Array(count)
  const places = new Int32Array(count)
  let [row, cells, value, present] = [before, 0, 0, 0]
  for (let i = 0; i < count; i++) {
    if (!repetition || repetition[i] === 0) row++
    const isPresent = !definition || definition[i] === most
    if (!kept || kept[row] === 1) {
      const isGone = isPresent && gone?.[value] === 1
      if (keptRepetition) keptRepetition[cells] = repetition?.[i] as number
      if (keptDefinition) keptDefinition[cells] = isGone ? most - 1 : (definition?.[i] as number)
      if (isPresent && !isGone) places[present++] = value
      cells++
    }
    if (isPresent) value++
  }
  const taken = places.subarray(0, present)
  return {
    last: row,
    cells: {
      count: cells,
      present,
      tight,
      ...(keptRepetition && { repetition: keptRepetition.subarray(0, cells) }),
      ...(keptDefinition && { definition: keptDefinition.subarray(0, cells) }),
      ...(indices && { indices: taken.map((place) => indices[place] as number) }),
      ...(values && { values: valuesAt(values, taken) }),
    },
  }
}

function nulledOf(values: RawValues, isNulled: (value: Uint8Array) => boolean): Uint8Array {
  return Uint8Array.from(values as Uint8Array[], (value) => (isNulled(value) ? 1 : 0))
}

function picked(indices: Int32Array, nulled: Uint8Array | undefined): Uint8Array {
  return Uint8Array.from(indices, (index) => nulled?.[index] ?? 0)
}

function valuesAt(values: RawValues, places: Int32Array): RawValues {
  if (values instanceof Int32Array) return Int32Array.from(places, (place) => values[place] as number)
  if (values instanceof BigInt64Array) return BigInt64Array.from(places, (place) => values[place] as bigint)
  // Their memory and not their numbers: the bits of a NaN need not survive being one of JavaScript's.
  if (values instanceof Float32Array)
    return new Float32Array(bitsAt(new Int32Array(values.buffer, values.byteOffset, values.length), places).buffer)
  if (values instanceof Float64Array) {
    const bits = new BigInt64Array(values.buffer, values.byteOffset, values.length)
    return new Float64Array(BigInt64Array.from(places, (place) => bits[place] as bigint).buffer)
  }
  return Array.from(places, (place) => values[place]) as boolean[] | Uint8Array[]
}

function bitsAt(bits: Int32Array, places: Int32Array): Int32Array {
  return Int32Array.from(places, (place) => bits[place] as number)
}

/** The entries that are used, in their order. */
function entriesOf(values: RawValues, positions: Int32Array): RawValues {
  const places: number[] = []
  for (let i = 0; i < positions.length; i++) if ((positions[i] as number) >= 0) places.push(i)
  return valuesAt(values, Int32Array.from(places))
}
