import { type Primitive, primitive } from './types.ts'

/**
 * Bounds of a column in Iceberg's single-value binary form (Iceberg specification, appendix D), from Parquet's PLAIN form, and their
 * truncation (I: "Manifests", lower and upper bounds). Pure.
 *
 * A wrong bound is worse than none: an engine that filters by it skips rows that are there. Whatever is not certain has no bound.
 */

export interface Bounds {
  readonly lower?: Uint8Array
  readonly upper?: Uint8Array
}

/**
 * Bounds of a column of type `type`.
 * @param min least value in PLAIN form; the file's own physical type may be narrower than the table's (int in a long column)
 * @param truncateTo greatest length of string (code points) and binary (bytes) bounds; Infinity keeps them whole
 */
export function boundsFromPlain(type: string, min: Uint8Array, max: Uint8Array, truncateTo: number): Bounds {
  const kind = primitive(type)
  if (!kind) return {}
  switch (kind.kind) {
    case 'string':
      return stringBounds(min, max, truncateTo)
    case 'binary':
      return { lower: min.slice(0, truncateTo), ...present('upper', truncateBytesUp(max, truncateTo)) }
    case 'float':
    case 'double':
      return floatBounds(kind.kind, min, max)
    default: {
      const lower = exact(kind, min)
      const upper = exact(kind, max)
      return lower && upper ? { lower, upper } : {}
    }
  }
}

/** The single-value form of a value whose length must be right; undefined when it is not. */
function exact(type: Primitive, plain: Uint8Array): Uint8Array | undefined {
  switch (type.kind) {
    case 'boolean':
      return plain.length === 1 ? plain.slice() : undefined
    case 'int':
    case 'date':
      return plain.length === 4 ? plain.slice() : undefined
    case 'long':
      if (plain.length === 4) return int64(BigInt(view(plain).getInt32(0, true)))
      return plain.length === 8 ? plain.slice() : undefined
    case 'time':
    case 'timestamp':
    case 'timestamptz':
      return plain.length === 8 ? plain.slice() : undefined
    case 'uuid':
      return plain.length === 16 ? plain.slice() : undefined
    case 'fixed':
      return plain.length === type.length ? plain.slice() : undefined
    default:
      return undefined
  }
}

/** Unscaled value, big-endian two's complement, in as few bytes as hold it. @param bigEndian how the Parquet column stores it */
export function decimalBound(plain: Uint8Array, bigEndian: boolean): Uint8Array | undefined {
  if (plain.length === 0) return undefined
  const bytes = bigEndian ? plain : plain.toReversed()
  let start = 0
  while (start < bytes.length - 1) {
    const [first, second] = [bytes[start] as number, bytes[start + 1] as number]
    const redundant = (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)
    if (!redundant) break
    start++
  }
  return bytes.slice(start)
}

/** NaN is no bound; and as -0.0 sorts before +0.0 in Iceberg while Parquet's writers may have kept either, zeros move outwards. */
function floatBounds(kind: 'float' | 'double', min: Uint8Array, max: Uint8Array): Bounds {
  const [low, high] = [float(min), float(max)]
  if (low === undefined || high === undefined || Number.isNaN(low) || Number.isNaN(high)) return {}
  return { lower: write(low === 0 ? -0 : low), upper: write(high === 0 ? 0 : high) }

  function write(value: number): Uint8Array {
    const bytes = new Uint8Array(kind === 'float' ? 4 : 8)
    if (kind === 'float') view(bytes).setFloat32(0, value, true)
    else view(bytes).setFloat64(0, value, true)
    return bytes
  }
}

function float(plain: Uint8Array): number | undefined {
  if (plain.length === 4) return view(plain).getFloat32(0, true)
  return plain.length === 8 ? view(plain).getFloat64(0, true) : undefined
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Bounds of bytes that are not UTF-8 (cut by their writer inside a character, say) are left out. */
function stringBounds(min: Uint8Array, max: Uint8Array, length: number): Bounds {
  const [low, high] = [decode(min), decode(max)]
  const upper = high === undefined ? undefined : truncateTextUp(high, length)
  return {
    ...present('lower', low === undefined ? undefined : new TextEncoder().encode(codePoints(low, length))),
    ...present('upper', upper === undefined ? undefined : new TextEncoder().encode(upper)),
  }
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * A text of at most `length` code points that is not below `text`: cut, then its last code point that has a successor is raised and the
 * ones after it dropped. Surrogates are no code points of a text and are stepped over. Undefined when every one kept is U+10FFFF.
 */
export function truncateTextUp(text: string, length: number): string | undefined {
  const kept = codePoints(text, length)
  if (kept === text) return text
  const points = Array.from(kept, (character) => character.codePointAt(0) as number)
  for (let i = points.length - 1; i >= 0; i--) {
    const point = points[i] as number
    if (point === 0x10ffff) continue
    const raised = point === 0xd7ff ? 0xe000 : point + 1
    return String.fromCodePoint(...points.slice(0, i), raised)
  }
  return undefined
}

function codePoints(text: string, length: number): string {
  if (text.length <= length) return text
  let end = 0
  let count = 0
  for (const character of text) {
    if (count++ === length) break
    end += character.length
  }
  return text.slice(0, end)
}

/** Bytes, at most `length`, that are not below `bytes`; undefined when every one kept is 0xff. */
export function truncateBytesUp(bytes: Uint8Array, length: number): Uint8Array | undefined {
  if (bytes.length <= length) return bytes.slice()
  for (let i = length - 1; i >= 0; i--) {
    const byte = bytes[i] as number
    if (byte === 0xff) continue
    const raised = bytes.slice(0, i + 1)
    raised[i] = byte + 1
    return raised
  }
  return undefined
}

function int64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  view(bytes).setBigInt64(0, value, true)
  return bytes
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function present<K extends string>(key: K, value: Uint8Array | undefined): { readonly [P in K]?: Uint8Array } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: Uint8Array })
}
