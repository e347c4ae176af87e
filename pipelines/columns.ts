/** Which leaf of a schema gets which treatment: the one place where configured names meet a file's columns. Pure. */
import { PseudolakeError } from '../lib/core/errors.ts'
import { nearest } from '../lib/core/nearest.ts'
import { type LeafNode, pathKey, type SchemaNode } from '../lib/parquet/schema.ts'
import type { ColumnRule } from './batch/job.ts'

export type Decision =
  | { readonly kind: 'copy'; readonly leaf: LeafNode }
  | { readonly kind: 'drop'; readonly leaf: LeafNode; readonly why: 'configured' | 'unlisted' }
  | {
      readonly kind: 'replace'
      readonly leaf: LeafNode
      readonly rule: ColumnRule
      /** The node that gets the new name: the leaf, or the list or map around it, as elements have no name of their own. */
      readonly renamed: readonly string[]
      readonly as: string
    }

/**
 * A path's words are field names; `element`, `key` and `value` step into lists and maps, as in Iceberg, and `element` may be left out:
 * `tags` and `tags.element` are the same, and so are `items.vin` and `items.element.vin`.
 *
 * @param partitions columns that come from folders and that no rule covers: `fail` counts them in
 * @param known where given, a column without a rule that is not in it came later, and is dropped
 * @param where the file, for errors
 * @param surely its names are names: those of a CSV's first record are data where it has no header
 * @throws PseudolakeError `input/column-missing` with the nearest names; `config/invalid` where a rule and a column do not fit
 */
export function decide(
  root: readonly SchemaNode[],
  rules: readonly ColumnRule[],
  unlisted: 'copy' | 'drop' | 'fail',
  partitions: readonly string[] = [],
  known?: Readonly<Record<string, unknown>>,
  where = 'the input',
  surely = true,
): Decision[] {
  const decided = new Map<string, Decision>()
  for (const rule of rules) {
    const found = resolve(root, rule.path)
    if (!found) throw surely ? missing(rule, root, where) : notInHeader(rule, root, where)
    const leaves = rule.mode === 'drop' ? leavesOf(found.node) : [singleLeaf(rule, found.node)]
    for (const leaf of leaves) {
      const key = pathKey(leaf.path)
      if (decided.has(key))
        throw new PseudolakeError(
          'config/invalid',
          `columns.${rule.name}: another rule covers ${leaf.path.join('.')} already`,
          {
            column: rule.name,
          },
        )
      decided.set(
        key,
        rule.mode === 'drop'
          ? { kind: 'drop', leaf, why: 'configured' }
          : { kind: 'replace', leaf, rule, renamed: found.named, as: newName(rule, found.named.at(-1) ?? '') },
      )
    }
  }
  const leaves = root.flatMap(leavesOf)
  const called = leafNames(root)
  const rest = leaves.filter((leaf) => !decided.has(pathKey(leaf.path)))
  const uncovered = [...rest.map((leaf) => called.get(pathKey(leaf.path)) ?? ''), ...partitions]
  if (unlisted === 'fail' && uncovered.length > 0)
    throw new PseudolakeError('config/invalid', `unlisted_columns is fail, and no rule covers ${names(uncovered)}`, {
      columns: uncovered.slice(0, 20),
      hint: 'Add each column to `columns`, or set unlisted_columns to copy or drop.',
    })
  for (const leaf of rest) {
    const later = known !== undefined && !Object.hasOwn(known, called.get(pathKey(leaf.path)) ?? '')
    const dropped = unlisted === 'drop' || later
    decided.set(pathKey(leaf.path), dropped ? { kind: 'drop', leaf, why: 'unlisted' } : { kind: 'copy', leaf })
  }
  const decisions = leaves.map((leaf) => decided.get(pathKey(leaf.path)) as Decision)
  if (decisions.every((decision) => decision.kind === 'drop'))
    throw new PseudolakeError('config/invalid', 'every column is dropped: nothing would be written', {})
  return decisions
}

interface Found {
  readonly node: SchemaNode
  /** Path of the innermost field that has a name of its own. */
  readonly named: readonly string[]
}

function resolve(root: readonly SchemaNode[], words: readonly string[]): Found | undefined {
  let found: Found | undefined
  let children = root
  for (const word of words) {
    const next = step(children, found, word)
    if (!next) return undefined
    found = next
    children = found.node.kind === 'struct' ? found.node.children : []
  }
  return found
}

function step(children: readonly SchemaNode[], from: Found | undefined, word: string): Found | undefined {
  const own = children.find((child) => child.name === word)
  if (own) return { node: own, named: own.path }
  const node = from?.node
  if (!from || !node) return undefined
  if (node.kind === 'map' && word === 'key') return { node: node.key, named: from.named }
  if (node.kind === 'map' && word === 'value') return { node: node.value, named: from.named }
  if (node.kind !== 'list') return undefined
  const element: Found = { node: node.element, named: from.named }
  if (word === 'element') return element
  return step(node.element.kind === 'struct' ? node.element.children : [], element, word)
}

function singleLeaf(rule: ColumnRule, node: SchemaNode): LeafNode {
  let inner = node
  while (inner.kind === 'list') inner = inner.element
  if (inner.kind === 'leaf') return inner
  throw new PseudolakeError(
    'config/invalid',
    `columns.${rule.name}: a ${inner.kind} can be dropped whole; mode ${rule.mode} needs one of its fields: ${names(leavesOf(inner).map((leaf) => leaf.path.join('.')))}`,
    { column: rule.name },
  )
}

export function leavesOf(node: SchemaNode): LeafNode[] {
  switch (node.kind) {
    case 'leaf':
      return [node]
    case 'struct':
      return node.children.flatMap(leavesOf)
    case 'list':
      return leavesOf(node.element)
    case 'map':
      return [...leavesOf(node.key), ...leavesOf(node.value)]
  }
}

/** What a pseudonymized column is called: `as`, or its own name behind `s_`. */
export function newName(rule: ColumnRule, name: string): string {
  return rule.as ?? `s_${name}`
}

/**
 * Names of leaves as Iceberg and people know them, `tags.element` rather than `tags.list.element`, by `pathKey` of their Parquet path.
 */
export function leafNames(
  root: readonly SchemaNode[],
  spelled: (name: string) => string = (name) => name,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  const visit = (node: SchemaNode, name: string): void => {
    if (node.kind === 'leaf') names.set(pathKey(node.path), name)
    else if (node.kind === 'struct') for (const child of node.children) visit(child, `${name}.${spelled(child.name)}`)
    else if (node.kind === 'list') visit(node.element, `${name}.element`)
    else {
      visit(node.key, `${name}.key`)
      visit(node.value, `${name}.value`)
    }
  }
  for (const node of root) visit(node, spelled(node.name))
  return names
}

function missing(rule: ColumnRule, root: readonly SchemaNode[], where: string): PseudolakeError {
  const known = [...leafNames(root, (name) => (name.includes('.') ? `\`${name}\`` : name)).values()]
  const near = nearest(rule.name, known)
  return new PseudolakeError(
    'input/column-missing',
    `${where} has no column ${rule.name}${near === undefined ? `; it has ${names(known)}` : `; did you mean ${near}?`}`,
    { column: rule.name },
  )
}

/** Names no name of the file but one that is the rule's in other letters. */
function notInHeader(rule: ColumnRule, root: readonly SchemaNode[], where: string): PseudolakeError {
  const plain = (name: string) => name.replaceAll(/[\s"'`_-]/g, '').toLowerCase()
  const like = root.findIndex(({ name }) => plain(name) === plain(rule.name))
  const said = like < 0 ? '' : `; column ${like + 1} has that name in other letters`
  return new PseudolakeError(
    'input/column-missing',
    `${where} has no column ${rule.name} among the ${root.length} of its header${said}`,
    {
      column: rule.name,
      ...(like < 0
        ? { hint: 'Where files have no header: input.csv.header false, and columns are _c0, _c1 and so on.' }
        : { position: like + 1 }),
    },
  )
}

function names(all: readonly string[]): string {
  return all.length <= 8 ? all.join(', ') : `${all.slice(0, 8).join(', ')} and ${all.length - 8} more`
}
