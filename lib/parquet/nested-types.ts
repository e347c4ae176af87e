/**
 * Lists and maps, told from groups by their annotation and shape. Pure.
 * (parquet-format, LogicalTypes.md: "Nested Types", "Backward-compatibility rules".)
 */
import type { ListNode, SchemaNode } from './schema.ts'

/**
 * What is in a group that is annotated as a list, by the rules for files of old writers: where the repeated field is no group, has
 * several fields or a repeated one, or a name that such writers gave it, it is the element itself, and never null.
 */
export function listOf(list: string, below: readonly SchemaNode[]): Pick<ListNode, 'element' | 'spelled'> | undefined {
  const [middle, ...more] = below
  if (middle?.repetition !== 'repeated' || more.length > 0) return undefined
  const itself = { element: { ...middle, repetition: 'required' }, spelled: 'two-level' } as const
  if (middle.kind !== 'struct' || middle.name === 'array' || middle.name === `${list}_tuple`) return itself
  const [element, ...others] = middle.children
  return element && others.length === 0 && !isBareList(element) ? { element } : itself
}

/** A repeated field outside a list or map is a list of elements that are never null, and never null itself. */
export function bareList(node: SchemaNode): SchemaNode {
  if (node.repetition !== 'repeated') return node
  const { name, path, fieldId } = node
  const element = { ...node, repetition: 'required' } as const
  const list = { name, path, repetition: 'required', ...(fieldId !== undefined && { fieldId }) } as const
  return { ...list, kind: 'list', spelled: 'repeated', element }
}

function isBareList(node: SchemaNode): boolean {
  return node.kind === 'list' && node.spelled === 'repeated'
}

/** The entry of a map. What has no value, or more than one, is no map. */
export function mapEntry(below: readonly SchemaNode[]): { key: SchemaNode; value: SchemaNode } | undefined {
  const [middle, ...more] = below
  if (middle?.kind !== 'struct' || more.length > 0 || middle.repetition !== 'repeated') return undefined
  const [key, value, ...others] = middle.children
  if (!key || !value || others.length > 0) return undefined
  return isBareList(key) ? undefined : { key, value }
}
