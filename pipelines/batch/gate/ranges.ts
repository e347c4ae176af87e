/** The structural proof: no byte of a protected column is in the output, but those that say at which position of a dictionary a cell's value stands. Pure. */

import { crc32 } from 'node:zlib'
import type { ByteRange, Sample } from '../../../lib/parquet/provenance.ts'
import type { Finding } from './check.ts'

/** A chunk of the output, by its footer, and where the plan says that it comes from. */
export interface ChunkRange {
  readonly column: readonly string[]
  readonly rowGroup: number
  readonly start: number
  readonly end: number
  /** The values are pseudonyms, or will be nothing that the input had. */
  readonly replaced: boolean
  /** The source chunk in the input; missing for a constant. */
  readonly from?: readonly [start: number, end: number]
  /** For replaced chunks: bodies of data pages that refer to the dictionary, by their start; values are their ends. */
  readonly positions: ReadonlyMap<number, number>
}

/**
 * @param ranges as they were recorded when the file was written
 * @param size of the file
 */
export function checkRanges(ranges: readonly ByteRange[], size: number, chunks: readonly ChunkRange[]): Finding[] {
  const findings: Finding[] = []
  const sorted = chunks.toSorted((a, b) => a.start - b.start)
  let at = 0
  let next = 0
  for (const { start, end, from } of ranges) {
    if (start !== at || end <= start)
      findings.push({ message: `bytes ${at} to ${start}: it is not known where they come from` })
    at = end
    if (from === undefined) continue
    // Columns that follow each other here and there are copied in one piece.
    for (let piece = start; piece < end; ) {
      while (next < sorted.length && (sorted[next] as ChunkRange).end <= piece) next++
      const chunk = sorted[next]
      const stop = Math.min(end, chunk?.end ?? end)
      const wrong = copied(chunk, piece, stop, from + piece - start)
      if (wrong) findings.push(wrong)
      piece = stop
    }
  }
  if (at !== size) findings.push({ message: `of ${size} bytes, ${at} were recorded` })
  return findings
}

/** What is wrong with the bytes `[start, end)` of a chunk being those at `from` of the input. */
function copied(chunk: ChunkRange | undefined, start: number, end: number, from: number): Finding | undefined {
  const what = `bytes ${start} to ${end} are copied`
  if (!chunk || start < chunk.start) return { message: `${what}, and in no column` }
  const place = { column: chunk.column, rowGroup: chunk.rowGroup }
  if (!chunk.from || from < chunk.from[0] || from + end - start > chunk.from[1])
    return { ...place, message: `${what} from elsewhere than the plan says` }
  if (chunk.replaced && chunk.positions.get(start) !== end)
    return { ...place, message: `${what}, and the column is replaced` }
  return undefined
}

/** @param bytes what stands at the sample's place in the output */
export function checkSample(sample: Sample, bytes: Uint8Array): Finding[] {
  if (bytes.length === sample.end - sample.start && crc32(bytes) === sample.crc) return []
  return [{ message: `bytes ${sample.start} to ${sample.end} are not those that were handed over` }]
}
