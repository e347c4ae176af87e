/** The RLE / bit-packing hybrid in WebAssembly, for what fits in its memory; levels.ts does the rest, and says what is wrong with bytes. */
import { encodeHybrid } from './levels.ts'
import { sharedEngine } from './wasm/engine.ts'

export interface Runs {
  /** As `decodeHybrid` says it. */
  readonly tight: boolean
  /** How many of the values are the limit. */
  readonly atLimit: number
}

/**
 * Fills `out` from `bytes`.
 * @param limit the largest value that may be
 * @returns undefined where there is too much for this way, or something is wrong
 */
export function decodeRuns(
  bytes: Uint8Array,
  width: number,
  out: Uint8Array<ArrayBuffer> | Int32Array<ArrayBuffer>,
  limit: number,
): Runs | undefined {
  const engine = sharedEngine(Math.max(bytes.length, out.byteLength))
  const { places, room } = engine
  if (bytes.length > room.in || out.byteLength > room.out || limit < 0) return undefined
  engine.bytes().set(bytes, places.in)
  const wide = out instanceof Int32Array
  if (!engine.hybrid(places.in, bytes.length, width, out.length, limit, places.out, wide)) return undefined
  if (wide) out.set(new Int32Array(engine.bytes().buffer, places.out, out.length))
  else out.set(engine.bytes().subarray(places.out, places.out + out.length))
  return { tight: Boolean(engine.wasTight()), atLimit: engine.equalToLimit() }
}

/** Runs of eight and more as runs, the rest packed. */
export function encodeRuns(values: Int32Array | Uint8Array, width: number): Uint8Array {
  // As many bits at most, and a byte for each run of eight.
  const engine = sharedEngine(values.length * 5)
  const { places, room } = engine
  if (values.length > room.count) return encodeHybrid(values, width)
  engine.words().set(values, places.slots >> 2)
  const size = engine.encode(places.slots, values.length, width, places.out)
  return new Uint8Array(engine.bytes().subarray(places.out, places.out + size))
}
