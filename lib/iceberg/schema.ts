import type { Field, Schema, StructType, Type } from './types.ts'

/** Looking things up in a schema. Pure. */

/** A field anywhere in a schema; list elements, map keys and values are fields too, named `element`, `key` and `value`. */
export interface FieldAt extends Field {
  /** Names from the root, `element`, `key` and `value` included. */
  readonly path: readonly string[]
  /** Below a list or a map, where a row has any number of values. */
  readonly repeated: boolean
}

/** Every field in the order of the schema, a parent before its children. */
export function* fieldsOf(schema: StructType): Generator<FieldAt, void, undefined> {
  yield* below(schema, [], false)
}

function* below(type: Type, path: readonly string[], repeated: boolean): Generator<FieldAt, void, undefined> {
  for (const field of childrenOf(type)) {
    const at = {
      ...field,
      path: [...path, field.name],
      repeated: repeated || (typeof type === 'object' && type.type !== 'struct'),
    }
    yield at
    yield* below(field.type, at.path, at.repeated)
  }
}

/** The fields one level down: of a struct its own, of a list and a map what it is made of; a primitive has none. */
export function childrenOf(type: Type): readonly Field[] {
  if (typeof type === 'string') return []
  switch (type.type) {
    case 'struct':
      return type.fields
    case 'list':
      return [{ id: type['element-id'], name: 'element', required: type['element-required'], type: type.element }]
    case 'map':
      return [
        { id: type['key-id'], name: 'key', required: true, type: type.key },
        { id: type['value-id'], name: 'value', required: type['value-required'], type: type.value },
      ]
  }
}

export function fieldsById(schema: StructType): Map<number, FieldAt> {
  return new Map([...fieldsOf(schema)].map((field) => [field.id, field]))
}

/** The greatest field id in use, 0 for an empty schema. */
export function highestFieldId(schema: Schema): number {
  let highest = 0
  for (const { id } of fieldsOf(schema)) highest = Math.max(highest, id)
  return highest
}
