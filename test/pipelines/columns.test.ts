import { expect, test } from 'vitest'
import type { LeafNode, SchemaNode } from '../../lib/parquet/schema.ts'
import type { ColumnRule } from '../../pipelines/batch/job.ts'
import { decide } from '../../pipelines/columns.ts'

let column = 0
const leaf = (...path: string[]): LeafNode => ({
  kind: 'leaf',
  name: path.at(-1) ?? '',
  path,
  repetition: 'optional',
  physical: 'BYTE_ARRAY',
  logical: { type: 'string' },
  maxDefinitionLevel: 1,
  maxRepetitionLevel: 0,
  column: column++,
})
const base = (...path: string[]) => ({ name: path.at(-1) ?? '', path, repetition: 'optional' as const })

const ROOT: SchemaNode[] = [
  leaf('id'),
  { ...base('person'), kind: 'struct', children: [leaf('person', 'name'), leaf('person', 'vin')] },
  { ...base('tags'), kind: 'list', element: leaf('tags', 'list', 'element') },
  {
    ...base('trips'),
    kind: 'list',
    element: {
      ...base('trips', 'list', 'element'),
      kind: 'struct',
      children: [leaf('trips', 'list', 'element', 'vin'), leaf('trips', 'list', 'element', 'km')],
    },
  },
  { ...base('attrs'), kind: 'map', key: leaf('attrs', 'key_value', 'key'), value: leaf('attrs', 'key_value', 'value') },
  leaf('a.b'),
]

const rule = (path: string[], mode: ColumnRule['mode'] = 'deterministic'): ColumnRule => ({
  name: path.join('.'),
  path,
  mode,
  as: undefined,
  domain: 'default',
  key: undefined,
  normalize: [],
  nullValues: [],
})

test.each([
  [['id'], 'id', 'id'],
  [['person', 'vin'], 'person.vin', 'person.vin'],
  [['tags'], 'tags.list.element', 'tags'],
  [['tags', 'element'], 'tags.list.element', 'tags'],
  [['trips', 'vin'], 'trips.list.element.vin', 'trips.list.element.vin'],
  [['trips', 'element', 'vin'], 'trips.list.element.vin', 'trips.list.element.vin'],
  [['attrs', 'key'], 'attrs.key_value.key', 'attrs'],
  [['attrs', 'value'], 'attrs.key_value.value', 'attrs'],
  [['a.b'], 'a.b', 'a.b'],
])('%j is the leaf %s, and %s gets its name', (path, expected, renamed) => {
  const replaced = decide(ROOT, [rule(path)], 'copy').filter((decision) => decision.kind === 'replace')
  expect(replaced.map((decision) => [decision.leaf.path.join('.'), decision.renamed.join('.')])).toEqual([
    [expected, renamed],
  ])
})

test('every leaf is decided once, in the order of the file', () => {
  const decisions = decide(ROOT, [rule(['person', 'vin']), rule(['trips'], 'drop')], 'copy')
  expect(decisions.map((decision) => decision.kind)).toEqual([
    'copy',
    'copy',
    'replace',
    'copy',
    'drop',
    'drop',
    'copy',
    'copy',
    'copy',
  ])
})

test('unlisted columns are copied, dropped, or a reason to stop', () => {
  expect(decide(ROOT, [rule(['id'])], 'drop').filter((decision) => decision.kind === 'drop')).toHaveLength(8)
  expect(() => decide(ROOT, [rule(['id'])], 'fail')).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})

test('a column that is not there is named, with the nearest one', () => {
  expect(() => decide(ROOT, [rule(['person', 'vni'])], 'copy')).toThrow(/person\.vni.*did you mean person\.vin/)
  expect(() => decide(ROOT, [rule(['id', 'x'])], 'copy')).toThrow(
    expect.objectContaining({ code: 'input/column-missing' }),
  )
})

test('a suggestion is spelled as the configuration needs it, and the file that lacks the column is named', () => {
  expect(() => decide(ROOT, [rule(['a', 'b'])], 'copy', [], undefined, '/in/x.parquet')).toThrow(
    '/in/x.parquet has no column a.b; did you mean `a.b`?',
  )
})

test('a group cannot be pseudonymized, one leaf cannot have two rules, and something must be left', () => {
  for (const [rules, unlisted] of [
    [[rule(['person'])], 'copy'],
    [[rule(['tags']), rule(['tags', 'element'])], 'copy'],
    [[rule(['id'], 'drop')], 'drop'],
  ] as const)
    expect(() => decide(ROOT, rules, unlisted)).toThrow(expect.objectContaining({ code: 'config/invalid' }))
})
