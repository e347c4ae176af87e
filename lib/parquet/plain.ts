/**
 * Values in PLAIN encoding, between pages and the table that looks them up by their bytes. Pure. (parquet-format, Encodings.md.)
 * Booleans are a byte each here, not a bit: what is looked up has whole bytes.
 */
import type { LeafNode } from './schema.ts'

/** Values of a leaf as the physical type has them; INT96 and both byte arrays are bytes. */
export type RawValues = readonly boolean[] | Int32Array | BigInt64Array | Float32Array | Float64Array | Uint8Array[]

/** Bytes of a value; 0 where each has its length of four bytes in front. */
export function plainWidth({ physical, typeLength = 0 }: LeafNode): number {
  switch (physical) {
    case 'BOOLEAN':
      return 1
    case 'INT32':
    case 'FLOAT':
      return 4
    case 'INT64':
    case 'DOUBLE':
      return 8
    case 'INT96':
      return 12
    case 'BYTE_ARRAY':
      return 0
    case 'FIXED_LEN_BYTE_ARRAY':
      return typeLength
  }
}

/** Values as they are looked up. */
export function plainOf(values: RawValues, leaf: LeafNode): Uint8Array {
  if (leaf.physical === 'BOOLEAN') return Uint8Array.from(values as readonly boolean[], Number)
  return plainBytes(leaf, values, 0, values.length)
}

/** Values out of the bytes that they were looked up by, without lengths. */
export function valuesOf(keys: readonly Uint8Array[], leaf: LeafNode): RawValues {
  switch (leaf.physical) {
    case 'BOOLEAN':
      return keys.map(([byte]) => byte === 1)
    case 'INT32':
      return Int32Array.from(keys, (key) => view(key).getInt32(0, true))
    case 'INT64':
      return BigInt64Array.from(keys, (key) => view(key).getBigInt64(0, true))
    case 'FLOAT':
      return Float32Array.from(keys, (key) => view(key).getFloat32(0, true))
    case 'DOUBLE':
      return Float64Array.from(keys, (key) => view(key).getFloat64(0, true))
    default:
      return keys as Uint8Array[]
  }
}

/** The values `[from, to)` as a page has them. */
export function plainBytes({ physical }: LeafNode, values: RawValues, from: number, to: number): Uint8Array {
  // Their memory and not their numbers: the bits of a NaN need not survive being one of JavaScript's.
  if (ArrayBuffer.isView(values)) {
    const { buffer, byteOffset, byteLength } = values.subarray(from, to)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  if (physical === 'BOOLEAN') {
    const out = new Uint8Array(Math.ceil((to - from) / 8))
    for (let i = from; i < to; i++)
      if (values[i]) out[(i - from) >> 3] = (out[(i - from) >> 3] as number) | (1 << ((i - from) & 7))
    return out
  }
  const cut = values.slice(from, to) as Uint8Array[]
  return physical === 'BYTE_ARRAY' ? plainByteArrays(cut) : Buffer.concat(cut)
}

function plainByteArrays(values: readonly Uint8Array[]): Uint8Array {
  const out = Buffer.allocUnsafe(values.reduce((size, value) => size + 4 + value.length, 0))
  let at = 0
  for (const value of values) {
    at = out.writeUInt32LE(value.length, at)
    out.set(value, at)
    at += value.length
  }
  return out
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
