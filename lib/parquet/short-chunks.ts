/** PARQUET-816: until 1.2.9 parquet-mr left the header of the dictionary out of a chunk’s length, so that a copy would lose its end. Pure. */
import { failure, type Place } from './place.ts'
import type { LeafNode } from './schema.ts'

const PLAIN_DICTIONARY = 2
/** 1.2.9 */
const FIXED = 1_002_009

/** The name is a word of its own: Trino and Athena write `parquet-mr-trino version 476`, so that Hive reads their files. */
function isShort(createdBy: string): boolean {
  const version = /^parquet-mr(?![\w-])(?: version (\d+)\.(\d+)\.(\d+))?/.exec(createdBy)
  if (!version) return false
  const [major = 0, minor = 0, patch = 0] = version.slice(1).map(Number)
  return version[1] === undefined || major * 1_000_000 + minor * 1000 + patch < FIXED
}

/** @throws PseudolakeError `input/unsupported` */
export function refuseShortChunks(
  createdBy: string | undefined,
  rowGroups: readonly { readonly columns: readonly { readonly encodings: readonly number[] }[] }[],
  leaves: readonly LeafNode[],
  place: Place,
): void {
  if (createdBy === undefined || !isShort(createdBy)) return
  for (const [rowGroup, { columns }] of rowGroups.entries())
    for (const [i, { encodings }] of columns.entries())
      if (encodings.includes(PLAIN_DICTIONARY))
        throw failure(
          'input/unsupported',
          { ...place, rowGroup, column: leaves[i]?.path ?? [] },
          'was written by parquet-mr before 1.2.9, whose footers say too little of its length',
        )
}
