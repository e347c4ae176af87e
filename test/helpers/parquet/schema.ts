/** Schemas by chance, each node with its values and with what a reader must show of them, and rows shredded to levels (Dremel). */
import { put, struct, type ThriftField, type ThriftStruct } from '../../../lib/parquet/thrift.ts'
import { PHYSICAL, type Raw } from './encoders.ts'
import type { Random } from './random.ts'
import { type TestType, TYPES, typeFields } from './types.ts'

export type Fate = 'copy' | 'deterministic' | 'random' | 'nullable'
export type Tree = Raw | null | Tree[] | { [name: string]: Tree }

/** A schema element as the file has it. */
export interface Spec {
  readonly name: string
  readonly repetition: 'required' | 'optional' | 'repeated'
  readonly children?: readonly Spec[]
  readonly type?: TestType
  readonly fate?: Fate
  /** ConvertedType and LogicalType of a group. */
  readonly annotation?: Readonly<Record<number, ThriftField>>
}

export type { Raw }

export interface Leaf {
  readonly spec: Spec & { readonly type: TestType; readonly fate: Fate }
  readonly path: readonly string[]
  readonly maxDefinition: number
  readonly maxRepetition: number
}

/** Maps the text of a leaf's value to what the output must hold. */
export type Mapped = (leaf: Leaf['spec'], text: string) => unknown

export interface Node {
  readonly spec: Spec
  /** As the spec nests it; never null for what is required. */
  value(): Tree
  /** What a reader shows of the output. */
  expected(value: Tree, mapped: Mapped): unknown
  /** DuckDB's JSON of the output in the same form. */
  shown(value: unknown): unknown
}

const LIST = { 6: put.i32(3) }
const LIST_BOTH = { 6: put.i32(3), 10: put.struct({ 3: put.struct({}) }) }
const MAPS = [{ 6: put.i32(1) }, { 6: put.i32(1), 10: put.struct({ 2: put.struct({}) }) }, { 6: put.i32(2) }]

export class Schemas {
  readonly #random: Random
  readonly #fates: readonly Fate[]
  readonly #types: readonly TestType[]

  constructor(random: Random, fates: readonly Fate[], types: readonly TestType[] = TYPES) {
    this.#random = random
    this.#fates = fates
    this.#types = types
  }

  columns(count: number, depth = 3): Node[] {
    return Array.from({ length: count }, (_, i) => this.#any(`c${i}`, depth))
  }

  #any(name: string, depth: number): Node {
    const random = this.#random
    const kind = depth === 0 ? 'leaf' : random.pick(['leaf', 'leaf', 'leaf', 'struct', 'list', 'list', 'map'] as const)
    if (kind === 'leaf') return this.#leaf(name)
    if (kind === 'struct') return this.#struct(name, depth - 1)
    return kind === 'list' ? this.#list(name, depth - 1) : this.#map(name, depth - 1)
  }

  #repetition(): 'required' | 'optional' {
    return this.#random.once(3) ? 'required' : 'optional'
  }

  #null(repetition: string): boolean {
    return repetition === 'optional' && this.#random.once(4)
  }

  #leaf(name: string, repetition: Spec['repetition'] = this.#repetition(), fates = this.#fates): Node {
    const random = this.#random
    const [type, fate] = [random.pick(this.#types), random.pick(fates)]
    const spec = { name, repetition, type, fate }
    const marker = fate === 'copy' ? 'copied-' : 'plain-'
    return {
      spec,
      value: () => (this.#null(repetition) ? null : type.value(random, marker)),
      expected: (value, mapped) => (value === null ? null : mapped(spec, type.text(value as Raw))),
      shown: (value) =>
        value === null || value === undefined ? null : fate === 'copy' ? type.fromDuckdb(value) : value,
    }
  }

  /** Fields of a group, by their names. */
  #fields(nodes: readonly Node[]): Omit<Node, 'spec'> {
    const each = (of: (node: Node) => unknown) => Object.fromEntries(nodes.map((node) => [node.spec.name, of(node)]))
    return {
      value: () => each((node) => node.value()) as Tree,
      expected: (value, mapped) =>
        each((node) => node.expected((value as Record<string, Tree>)[node.spec.name] ?? null, mapped)),
      shown: (value) => each((node) => node.shown((value as Record<string, unknown>)[node.spec.name])),
    }
  }

  #struct(name: string, depth: number, repetition: Spec['repetition'] = this.#repetition(), least = 1): Node {
    const nodes = Array.from({ length: this.#random.between(least, 3) }, (_, i) => this.#any(`f${i}`, depth))
    const fields = this.#fields(nodes)
    return {
      spec: { name, repetition, children: nodes.map((node) => node.spec) },
      value: () => (this.#null(repetition) ? null : fields.value()),
      expected: (value, mapped) => (value === null ? null : fields.expected(value, mapped)),
      shown: (value) => (value === null || value === undefined ? null : fields.shown(value)),
    }
  }

  #many<V>(of: () => V): V[] {
    return Array.from({ length: this.#random.once(3) ? 0 : this.#random.between(1, 4) }, of)
  }

  /** A list in each form that the rules for old files tell apart. */
  #list(name: string, depth: number): Node {
    const random = this.#random
    const form = random.pick(['three', 'three', 'two-leaf', 'two-group', 'bare-leaf', 'bare-group'] as const)
    if (form === 'bare-leaf') return this.#repeated(this.#leaf(name, 'repeated'))
    if (form === 'bare-group') return this.#repeated(this.#struct(name, depth, 'repeated'))
    const [middle, inner] = random.pick([
      ['list', 'element'],
      ['bag', 'array_element'],
      ['list', 'item'],
    ] as const)
    const repetition = this.#repetition()
    const group = (below: Spec, items: Omit<Node, 'spec'>): Node => ({
      spec: { name, repetition, children: [below], annotation: random.pick([LIST, LIST_BOTH]) },
      value: () => (this.#null(repetition) ? null : { [below.name]: items.value() }),
      expected: (value, mapped) =>
        value === null ? null : items.expected((value as Record<string, Tree>)[below.name] as Tree, mapped),
      shown: (value) => (value === null || value === undefined ? null : items.shown(value)),
    })
    if (form === 'three') {
      const element = this.#any(inner, depth)
      // A repeated field alone would make the group itself the element.
      if (element.spec.repetition !== 'repeated') {
        const items: Omit<Node, 'spec'> = {
          value: () => this.#many(() => ({ [inner]: element.value() })),
          expected: (value, mapped) =>
            (value as Record<string, Tree>[]).map((item) => element.expected(item[inner] as Tree, mapped)),
          shown: (value) => (value as unknown[]).map((item) => element.shown(item)),
        }
        return group({ name: middle, repetition: 'repeated', children: [element.spec] }, items)
      }
    }
    if (form === 'two-leaf') {
      const items = this.#repeated(this.#leaf('array', 'repeated'))
      return group(items.spec, items)
    }
    const [called, least] = random.pick([
      ['array', 1],
      [`${name}_tuple`, 1],
      ['element', 2],
    ] as const)
    const items = this.#repeated(this.#struct(called, depth, 'repeated', least))
    return group(items.spec, items)
  }

  #repeated(node: Node): Node {
    return {
      spec: node.spec,
      value: () => this.#many(() => node.value()),
      expected: (value, mapped) => (value as Tree[]).map((item) => node.expected(item, mapped)),
      shown: (value) => (value as unknown[]).map((item) => node.shown(item)),
    }
  }

  #map(name: string, depth: number): Node {
    const random = this.#random
    const repetition = this.#repetition()
    const keep = this.#fates.filter((fate) => fate !== 'nullable')
    const key = this.#leaf('key', 'required', keep.length > 0 ? keep : ['deterministic'])
    const value = this.#any('value', depth)
    const entry = this.#fields([key, value])
    const below: Spec = {
      name: random.pick(['key_value', 'map']),
      repetition: 'repeated',
      children: [key.spec, value.spec],
    }
    const text = (key.spec.type as TestType).text
    return {
      spec: { name, repetition, children: [below], annotation: random.pick(MAPS) },
      value: () => {
        if (this.#null(repetition)) return null
        const entries = new Map(
          this.#many(() => entry.value() as Record<string, Tree>).map((one) => [text(one.key as Raw), one]),
        )
        return { [below.name]: [...entries.values()] }
      },
      expected: (of, mapped) =>
        of === null
          ? null
          : ((of as Record<string, Tree>)[below.name] as Tree[]).map((one) => entry.expected(one, mapped)),
      shown: (of) => (of === null || of === undefined ? null : (of as unknown[]).map((one) => entry.shown(one))),
    }
  }
}

/** Leaves in the order of the column chunks. */
export function leavesOf(specs: readonly Spec[]): Leaf[] {
  const leaves: Leaf[] = []
  const visit = (spec: Spec, above: readonly string[], definition: number, repetition: number): void => {
    const path = [...above, spec.name]
    const d = definition + (spec.repetition === 'required' ? 0 : 1)
    const r = repetition + (spec.repetition === 'repeated' ? 1 : 0)
    if (spec.type) leaves.push({ spec: spec as Leaf['spec'], path, maxDefinition: d, maxRepetition: r })
    for (const child of spec.children ?? []) visit(child, path, d, r)
  }
  for (const spec of specs) visit(spec, [], 0, 0)
  return leaves
}

/** The flat schema of a footer. */
export function elementsOf(specs: readonly Spec[], root = 'schema'): ThriftStruct[] {
  const elements: ThriftStruct[] = [struct({ 4: put.text(root), 5: put.i32(specs.length) })]
  const visit = ({ name, repetition, type, children, annotation }: Spec): void => {
    elements.push(
      struct({
        1: type && put.i32(PHYSICAL.indexOf(type.physical)),
        2: type?.length === undefined ? undefined : put.i32(type.length),
        3: put.i32(['required', 'optional', 'repeated'].indexOf(repetition)),
        4: put.text(name),
        5: children && put.i32(children.length),
        ...(type ? typeFields(type) : annotation),
      }),
    )
    for (const child of children ?? []) visit(child)
  }
  for (const spec of specs) visit(spec)
  return elements
}

export interface Levels {
  readonly repetition: number[]
  readonly definition: number[]
  /** What is present. */
  readonly values: Raw[]
}

/** Rows as levels and values, for each leaf in order. */
export function shred(specs: readonly Spec[], rows: readonly Readonly<Record<string, Tree>>[]): Levels[] {
  const all = new Map(
    leavesOf(specs).map(({ spec }) => [spec as Spec, { repetition: [], definition: [], values: [] } as Levels]),
  )

  function add(spec: Spec, value: Tree, r: number, d: number): void {
    const levels = all.get(spec)
    if (levels) {
      levels.repetition.push(r)
      levels.definition.push(d)
      if (value !== null) levels.values.push(value as Raw)
    } else for (const child of spec.children ?? []) visit(child, null, r, d, 0, true)
  }

  function visit(spec: Spec, value: Tree, r: number, d: number, depth: number, absent = false): void {
    if (absent) add(spec, null, r, d)
    else if (spec.repetition === 'repeated') {
      const items = value as Tree[]
      if (items.length === 0) add(spec, null, r, d)
      for (const [i, item] of items.entries()) inner(spec, item, i === 0 ? r : depth + 1, d + 1, depth + 1)
    } else if (spec.repetition === 'optional') {
      if (value === null) add(spec, null, r, d)
      else inner(spec, value, r, d + 1, depth)
    } else inner(spec, value, r, d, depth)
  }

  function inner(spec: Spec, value: Tree, r: number, d: number, depth: number): void {
    if (spec.type) add(spec, value, r, d)
    for (const child of spec.children ?? [])
      visit(child, (value as Record<string, Tree>)[child.name] as Tree, r, d, depth)
  }

  for (const row of rows) for (const spec of specs) visit(spec, row[spec.name] as Tree, 0, 0, 0)
  return [...all.values()]
}
