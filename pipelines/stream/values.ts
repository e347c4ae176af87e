/** JSON values as cells of a type: exactly, or not at all. Pure. */
import { primitive } from '../../lib/iceberg/types.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { MAX_TEXT_BYTES } from '../../lib/parquet/text.ts'
import type { Cells } from './cells.ts'
import { Numeral, sourceOf } from './json.ts'

/** Why a record is bad: what a quarantine counts, and all that is ever said of it. */
export type BadReason =
  | 'not-utf8'
  | 'not-json'
  | 'not-an-object'
  | 'lone-surrogate'
  | 'too-long'
  | 'no-text'
  | 'wrong-type'
  | 'out-of-range'
  /** By the service. */
  | 'refused'

export class BadRecord extends Error {
  readonly reason: BadReason
  /** Name of the field, dotted; names are no secrets, values are. */
  readonly field: string | undefined

  constructor(reason: BadReason, field?: string) {
    super(reason)
    this.reason = reason
    this.field = field
  }
}

/** Thrown where a number's text is needed and the record was parsed without. */
export const NEEDS_SOURCE = Symbol('needs the source of its numbers')

/** Puts one value that is there and not null. */
export type Put = (cells: Cells, value: unknown, definition: number, repetition: number) => void

/**
 * @param type as the schema has it @param leaf that it becomes
 * @param sensitive whether it is to be pseudonymized: then it must have a canonical text, which an object has not
 * @param refuses texts of which no pseudonym can be had @default none is known
 */
export function putterOf(
  type: string,
  leaf: LeafNode,
  sensitive: boolean,
  name: string,
  refuses?: (text: string) => boolean,
): Put {
  if (sensitive) return sensitiveText(name, refuses)
  const found = primitive(type)
  switch (found?.kind) {
    case 'boolean':
      return (cells, value, definition, repetition) => {
        if (typeof value !== 'boolean') throw new BadRecord('wrong-type', name)
        cells.boolean(value, definition, repetition)
      }
    case 'int':
      return (cells, value, definition, repetition) =>
        cells.int(Number(integerOf(value, 32, name)), definition, repetition)
    case 'long':
      return (cells, value, definition, repetition) => cells.long(integerOf(value, 64, name), definition, repetition)
    case 'float':
      return (cells, value, definition, repetition) => cells.float(numberOf(value, name), definition, repetition)
    case 'double':
      return (cells, value, definition, repetition) => cells.double(numberOf(value, name), definition, repetition)
    case 'decimal': {
      const { precision, scale } = found
      return (cells, value, definition, repetition) => {
        const unscaled = decimalOf(value, precision, scale, name)
        if (leaf.physical === 'INT32') cells.int(Number(unscaled), definition, repetition)
        else if (leaf.physical === 'INT64') cells.long(unscaled, definition, repetition)
        else cells.wide(unscaled, definition, repetition)
      }
    }
    case 'date':
      return (cells, value, definition, repetition) => cells.int(daysOf(value, name), definition, repetition)
    case 'timestamp':
    case 'timestamptz': {
      const zoned = found.kind === 'timestamptz'
      return (cells, value, definition, repetition) => cells.long(microsOf(value, zoned, name), definition, repetition)
    }
    default:
      return copiedText(name)
  }
}

function sensitiveText(name: string, refuses?: (text: string) => boolean): Put {
  return (cells, value, definition, repetition) => {
    const text = scalarText(value)
    if (text === undefined) throw new BadRecord('no-text', name)
    if (refuses?.(text)) throw new BadRecord('refused', name)
    if (cells.text(text, definition, repetition) > MAX_TEXT_BYTES) throw new BadRecord('too-long', name)
  }
}

/** A column of texts takes every value: what is none is kept as JSON. */
function copiedText(name: string): Put {
  return (cells, value, definition, repetition) => {
    const text = scalarText(value) ?? jsonText(value)
    if (text.length > MOST_TEXT) throw new BadRecord('too-long', name)
    cells.text(text, definition, repetition)
  }
}

/** Of one cell: no record of Kinesis has more bytes. */
const MOST_TEXT = 10 << 20

function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'number') throw NEEDS_SOURCE
  return value instanceof Numeral ? value.source : undefined
}

function jsonText(value: unknown): string {
  if (hasNumber(value)) throw NEEDS_SOURCE
  return sourceOf(value)
}

function hasNumber(value: unknown): boolean {
  if (typeof value === 'number') return true
  if (typeof value !== 'object' || value === null || value instanceof Numeral) return false
  return Object.values(value).some(hasNumber)
}

function integerOf(value: unknown, bits: 32 | 64, name: string): bigint {
  if (typeof value === 'number') {
    // 1.0 is an integer too; beyond 2^53 it takes the text to know which one.
    if (!Number.isSafeInteger(value)) throw Number.isInteger(value) ? NEEDS_SOURCE : new BadRecord('wrong-type', name)
    return inRange(BigInt(value), bits, name)
  }
  if (!(value instanceof Numeral)) throw new BadRecord('wrong-type', name)
  if (value.isInteger) {
    if (value.source.length > 40) throw new BadRecord('out-of-range', name)
    return inRange(BigInt(value.source), bits, name)
  }
  const number = Number(value.source)
  if (!Number.isSafeInteger(number)) throw new BadRecord('wrong-type', name)
  return inRange(BigInt(number), bits, name)
}

function inRange(value: bigint, bits: 32 | 64, name: string): bigint {
  if (BigInt.asIntN(bits, value) !== value) throw new BadRecord('out-of-range', name)
  return value
}

function numberOf(value: unknown, name: string): number {
  const number = typeof value === 'number' ? value : value instanceof Numeral ? Number(value.source) : undefined
  if (number === undefined) throw new BadRecord('wrong-type', name)
  if (!Number.isFinite(number)) throw new BadRecord('out-of-range', name)
  return number
}

/** Exactly: what has more digits behind the point than the column is refused. */
function decimalOf(value: unknown, precision: number, scale: number, name: string): bigint {
  if (typeof value === 'number') throw NEEDS_SOURCE
  const source = value instanceof Numeral ? value.source : typeof value === 'string' ? value : undefined
  const [, sign = '', whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source ?? '') ?? []
  if (whole === '') throw new BadRecord('wrong-type', name)
  const shift = scale - fraction.length + Number(power)
  const digits = (whole + fraction).replace(/^0+(?=\d)/, '')
  if (digits === '0') return 0n
  if (Math.abs(shift) > 2 * precision + digits.length) throw new BadRecord('out-of-range', name)
  const cut = shift < 0 ? digits.length + shift : digits.length
  if (shift < 0 && /[1-9]/.test(digits.slice(Math.max(0, cut)))) throw new BadRecord('out-of-range', name)
  const unscaled = shift < 0 ? digits.slice(0, Math.max(0, cut)) || '0' : digits + '0'.repeat(shift)
  if (unscaled.replace(/^0+(?=\d)/, '').length > precision) throw new BadRecord('out-of-range', name)
  return BigInt(`${sign}${unscaled}`)
}

const DAY_MS = 86_400_000

function daysOf(value: unknown, name: string): number {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(value)) throw new BadRecord('wrong-type', name)
  return dayMs(value, name) / DAY_MS
}

/** Of a day that there is; `Date.parse` makes the 30th of February the 2nd of March. */
function dayMs(day: string, name: string): number {
  const ms = Date.parse(`${day}T00:00:00Z`)
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(day) || day.startsWith('0000'))
    throw new BadRecord('out-of-range', name)
  return ms
}

const MOMENT = /^(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?$/

/** Microseconds since 1970. @param zoned whether the text must say its zone; else it must not */
function microsOf(value: unknown, zoned: boolean, name: string): bigint {
  const found = typeof value === 'string' ? MOMENT.exec(value) : null
  const [, day = '', hour, minute, second = '0', fraction = '', zone] = found ?? []
  if (!found || (zone !== undefined) !== zoned) throw new BadRecord('wrong-type', name)
  const [h, m, s] = [Number(hour), Number(minute), Number(second)]
  if (h > 23 || m > 59 || s > 59 || /[1-9]/.test(fraction.slice(6))) throw new BadRecord('out-of-range', name)
  const ms = dayMs(day, name) + ((h * 60 + m) * 60 + s) * 1000 - offsetMs(zone)
  return BigInt(ms) * 1000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'))
}

function offsetMs(zone: string | undefined): number {
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(zone ?? '') ?? []
  const ms = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60_000
  return sign === '-' ? -ms : ms
}
