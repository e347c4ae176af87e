/** The schema of the output: renamed, dropped, widened, with constants. Pure. */
import { PseudolakeError } from '../core/errors.ts'
import { columnName } from './place.ts'
import { type LeafNode, pathKey, type SchemaNode } from './schema.ts'
import { outputType, refusedAsText, type Widening } from './types.ts'

export type Treatment =
  | { readonly kind: 'copy' }
  | { readonly kind: 'drop' }
  | {
      readonly kind: 'replace'
      /** New name of the leaf, in the place of the old one. */
      readonly as: string
      /** Every cell is mapped alone and never shares a dictionary entry (mode random). */
      readonly perCell: boolean
      /** The map may answer null for a value: the leaf becomes optional. */
      readonly nullable: boolean
      /** The empty string becomes null; only with `nullable`. @default it stays */
      readonly emptyIsNull?: boolean
    }

/** By `pathKey` of a leaf of the input. A leaf that is not there is copied. */
export type Treatments = ReadonlyMap<string, Treatment>

/** A string column with one value, or null, for all rows: a hive partition's. */
export interface ConstantColumn {
  readonly name: string
  readonly value: string | null
  /** True for a pseudonym: its value appears in no statistics. */
  readonly replaced: boolean
  /** Position among the top-level columns of the output. @default behind the last */
  readonly at?: number
}

/** Where a leaf of the output comes from. */
export interface OutputColumn {
  readonly leaf: LeafNode
  readonly source?: LeafNode
  readonly treatment: 'copy' | 'replace' | 'constant'
  readonly widening?: Widening
  readonly perCell?: boolean
  readonly nullable?: boolean
  readonly emptyIsNull?: boolean
  readonly constant?: string | null
  /** True where the values are pseudonyms. */
  readonly replaced: boolean
}

export interface OutputTree {
  readonly root: readonly SchemaNode[]
  /** By position of the leaf in the output. */
  readonly columns: readonly OutputColumn[]
  readonly dropped: readonly LeafNode[]
}

/**
 * @param fieldIds id of a node by its path in the output; nodes have none where it is missing
 * @param renames new names of groups, by `pathKey` of their path in the input: for a list or map whose elements are replaced
 * @throws PseudolakeError `input/column-missing`, `input/unsupported`, `config/invalid`
 */
export function outputTree(
  root: readonly SchemaNode[],
  treatments: Treatments,
  constants: readonly ConstantColumn[] = [],
  fieldIds?: (path: readonly string[]) => number,
  renames: ReadonlyMap<string, string> = new Map(),
): OutputTree {
  const columns: OutputColumn[] = []
  const dropped: LeafNode[] = []
  const used = new Set<string>()

  function named<N extends SchemaNode>(node: N, path: readonly string[]) {
    const { name: _name, path: _path, fieldId: _fieldId, ...rest } = node
    return { ...rest, name: path.at(-1) ?? '', path, ...(fieldIds && { fieldId: fieldIds(path) }) }
  }

  /** @param called its name, where that is not its own to choose: the element of a list that gets its third level here */
  function convert(node: SchemaNode, above: readonly string[], called?: string): SchemaNode | undefined {
    if (node.kind === 'leaf') return convertLeaf(node, above, called)
    const path = [...above, called ?? newName(node)]
    if (node.kind === 'struct') {
      const children = convertAll(node.children, path)
      if (children.length === 0 && node.children.length > 0) return undefined
      if (children.length === 0) throw unsupported(node, 'a struct without fields')
      if (node.repetition === 'repeated') throw unsupported(node, 'a repeated group that is no list or map')
      return { ...named(node, path), kind: 'struct', children }
    }
    if (node.kind === 'list') {
      const { spelled, ...list } = node
      const element = spelled
        ? convert(node.element, [...path, 'list'], 'element')
        : convert(node.element, [...path, node.element.path.at(-2) ?? 'list'])
      return element && { ...named(list, path), kind: 'list', element }
    }
    const entry = [...path, node.key.path.at(-2) ?? 'key_value']
    const keyTreatment = treatments.get(pathKey(node.key.path))
    if (keyTreatment?.kind === 'replace' && keyTreatment.nullable)
      throw invalid(node.key.path, 'the keys of a map cannot become null')
    const key = convert(node.key, entry)
    const value = convert(node.value, entry)
    if (!key && !value) return undefined
    if (!key || !value)
      throw invalid(node.path, 'a map cannot lose its keys or its values alone: drop both, or replace them')
    if (key.name === value.name) throw invalid(node.path, 'key and value of a map cannot have one name')
    return { ...named(node, path), kind: 'map', key, value }
  }

  /** A column that is just repeated is list and element in one, and so is its treatment. */
  function newName(node: SchemaNode): string {
    const key = pathKey(node.path)
    const treatment = node.kind === 'list' && node.spelled === 'repeated' ? treatments.get(key) : undefined
    return renames.get(key) ?? (treatment?.kind === 'replace' ? treatment.as : node.name)
  }

  function convertAll(nodes: readonly SchemaNode[], above: readonly string[]): SchemaNode[] {
    const kept = nodes.flatMap((node) => convert(node, above) ?? [])
    unique(kept, above)
    return kept
  }

  function convertLeaf(node: LeafNode, above: readonly string[], called?: string): LeafNode | undefined {
    const key = pathKey(node.path)
    used.add(key)
    const treatment = treatments.get(key) ?? { kind: 'copy' }
    if (treatment.kind === 'drop') {
      dropped.push(node)
      return undefined
    }
    if (node.repetition === 'repeated') throw unsupported(node, 'a repeated column that is no list')
    const path = [...above, called ?? (treatment.kind === 'replace' ? treatment.as : node.name)]
    const { physical: _physical, typeLength: _length, logical: _logical, column: _column, ...rest } = named(node, path)
    const column = columns.length
    if (treatment.kind === 'copy') {
      const type = outputType(node)
      if ('refused' in type) throw unsupported(node, type.refused)
      const { widening, ...typed } = type
      const leaf: LeafNode = { ...rest, ...typed, column }
      columns.push({ leaf, source: node, treatment: 'copy', replaced: false, ...(widening && { widening }) })
      return leaf
    }
    const refused = refusedAsText(node)
    if (refused) throw unsupported(node, refused)
    const { perCell, nullable, emptyIsNull = false } = treatment
    const becomesOptional = nullable && node.repetition === 'required'
    const leaf: LeafNode = {
      ...rest,
      physical: 'BYTE_ARRAY',
      logical: { type: 'string' },
      repetition: becomesOptional ? 'optional' : node.repetition,
      maxDefinitionLevel: node.maxDefinitionLevel + (becomesOptional ? 1 : 0),
      column,
    }
    columns.push({ leaf, source: node, treatment: 'replace', replaced: true, perCell, nullable, emptyIsNull })
    return leaf
  }

  const kept: (SchemaNode | undefined)[] = root.map((node) => convert(node, []))
  const nodes = kept.filter((node) => node !== undefined)
  for (const constant of constants) {
    const leaf: LeafNode = {
      kind: 'leaf',
      name: constant.name,
      path: [constant.name],
      repetition: 'optional',
      ...(fieldIds && { fieldId: fieldIds([constant.name]) }),
      physical: 'BYTE_ARRAY',
      logical: { type: 'string' },
      maxDefinitionLevel: 1,
      maxRepetitionLevel: 0,
      column: columns.length,
    }
    nodes.splice(constant.at ?? nodes.length, 0, leaf)
    columns.push({ leaf, treatment: 'constant', constant: constant.value, replaced: constant.replaced })
  }
  unique(nodes, [])
  for (const key of treatments.keys())
    if (!used.has(key)) {
      const path = JSON.parse(key) as string[]
      throw new PseudolakeError('input/column-missing', `the file has no column ${columnName(path)}`, {
        column: columnName(path),
      })
    }
  if (columns.length === 0 && root.length === 0)
    throw new PseudolakeError('input/unsupported', 'the file has no columns: nothing could be written of it')
  if (columns.length === 0)
    throw new PseudolakeError('config/invalid', 'every column is dropped: nothing is left to write')
  return renumber(nodes, columns, dropped)
}

/** Constants may stand between other columns; positions follow the tree. */
function renumber(root: readonly SchemaNode[], columns: readonly OutputColumn[], dropped: LeafNode[]): OutputTree {
  const byLeaf = new Map(columns.map((column) => [column.leaf, column]))
  const ordered: OutputColumn[] = []
  function visit(node: SchemaNode): SchemaNode {
    if (node.kind === 'struct') return { ...node, children: node.children.map(visit) }
    if (node.kind === 'list') return { ...node, element: visit(node.element) }
    if (node.kind === 'map') return { ...node, key: visit(node.key), value: visit(node.value) }
    const leaf = { ...node, column: ordered.length }
    ordered.push({ ...(byLeaf.get(node) as OutputColumn), leaf })
    return leaf
  }
  return { root: root.map(visit), columns: ordered, dropped }
}

function unique(nodes: readonly SchemaNode[], above: readonly string[]): void {
  const names = new Set<string>()
  for (const { name } of nodes) {
    if (names.has(name)) throw invalid([...above, name], 'two columns of the output would have this name')
    names.add(name)
  }
}

function unsupported(node: SchemaNode, reason: string): PseudolakeError {
  const column = columnName(node.path)
  return new PseudolakeError(
    'input/unsupported',
    `column ${column}: ${reason}; drop it (mode: drop) or convert it first`,
    {
      column,
    },
  )
}

function invalid(path: readonly string[], reason: string): PseudolakeError {
  const column = columnName(path)
  return new PseudolakeError('config/invalid', `column ${column}: ${reason}`, { column })
}
