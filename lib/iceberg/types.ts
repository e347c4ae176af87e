/**
 * Iceberg's types in the form they have in metadata.json (Iceberg specification, "Schemas and Data Types" and appendix C). Pure.
 * Keys are spelt as the specification spells them, so what is read can be written back unchanged.
 */

/** `int`, `decimal(9, 2)`, `fixed[16]` … */
export type PrimitiveType = string

export interface StructType {
  readonly type: 'struct'
  readonly fields: readonly Field[]
}

export interface ListType {
  readonly type: 'list'
  readonly 'element-id': number
  readonly element: Type
  readonly 'element-required': boolean
}

export interface MapType {
  readonly type: 'map'
  readonly 'key-id': number
  readonly key: Type
  readonly 'value-id': number
  readonly value: Type
  readonly 'value-required': boolean
}

export type Type = PrimitiveType | StructType | ListType | MapType

export interface Field {
  readonly id: number
  readonly name: string
  readonly required: boolean
  readonly type: Type
  readonly doc?: string
}

export interface Schema extends StructType {
  readonly 'schema-id': number
  readonly 'identifier-field-ids'?: readonly number[]
}

export type Primitive =
  | { readonly kind: 'boolean' | 'int' | 'long' | 'float' | 'double' | 'date' | 'time' | 'string' | 'uuid' | 'binary' }
  | { readonly kind: 'timestamp' | 'timestamptz' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'fixed'; readonly length: number }

const SIMPLE: ReadonlySet<string> = new Set([
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'date',
  'time',
  'timestamp',
  'timestamptz',
  'string',
  'uuid',
  'binary',
])

/** The parts of a primitive type's name; undefined for one that format version 2 does not have. Blanks do not matter. */
export function primitive(type: PrimitiveType): Primitive | undefined {
  const name = type.replaceAll(/\s+/g, '')
  if (SIMPLE.has(name)) return { kind: name } as Primitive
  const decimal = /^decimal\((\d+),(\d+)\)$/.exec(name)
  if (decimal) return { kind: 'decimal', precision: Number(decimal[1]), scale: Number(decimal[2]) }
  const fixed = /^fixed\[(\d+)\]$/.exec(name)
  if (fixed) return { kind: 'fixed', length: Number(fixed[1]) }
  return undefined
}

/** A type for people and for comparing: field ids and docs left out, blanks made even. */
export function typeText(type: Type): string {
  if (typeof type === 'string') return type.replaceAll(/\s+/g, '').replace(',', ', ')
  switch (type.type) {
    case 'list':
      return `list<${typeText(type.element)}>`
    case 'map':
      return `map<${typeText(type.key)}, ${typeText(type.value)}>`
    case 'struct':
      return `struct<${type.fields.map((field) => `${field.name}: ${typeText(field.type)}`).join(', ')}>`
  }
}

/**
 * Whether files that hold `from` can be read as a column of type `to` without being written again
 * (specification, "Schema Evolution": int to long, float to double, a wider decimal).
 */
export function readableAs(from: PrimitiveType, to: PrimitiveType): boolean {
  if (typeText(from) === typeText(to)) return true
  const [a, b] = [primitive(from), primitive(to)]
  if (!a || !b) return false
  if (a.kind === 'decimal' && b.kind === 'decimal') return a.scale === b.scale && a.precision <= b.precision
  return (a.kind === 'int' && b.kind === 'long') || (a.kind === 'float' && b.kind === 'double')
}
