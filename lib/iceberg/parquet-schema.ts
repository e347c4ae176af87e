import { PseudolakeError } from '../core/errors.ts'
import { type LeafNode, pathKey, type SchemaNode } from '../parquet/schema.ts'
import { childrenOf } from './schema.ts'
import { type Field, readableAs, type Schema, type Type, typeText } from './types.ts'

/**
 * From a Parquet schema to Iceberg's and back (Iceberg specification, appendix A "Parquet"). Pure.
 *
 * Types that Iceberg v2 lacks were widened or refused while the file was planned; meeting one here is an error.
 */

/**
 * A fresh schema for a table made for files of this shape. Ids are given level by level, as Iceberg's own library does, so the columns
 * of a flat table are 1 … n. Every field is optional but map keys: an input that loses a value later must not break the table.
 * @throws PseudolakeError `table/unsupported` for a type that format version 2 lacks, or two columns of one name
 */
export function schemaFromParquet(nodes: readonly SchemaNode[]): Schema {
  let last = 0
  return { type: 'struct', 'schema-id': 0, fields: numbering(() => ++last).fields(nodes) }
}

/**
 * The schema with the columns that files of this shape have more, optional, each behind its siblings; nested ones too (specification,
 * "Schema Evolution"). The very same schema where there are none. What is of another type is not looked at: `fieldIdsFor` refuses it.
 * @param lastColumnId highest field id that the table ever gave
 * @param schemaId of the new schema
 */
export function grownSchema(
  nodes: readonly SchemaNode[],
  schema: Schema,
  { lastColumnId, schemaId }: { readonly lastColumnId: number; readonly schemaId: number },
): Schema {
  let last = lastColumnId
  const { field } = numbering(() => ++last)
  const fields = grown(nodes, schema.fields)
  return last === lastColumnId ? schema : { ...schema, 'schema-id': schemaId, fields }

  function grown(children: readonly SchemaNode[], known: readonly Field[]): readonly Field[] {
    const byName = new Map(children.map((node) => [node.name, node]))
    const kept = known.map((one) => {
      const node = byName.get(one.name)
      byName.delete(one.name)
      return node ? { ...one, type: grownType(node, one.type) } : one
    })
    const added = [...byName.values()].map(field)
    const all = [...kept, ...added]
    requireDistinct(all.map(({ name }) => ({ name, path: [name] })))
    return all
  }

  function grownType(node: SchemaNode, type: Type): Type {
    if (typeof type === 'string' || node.kind !== type.type) return type
    if (node.kind === 'struct' && type.type === 'struct') return { ...type, fields: grown(node.children, type.fields) }
    if (node.kind === 'list' && type.type === 'list') return { ...type, element: grownType(node.element, type.element) }
    if (node.kind === 'map' && type.type === 'map') return { ...type, value: grownType(node.value, type.value) }
    return type
  }
}

/** Fields for nodes, with ids that are given level by level. */
function numbering(next: () => number) {
  function fields(children: readonly SchemaNode[]): readonly Field[] {
    requireDistinct(children)
    const ids = children.map(next)
    return children.map((node, i) => ({ id: ids[i] as number, name: node.name, required: false, type: typeOf(node) }))
  }

  function field(node: SchemaNode): Field {
    return { id: next(), name: node.name, required: false, type: typeOf(node) }
  }

  function typeOf(node: SchemaNode): Type {
    switch (node.kind) {
      case 'leaf':
        return leafType(node)
      case 'struct':
        return { type: 'struct', fields: fields(node.children) }
      case 'list': {
        const id = next()
        return { type: 'list', 'element-id': id, 'element-required': false, element: typeOf(node.element) }
      }
      case 'map': {
        const [key, value] = [next(), next()]
        return {
          type: 'map',
          'key-id': key,
          'value-id': value,
          'value-required': false,
          key: typeOf(node.key),
          value: typeOf(node.value),
        }
      }
    }
  }

  return { fields, field }
}

/** Names that differ in case only are one name to Spark, Athena and DuckDB, which then cannot read either. */
function requireDistinct(nodes: readonly Pick<SchemaNode, 'name' | 'path'>[]): void {
  const seen = new Map<string, string>()
  for (const { name, path } of nodes) {
    const other = seen.get(name.toLowerCase())
    if (other !== undefined)
      throw new PseudolakeError(
        'table/unsupported',
        `columns ${JSON.stringify(other)} and ${JSON.stringify(name)}: engines do not tell names apart by case`,
        {
          column: path.join('.'),
          hint: 'Drop one of them (mode: drop), or give it another name where it is replaced (as).',
        },
      )
    seen.set(name.toLowerCase(), name)
  }
}

function leafType(node: LeafNode): Type {
  const type = leafTypeOrUndefined(node)
  if (type !== undefined) return type
  const found = node.logical ? `${node.physical} (${node.logical.type})` : node.physical
  throw new PseudolakeError('table/unsupported', `column ${node.path.join('.')}: Iceberg v2 has no type for ${found}`, {
    column: node.path.join('.'),
  })
}

function leafTypeOrUndefined({ physical, logical, typeLength }: LeafNode): Type | undefined {
  switch (logical?.type) {
    case undefined:
      break
    case 'string':
    case 'enum':
    case 'json':
      return 'string'
    case 'bson':
      return 'binary'
    case 'uuid':
      return 'uuid'
    case 'date':
      return 'date'
    case 'time':
      return logical.unit === 'micros' ? 'time' : undefined
    case 'timestamp':
      return logical.unit === 'micros' ? (logical.utc ? 'timestamptz' : 'timestamp') : undefined
    case 'decimal':
      return logical.precision <= 38 ? `decimal(${logical.precision}, ${logical.scale})` : undefined
    case 'integer':
      if (logical.bits === 64) return logical.signed ? 'long' : undefined
      return logical.bits < 32 || logical.signed ? 'int' : undefined
    default:
      return undefined
  }
  switch (physical) {
    case 'BOOLEAN':
      return 'boolean'
    case 'INT32':
      return 'int'
    case 'INT64':
      return 'long'
    case 'FLOAT':
      return 'float'
    case 'DOUBLE':
      return 'double'
    case 'BYTE_ARRAY':
      return 'binary'
    case 'FIXED_LEN_BYTE_ARRAY':
      return `fixed[${typeLength}]`
    default:
      return undefined
  }
}

/** One way in which files differ from the table they should go to. */
export interface SchemaDifference {
  /** `missing`: the table has it, the file not. `added`: the file has it, the table not. */
  readonly kind: 'missing' | 'added' | 'type-changed'
  /** Names from the root, `element`, `key` and `value` included. */
  readonly path: readonly string[]
  /** Whether the table demands a value here, so that a file without the column cannot go into it. */
  readonly required: boolean
  /** The type in the table, with `required` before it where it is; missing when added. */
  readonly table?: string
  readonly file?: string
}

/**
 * What differs between files of this shape and a table. Columns are matched by name, in any order; what Iceberg can read as the table's type
 * (an int where the table has long) is no difference. An empty list means the files fit.
 */
export function compareSchemas(nodes: readonly SchemaNode[], schema: Schema): SchemaDifference[] {
  const found: SchemaDifference[] = []
  structs(nodes, schema.fields, [])
  return found

  function structs(children: readonly SchemaNode[], fields: readonly Field[], path: readonly string[]): void {
    const byName = new Map(children.map((node) => [node.name, node]))
    for (const field of fields) {
      const node = byName.get(field.name)
      byName.delete(field.name)
      const at = [...path, field.name]
      if (node) compare(node, field, at)
      else found.push({ kind: 'missing', path: at, required: field.required, table: described(field) })
    }
    for (const [name, node] of byName)
      found.push({ kind: 'added', path: [...path, name], required: false, file: nodeText(node) })
  }

  function compare(node: SchemaNode, field: Field, path: readonly string[]): void {
    const { required } = field
    const changed = () =>
      found.push({ kind: 'type-changed', path, required, table: described(field), file: nodeText(node) })
    // A required column of the table must not meet a file whose column may be null.
    if (required && node.repetition !== 'required') changed()
    else if (node.kind === 'leaf') {
      const type = leafTypeOrUndefined(node)
      if (typeof field.type !== 'string' || typeof type !== 'string' || !readableAs(type, field.type)) changed()
    } else if (typeof field.type === 'string' || field.type.type !== node.kind) changed()
    else if (node.kind === 'struct') structs(node.children, childrenOf(field.type), path)
    else {
      const parts = node.kind === 'list' ? [node.element] : [node.key, node.value]
      for (const [i, part] of parts.entries()) {
        const inner = childrenOf(field.type)[i] as Field
        compare(part, inner, [...path, inner.name])
      }
    }
  }
}

const described = (field: Field) => `${field.required ? 'required ' : ''}${typeText(field.type)}`

function nodeText(node: SchemaNode): string {
  switch (node.kind) {
    case 'leaf': {
      const type = leafTypeOrUndefined(node)
      return type === undefined ? node.physical : typeText(type)
    }
    case 'list':
      return `list<${nodeText(node.element)}>`
    case 'map':
      return `map<${nodeText(node.key)}, ${nodeText(node.value)}>`
    case 'struct':
      return `struct<${node.children.map((child) => `${child.name}: ${nodeText(child)}`).join(', ')}>`
  }
}

/**
 * The table's field id for each node of a file, by the node's Parquet path. Optional columns of the table that the file lacks read as null.
 * @throws PseudolakeError `table/schema-changed` with every difference, when the file does not fit the table; the function returned throws
 *   for a path that is no node (Iceberg does not number the repeated group inside a list or a map)
 */
export function fieldIdsFor(nodes: readonly SchemaNode[], schema: Schema): (path: readonly string[]) => number {
  const differences = compareSchemas(nodes, schema).filter(({ kind, required }) => kind !== 'missing' || required)
  if (differences.length > 0) throw schemaChanged(differences)
  const ids = new Map<string, number>()
  number(nodes, schema.fields)
  return (path) => {
    const id = ids.get(pathKey(path))
    if (id === undefined) throw new PseudolakeError('internal/bug', `no field id for ${path.join('.')}`)
    return id
  }

  function number(children: readonly SchemaNode[], fields: readonly Field[]): void {
    const byName = new Map(fields.map((field) => [field.name, field]))
    for (const node of children) assign(node, byName.get(node.name) as Field)
  }

  function assign(node: SchemaNode, field: Field): void {
    ids.set(pathKey(node.path), field.id)
    const inner = childrenOf(field.type)
    if (node.kind === 'struct') number(node.children, inner)
    if (node.kind === 'list') assign(node.element, inner[0] as Field)
    if (node.kind === 'map') {
      assign(node.key, inner[0] as Field)
      assign(node.value, inner[1] as Field)
    }
  }
}

/** The error for files that do not fit a table: names and types of every difference. */
export function schemaChanged(differences: readonly SchemaDifference[]): PseudolakeError {
  const lines = differences.map(({ kind, path, table, file }) => {
    const name = path.join('.')
    if (kind === 'missing') return `${name} (${table}) is in the table only`
    if (kind === 'added') return `${name} (${file}) is in the input only`
    return `${name} is ${table} in the table and ${file} in the input`
  })
  return new PseudolakeError('table/schema-changed', lines.join('; '), {
    columns: differences.map(({ path }) => path.join('.')),
  })
}
