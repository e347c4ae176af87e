import { expect, test } from 'vitest'
import { countsOnlyProperty, dataFileFrom, metricsModes } from '../../lib/iceberg/metrics.ts'
import type { Schema } from '../../lib/iceberg/types.ts'
import type { WrittenColumn, WrittenFile } from '../../lib/parquet/written.ts'
import { int64, SIMPLE, utf8 } from './tables.ts'

const FILE: WrittenFile = {
  location: '/t/data/a.parquet',
  bytes: 1000,
  rows: 10,
  splitOffsets: [4, 500],
  columns: [
    column({ path: ['id'], fieldId: 1, physical: 'INT64', min: int64(1), max: int64(9), nulls: 1 }),
    column({ path: ['name'], fieldId: 2, physical: 'BYTE_ARRAY', min: utf8('a'), max: utf8('b') }),
  ],
}

test('a file’s counts, sizes and bounds are by field id', () => {
  const file = dataFileFrom(FILE, SIMPLE, metricsModes(SIMPLE, {}))
  expect(file).toEqual({
    content: 'data',
    path: '/t/data/a.parquet',
    format: 'PARQUET',
    partition: new Map(),
    rows: 10,
    bytes: 1000,
    columnSizes: new Map([
      [1, 50],
      [2, 50],
    ]),
    valueCounts: new Map([
      [1, 10],
      [2, 10],
    ]),
    // The second column's footer does not say.
    nullCounts: new Map([[1, 1]]),
    lowerBounds: new Map([
      [1, int64(1)],
      [2, utf8('a')],
    ]),
    upperBounds: new Map([
      [1, int64(9)],
      [2, utf8('b')],
    ]),
    splitOffsets: [4, 500],
  })
})

test('a file whose columns do not carry the ids of the schema is refused: it would read as nulls', () => {
  const columns = [column({ path: ['id'], fieldId: -1, physical: 'INT64' })]
  expect(() => dataFileFrom({ ...FILE, columns }, SIMPLE, metricsModes(SIMPLE, {}))).toThrow(/column id: no field -1/)
})

test('a replaced column has no bounds, whatever the table’s properties ask for', () => {
  const replaced = { ...FILE, columns: FILE.columns.map((each) => ({ ...each, replaced: each.fieldId === 2 })) }
  for (const mode of ['full', 'truncate(16)', 'counts']) {
    const modes = metricsModes(SIMPLE, { 'write.metadata.metrics.default': mode })
    const file = dataFileFrom(replaced, SIMPLE, modes)
    expect(file.lowerBounds?.has(2)).toBe(false)
    expect(file.upperBounds?.has(2)).toBe(false)
    expect(file.valueCounts?.get(2)).toBe(10)
  }
})

test('the mode of a column wins over the default, and counts keep values out of the manifest', () => {
  const [key, value] = countsOnlyProperty(['name'])
  expect([key, value]).toEqual(['write.metadata.metrics.column.name', 'counts'])
  const modes = metricsModes(SIMPLE, { [key]: value, 'write.metadata.metrics.default': 'full' })
  const file = dataFileFrom(FILE, SIMPLE, modes)
  expect([...(file.lowerBounds?.keys() ?? [])]).toEqual([1])
  const none = dataFileFrom(FILE, SIMPLE, metricsModes(SIMPLE, { 'write.metadata.metrics.default': 'none' }))
  expect([none.valueCounts?.size, none.columnSizes?.size]).toEqual([0, 2])
})

test('elements of lists and maps, and INT96, have counts and no bounds', () => {
  const columns = FILE.columns.map((each) => ({ ...each, repeated: each.fieldId === 1 }))
  const odd = dataFileFrom({ ...FILE, columns }, SIMPLE, metricsModes(SIMPLE, {}))
  expect([...(odd.lowerBounds?.keys() ?? [])]).toEqual([2])
  const int96 = FILE.columns.map((each) => ({ ...each, physical: 'INT96' as const }))
  expect(dataFileFrom({ ...FILE, columns: int96 }, SIMPLE, metricsModes(SIMPLE, {})).lowerBounds?.size).toBe(0)
})

test('columns beyond the hundredth have no metrics unless they are asked for, and sort columns always do', () => {
  const wide: Schema = {
    type: 'struct',
    'schema-id': 0,
    fields: Array.from({ length: 150 }, (_, i) => ({ id: i + 1, name: `c${i + 1}`, required: false, type: 'int' })),
  }
  const modes = metricsModes(wide, { 'write.metadata.metrics.column.c120': 'full' }, [130])
  expect(modes.get(100)).toEqual({ kind: 'truncate', length: 16 })
  expect(modes.get(101)).toEqual({ kind: 'none' })
  expect(modes.get(120)).toEqual({ kind: 'full' })
  expect(modes.get(130)).toEqual({ kind: 'truncate', length: 16 })
  expect(metricsModes(wide, { 'write.metadata.metrics.default': 'truncate(4)' }).get(150)).toEqual({
    kind: 'truncate',
    length: 4,
  })
  expect(metricsModes(wide, { 'write.metadata.metrics.default': 'nonsense' }).get(1)?.kind).toBe('truncate')
})

test('a decimal’s bounds follow its physical type', () => {
  const schema: Schema = {
    type: 'struct',
    'schema-id': 0,
    fields: [{ id: 1, name: 'd', required: false, type: 'decimal(9, 2)' }],
  }
  const bounds = (physical: 'INT32' | 'FIXED_LEN_BYTE_ARRAY', min: Uint8Array, max: Uint8Array) => {
    const columns = [column({ path: ['d'], fieldId: 1, physical, min, max })]
    const file = dataFileFrom({ ...FILE, columns }, schema, metricsModes(schema, {}))
    return [file.lowerBounds?.get(1), file.upperBounds?.get(1)].map((each) => each && Buffer.from(each).toString('hex'))
  }
  const int32 = (value: number) => new Uint8Array(Int32Array.of(value).buffer)
  expect(bounds('INT32', int32(-300), int32(5))).toEqual(['fed4', '05'])
  expect(bounds('FIXED_LEN_BYTE_ARRAY', Uint8Array.of(0xff, 0xfe, 0xd4), Uint8Array.of(0, 0, 5))).toEqual([
    'fed4',
    '05',
  ])
})

function column(given: Partial<WrittenColumn> & Pick<WrittenColumn, 'path' | 'fieldId' | 'physical'>): WrittenColumn {
  return { repeated: false, replaced: false, bytes: 50, values: 10, ...given }
}
