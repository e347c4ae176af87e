/** The fields of a stream's records: declared, or inferred once and pinned in the mark. Pure. */
import { PseudolakeError } from '../../lib/core/errors.ts'
import { primitive, typeText } from '../../lib/iceberg/types.ts'
import type { LeafNode, LogicalType, PhysicalType, SchemaNode } from '../../lib/parquet/schema.ts'
import { splitPath } from '../config/load.ts'

export type RecordType =
  /** `string`, `long`, `decimal(9, 2)` …, as Iceberg calls it. */
  | { readonly kind: 'leaf'; readonly type: string }
  | { readonly kind: 'struct'; readonly fields: readonly RecordField[] }
  | { readonly kind: 'list'; readonly element: RecordType }

export interface RecordField {
  readonly name: string
  readonly type: RecordType
}

const LEAVES: ReadonlySet<string> = new Set([
  'string',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'decimal',
  'date',
  'timestamp',
  'timestamptz',
])

/**
 * The fields that a configuration declares; dots in a name lead into objects.
 * @throws PseudolakeError `config/invalid` naming the field
 */
export function fieldsOfSchema(schema: ReadonlyMap<string, string>): RecordField[] {
  const root: Branch = { fields: new Map() }
  for (const [name, given] of schema) {
    const words = splitPath(name).map((word) => word.replaceAll('`', ''))
    const type = parseType(given)
    if (type === undefined)
      throw new PseudolakeError(
        'config/invalid',
        `schema.${name}: expected one of ${[...LEAVES].join(', ')}, list<…> or struct<name: …>`,
        { key: `schema.${name}` },
      )
    if (!plant(root, words, type))
      throw new PseudolakeError('config/invalid', `schema.${name}: another field has that name`, {
        key: `schema.${name}`,
      })
  }
  return harvest(root)
}

interface Branch {
  readonly fields: Map<string, Branch | RecordType>
}

function plant({ fields }: Branch, [word = '', ...rest]: readonly string[], type: RecordType): boolean {
  const there = fields.get(word)
  if (rest.length === 0) {
    if (there !== undefined) return false
    fields.set(word, type)
    return true
  }
  const below = there ?? { fields: new Map() }
  if ('kind' in below) return false
  fields.set(word, below)
  return plant(below, rest, type)
}

function harvest({ fields }: Branch): RecordField[] {
  return [...fields].map(([name, found]) => ({
    name,
    type: 'kind' in found ? found : { kind: 'struct', fields: harvest(found) },
  }))
}

/** Undefined for a text that is no type of a record. */
export function parseType(text: string): RecordType | undefined {
  const given = text.trim()
  const [, outer, inner = ''] = /^(list|struct)\s*<(.*)>$/s.exec(given) ?? []
  if (outer === 'list') {
    const element = parseType(inner)
    return element && { kind: 'list', element }
  }
  if (outer === 'struct') {
    const fields: RecordField[] = []
    for (const part of splitOutside(inner)) {
      const [, name, rest = ''] = /^\s*([^:<>,\s]+)\s*:(.*)$/s.exec(part) ?? []
      const type = parseType(rest)
      if (name === undefined || type === undefined || fields.some((field) => field.name === name)) return undefined
      fields.push({ name, type })
    }
    return { kind: 'struct', fields }
  }
  const kind = primitive(given)?.kind
  if (kind === undefined || !LEAVES.has(kind)) return undefined
  const type = typeText(given)
  return isDecimalTooLong(type) ? undefined : { kind: 'leaf', type }
}

function isDecimalTooLong(type: string): boolean {
  const found = primitive(type)
  return found?.kind === 'decimal' && (found.precision < 1 || found.precision > 38 || found.scale > found.precision)
}

/** At the commas that are inside of no type. */
function splitOutside(text: string): string[] {
  const parts: string[] = []
  let [depth, from] = [0, 0]
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string
    if ('<('.includes(char)) depth++
    else if ('>)'.includes(char)) depth--
    else if (char === ',' && depth === 0) {
      parts.push(text.slice(from, at))
      from = at + 1
    }
  }
  return [...parts, text.slice(from)]
}

/** Fields as the mark has them: a type's text, an object for an object's fields, a list of one for a list. */
export type StoredType = string | readonly [StoredType] | { readonly [name: string]: StoredType }

export function storedFields(fields: readonly RecordField[]): { readonly [name: string]: StoredType } {
  return Object.fromEntries(fields.map(({ name, type }) => [name, storedType(type)]))
}

function storedType(type: RecordType): StoredType {
  if (type.kind === 'leaf') return type.type
  return type.kind === 'list' ? [storedType(type.element)] : storedFields(type.fields)
}

/** @throws PseudolakeError `table/mark-unreadable` */
export function readFields(stored: unknown): RecordField[] {
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) throw unreadable()
  return Object.entries(stored).map(([name, type]) => ({ name, type: readType(type) }))
}

function readType(stored: unknown): RecordType {
  if (Array.isArray(stored) && stored.length === 1) return { kind: 'list', element: readType(stored[0]) }
  if (typeof stored !== 'string') return { kind: 'struct', fields: readFields(stored) }
  const type = parseType(stored)
  if (type?.kind !== 'leaf') throw unreadable()
  return type
}

function unreadable(): PseudolakeError {
  return new PseudolakeError('table/mark-unreadable', 'the fields of the stream’s mark are not of a form that is read')
}

/** The columns of records, as those of a file that is in memory. */
export function nodesOf(fields: readonly RecordField[]): { root: SchemaNode[]; leaves: LeafNode[] } {
  const leaves: LeafNode[] = []
  const node = (name: string, type: RecordType, path: readonly string[], levels: Levels): SchemaNode => {
    const optional = { ...levels, definition: levels.definition + 1 }
    const base = { name, path, repetition: 'optional' } as const
    if (type.kind === 'struct') {
      const children = type.fields.map((field) => node(field.name, field.type, [...path, field.name], optional))
      return { kind: 'struct', ...base, children }
    }
    if (type.kind === 'list') {
      const inside = { definition: optional.definition + 1, repetition: optional.repetition + 1 }
      return { kind: 'list', ...base, element: node('element', type.element, [...path, 'list', 'element'], inside) }
    }
    const leaf: LeafNode = {
      kind: 'leaf',
      ...base,
      ...physicalOf(type.type),
      maxDefinitionLevel: optional.definition,
      maxRepetitionLevel: optional.repetition,
      column: leaves.length,
    }
    leaves.push(leaf)
    return leaf
  }
  const root = fields.map(({ name, type }) => node(name, type, [name], { definition: 0, repetition: 0 }))
  return { root, leaves }
}

interface Levels {
  readonly definition: number
  readonly repetition: number
}

interface Physical {
  readonly physical: PhysicalType
  readonly typeLength?: number
  readonly logical?: LogicalType
}

function physicalOf(type: string): Physical {
  const found = primitive(type)
  switch (found?.kind) {
    case 'boolean':
      return { physical: 'BOOLEAN' }
    case 'int':
      return { physical: 'INT32' }
    case 'long':
      return { physical: 'INT64' }
    case 'float':
      return { physical: 'FLOAT' }
    case 'double':
      return { physical: 'DOUBLE' }
    case 'date':
      return { physical: 'INT32', logical: { type: 'date' } }
    case 'timestamp':
    case 'timestamptz':
      return {
        physical: 'INT64',
        logical: { type: 'timestamp', unit: 'micros', utc: found.kind === 'timestamptz' },
      }
    case 'decimal': {
      const { precision, scale } = found
      const logical = { type: 'decimal', precision, scale } as const
      if (precision <= 9) return { physical: 'INT32', logical }
      if (precision <= 18) return { physical: 'INT64', logical }
      return { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: decimalBytes(precision), logical }
    }
    default:
      return { physical: 'BYTE_ARRAY', logical: { type: 'string' } }
  }
}

/** The fewest bytes that hold every number of so many digits, with its sign. */
export function decimalBytes(precision: number): number {
  let bytes = 1
  while (2n ** BigInt(8 * bytes - 1) < 10n ** BigInt(precision)) bytes++
  return bytes
}
