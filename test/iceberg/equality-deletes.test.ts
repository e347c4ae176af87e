/** Rows that equality deletes are about, found in files of every type, against a model that compares values one by one. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EqualityDeletes, equalityFields } from '../../lib/iceberg/equality-deletes.ts'
import { hashOf, KeyTable } from '../../lib/iceberg/key-table.ts'
import type { TableMetadata } from '../../lib/iceberg/metadata.ts'
import type { PlannedDelete } from '../../lib/iceberg/scan.ts'
import type { Field, Schema } from '../../lib/iceberg/types.ts'
import { applyUpdates, createUpdates } from '../../lib/iceberg/updates.ts'
import { memoryStorage } from '../../lib/storage/memory.ts'
import type { Storage } from '../../lib/storage/storage.ts'
import { SIMPLE, simpleColumns, type TestColumn, writeData } from './tables.ts'

type Written = Omit<TestColumn, 'name' | 'fieldId' | 'values'>

/** A type of the table with the forms in which files may have it, and values as the model and as a file's writer know them. */
interface Kind {
  readonly type: string
  readonly forms: readonly { readonly as: Written; readonly of: (value: unknown) => unknown }[]
  readonly values: fc.Arbitrary<unknown>
}

const same = (value: unknown) => value
const few = (...values: unknown[]) => fc.constantFrom(...values, null)
const int32: Written = { physical: 'INT32' }
const int64: Written = { physical: 'INT64' }
const decimal = { type: 'decimal', precision: 9, scale: 2 } as const
const unscaled = (value: unknown) => Number(value) / 100

const KINDS: readonly Kind[] = [
  {
    type: 'long',
    forms: [
      { as: int64, of: (v) => BigInt(v as number) },
      { as: int32, of: same },
    ],
    values: few(0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 255, 256),
  },
  { type: 'long', forms: [{ as: int64, of: same }], values: few(0n, 1n << 60n, -(1n << 62n), 4_294_967_296n) },
  { type: 'int', forms: [{ as: int32, of: same }], values: few(0, 5, -5, 70_000) },
  {
    type: 'date',
    forms: [{ as: { physical: 'INT32', logical: { type: 'date' } }, of: same }],
    values: few(0, 20_000, -1),
  },
  {
    type: 'timestamptz',
    forms: [{ as: { physical: 'INT64', logical: { type: 'timestamp', unit: 'micros', utc: true } }, of: same }],
    values: few(0n, 1_700_000_000_000_001n, -5n),
  },
  {
    type: 'double',
    forms: [
      { as: { physical: 'DOUBLE' }, of: same },
      { as: { physical: 'FLOAT' }, of: same },
    ],
    values: few(0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -1.5),
  },
  { type: 'float', forms: [{ as: { physical: 'FLOAT' }, of: same }], values: few(0.1, Number.NaN, -0, 7) },
  {
    type: 'decimal(9, 2)',
    forms: [
      { as: { physical: 'INT32', logical: decimal }, of: unscaled },
      { as: { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: 5, logical: decimal }, of: unscaled },
      { as: { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: 16, logical: decimal }, of: unscaled },
      { as: { physical: 'BYTE_ARRAY', logical: decimal }, of: unscaled },
    ],
    values: few(0n, 127n, 128n, -128n, -129n, 255n, 256n, -1n, 99_999n),
  },
  {
    type: 'string',
    forms: [{ as: { physical: 'BYTE_ARRAY', logical: { type: 'string' } }, of: same }],
    values: few('', 'a', 'ab', 'é', 'n'.repeat(300), '\u{10ffff}'),
  },
  {
    type: 'binary',
    forms: [{ as: { physical: 'BYTE_ARRAY' }, of: same }],
    values: few(Uint8Array.of(), Uint8Array.of(0), Uint8Array.of(0, 0), Uint8Array.of(255)),
  },
  {
    type: 'uuid',
    forms: [
      { as: { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: 16, logical: { type: 'uuid' } }, of: same },
      { as: { physical: 'FIXED_LEN_BYTE_ARRAY', typeLength: 16 }, of: same },
    ],
    values: few(new Uint8Array(16), new Uint8Array(16).fill(7)),
  },
  { type: 'boolean', forms: [{ as: { physical: 'BOOLEAN' }, of: same }], values: few(true, false) },
]

/** Equal for equal values, as Iceberg's own library has it. */
function modelKey(kind: Kind, value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return `bytes ${[...value].join()}`
  if (kind.type === 'float') return `number ${Object.is(value, -0) ? '-0' : Math.fround(value as number)}`
  return Object.is(value, -0) ? 'number -0' : `${typeof value === 'string' ? 'text' : 'number'} ${value}`
}

const metadataOf = (fields: readonly Field[]): TableMetadata =>
  applyUpdates(
    undefined,
    undefined,
    createUpdates({
      uuid: 'u',
      location: '/t',
      schema: { type: 'struct', 'schema-id': 0, fields },
      properties: {},
    }),
    1,
  )

const planned = (path: string, sequenceNumber: number, equalityIds: readonly number[]): PlannedDelete => ({
  content: 'equality-deletes',
  path,
  format: 'PARQUET',
  partition: new Map(),
  rows: 1,
  bytes: 1,
  equalityIds,
  sequenceNumber,
  scope: undefined,
})

async function found(
  storage: Storage,
  metadata: TableMetadata,
  deletes: readonly PlannedDelete[],
  files: readonly { path: string; sequenceNumber: number }[],
  maxBytes?: number,
) {
  const rows = files.map(() => new Set<number>())
  const equality = new EqualityDeletes(storage, metadata, deletes, maxBytes === undefined ? {} : { maxBytes })
  const unreadable = await equality.find(files, (i, row) => {
    rows[i]?.add(row)
    return true
  })
  expect([...unreadable]).toEqual([])
  return rows.map((set) => [...set].sort((a, b) => a - b))
}

const column = fc.constantFrom(...KINDS).chain((kind) =>
  fc.record({
    kind: fc.constant(kind),
    data: fc.nat(),
    deleted: fc.nat(),
    /** Whether the older file was written before the column came. */
    late: fc.boolean(),
  }),
)

test('rows of equal values are found, whatever the type, the form in the file, the number of columns and the sequence', async () => {
  const program = fc.array(column, { minLength: 1, maxLength: 3 }).chain((columns) => {
    const row = fc.tuple(...columns.map(({ kind }) => kind.values))
    const rows = fc.array(row, { minLength: 1, maxLength: 40 })
    return fc.record({
      columns: fc.constant(columns),
      files: fc.array(fc.record({ rows, sequence: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 3 }),
      deletes: fc.array(fc.record({ rows, sequence: fc.integer({ min: 1, max: 5 }), on: fc.nat() }), {
        minLength: 1,
        maxLength: 3,
      }),
      group: fc.integer({ min: 1, max: 50 }),
      small: fc.boolean(),
    })
  })
  let struck = 0
  await fc.assert(
    fc.asyncProperty(program, async ({ columns, files, deletes, group, small }) => {
      const storage = memoryStorage()
      const fields = columns.map(({ kind }, i) => ({ id: i + 1, name: `c${i}`, required: false, type: kind.type }))
      const written = (rows: readonly (readonly unknown[])[], which: 'data' | 'deleted', ids: readonly number[]) =>
        ids.map((id): TestColumn => {
          const { kind, [which]: at } = columns[id - 1] as (typeof columns)[number]
          const form = kind.forms[at % kind.forms.length] as Kind['forms'][number]
          const values = rows.map((row) => (row[id - 1] === null ? null : form.of(row[id - 1])))
          return { name: `c${id - 1}`, fieldId: id, ...form.as, values }
        })
      const all = fields.map(({ id }) => id)
      const other: TestColumn = { name: 'other', fieldId: 99, ...int32, values: [] }
      const asked = []
      for (const [i, { rows, sequence }] of files.entries()) {
        const there = all.filter((id) => !(i === 0 && columns[id - 1]?.late))
        const rest = { ...other, values: rows.map((_, n) => n) }
        await writeData(storage, `/d${i}`, [rest, ...written(rows, 'data', there)], group)
        asked.push({ path: `/d${i}`, sequenceNumber: sequence })
      }
      const known = []
      for (const [i, { rows, sequence, on }] of deletes.entries()) {
        const ids = all.filter((id) => (on >> (id - 1)) & 1 || id === 1)
        await writeData(storage, `/e${i}`, written(rows, 'deleted', all), group)
        known.push(planned(`/e${i}`, sequence, ids.toReversed()))
      }
      const expected = files.map(({ rows, sequence }, i) =>
        rows.flatMap((row, n) => {
          const isStruck = deletes.some(
            ({ rows: gone, sequence: at, on }) =>
              at > sequence &&
              gone.some((one) =>
                all
                  .filter((id) => (on >> (id - 1)) & 1 || id === 1)
                  .every((id) => {
                    const { kind, late } = columns[id - 1] as (typeof columns)[number]
                    const mine = i === 0 && late ? null : row[id - 1]
                    return modelKey(kind, mine) === modelKey(kind, one[id - 1])
                  }),
              ),
          )
          return isStruck ? [n] : []
        }),
      )
      struck += expected.flat().length
      const rows = await found(storage, metadataOf(fields), known, asked, small ? 100 : undefined)
      expect(rows).toEqual(expected)
    }),
    { numRuns: 400 },
  )
  expect(struck).toBeGreaterThan(1000)
}, 60_000)

test('-0 is not 0, as Iceberg’s own library has it', async () => {
  const storage = memoryStorage()
  const fields = [{ id: 1, name: 'x', required: false, type: 'double' }]
  // Each in a file of its own: the writer of these takes the two for one.
  for (const [name, value] of Object.entries({ zero: 0, minus: -0, gone: -0 }))
    await writeData(storage, `/${name}`, [{ name: 'x', fieldId: 1, physical: 'DOUBLE', values: [value] }])
  const files = ['/zero', '/minus'].map((path) => ({ path, sequenceNumber: 1 }))
  expect(await found(storage, metadataOf(fields), [planned('/gone', 2, [1])], files)).toEqual([[], [0]])
})

describe('memory', () => {
  test('more keys than there is room for are found in parts', async () => {
    const storage = memoryStorage()
    const ids = Array.from({ length: 30_000 }, (_, i) => i)
    await writeData(storage, '/d', simpleColumns(ids), 7000)
    const gone = ids.filter((id) => id % 3 === 0)
    await writeData(storage, '/e', simpleColumns(gone))
    let opened = 0
    const counting: Storage = {
      ...storage,
      stat: (location) => {
        if (location === '/e') opened++
        return storage.stat(location)
      },
    }
    const deletes = [planned('/e', 2, [2, 1])]
    const [rows] = await found(
      counting,
      metadataOf(SIMPLE.fields),
      deletes,
      [{ path: '/d', sequenceNumber: 1 }],
      1 << 18,
    )
    expect(rows).toEqual(gone)
    expect(opened).toBeGreaterThan(4)
  })

  test('a table of keys keeps to what it may take, and says when it is full', () => {
    const table = new KeyTable(1 << 20)
    const key = Buffer.alloc(16)
    let count = 0
    const put = (n: number) => {
      key.writeUInt32LE(n)
      return table.put(key, 16, hashOf(key, 16), n)
    }
    while (put(count)) count++
    // 16 bytes of key and 24 of lists, which double.
    expect(count).toBeGreaterThan(5000)
    expect(count).toBeLessThan((1 << 20) / 40)
    expect(put(0)).toBe(true)
    for (const n of [0, 1, count - 1]) {
      key.writeUInt32LE(n)
      expect(table.sequenceOf(key, 16, hashOf(key, 16))).toBe(n)
    }
    key.writeUInt32LE(count)
    expect(table.sequenceOf(key, 16, hashOf(key, 16))).toBe(-1)
    expect(table.sequenceOf(key, 15, hashOf(key, 15))).toBe(-1)
  })

  test('keys of one hash are told apart', () => {
    const table = new KeyTable(1 << 20)
    for (let n = 0; n < 5000; n++) table.put(Buffer.from(`key ${n}`), `key ${n}`.length, 7, n)
    expect(table.sequenceOf(Buffer.from('key 4321'), 8, 7)).toBe(4321)
    expect(table.sequenceOf(Buffer.from('key 5321'), 8, 7)).toBe(-1)
  }, 20_000)
})

test('columns that were dropped are known by the newest schema that has them; nested ones are not compared', () => {
  const schema = (id: number, fields: readonly Field[]): Schema => ({ type: 'struct', 'schema-id': id, fields })
  const a = { id: 1, name: 'a', required: false, type: 'int' }
  const nested = {
    id: 2,
    name: 's',
    required: false,
    type: { type: 'struct', fields: [{ id: 3, name: 'x', required: false, type: 'int' }] },
  } as const
  const metadata = {
    ...metadataOf([a]),
    schemas: [schema(0, [a, { ...a, id: 4 }]), schema(1, [{ ...a, type: 'long' }, nested])],
    'current-schema-id': 1,
  }
  expect(equalityFields(metadata, [4, 1])).toEqual([
    { id: 1, type: { kind: 'long' } },
    { id: 4, type: { kind: 'int' } },
  ])
  for (const ids of [[3], [2], [1, 77], [], undefined]) expect(equalityFields(metadata, ids)).toBeUndefined()
})

test('a file whose columns have no ids or another type is named; a delete file without its column stops it', async () => {
  const storage = memoryStorage()
  const [id, name] = simpleColumns([1, 2]) as [TestColumn, TestColumn]
  await writeData(storage, '/a', [id, { ...name, fieldId: undefined as never }])
  await writeData(storage, '/b', [{ ...id, logical: { type: 'timestamp', unit: 'micros', utc: true } }, name])
  await writeData(storage, '/c', [id, name])
  await writeData(storage, '/e', [id])
  const asked = ['/a', '/b', '/c'].map((path) => ({ path, sequenceNumber: 1 }))
  const metadata = metadataOf(SIMPLE.fields)
  const rows: number[][] = []
  const equality = new EqualityDeletes(storage, metadata, [planned('/e', 2, [1])])
  expect([...(await equality.find(asked, (...row) => rows.push(row) > 0))]).toEqual([0, 1])
  expect(rows).toEqual([
    [2, 0],
    [2, 1],
  ])
  const wrong = new EqualityDeletes(storage, metadata, [planned('/e', 2, [2])])
  await expect(wrong.find(asked, () => true)).rejects.toMatchObject({ code: 'table/invalid' })
})
