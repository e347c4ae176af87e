/** Fields out of records, where nobody declared them. Pure. */
import { Numeral } from './json.ts'
import type { RecordField, RecordType } from './schema.ts'

const LONG = { least: -(2n ** 63n), most: 2n ** 63n - 1n }
/** The longest integer that a decimal of Iceberg holds. */
const DECIMAL_DIGITS = 38

/** What records showed of a value: nothing, as it was always null, or a type. */
type Seen = RecordType | undefined

/**
 * The fields of records, in the order in which they were first seen. What is null in all of them is taken for a string, and so is what has one
 * type here and another one there: the JSON text of such a value is kept.
 * @param records parsed exactly (json.ts)
 * @param ruled fields that are there whatever records show: of what one has otherwise, a text is left
 */
export function inferFields(
  records: readonly Readonly<Record<string, unknown>>[],
  ruled: readonly RecordField[] = [],
): RecordField[] {
  const seen = new Map<string, Seen>()
  for (const record of records)
    for (const [name, value] of Object.entries(record)) seen.set(name, merged(seen.get(name), seenOf(value)))
  for (const { name, type } of ruled) seen.set(name, merged(seen.get(name), type))
  return [...seen].map(([name, type]) => ({ name, type: settled(type) }))
}

/** Of a field that came later. */
export function inferType(value: unknown): RecordType {
  return settled(seenOf(value))
}

const leaf = (type: string): RecordType => ({ kind: 'leaf', type })
const TEXT = leaf('string')

interface SeenStruct {
  readonly kind: 'struct'
  readonly fields: readonly { readonly name: string; readonly type: RecordType }[]
}

function seenOf(value: unknown): Seen {
  if (value === null || value === undefined) return undefined
  if (value instanceof Numeral) return leaf(numberType(value))
  if (typeof value === 'boolean') return leaf('boolean')
  if (typeof value === 'string') return TEXT
  if (Array.isArray(value)) {
    let element: Seen
    for (const one of value) element = merged(element, seenOf(one))
    return { kind: 'list', element: element ?? NOTHING }
  }
  const fields = Object.entries(value as object).map(([name, member]) => ({ name, type: seenOf(member) ?? NOTHING }))
  // An object without fields is no column that Parquet could have.
  return fields.length === 0 ? TEXT : ({ kind: 'struct', fields } satisfies SeenStruct)
}

/** Inside of another type what was always null. */
const NOTHING: RecordType = leaf('nothing')

function numberType(value: Numeral): string {
  const { source } = value
  if (!value.isInteger) return 'double'
  if (source.length < 19) return 'long'
  const integer = BigInt(source)
  if (integer >= LONG.least && integer <= LONG.most) return 'long'
  return source.replace('-', '').length <= DECIMAL_DIGITS ? `decimal(${DECIMAL_DIGITS}, 0)` : 'string'
}

const NUMBERS = ['long', `decimal(${DECIMAL_DIGITS}, 0)`, 'double']

function merged(a: Seen, b: Seen): Seen {
  if (a === undefined || a === NOTHING) return b ?? a
  if (b === undefined || b === NOTHING) return a
  if (a.kind === 'struct' && b.kind === 'struct') {
    const fields = new Map(a.fields.map(({ name, type }) => [name, type]))
    for (const { name, type } of b.fields) fields.set(name, merged(fields.get(name), type) ?? NOTHING)
    return { kind: 'struct', fields: [...fields].map(([name, type]) => ({ name, type })) }
  }
  if (a.kind === 'list' && b.kind === 'list') return { kind: 'list', element: merged(a.element, b.element) ?? NOTHING }
  if (a.kind !== 'leaf' || b.kind !== 'leaf') return TEXT
  if (a.type === b.type) return a
  const [i, j] = [NUMBERS.indexOf(a.type), NUMBERS.indexOf(b.type)]
  return i < 0 || j < 0 ? TEXT : leaf(NUMBERS[Math.max(i, j)] as string)
}

function settled(type: Seen): RecordType {
  if (type === undefined || type === NOTHING) return TEXT
  if (type.kind === 'list') return { kind: 'list', element: settled(type.element) }
  if (type.kind === 'leaf') return type
  return { kind: 'struct', fields: type.fields.map(({ name, type }) => ({ name, type: settled(type) })) }
}
