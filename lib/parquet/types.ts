/**
 * The one table of types: what Iceberg v2 has for a Parquet leaf, and what must change for it (docs/types.md). Pure.
 * A type that cannot be kept exactly is refused by its name alone, before anything is written; what only values tell (a nanosecond
 * that is no whole microsecond) is refused when the value is met.
 */
import type { RawValues } from './decode.ts'
import type { LeafNode, LogicalType, PhysicalType } from './schema.ts'

/** How the values of a copied column change; a name, so that plans stay plain data. */
export type Widening =
  | 'unsigned-to-long'
  | 'unsigned-to-decimal'
  | 'half-to-float'
  | 'millis-to-micros'
  | 'nanos-to-micros'
  | 'int96-to-micros'
  | 'decimal'
  | 'no-values'

export interface OutputType {
  readonly physical: PhysicalType
  readonly typeLength?: number
  readonly logical?: LogicalType
  /** Missing where the bytes stay as they are. */
  readonly widening?: Widening
}

/** The type of a copied leaf in the output, or why there is none. */
export function outputType(leaf: LeafNode): OutputType | { readonly refused: string } {
  const { physical, logical, typeLength } = leaf
  const same = { physical, ...(typeLength !== undefined && { typeLength }) }
  switch (logical?.type) {
    case undefined:
      if (physical === 'INT96')
        return {
          physical: 'INT64',
          logical: { type: 'timestamp', unit: 'micros', utc: true },
          widening: 'int96-to-micros',
        }
      return same
    case 'string':
    case 'enum':
    case 'json':
      return physical === 'BYTE_ARRAY' ? { physical, logical: { type: 'string' } } : odd(leaf)
    case 'bson':
      return physical === 'BYTE_ARRAY' ? same : odd(leaf)
    case 'uuid':
      return physical === 'FIXED_LEN_BYTE_ARRAY' && typeLength === 16 ? { ...same, logical } : odd(leaf)
    case 'date':
      return physical === 'INT32' ? { physical, logical } : odd(leaf)
    case 'float16':
      return physical === 'FIXED_LEN_BYTE_ARRAY' && typeLength === 2
        ? { physical: 'FLOAT', widening: 'half-to-float' }
        : odd(leaf)
    case 'unknown':
      return { physical: 'BYTE_ARRAY', logical: { type: 'string' }, widening: 'no-values' }
    case 'integer':
      return integer(leaf, logical.bits, logical.signed)
    case 'time':
    case 'timestamp':
      return time(leaf, logical)
    case 'decimal':
      return decimal(leaf, logical)
    case 'interval':
      return { refused: 'Iceberg has no interval' }
    case 'geometry':
    case 'geography':
      return { refused: `Iceberg v2 has no ${logical.type}` }
    case 'variant':
      return { refused: 'Iceberg v2 has neither variants nor types of later versions of the format' }
  }
}

/** Why the values of a leaf have no canonical text (design: intervals are an error), or undefined. */
export function refusedAsText(leaf: LeafNode): string | undefined {
  switch (leaf.logical?.type) {
    case 'interval':
    case 'geometry':
    case 'geography':
    case 'variant':
      return `a value of type ${leaf.logical.type} has no canonical text`
    case 'decimal':
      return leaf.logical.precision > 38 ? 'a decimal of more than 38 digits' : undefined
    case undefined:
      return undefined
    default: {
      const type = outputType(leaf)
      return 'refused' in type ? type.refused : undefined
    }
  }
}

/** `FIXED_LEN_BYTE_ARRAY` bytes that Iceberg wants for a decimal: the fewest that hold `precision` digits and a sign. */
export function decimalBytes(precision: number): number {
  const most = 10n ** BigInt(precision) - 1n
  let bytes = 1
  while (1n << BigInt(8 * bytes - 1) <= most) bytes++
  return bytes
}

function odd({ physical, logical }: LeafNode) {
  return { refused: `${logical?.type} on ${physical} is no type of the format` }
}

function integer(leaf: LeafNode, bits: 8 | 16 | 32 | 64, signed: boolean): ReturnType<typeof outputType> {
  const { physical } = leaf
  if (physical !== (bits === 64 ? 'INT64' : 'INT32')) return odd(leaf)
  if (signed || bits < 32) return { physical }
  if (bits === 32) return { physical: 'INT64', widening: 'unsigned-to-long' }
  const logical: LogicalType = { type: 'decimal', precision: 20, scale: 0 }
  return { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: 9, logical, widening: 'unsigned-to-decimal' }
}

function time(leaf: LeafNode, { type, unit, utc }: LogicalType & { type: 'time' | 'timestamp' }) {
  if (leaf.physical !== (type === 'time' && unit === 'millis' ? 'INT32' : 'INT64')) return odd(leaf)
  // Iceberg's time has no zone; a flag would make other readers show one.
  const logical: LogicalType = { type, unit: 'micros', utc: type === 'timestamp' && utc }
  if (unit === 'micros') return { physical: leaf.physical, logical }
  const widening: Widening = unit === 'millis' ? 'millis-to-micros' : 'nanos-to-micros'
  return { physical: 'INT64' as const, logical, widening }
}

function decimal(leaf: LeafNode, logical: LogicalType & { type: 'decimal' }): ReturnType<typeof outputType> {
  const { precision } = logical
  if (precision > 38) return { refused: `Iceberg’s decimals have at most 38 digits, not ${precision}` }
  if (!['INT32', 'INT64', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'].includes(leaf.physical)) return odd(leaf)
  const target: OutputType =
    precision <= 9
      ? { physical: 'INT32', logical }
      : precision <= 18
        ? { physical: 'INT64', logical }
        : { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: decimalBytes(precision), logical }
  const same = target.physical === leaf.physical && target.typeLength === leaf.typeLength
  return same ? target : { ...target, widening: 'decimal' }
}

/** A value that its new type cannot hold exactly; `index` counts the values present in the page. */
export class NotWidened extends Error {
  readonly index: number
  constructor(index: number, reason: string) {
    super(reason)
    this.index = index
  }
}

/** Bytes of a value in the output of a widening; 0 where there are no values. */
export function widenedBytes({ physical, typeLength }: OutputType): number {
  if (physical === 'INT32' || physical === 'FLOAT') return 4
  return physical === 'INT64' ? 8 : (typeLength ?? 0)
}

/** The values in PLAIN encoding of their new type. @throws NotWidened */
export function widen(widening: Widening, from: LeafNode, to: OutputType, values: RawValues): Uint8Array {
  const size = widenedBytes(to)
  const count = values.length
  const out = Buffer.alloc(count * size)

  function long(value: bigint, i: number): void {
    if (BigInt.asIntN(64, value) !== value) throw new NotWidened(i, 'is out of the range of microseconds')
    out.writeBigInt64LE(value, i * 8)
  }
  function micros(nanos: bigint, i: number): void {
    if (nanos % 1000n !== 0n) throw new NotWidened(i, 'is not a whole number of microseconds')
    long(nanos / 1000n, i)
  }

  for (let i = 0; i < count; i++) {
    const value = values[i]
    switch (widening) {
      case 'unsigned-to-long':
        out.writeBigInt64LE(BigInt((value as number) >>> 0), i * 8)
        break
      case 'unsigned-to-decimal':
        out.writeBigUInt64BE(BigInt.asUintN(64, value as bigint), i * 9 + 1)
        break
      case 'half-to-float':
        out.writeFloatLE(float16(value as Uint8Array), i * 4)
        break
      case 'millis-to-micros':
        long(BigInt(value as number | bigint) * 1000n, i)
        break
      case 'nanos-to-micros':
        micros(value as bigint, i)
        break
      case 'int96-to-micros':
        micros(int96Nanos(value as Uint8Array), i)
        break
      case 'decimal':
        putDecimal(out, i, size, to.physical, unscaled(value as number | bigint | Uint8Array))
        break
      case 'no-values':
        throw new NotWidened(i, `is a value in a column of type ${from.logical?.type}, which has none`)
    }
  }
  return out
}

function putDecimal(out: Buffer, i: number, size: number, physical: PhysicalType, value: bigint): void {
  if (BigInt.asIntN(size * 8, value) !== value) throw new NotWidened(i, 'has more digits than its type')
  if (physical === 'INT32') out.writeInt32LE(Number(value), i * 4)
  else if (physical === 'INT64') out.writeBigInt64LE(value, i * 8)
  else
    for (let b = 0, rest = value; b < size; b++, rest >>= 8n)
      out[(i + 1) * size - 1 - b] = Number(BigInt.asUintN(8, rest))
}

/** The number in front of the scale; bytes are two's complement, the most significant first. */
export function unscaled(value: number | bigint | Uint8Array): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value)
  if (value.length === 0) return 0n
  // A hexadecimal literal is parsed in one go; adding byte by byte makes a bigint for each.
  const hex = Buffer.prototype.hexSlice.call(value, 0, value.length)
  return BigInt.asIntN(value.length * 8, BigInt(`0x${hex}`))
}

/** Nanoseconds since 1970 of an INT96: nanoseconds in the day, then the Julian day. */
export function int96Nanos(value: Uint8Array): bigint {
  const view = new DataView(value.buffer, value.byteOffset, 12)
  const days = view.getInt32(8, true) - 2_440_588
  return BigInt(days) * 86_400_000_000_000n + view.getBigInt64(0, true)
}

/** IEEE 754 binary16, little-endian; every one is a float32 exactly. */
export function float16(value: Uint8Array): number {
  const bits = ((value[1] as number) << 8) | (value[0] as number)
  const sign = bits >> 15 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
