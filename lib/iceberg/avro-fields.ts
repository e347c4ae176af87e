import type { AvroField, AvroObject, AvroSchema } from '../avro/types.ts'

/**
 * Iceberg's Avro files, read by field id. Names differ between writers (`added_files_count` was `added_data_files_count` once), ids do not;
 * who reads by name counts 0 files in somebody's manifest and drops it at the next commit. Pure.
 */

/** Gives the value of a field of decoded records of `schema` by its id; undefined for an id the writer did not have, and for null. */
export function fieldGetter(schema: AvroSchema): (record: unknown, id: number) => unknown {
  const names = new Map(recordFields(schema).map((field) => [field['field-id'], field.name]))
  return (record, id) => {
    const name = names.get(id)
    return name === undefined ? undefined : ((record as Record<string, unknown>)[name] ?? undefined)
  }
}

/** The schema of the field with `id`, without the null of an optional one. */
export function fieldSchema(schema: AvroSchema, id: number): AvroSchema | undefined {
  const field = recordFields(schema).find((each) => each['field-id'] === id)
  return field && nonNull(field.type)
}

export function fieldIds(schema: AvroSchema): number[] {
  return recordFields(schema).flatMap((field) => (field['field-id'] === undefined ? [] : [field['field-id']]))
}

function recordFields(schema: AvroSchema): readonly AvroField[] {
  return isObject(schema) ? (schema.fields ?? []) : []
}

function nonNull(schema: AvroSchema): AvroSchema {
  return isArray(schema) ? (schema.find((branch) => branch !== 'null') ?? 'null') : schema
}

/** The items of an array schema: those of a list, or the key-value records of an int-keyed map. */
export function itemSchema(schema: AvroSchema | undefined): AvroSchema {
  return (schema !== undefined && isObject(schema) && schema.items) || 'null'
}

export function optional(id: number, name: string, type: AvroSchema): AvroField {
  return { name, type: ['null', type], default: null, 'field-id': id }
}

export function required(id: number, name: string, type: AvroSchema): AvroField {
  return { name, type, 'field-id': id }
}

export function listOf(elementId: number, items: AvroSchema): AvroObject {
  return { type: 'array', items, 'element-id': elementId }
}

/** A map with int keys: Avro's own maps have string keys only, so it is an array of pairs (specification, appendix A "Avro"). */
export function intMapOf(keyId: number, valueId: number, value: AvroSchema): AvroObject {
  return {
    type: 'array',
    logicalType: 'map',
    items: {
      type: 'record',
      name: `k${keyId}_v${valueId}`,
      fields: [required(keyId, 'key', 'int'), required(valueId, 'value', value)],
    },
  }
}

const isArray = (schema: AvroSchema): schema is readonly AvroSchema[] => Array.isArray(schema)
const isObject = (schema: AvroSchema): schema is AvroObject => typeof schema === 'object' && !isArray(schema)
