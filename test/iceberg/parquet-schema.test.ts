import { expect, test } from 'vitest'
import { compareSchemas, fieldIdsFor, schemaFromParquet } from '../../lib/iceberg/parquet-schema.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { LeafNode, LogicalType, PhysicalType, SchemaNode } from '../../lib/parquet/schema.ts'

test.each<[PhysicalType, LogicalType | undefined, number | undefined, string]>([
  ['BOOLEAN', undefined, undefined, 'boolean'],
  ['INT32', undefined, undefined, 'int'],
  ['INT32', { type: 'integer', bits: 8, signed: true }, undefined, 'int'],
  ['INT32', { type: 'integer', bits: 16, signed: false }, undefined, 'int'],
  ['INT32', { type: 'integer', bits: 32, signed: true }, undefined, 'int'],
  ['INT64', undefined, undefined, 'long'],
  ['INT64', { type: 'integer', bits: 64, signed: true }, undefined, 'long'],
  ['FLOAT', undefined, undefined, 'float'],
  ['DOUBLE', undefined, undefined, 'double'],
  ['BYTE_ARRAY', undefined, undefined, 'binary'],
  ['BYTE_ARRAY', { type: 'string' }, undefined, 'string'],
  ['BYTE_ARRAY', { type: 'enum' }, undefined, 'string'],
  ['BYTE_ARRAY', { type: 'json' }, undefined, 'string'],
  ['BYTE_ARRAY', { type: 'bson' }, undefined, 'binary'],
  ['FIXED_LEN_BYTE_ARRAY', undefined, 5, 'fixed[5]'],
  ['FIXED_LEN_BYTE_ARRAY', { type: 'uuid' }, 16, 'uuid'],
  ['FIXED_LEN_BYTE_ARRAY', { type: 'decimal', precision: 38, scale: 10 }, 16, 'decimal(38, 10)'],
  ['INT32', { type: 'decimal', precision: 9, scale: 2 }, undefined, 'decimal(9, 2)'],
  ['INT32', { type: 'date' }, undefined, 'date'],
  ['INT64', { type: 'time', unit: 'micros', utc: true }, undefined, 'time'],
  ['INT64', { type: 'timestamp', unit: 'micros', utc: true }, undefined, 'timestamptz'],
  ['INT64', { type: 'timestamp', unit: 'micros', utc: false }, undefined, 'timestamp'],
])('%s with %o is a column of Iceberg', (physical, logical, typeLength, type) => {
  expect(schemaFromParquet([leaf(['c'], physical, logical, typeLength)]).fields).toEqual([
    { id: 1, name: 'c', required: false, type },
  ])
})

test.each<[PhysicalType, LogicalType | undefined]>([
  ['INT96', undefined],
  ['INT32', { type: 'integer', bits: 32, signed: false }],
  ['INT64', { type: 'integer', bits: 64, signed: false }],
  ['INT64', { type: 'timestamp', unit: 'nanos', utc: true }],
  ['INT64', { type: 'timestamp', unit: 'millis', utc: true }],
  ['INT32', { type: 'time', unit: 'millis', utc: true }],
  ['FIXED_LEN_BYTE_ARRAY', { type: 'float16' }],
  ['FIXED_LEN_BYTE_ARRAY', { type: 'interval' }],
  ['FIXED_LEN_BYTE_ARRAY', { type: 'decimal', precision: 39, scale: 0 }],
  ['BYTE_ARRAY', { type: 'geometry' }],
])('%s with %o has no type in version 2, and is refused with the column', (physical, logical) => {
  expect(() => schemaFromParquet([leaf(['a', 'c'], physical, logical, 12)])).toThrow(
    expect.objectContaining({ code: 'table/unsupported', context: { column: 'a.c' } }),
  )
})

test('ids are given level by level, and everything is optional but map keys', () => {
  expect(schemaFromParquet(NESTED)).toEqual(NESTED_SCHEMA)
})

test('columns that differ in case only are refused: engines cannot tell them apart', () => {
  expect(() => schemaFromParquet([leaf(['vin'], 'INT32'), leaf(['VIN'], 'INT32')])).toThrow(/"vin" and "VIN"/)
})

test('ids of an existing table go to columns by name, in whatever order, under the file’s own group names', () => {
  const idOf = fieldIdsFor(NESTED.toReversed(), NESTED_SCHEMA)
  expect(idOf(['id'])).toBe(1)
  expect(idOf(['place'])).toBe(2)
  expect(idOf(['place', 'city'])).toBe(5)
  expect(idOf(['tags', 'bag', 'array_element'])).toBe(6)
  expect(idOf(['scores', 'entries', 'k'])).toBe(7)
  expect(idOf(['scores', 'entries', 'v'])).toBe(8)
  expect(() => idOf(['tags', 'bag'])).toThrow(/no field id for tags.bag/)
})

test('a file of the table’s own schema has no difference', () => {
  expect(compareSchemas(NESTED, NESTED_SCHEMA)).toEqual([])
})

test('every difference is named, with the types on both sides', () => {
  const table: Schema = {
    ...NESTED_SCHEMA,
    fields: [
      { id: 1, name: 'id', required: false, type: 'string' },
      { id: 20, name: 'gone', required: false, type: 'int' },
      { id: 21, name: 'must', required: true, type: 'date' },
      ...NESTED_SCHEMA.fields.slice(1),
    ],
  }
  const file: SchemaNode[] = [...NESTED, leaf(['new'], 'DOUBLE')]
  const differences = compareSchemas(file, table)
  expect(differences).toEqual([
    { kind: 'type-changed', path: ['id'], required: false, table: 'string', file: 'long' },
    { kind: 'missing', path: ['gone'], required: false, table: 'int' },
    { kind: 'missing', path: ['must'], required: true, table: 'required date' },
    { kind: 'added', path: ['new'], required: false, file: 'double' },
  ])
  expect(() => fieldIdsFor(file, table)).toThrow(
    expect.objectContaining({
      code: 'table/schema-changed',
      // An optional column that the file lacks reads as null; a required one cannot.
      context: { columns: ['id', 'must', 'new'] },
    }),
  )
})

test('differences inside structs, lists and maps are found', () => {
  const changed: SchemaNode[] = [
    NESTED[0] as SchemaNode,
    group('struct', ['place'], { children: [leaf(['place', 'city'], 'INT32')] }),
    group('list', ['tags'], { element: leaf(['tags', 'bag', 'array_element'], 'INT64') }),
    group('map', ['scores'], {
      key: leaf(['scores', 'entries', 'k'], 'BYTE_ARRAY', { type: 'string' }, undefined, 'required'),
      value: leaf(['scores', 'entries', 'v'], 'BYTE_ARRAY'),
    }),
  ]
  expect(compareSchemas(changed, NESTED_SCHEMA).map(({ path }) => path.join('.'))).toEqual([
    'place.city',
    'tags.element',
    'scores.value',
  ])
  const flat = [leaf(['id'], 'INT64'), leaf(['place'], 'INT32'), NESTED[2] as SchemaNode, NESTED[3] as SchemaNode]
  expect(compareSchemas(flat, NESTED_SCHEMA)).toMatchObject([{ kind: 'type-changed', path: ['place'] }])
})

test('what Iceberg reads as the table’s type is no difference; the other way round it is', () => {
  const pairs: [PhysicalType, LogicalType | undefined, string, number][] = [
    ['INT32', undefined, 'long', 0],
    ['FLOAT', undefined, 'double', 0],
    ['INT32', { type: 'decimal', precision: 9, scale: 2 }, 'decimal(12,2)', 0],
    ['INT64', undefined, 'int', 1],
    ['DOUBLE', undefined, 'float', 1],
    ['INT32', { type: 'decimal', precision: 9, scale: 2 }, 'decimal(12, 3)', 1],
    ['INT32', undefined, 'string', 1],
  ]
  for (const [physical, logical, type, differences] of pairs) {
    const schema: Schema = {
      type: 'struct',
      'schema-id': 0,
      fields: [{ id: 1, name: 'c', required: false, type }],
    }
    expect([physical, type, compareSchemas([leaf(['c'], physical, logical)], schema).length]).toEqual([
      physical,
      type,
      differences,
    ])
  }
})

test('a required column of the table does not take a file that may hold null', () => {
  const schema: Schema = {
    type: 'struct',
    'schema-id': 0,
    fields: [{ id: 1, name: 'c', required: true, type: 'int' }],
  }
  expect(compareSchemas([leaf(['c'], 'INT32')], schema)).toMatchObject([{ table: 'required int', file: 'int' }])
  expect(compareSchemas([leaf(['c'], 'INT32', undefined, undefined, 'required')], schema)).toEqual([])
})

const NESTED: readonly SchemaNode[] = [
  leaf(['id'], 'INT64'),
  group('struct', ['place'], { children: [leaf(['place', 'city'], 'BYTE_ARRAY', { type: 'string' })] }),
  group('list', ['tags'], { element: leaf(['tags', 'bag', 'array_element'], 'BYTE_ARRAY', { type: 'string' }) }),
  group('map', ['scores'], {
    key: leaf(['scores', 'entries', 'k'], 'BYTE_ARRAY', { type: 'string' }, undefined, 'required'),
    value: leaf(['scores', 'entries', 'v'], 'DOUBLE'),
  }),
]

const NESTED_SCHEMA: Schema = {
  type: 'struct',
  'schema-id': 0,
  fields: [
    { id: 1, name: 'id', required: false, type: 'long' },
    {
      id: 2,
      name: 'place',
      required: false,
      type: { type: 'struct', fields: [{ id: 5, name: 'city', required: false, type: 'string' }] },
    },
    {
      id: 3,
      name: 'tags',
      required: false,
      type: { type: 'list', 'element-id': 6, 'element-required': false, element: 'string' },
    },
    {
      id: 4,
      name: 'scores',
      required: false,
      type: {
        type: 'map',
        'key-id': 7,
        'value-id': 8,
        'value-required': false,
        key: 'string',
        value: 'double',
      },
    },
  ],
}

function leaf(
  path: string[],
  physical: PhysicalType,
  logical?: LogicalType,
  typeLength?: number,
  repetition: 'optional' | 'required' = 'optional',
): LeafNode {
  return {
    kind: 'leaf',
    name: path.at(-1) as string,
    path,
    repetition,
    physical,
    ...(logical ? { logical } : {}),
    ...(typeLength === undefined ? {} : { typeLength }),
    maxDefinitionLevel: 1,
    maxRepetitionLevel: 0,
    column: 0,
  }
}

function group(kind: 'struct' | 'list' | 'map', path: string[], parts: object): SchemaNode {
  return { kind, name: path.at(-1) as string, path, repetition: 'optional', ...parts } as unknown as SchemaNode
}
