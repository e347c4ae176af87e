/** Positions in a dictionary, read and written at the speed of memory. */
import { type Codec, decompress } from './codec.ts'
import { ENCODING } from './footer.ts'
import { bitWidth } from './levels.ts'
import { type DataHeader, PAGE, type Page } from './page.ts'
import { encodeRuns } from './runs.ts'
import type { LeafNode } from './schema.ts'
import { type Engine, sharedEngine } from './wasm/engine.ts'

/**
 * Whether the body of a page holds levels and positions in the dictionary and nothing else.
 * @param entries of the dictionary
 * @returns how many values are present, and rows begin, in a page that is proven to hold nothing else; undefined where that is not so, or
 * cannot be seen this way: decode.ts has the reason
 */
export function provenPositions(
  { header, body }: Page<DataHeader>,
  leaf: LeafNode,
  codec: Codec,
  entries: number,
): { readonly present: number; readonly rows: number } | undefined {
  const { maxRepetitionLevel: repeated, maxDefinitionLevel: defined } = leaf
  const { values } = header
  const engine = sharedEngine(Math.max(body.length, header.uncompressedBytes))
  const { places, room } = engine
  // What falls short of a run is looked at elsewhere: there may be no values, no entries, no bits.
  if (values === 0 || entries === 0 || body.length > room.in || header.uncompressedBytes > room.out) return undefined
  const v2 = header.type === PAGE.DATA_V2 ? header : undefined
  const stored = v2 ? v2.definitionBytes + v2.repetitionBytes : 0
  const size = header.uncompressedBytes - stored
  if (!unpacked(engine, v2 && !v2.compressed ? 'none' : codec, body.subarray(stored), size)) return undefined
  const end = places.out + size
  let at = places.out
  let [present, rows] = [values, values]
  if (v2) {
    if ((repeated === 0 && v2.repetitionBytes > 0) || (defined === 0 && v2.definitionBytes > 0)) return undefined
    // The compressed bytes are not needed any more.
    engine.bytes().set(body.subarray(0, stored), places.in)
    if (!levels('repetition', places.in, v2.repetitionBytes)) return undefined
    if (!levels('definition', places.in + v2.repetitionBytes, v2.definitionBytes)) return undefined
    if (rows !== v2.rows) return undefined
  } else if (header.type === PAGE.DATA) {
    if (repeated > 0 && !(header.repetitionEncoding === ENCODING.RLE && counted('repetition'))) return undefined
    if (defined > 0 && !(header.definitionEncoding === ENCODING.RLE && counted('definition'))) return undefined
  }
  const width = at < end ? (engine.bytes()[at] as number) : 0
  if (present === 0 || width === 0) return undefined
  if (!engine.hybrid(at + 1, end - at - 1, width, present, entries - 1, 0, true) || !engine.wasTight()) return undefined
  return { present, rows }

  /** Levels with their length in front. */
  function counted(kind: 'repetition' | 'definition'): boolean {
    if (at + 4 > end) return false
    const length = engine.bytes().readUInt32LE(at)
    at += 4 + length
    return at <= end && levels(kind, at - length, length)
  }

  function levels(kind: 'repetition' | 'definition', from: number, length: number): boolean {
    const max = kind === 'repetition' ? repeated : defined
    if (max === 0) return true
    if (!engine.hybrid(from, length, bitWidth(max), values, max, 0, false) || !engine.wasTight()) return false
    if (kind === 'repetition') rows = engine.zeros()
    else present = engine.equalToLimit()
    return true
  }
}

/** Puts the bytes into the engine's `out`. */
function unpacked(engine: Engine, codec: Codec, stored: Uint8Array, size: number): boolean {
  const { places } = engine
  if (codec === 'snappy' && size > 0) {
    engine.bytes().set(stored, places.in)
    return engine.uncompress(places.in, stored.length, places.out, size)
  }
  try {
    engine.bytes().set(decompress(codec, stored, size), places.out)
    return true
  } catch {
    return false
  }
}

/** Positions in a dictionary as a data page has them: the bit width, then runs. @param entries of the dictionary */
export function encodePositions(positions: Int32Array, entries: number): Uint8Array {
  const width = Math.max(1, bitWidth(Math.max(0, entries - 1)))
  return Buffer.concat([Uint8Array.of(width), encodeRuns(positions, width)])
}
