/** At the end of a step: whether values of its replaced columns stand in its copied ones. */
import { openParquet, type ParquetFile } from '../../../lib/parquet/open.ts'
import { pathKey } from '../../../lib/parquet/schema.ts'
import type { StoredObject } from '../../../lib/storage/storage.ts'
import type { Tally } from './check.ts'
import { CopiedColumn, type CopiedOptions, checkMatches } from './copied.ts'

/** A file of the step, and its copied columns by position. */
export interface SearchedFile {
  readonly object: StoredObject
  readonly columns: readonly number[]
}

export interface SearchOptions extends CopiedOptions {
  readonly maxMatchRatio: number
  readonly tally: Tally
  /** One of the files need not be opened again. */
  readonly opened: ParquetFile | undefined
}

/** @throws PseudolakeError `storage/*`, `input/*` */
export async function findOriginals(files: readonly SearchedFile[], options: SearchOptions): Promise<void> {
  const { storage, signal, tally, opened, maxMatchRatio } = options
  const copied = new Map<string, CopiedColumn>()
  for (const { object, columns } of files) {
    const file = opened?.object === object ? opened : await openParquet(storage, object, { signal })
    for (const i of columns) {
      const leaf = file.leaves[i]
      if (!leaf) continue
      const key = pathKey(leaf.path)
      const column = copied.get(key) ?? new CopiedColumn(leaf.path, options)
      copied.set(key, column)
      await column.look(file, leaf)
    }
  }
  const looked = [...copied.values()]
  for (const { cells, matches, entries, pages, chunks, complete } of looked) {
    tally.looked({ cells, matches, chunks, dictionary_entries: entries, pages })
    if (!complete) tally.missed('pages without a dictionary are sampled; every cell with gate.full')
  }
  for (const { object } of files.slice(0, 1)) tally.fail(object.location, checkMatches(looked, maxMatchRatio))
}
