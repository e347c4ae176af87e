/**
 * Every type of the format as a generated column can have it: values, their canonical text by rules written down a second time here
 * (docs/types.md), and the same text from what DuckDB shows of a copied column.
 */
import { put, struct, type ThriftField } from '../../../lib/parquet/thrift.ts'
import type { Physical, Raw } from './encoders.ts'
import type { Random } from './random.ts'

export interface TestType {
  readonly name: string
  readonly physical: Physical
  readonly length?: number
  readonly converted?: number
  readonly logical?: ThriftField
  readonly scale?: number
  readonly precision?: number
  /** @param marker begins texts, so that they can be looked for */
  value(random: Random, marker: string): Raw
  text(value: Raw): string
  /** The text of a value of a copied column, from DuckDB’s JSON. */
  fromDuckdb(shown: unknown): string
}

const same = (shown: unknown) => String(shown)
const utf8 = (text: string) => Buffer.from(text, 'utf8')
const decoded = (value: Raw) => new TextDecoder().decode(value as Uint8Array)

function words(random: Random, marker: string): Uint8Array {
  if (random.once(9)) return utf8('')
  const few = `${marker}${random.below(6)}`
  return utf8(
    random.once(2)
      ? few
      : `${few}${random.pick(['', 'ä', '\u{1F697}', ' ', 'None'])}${'x'.repeat(random.below(9))}${random.below(1e6)}`,
  )
}

/** Printable, because DuckDB escapes the rest of a blob. */
const ascii = (random: Random, marker: string, length: number) =>
  utf8(`${marker}${random.below(9)}${'abcdefghij'.repeat(3)}`.slice(0, length))

function integer(name: string, bits: number, signed: boolean, converted?: number): TestType {
  const physical = bits > 32 ? 'INT64' : 'INT32'
  const own = (value: bigint) => (physical === 'INT64' ? value : Number(value))
  return {
    name,
    physical,
    ...(converted !== undefined && { converted }),
    value: (random) => {
      const value = random.once(3) ? random.bigint(bits) : BigInt(random.below(20))
      // Unsigned ones of 8 and 16 bits stand in an INT32 as they are; of 32 and 64 bits, as the same bits.
      return own(signed || bits >= 32 ? value : BigInt.asUintN(bits, value))
    },
    text: (value) => String(signed ? BigInt(value as number) : BigInt.asUintN(bits, BigInt(value as number))),
    fromDuckdb: same,
  }
}

function bytesOf(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) =>
    Number((BigInt.asUintN(length * 8, value) >> BigInt(8 * (length - 1 - i))) & 0xffn),
  )
}

function decimal(name: string, physical: Physical, precision: number, scale: number, length?: number): TestType {
  return {
    name,
    physical,
    ...(length !== undefined && { length }),
    converted: 5,
    scale,
    precision,
    value: (random) => {
      const most = 10n ** BigInt(precision)
      const value = random.once(2) ? random.bigint(128) % most : BigInt(random.below(9)) - 4n
      if (physical === 'INT32') return Number(value)
      if (physical === 'INT64') return value
      if (length !== undefined) return bytesOf(value, length)
      // As few bytes as hold it, or some more.
      let fewest = 1
      while (BigInt.asIntN(fewest * 8, value) !== value) fewest++
      return bytesOf(value, fewest + random.below(3))
    },
    text: (value) => {
      let unscaled: bigint
      if (value instanceof Uint8Array) {
        unscaled = 0n
        for (const b of value) unscaled = (unscaled << 8n) | BigInt(b)
        unscaled = BigInt.asIntN(value.length * 8, unscaled)
      } else unscaled = BigInt(value as number)
      const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
      const sign = unscaled < 0n ? '-' : ''
      return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
    },
    fromDuckdb: same,
  }
}

const DAY = 86_400_000_000n
/** 0001-01-01 to 9999-12-31, and more often near now. */
const micros = (random: Random) =>
  random.once(4)
    ? BigInt(random.between(-719_162, 2_932_896)) * DAY + BigInt(random.below(86_400_000)) * 1000n
    : BigInt(random.below(5)) * 7_919_000n

function clock(micro: bigint): string {
  const seconds = micro / 1_000_000n
  const [h, m, s] = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map((n) => String(n).padStart(2, '0'))
  return `${h}:${m}:${s}.${String(micro % 1_000_000n).padStart(6, '0')}`
}

function stamp(micro: bigint, utc: boolean): string {
  const day = micro >= 0n ? micro / DAY : -((-micro + DAY - 1n) / DAY)
  const date = new Date(Number(day) * 86_400_000).toISOString().slice(0, 10)
  return `${date}T${clock(micro - day * DAY)}${utc ? 'Z' : ''}`
}

/** DuckDB leaves zeros at the end of a fraction out. */
function padded(shown: unknown): string {
  const [, date, time, fraction = '', zone = ''] =
    /^(?:(\S+) )?(\d\d:\d\d:\d\d)(?:\.(\d+))?(\+00)?$/.exec(String(shown)) ?? []
  return `${date === undefined ? '' : `${date}T`}${time}.${fraction.padEnd(6, '0')}${zone ? 'Z' : ''}`
}

const PER_MICRO = { millis: 1000n, micros: 1n, nanos: 1000n }

function moment(kind: 'time' | 'timestamp', unit: 'millis' | 'micros' | 'nanos', utc: boolean): TestType {
  const physical = kind === 'time' && unit === 'millis' ? 'INT32' : 'INT64'
  const unitField = { millis: 1, micros: 2, nanos: 3 }[unit]
  const union = put.struct({
    [kind === 'time' ? 7 : 8]: put.struct({ 1: put.bool(utc), 2: put.struct({ [unitField]: put.struct({}) }) }),
  })
  const old = {
    time: { millis: 7, micros: 8, nanos: undefined },
    timestamp: { millis: 9, micros: 10, nanos: undefined },
  }[kind][unit]
  // In UTC some say it in the old way only.
  const said = utc && old !== undefined ? { converted: old } : { logical: union }
  const back = (value: Raw) => {
    const n = BigInt(value as number)
    return unit === 'millis' ? n * 1000n : n / PER_MICRO[unit]
  }
  return {
    name: `${kind}-${unit}${utc ? '-utc' : ''}`,
    physical,
    ...said,
    value: (random) => {
      // Nanoseconds of an INT64 end in 2262.
      const whole =
        kind === 'time'
          ? BigInt(random.below(86_400_000)) * 1000n
          : unit === 'nanos'
            ? BigInt(random.below(1e9)) * 4000n
            : micros(random)
      const value = unit === 'millis' ? whole / 1000n : whole * PER_MICRO[unit]
      return physical === 'INT32' ? Number(value) : value
    },
    text: (value) => (kind === 'time' ? clock(back(value)) : stamp(back(value), utc)),
    fromDuckdb: padded,
  }
}

/** The fewest digits that give the same float; of two that are as near, the even one, as ECMAScript has it. */
function shortest(value: number): string {
  if (Object.is(value, -0)) return '-0'
  if (value < 0) return `-${shortest(-value)}`
  // All of its digits: `1.25000…e+2`.
  const [exact = '', exponent = ''] = value.toExponential(60).split('e')
  for (let digits = 1; digits < 10; digits++) {
    const cut = exact.slice(0, digits === 1 ? 1 : digits + 1)
    const tie = /^\.?50*$/.test(exact.slice(cut.length))
    const text = tie && Number(cut.at(-1)) % 2 === 0 ? `${cut}e${exponent}` : value.toExponential(digits - 1)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return String(value)
}

const floats = (random: Random) =>
  random.pick([0, -0, 0.1, -1.5, 1e21, 1e-7, 3, random.below(1e6) / 7, 3 * 2 ** random.between(-30, 30)])

export const TYPES: readonly TestType[] = [
  { name: 'string', physical: 'BYTE_ARRAY', converted: 0, value: words, text: decoded, fromDuckdb: same },
  { name: 'enum', physical: 'BYTE_ARRAY', converted: 4, value: words, text: decoded, fromDuckdb: same },
  { name: 'json', physical: 'BYTE_ARRAY', converted: 19, value: words, text: decoded, fromDuckdb: same },
  {
    name: 'string-logical',
    physical: 'BYTE_ARRAY',
    logical: put.struct({ 1: put.struct({}) }),
    value: words,
    text: decoded,
    fromDuckdb: same,
  },
  {
    name: 'binary',
    physical: 'BYTE_ARRAY',
    value: (random, marker) => ascii(random, marker, random.below(20)),
    text: decoded,
    fromDuckdb: same,
  },
  {
    name: 'bson',
    physical: 'BYTE_ARRAY',
    converted: 20,
    value: (random, marker) => ascii(random, marker, random.below(20)),
    text: decoded,
    fromDuckdb: same,
  },
  {
    name: 'fixed',
    physical: 'FIXED_LEN_BYTE_ARRAY',
    length: 9,
    value: (random, marker) => ascii(random, marker, 9),
    text: decoded,
    fromDuckdb: same,
  },
  {
    name: 'uuid',
    physical: 'FIXED_LEN_BYTE_ARRAY',
    length: 16,
    logical: put.struct({ 14: put.struct({}) }),
    value: (random) => (random.once(2) ? bytesOf(random.bigint(128), 16) : bytesOf(BigInt(random.below(4)), 16)),
    text: (value) =>
      Buffer.from(value as Uint8Array)
        .toString('hex')
        .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    fromDuckdb: same,
  },
  { name: 'boolean', physical: 'BOOLEAN', value: (random) => random.once(2), text: String, fromDuckdb: same },
  integer('int32', 32, true),
  integer('int64', 64, true),
  integer('int8', 8, true, 15),
  integer('int16', 16, true, 16),
  integer('uint8', 8, false, 11),
  integer('uint16', 16, false, 12),
  integer('uint32', 32, false, 13),
  integer('uint64', 64, false, 14),
  decimal('decimal-int32', 'INT32', 9, 2),
  decimal('decimal-int64', 'INT64', 18, 4),
  decimal('decimal-int64-short', 'INT64', 7, 0),
  decimal('decimal-fixed', 'FIXED_LEN_BYTE_ARRAY', 38, 10, 16),
  decimal('decimal-fixed-short', 'FIXED_LEN_BYTE_ARRAY', 10, 3, 7),
  decimal('decimal-bytes', 'BYTE_ARRAY', 20, 3),
  {
    name: 'date',
    physical: 'INT32',
    converted: 6,
    value: (random) => (random.once(3) ? random.between(-719_162, 2_932_896) : random.below(9)),
    text: (value) => stamp(BigInt(value as number) * DAY, false).slice(0, 10),
    fromDuckdb: same,
  },
  moment('time', 'millis', true),
  moment('time', 'micros', false),
  moment('time', 'nanos', false),
  moment('timestamp', 'millis', true),
  moment('timestamp', 'millis', false),
  moment('timestamp', 'micros', true),
  moment('timestamp', 'micros', false),
  moment('timestamp', 'nanos', true),
  {
    name: 'int96',
    physical: 'INT96',
    value: (random) => {
      const value = micros(random)
      const day = value >= 0n ? value / DAY : -((-value + DAY - 1n) / DAY)
      const out = Buffer.alloc(12)
      out.writeBigInt64LE((value - day * DAY) * 1000n)
      out.writeInt32LE(Number(day) + 2_440_588, 8)
      return out
    },
    text: (value) => {
      const bytes = Buffer.from(value as Uint8Array)
      return stamp(BigInt(bytes.readInt32LE(8) - 2_440_588) * DAY + bytes.readBigInt64LE() / 1000n, true)
    },
    fromDuckdb: padded,
  },
  {
    name: 'float',
    physical: 'FLOAT',
    value: (random) => Math.fround(floats(random)),
    text: (value) => shortest(value as number),
    fromDuckdb: (shown) => shortest(Number(shown)),
  },
  {
    name: 'double',
    physical: 'DOUBLE',
    value: floats,
    text: (value) => (Object.is(value, -0) ? '-0' : String(value)),
    fromDuckdb: (shown) => (Object.is(Number(shown), -0) ? '-0' : String(Number(shown))),
  },
  {
    name: 'float16',
    physical: 'FIXED_LEN_BYTE_ARRAY',
    length: 2,
    logical: put.struct({ 15: put.struct({}) }),
    // Sign, five bits of exponent (none of infinity), ten of fraction.
    value: (random) => Uint8Array.of(random.below(256), random.pick([0x00, 0x80, 0x3c, 0xc5, 0x7b, 0x04])),
    text: (value) => {
      const [low, high] = value as unknown as [number, number]
      const exponent = (high >> 2) & 31
      const fraction = ((high & 3) << 8) | low
      const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
      return shortest(Math.fround(high >> 7 ? -size : size))
    },
    fromDuckdb: (shown) => shortest(Number(shown)),
  },
]

/** The schema element's fields that say the type. */
export function typeFields({ converted, logical, scale, precision }: TestType): Readonly<Record<number, ThriftField>> {
  return Object.fromEntries(
    struct({
      6: converted === undefined ? undefined : put.i32(converted),
      7: scale === undefined ? undefined : put.i32(scale),
      8: precision === undefined ? undefined : put.i32(precision),
      10: logical,
    }),
  )
}
