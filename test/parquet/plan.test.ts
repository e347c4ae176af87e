import { describe, expect, test } from 'vitest'
import type { ColumnChunk } from '../../lib/parquet/footer.ts'
import type { ParquetFile } from '../../lib/parquet/open.ts'
import { outputTree } from '../../lib/parquet/output-tree.ts'
import { planRewrite } from '../../lib/parquet/plan.ts'
import type { SchemaNode } from '../../lib/parquet/schema.ts'
import { buildTree } from '../../lib/parquet/schema-tree.ts'
import { put, struct, type ThriftStruct } from '../../lib/parquet/thrift.ts'
import type { Version } from '../../lib/storage/storage.ts'
import { DROP, REPLACE, treat } from './helpers.ts'

const REPETITION = { required: 0, optional: 1, repeated: 2 }
type Repetition = keyof typeof REPETITION

function group(name: string, children: number, repetition: Repetition, converted?: number): ThriftStruct {
  return struct({
    3: put.i32(REPETITION[repetition]),
    4: put.text(name),
    5: put.i32(children),
    6: converted === undefined ? undefined : put.i32(converted),
  })
}

function leaf(name: string, type: number, repetition: Repetition = 'optional', converted?: number): ThriftStruct {
  return struct({
    1: put.i32(type),
    3: put.i32(REPETITION[repetition]),
    4: put.text(name),
    6: converted === undefined ? undefined : put.i32(converted),
  })
}

const [INT32, INT64, BYTES, UTF8, MAP, LIST] = [1, 2, 6, 0, 1, 3]
const root = (count: number) => struct({ 4: put.text('schema'), 5: put.i32(count) })

function file(elements: readonly ThriftStruct[], groups: readonly (readonly Partial<ColumnChunk>[])[]): ParquetFile {
  const tree = buildTree(elements)
  let at = 4
  const rowGroups = groups.map((chunks) => ({
    rows: 10,
    bytes: 100 * chunks.length,
    columns: chunks.map((chunk): ColumnChunk => {
      const start = at
      at += 100
      return {
        codec: 'snappy',
        encodings: [0, 3],
        values: 10,
        start,
        end: at,
        uncompressedBytes: 100,
        dataPageOffset: start,
        ...chunk,
      }
    }),
  }))
  const object = { location: 'memory:/a', bytes: at + 100, version: 'v' as Version, modified: 0 }
  return { object, rows: 10 * groups.length, rowGroups, ...tree }
}

const flat = [root(3), leaf('vin', BYTES, 'optional', UTF8), leaf('at', INT64, 'optional', 9), leaf('n', INT32)]
const DICTIONARY = { encodings: [0, 3, 8] }

test('each chunk has its own action and its reason', () => {
  const input = file(flat, [
    [DICTIONARY, DICTIONARY, {}],
    [{}, {}, { codec: 'brotli' }],
  ])
  const plan = planRewrite(input, treat({ vin: { ...REPLACE, as: 's_vin' } }), { fieldIds: () => 1 })
  expect(plan.rowGroups).toEqual([
    {
      index: 0,
      rows: 10,
      chunks: [
        { action: 'swap-dictionary', why: 'its values are in a dictionary', codec: 'snappy', from: [4, 104] },
        { action: 'swap-dictionary', why: 'type widened (millis-to-micros)', codec: 'snappy', from: [104, 204] },
        { action: 'copy', why: 'not protected', codec: 'snappy', from: [204, 304] },
      ],
    },
    {
      index: 1,
      rows: 10,
      chunks: [
        { action: 'transcode', why: 'it has no dictionary', codec: 'snappy', from: [304, 404] },
        { action: 'transcode', why: 'type widened (millis-to-micros)', codec: 'snappy', from: [404, 504] },
        { action: 'recompress', why: 'not every engine reads brotli', codec: 'snappy', from: [504, 604] },
      ],
    },
  ])
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
})

describe('a copied chunk in encodings that not every engine reads is reencoded', () => {
  const [PLAIN, RLE, BIT_PACKED, DELTA, LENGTHS, PREFIXES, DICTIONARY_POSITIONS, SPLIT] = [0, 3, 4, 5, 6, 7, 8, 9]
  const columns = [root(3), leaf('flag', 0), leaf('n', INT64), leaf('text', BYTES, 'optional', UTF8)]
  const planned = (chunk: Partial<ColumnChunk>, column: number) => {
    const input = file(columns, [[0, 1, 2].map((i) => (i === column ? chunk : {}))])
    return planRewrite(input, treat({}), { fieldIds: () => 1 }).rowGroups[0]?.chunks[column]
  }
  const pages = (...encodings: number[]) => encodings.map((encoding) => ({ page: 3, encoding, count: 1 }))

  test.each([
    ['DELTA_LENGTH_BYTE_ARRAY', 2, { encodings: [RLE, LENGTHS] }],
    ['DELTA_BYTE_ARRAY', 2, { encodings: [PLAIN, RLE, DICTIONARY_POSITIONS, PREFIXES] }],
    ['BYTE_STREAM_SPLIT', 1, { encodings: [SPLIT, RLE] }],
    // The footer need not list what its statistics count, nor the other way round.
    ['BYTE_STREAM_SPLIT', 1, { encodings: [PLAIN], encodingStats: pages(PLAIN, SPLIT) }],
    ['BYTE_STREAM_SPLIT', 1, { encodings: [SPLIT], encodingStats: pages(PLAIN) }],
    ['DELTA_BYTE_ARRAY, lz4_raw', 2, { encodings: [RLE, PREFIXES], codec: 'lz4_raw' as const }],
    ['encoding 10', 1, { encodings: [10] }],
  ])('%s', (names, column, chunk) => {
    expect(planned(chunk, column)).toMatchObject({
      action: 'reencode',
      why: `not every engine reads ${names}`,
      codec: 'snappy',
    })
  })

  test('RLE, which every footer lists for levels, counts where it may hold booleans', () => {
    const why = 'not every engine reads RLE booleans'
    const [only, both] = [{ encodings: [RLE] }, { encodings: [PLAIN, RLE, BIT_PACKED] }]
    expect(planned(only, 0)).toMatchObject({ action: 'reencode', why })
    expect(planned(both, 0)).toMatchObject({ action: 'reencode', why })
    expect(planned({ ...both, encodingStats: pages(PLAIN, RLE) }, 0)).toMatchObject({ action: 'reencode', why })
    expect(planned({ ...both, encodingStats: pages(PLAIN) }, 0)).toMatchObject({ action: 'copy' })
    expect(planned({ encodings: [PLAIN] }, 0)).toMatchObject({ action: 'copy' })
    for (const column of [1, 2]) expect(planned(both, column)).toMatchObject({ action: 'copy' })
  })

  test('positions in a dictionary and packed deltas are read by all, and copied', () => {
    for (const encoding of [DELTA, DICTIONARY_POSITIONS, 2])
      expect(planned({ encodings: [PLAIN, RLE, encoding], encodingStats: pages(encoding) }, 1)).toMatchObject({
        action: 'copy',
      })
  })
})

test('what a dictionary cannot express is decoded', () => {
  const input = file(flat, [[DICTIONARY, DICTIONARY, DICTIONARY]])
  const actions = (treatment: object) =>
    planRewrite(input, treat({ vin: { ...REPLACE, ...treatment } }), { fieldIds: () => 1 }).rowGroups[0]?.chunks[0]
  expect(actions({ perCell: true })).toMatchObject({ action: 'transcode', why: 'every cell gets its own pseudonym' })
  expect(actions({ nullable: true })).toMatchObject({ action: 'transcode', why: 'some values become null' })
})

test('dropped columns appear in no chunk, constants in every row group, empty row groups not at all', () => {
  const input = file(flat, [[{}, {}, {}]])
  const emptied = { ...input, rowGroups: [...input.rowGroups, { rows: 0, bytes: 0, columns: [] }] }
  const plan = planRewrite(emptied, treat({ vin: DROP, at: DROP }), {
    fieldIds: () => 1,
    constants: [{ name: 'day', value: 'x', replaced: false }],
    codec: 'zstd',
  })
  expect(plan.dropped).toEqual([['vin'], ['at']])
  expect(plan.rowGroups).toHaveLength(1)
  expect(plan.rowGroups[0]?.chunks.map((chunk) => [chunk.action, chunk.codec])).toEqual([
    ['copy', 'snappy'],
    ['constant', 'zstd'],
  ])
})

test('every node of the output gets the id of its path there; groups inside lists and maps have none', () => {
  const elements = [
    root(3),
    group('tags', 1, 'optional', LIST),
    group('bag', 1, 'repeated'),
    leaf('item', BYTES, 'optional', UTF8),
    group('attrs', 1, 'optional', MAP),
    group('key_value', 2, 'repeated'),
    leaf('key', BYTES, 'required', UTF8),
    leaf('value', INT32),
    group('s', 2, 'required'),
    leaf('a', BYTES, 'required', UTF8),
    leaf('b', INT32),
  ]
  const asked: string[] = []
  const tree = outputTree(
    buildTree(elements).root,
    treat({ 's.a': { ...REPLACE, as: 's_a', nullable: true } }),
    [],
    (path) => asked.push(path.join('.')),
  )
  expect(asked.sort()).toEqual(
    ['tags', 'tags.bag.item', 'attrs', 'attrs.key_value.key', 'attrs.key_value.value', 's', 's.s_a', 's.b'].sort(),
  )
  expect(tree.columns.map((column) => column.leaf.path.join('.'))).toEqual([
    'tags.bag.item',
    'attrs.key_value.key',
    'attrs.key_value.value',
    's.s_a',
    's.b',
  ])
  // It was required, and may become null.
  expect(tree.columns[3]?.leaf).toMatchObject({ repetition: 'optional', maxDefinitionLevel: 1 })
})

describe('what is repeated is a list, by the rules for files of old writers', () => {
  const outputOf = (...elements: ThriftStruct[]) => outputTree(buildTree([root(1), ...elements]).root, treat({}))
  const shape = (node: SchemaNode): unknown => {
    if (node.kind === 'leaf') return `${node.repetition} ${node.name}`
    if (node.kind === 'list') return { [`${node.repetition} ${node.name}`]: [shape(node.element)] }
    if (node.kind === 'map')
      return { [`${node.repetition} ${node.name}`]: { key: shape(node.key), value: shape(node.value) } }
    return { [`${node.repetition} ${node.name}`]: node.children.map(shape) }
  }
  const [x, n] = [leaf('x', INT32), leaf('n', INT32, 'required')]

  test.each([
    ['no group', [group('l', 1, 'optional', LIST), leaf('element', INT32, 'repeated')], ['required element']],
    [
      'several fields',
      [group('l', 1, 'optional', LIST), group('element', 2, 'repeated'), x, n],
      [{ 'required element': ['optional x', 'required n'] }],
    ],
    [
      'one field, which is repeated',
      [group('l', 1, 'optional', LIST), group('bag', 1, 'repeated'), leaf('x', INT32, 'repeated')],
      [{ 'required element': [{ 'required x': ['required element'] }] }],
    ],
    [
      'named array',
      [group('l', 1, 'optional', LIST), group('array', 1, 'repeated'), x],
      [{ 'required element': ['optional x'] }],
    ],
    [
      'named _tuple',
      [group('l', 1, 'optional', LIST), group('l_tuple', 1, 'repeated'), x],
      [{ 'required element': ['optional x'] }],
    ],
    ['any other', [group('l', 1, 'optional', LIST), group('k_tuple', 1, 'repeated'), x], ['optional x']],
  ])('a list: %s', (_, elements, inside) => {
    expect(outputOf(...elements).root.map(shape)).toEqual([{ 'optional l': inside }])
  })

  test('a list of lists, and a repeated column in a struct, keep the levels of their values', () => {
    const { columns } = outputOf(
      group('s', 2, 'optional'),
      group('ll', 1, 'optional', LIST),
      group('array', 1, 'repeated', LIST),
      leaf('array', INT32, 'repeated'),
      leaf('bare', INT32, 'repeated'),
    )
    for (const { leaf: to, source } of columns)
      expect([to.maxDefinitionLevel, to.maxRepetitionLevel]).toEqual([
        source?.maxDefinitionLevel,
        source?.maxRepetitionLevel,
      ])
    expect(columns.map(({ leaf: to }) => [to.path.join('.'), to.maxDefinitionLevel, to.maxRepetitionLevel])).toEqual([
      ['s.ll.list.element.list.element', 4, 2],
      ['s.bare.list.element', 2, 1],
    ])
  })

  test('a map’s key may have any name, and its repeated group any annotation', () => {
    const { root: nodes } = outputOf(group('m', 1, 'optional', MAP), group('map', 2, 'repeated', 2), n, x)
    expect(nodes.map(shape)).toEqual([{ 'optional m': { key: 'required n', value: 'optional x' } }])
  })

  test('a map without values is none, and is refused by name unless it is dropped', () => {
    const elements = [root(2), group('set', 1, 'optional', MAP), group('map', 1, 'repeated'), n, x]
    const { root: nodes } = buildTree(elements)
    expect(() => outputTree(nodes, treat({}))).toThrow('column set.map: a repeated group')
    expect(outputTree(nodes, treat({ 'set.map.n': DROP })).root.map((node) => node.name)).toEqual(['x'])
  })
})

test('treatments that do not go with the file are refused', () => {
  const { root: nodes } = buildTree(flat)
  expect(() => outputTree(nodes, treat({ vni: DROP }))).toThrow('no column vni')
  expect(() => outputTree(nodes, treat({ vin: { ...REPLACE, as: 'n' } }))).toThrow('two columns of the output')
  expect(() => outputTree(nodes, treat({ vin: DROP, at: DROP, n: DROP }))).toThrow('every column is dropped')
  expect(() => outputTree(nodes, treat({}), [{ name: 'n', value: 'x', replaced: false }])).toThrow('two columns')
})

test('a column of codec LZO cannot be kept, and can be dropped', () => {
  const input = file(flat, [[{ codec: 'lzo' }, {}, {}]])
  expect(() => planRewrite(input, treat({}), { fieldIds: () => 1 })).toThrow('codec LZO')
  expect(planRewrite(input, treat({ vin: DROP }), { fieldIds: () => 1 }).columns).toHaveLength(2)
})
