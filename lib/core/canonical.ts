/**
 * The one text of a value, whatever engine read it and whatever file it stood in: pseudonyms are made from it, so two texts for
 * one value would break joins, and one text for two values would merge people. Fixed by test/vectors/canonical-text.json.
 * Pure. Every function returns the text or throws NotCanonical; callers add file, column and row, never the value.
 */
export type NotCanonicalReason =
  | 'not-an-integer'
  | 'not-finite'
  | 'not-a-float32'
  | 'bad-scale'
  | 'bad-length'
  | 'bad-utf8'
  | 'out-of-range'

/** Thrown for a value that has no canonical text; its message is its reason, so it can't leak the value. */
export class NotCanonical extends Error {
  override readonly name = 'NotCanonical'
  readonly reason: NotCanonicalReason

  constructor(reason: NotCanonicalReason) {
    super(reason)
    this.reason = reason
  }
}

// Without ignoreBOM a leading U+FEFF would be taken away, and two values become one.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const DAY_MICROS = 86_400_000_000
const MIN_DAY = -719_162 // 0001-01-01
const MAX_DAY = 2_932_896 // 9999-12-31
const MIN_MICROS = BigInt(MIN_DAY) * BigInt(DAY_MICROS)
const MAX_MICROS = BigInt(MAX_DAY + 1) * BigInt(DAY_MICROS) - 1n

/** Decimal digits with `-` where negative. A number must be a safe integer: a larger one may already have lost digits. */
export function canonicalInteger(value: bigint | number): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new NotCanonical('not-an-integer')
  return String(value)
}

/** `unscaled` × 10^-`scale` with all `scale` digits after the point: 1.50 at scale 2 is not 1.5. @param scale from 0 */
export function canonicalDecimal(unscaled: bigint, scale: number): string {
  if (!Number.isInteger(scale) || scale < 0) throw new NotCanonical('bad-scale')
  if (scale === 0) return String(unscaled)
  const negative = unscaled < 0n
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0')
  const point = digits.length - scale
  return `${negative ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`
}

/** ECMAScript's Number::toString (ECMA-262 §6.1.6.1.20), but -0 keeps its sign. NaN and infinities are refused. */
export function canonicalFloat64(value: number): string {
  if (!Number.isFinite(value)) throw new NotCanonical('not-finite')
  return Object.is(value, -0) ? '-0' : String(value)
}

/**
 * The fewest digits that read back as the same float32 (of several the closest one, of two the even one), laid out as
 * ECMAScript lays out a number: 0.1 of a float column is `0.1`, not the digits of its double.
 * @param value a number that is a float32 exactly; float16 values are
 */
export function canonicalFloat32(value: number): string {
  // Below 2^24 integers are at most 1 apart, so that nothing shorter than all their digits reads back.
  if ((value | 0) === value && value < 0x1000000 && value > -0x1000000)
    return Object.is(value, -0) ? '-0' : String(value)
  if (!Number.isFinite(value)) throw new NotCanonical('not-finite')
  if (Math.fround(value) !== value) throw new NotCanonical('not-a-float32')
  const magnitude = Math.abs(value)
  return (value < 0 ? '-' : '') + shortestFloat32(magnitude)
}

export function canonicalBoolean(value: boolean): string {
  return value ? 'true' : 'false'
}

/** `YYYY-MM-DD`, proleptic Gregorian. @param days since 1970-01-01, years 0001 to 9999 */
export function canonicalDate(days: number): string {
  if (!Number.isInteger(days)) throw new NotCanonical('not-an-integer')
  if (days < MIN_DAY || days > MAX_DAY) throw new NotCanonical('out-of-range')
  // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years that begin in March end with the leap day.
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const march = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * march + 2) / 5) + 1
  const month = march < 10 ? march + 3 : march - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
}

/** `HH:MM:SS.ffffff`. @param micros since midnight, less than a day */
export function canonicalTime(micros: bigint): string {
  if (micros < 0n || micros >= BigInt(DAY_MICROS)) throw new NotCanonical('out-of-range')
  return timeOfDay(Number(micros))
}

/** `YYYY-MM-DDTHH:MM:SS.ffffff`, with `Z` where the column is adjusted to UTC. @param micros since 1970-01-01T00:00:00 */
export function canonicalTimestamp(micros: bigint, utc: boolean): string {
  if (micros < MIN_MICROS || micros > MAX_MICROS) throw new NotCanonical('out-of-range')
  // A double does not hold the microseconds of all years exactly; whole seconds it does.
  const seconds = micros / 1_000_000n - (micros % 1_000_000n < 0n ? 1n : 0n)
  const fraction = Number(micros - seconds * 1_000_000n)
  const days = Math.floor(Number(seconds) / 86_400)
  const inDay = (Number(seconds) - days * 86_400) * 1_000_000 + fraction
  return `${canonicalDate(days)}T${timeOfDay(inDay)}${utc ? 'Z' : ''}`
}

/** 8-4-4-4-12 lower-case hex digits. @param bytes 16, big-endian, as Parquet and Iceberg store them */
export function canonicalUuid(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new NotCanonical('bad-length')
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The bytes as UTF-8, a leading U+FEFF kept: it is data here. Overlong forms, surrogates and cut sequences are refused. */
export function canonicalUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new NotCanonical('bad-utf8')
  }
}

function two(value: number): string {
  return value < 10 ? `0${value}` : `${value}`
}

function timeOfDay(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000)
  const minutes = Math.floor(seconds / 60)
  const fraction = String(micros - seconds * 1_000_000).padStart(6, '0')
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(seconds % 60)}.${fraction}`
}

const bits = new DataView(new ArrayBuffer(4))

/** @param value a positive, finite float32 */
function shortestFloat32(value: number): string {
  bits.setFloat32(0, value)
  const pattern = bits.getUint32(0)
  // What reads back as `value` lies between the middles to its neighbours (25 bits, exact as doubles), the middles themselves
  // belonging to the even significand. Above a power of two the gap is twice the one below.
  const low = (value + float32(pattern - 1)) / 2
  const high = pattern === 0x7f7fffff ? value + (value - low) : (value + float32(pattern + 1)) / 2
  const even = (pattern & 1) === 0

  // Any two decimals of 6 digits are different float32s, so 6 rounded digits that read back are the only ones, and shorter ones
  // would be among them. Subnormals have less precision, so they may need fewer.
  for (let precision = pattern < 0x800000 ? 1 : 6; ; precision++) {
    let text = value.toPrecision(precision)
    if (isTie(value, precision)) text = evenOf(text)
    if (readsBack(text)) return String(Number(text))
    // The nearest decimal may be too far below a power of two while the next one above is near enough.
    if ((pattern & 0x7fffff) === 0 && Number(text) < value) {
      const next = nextAbove(text)
      if (readsBack(next)) return String(Number(next))
    }
  }

  function readsBack(text: string): boolean {
    const parsed = Number(text)
    if (parsed > low && parsed < high) return true
    if (parsed < low || parsed > high) return false
    // Rounded to a double the decimal falls on a middle: only exact arithmetic tells on which side it is.
    const side = compareExactly(text, parsed)
    return side === 0 ? even : parsed === low ? side > 0 : side < 0
  }
}

function float32(pattern: number): number {
  bits.setUint32(0, pattern)
  return bits.getFloat32(0)
}

/** Whether `value` lies exactly in the middle of two decimals of `precision` digits. */
function isTie(value: number, precision: number): boolean {
  // Decides almost always: such a value has one digit more, a 5, as its own shortest text.
  const digits = significand(String(value))
  if (digits.length !== precision + 1 || !digits.endsWith('5')) return false
  // A float32 and a decimal of ten digits that differ, do so by the 60th digit.
  return significand(value.toPrecision(100)) === digits
}

/** toPrecision takes the larger one of two equally near decimals; the even one is it, or one less. */
function evenOf(text: string): string {
  const last = text.search(/\d(?=e|$)/)
  const digit = Number(text[last])
  return digit % 2 === 0 ? text : text.slice(0, last) + (digit - 1) + text.slice(last + 1)
}

function nextAbove(text: string): string {
  const { digits, exponent } = parts(text)
  return `${digits + 1n}e${exponent}`
}

function significand(text: string): string {
  return text.replace(/e.*/, '').replace('.', '').replace(/^0+/, '').replace(/0+$/, '')
}

function parts(text: string): { digits: bigint; exponent: number } {
  const [mantissa = '', power = '0'] = text.split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  return { digits: BigInt(whole + fraction), exponent: Number(power) - fraction.length }
}

/** The sign of decimal − double. */
function compareExactly(text: string, double: number): number {
  const decimal = parts(text)
  let left = decimal.digits
  let fraction = double
  for (; !Number.isInteger(fraction); fraction *= 2) left <<= 1n
  let right = BigInt(fraction)
  if (decimal.exponent < 0) right *= 10n ** BigInt(-decimal.exponent)
  else left *= 10n ** BigInt(decimal.exponent)
  return left < right ? -1 : left > right ? 1 : 0
}
