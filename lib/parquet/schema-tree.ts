/**
 * Between the flat SchemaElements of a footer and the tree of schema.ts. Pure.
 * (parquet-format, LogicalTypes.md.)
 */
import { bareList, listOf, mapEntry } from './nested-types.ts'
import type { LeafNode, LogicalType, PhysicalType, Repetition, SchemaNode, TimeUnit } from './schema.ts'
import { get, need, put, struct, type ThriftField, ThriftInvalid, type ThriftStruct } from './thrift.ts'

export const PHYSICAL: readonly PhysicalType[] = [
  'BOOLEAN',
  'INT32',
  'INT64',
  'INT96',
  'FLOAT',
  'DOUBLE',
  'BYTE_ARRAY',
  'FIXED_LEN_BYTE_ARRAY',
]
const REPETITION: readonly Repetition[] = ['required', 'optional', 'repeated']
const UNITS: readonly TimeUnit[] = ['millis', 'micros', 'nanos']

/** Ids of the LogicalType union that hold no field of their own. */
const PLAIN_LOGICAL: Readonly<Record<number, LogicalType['type']>> = {
  1: 'string',
  4: 'enum',
  6: 'date',
  11: 'unknown',
  12: 'json',
  13: 'bson',
  14: 'uuid',
  15: 'float16',
  17: 'geometry',
  18: 'geography',
}
/** ConvertedType, the annotation before LogicalType; lists and maps (1, 2, 3) are told by shape. */
const CONVERTED: Readonly<Record<number, LogicalType>> = {
  0: { type: 'string' },
  4: { type: 'enum' },
  6: { type: 'date' },
  7: { type: 'time', unit: 'millis', utc: true },
  8: { type: 'time', unit: 'micros', utc: true },
  9: { type: 'timestamp', unit: 'millis', utc: true },
  10: { type: 'timestamp', unit: 'micros', utc: true },
  11: { type: 'integer', bits: 8, signed: false },
  12: { type: 'integer', bits: 16, signed: false },
  13: { type: 'integer', bits: 32, signed: false },
  14: { type: 'integer', bits: 64, signed: false },
  15: { type: 'integer', bits: 8, signed: true },
  16: { type: 'integer', bits: 16, signed: true },
  17: { type: 'integer', bits: 32, signed: true },
  18: { type: 'integer', bits: 64, signed: true },
  19: { type: 'json' },
  20: { type: 'bson' },
  21: { type: 'interval' },
}
/** More levels than a byte could hold are more than anybody nests. */
const MAX_DEPTH = 64

export interface SchemaTree {
  /** Children of the root. */
  readonly root: readonly SchemaNode[]
  /** In the order of the column chunks. */
  readonly leaves: readonly LeafNode[]
}

/** Two columns of one name side by side, which nothing could tell apart by their path. */
export class AmbiguousName extends Error {
  readonly path: readonly string[]
  constructor(path: readonly string[]) {
    super('two columns of one name')
    this.path = path
  }
}

/** @throws ThriftInvalid where the elements form no tree, AmbiguousName */
export function buildTree(elements: readonly ThriftStruct[]): SchemaTree {
  const leaves: LeafNode[] = []
  let next = 1

  interface Above {
    readonly path: readonly string[]
    readonly definition: number
    readonly repetition: number
    readonly variant: boolean
  }

  function children(count: number, above: Above): SchemaNode[] {
    const nodes: SchemaNode[] = []
    const names = new Set<string>()
    for (let i = 0; i < count; i++) {
      const child = node(above)
      if (names.has(child.name)) throw new AmbiguousName(child.path)
      names.add(child.name)
      nodes.push(child)
    }
    return nodes
  }

  function node(above: Above): SchemaNode {
    const element = need(elements[next++], 'a schema element')
    const name = need(get.text(element, 4), 'the name of a schema element')
    const repetition = need(REPETITION[need(get.i32(element, 3), 'a repetition')], 'a repetition')
    const fieldId = get.i32(element, 9)
    const path = [...above.path, name]
    if (path.length > MAX_DEPTH) throw new ThriftInvalid('nested too deeply')
    const definition = above.definition + (repetition === 'required' ? 0 : 1)
    const repeats = above.repetition + (repetition === 'repeated' ? 1 : 0)
    const base = { name, path, repetition, ...(fieldId !== undefined && { fieldId }) }

    const count = get.i32(element, 5)
    const type = get.i32(element, 1)
    if (type === undefined) {
      if (count === undefined || count < 0) throw new ThriftInvalid('a schema element with neither type nor children')
      const union = get.struct(element, 10)
      const variant = above.variant || union?.has(16) === true
      const below = children(count, { path, definition, repetition: repeats, variant })
      const converted = get.i32(element, 6)
      if (converted === 3 || union?.has(3)) {
        const found = listOf(name, below)
        return found ? { ...base, kind: 'list', ...found } : { ...base, kind: 'struct', children: below }
      }
      // MAP_KEY_VALUE (2) stood on the outer group in files of old Hive and Impala versions; newer ones have it inside, on the repeated one.
      if (converted === 1 || (converted === 2 && repetition !== 'repeated') || union?.has(2)) {
        const found = mapEntry(below)
        return found ? { ...base, kind: 'map', ...found } : { ...base, kind: 'struct', children: below }
      }
      return { ...base, kind: 'struct', children: below.map(bareList) }
    }

    const typeLength = get.i32(element, 2)
    const physical = need(PHYSICAL[type], 'a physical type')
    if (physical === 'FIXED_LEN_BYTE_ARRAY' && !(typeLength !== undefined && typeLength > 0))
      throw new ThriftInvalid('a fixed length that is missing or not above zero')
    const logical: LogicalType | undefined = above.variant ? { type: 'variant' } : logicalOf(element)
    const leaf: LeafNode = {
      ...base,
      kind: 'leaf',
      physical,
      ...(physical === 'FIXED_LEN_BYTE_ARRAY' && typeLength !== undefined && { typeLength }),
      ...(logical && { logical }),
      maxDefinitionLevel: definition,
      maxRepetitionLevel: repeats,
      column: leaves.length,
    }
    leaves.push(leaf)
    return leaf
  }

  const top = need(elements[0], 'the root of the schema')
  const count = need(get.i32(top, 5), 'the number of columns')
  if (count < 0) throw new ThriftInvalid('a negative number of columns')
  const root = children(count, { path: [], definition: 0, repetition: 0, variant: false }).map(bareList)
  if (next !== elements.length) throw new ThriftInvalid('schema elements that belong to no group')
  return { root, leaves }
}

function logicalOf(element: ThriftStruct): LogicalType | undefined {
  const union = get.struct(element, 10)
  const [id, field] = union?.entries().next().value ?? []
  if (id !== undefined && field !== undefined) {
    const of = get.struct(union as ThriftStruct, id) as ThriftStruct
    const plain = PLAIN_LOGICAL[id]
    if (plain) return { type: plain } as LogicalType
    if (id === 5) return decimal(get.i32(of, 2), get.i32(of, 1))
    if (id === 7 || id === 8) {
      const unit = need(get.struct(of, 2)?.keys().next().value, 'a unit of time')
      return {
        type: id === 7 ? 'time' : 'timestamp',
        unit: need(UNITS[unit - 1], 'a unit of time'),
        utc: need(get.bool(of, 1), 'a time’s relation to UTC'),
      }
    }
    if (id === 10) {
      const bits = get.i32(of, 1)
      if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) throw new ThriftInvalid('an integer of odd width')
      return { type: 'integer', bits, signed: need(get.bool(of, 2), 'the sign of an integer') }
    }
    // An annotation of a later format version: unlike a plain value of its physical type, it may not be taken for one.
    if (id !== 2 && id !== 3) return { type: 'variant' }
  }
  const converted = get.i32(element, 6)
  if (converted === 5) return decimal(get.i32(element, 8), get.i32(element, 7))
  return converted === undefined ? undefined : CONVERTED[converted]
}

function decimal(precision: number | undefined, scale = 0): LogicalType {
  const digits = need(precision, 'the precision of a decimal')
  if (digits < 1 || scale < 0 || scale > digits) throw new ThriftInvalid('a decimal of impossible precision or scale')
  return { type: 'decimal', precision: digits, scale }
}

/** The flat elements of a tree, root first. Lists and maps are written in the three-level form, annotated both ways. */
export function flattenTree(root: readonly SchemaNode[]): ThriftStruct[] {
  const elements: ThriftStruct[] = [struct({ 4: put.text('schema'), 5: put.i32(root.length) })]

  function group(node: SchemaNode, count: number, converted?: number, logical?: number): void {
    elements.push(
      struct({
        3: put.i32(REPETITION.indexOf(node.repetition)),
        4: put.text(node.name),
        5: put.i32(count),
        6: converted === undefined ? undefined : put.i32(converted),
        9: node.fieldId === undefined ? undefined : put.i32(node.fieldId),
        10: logical === undefined ? undefined : put.struct({ [logical]: put.struct({}) }),
      }),
    )
  }

  function repeated(child: SchemaNode, count: number): void {
    const name = need(child.path.at(-2), 'the name of a repeated group')
    elements.push(struct({ 3: put.i32(2), 4: put.text(name), 5: put.i32(count) }))
  }

  function add(node: SchemaNode): void {
    if (node.kind === 'list') {
      group(node, 1, 3, 3)
      repeated(node.element, 1)
      add(node.element)
    } else if (node.kind === 'map') {
      group(node, 1, 1, 2)
      repeated(node.key, 2)
      add(node.key)
      add(node.value)
    } else if (node.kind === 'struct') {
      group(node, node.children.length)
      for (const child of node.children) add(child)
    } else elements.push(leafElement(node))
  }

  for (const node of root) add(node)
  return elements
}

function leafElement(leaf: LeafNode): ThriftStruct {
  const { converted, union, scale, precision } = annotation(leaf.logical)
  return struct({
    1: put.i32(PHYSICAL.indexOf(leaf.physical)),
    2: leaf.typeLength === undefined ? undefined : put.i32(leaf.typeLength),
    3: put.i32(REPETITION.indexOf(leaf.repetition)),
    4: put.text(leaf.name),
    6: converted === undefined ? undefined : put.i32(converted),
    7: scale === undefined ? undefined : put.i32(scale),
    8: precision === undefined ? undefined : put.i32(precision),
    9: leaf.fieldId === undefined ? undefined : put.i32(leaf.fieldId),
    10: union,
  })
}

interface Annotation {
  readonly converted?: number
  readonly union?: ThriftField
  readonly scale?: number
  readonly precision?: number
}

/** Both spellings of the types that output files have (docs/types.md); old readers know the first only. */
function annotation(logical: LogicalType | undefined): Annotation {
  switch (logical?.type) {
    case undefined:
      return {}
    case 'string':
      return { converted: 0, union: put.struct({ 1: put.struct({}) }) }
    case 'date':
      return { converted: 6, union: put.struct({ 6: put.struct({}) }) }
    case 'uuid':
      return { union: put.struct({ 14: put.struct({}) }) }
    case 'decimal': {
      const { precision, scale } = logical
      const union = put.struct({ 5: put.struct({ 1: put.i32(scale), 2: put.i32(precision) }) })
      return { converted: 5, union, scale, precision }
    }
    case 'time':
    case 'timestamp': {
      if (logical.unit !== 'micros') break
      const of = put.struct({ 1: put.bool(logical.utc), 2: put.struct({ 2: put.struct({}) }) })
      const union = put.struct({ [logical.type === 'time' ? 7 : 8]: of })
      // The converted types mean UTC; a local time has none, or old readers would shift it.
      return logical.utc ? { converted: logical.type === 'time' ? 8 : 10, union } : { union }
    }
  }
  throw new Error(`${logical?.type} has no place in an output schema`)
}
