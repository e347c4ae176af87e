import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Tables } from '../../lib/parquet/tables.ts'
import { ValueTable } from '../../lib/parquet/value-table.ts'
import { plain } from './helpers.ts'

function numbers(table: ValueTable, values: readonly string[]): number[] {
  const found = table.find(plain(values), values.length, 0)
  expect(found.count).toBe(values.length)
  return [...found.slots]
}

const texts = fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 300 })

test('equal values have one number, others have others, whatever they are', () => {
  fc.assert(
    fc.property(fc.array(texts, { maxLength: 6 }), (calls) => {
      const table = new ValueTable()
      const known = new Map<string, number>()
      for (const values of calls) {
        const expected = values.map((value) => {
          if (!known.has(value)) known.set(value, known.size)
          return known.get(value)
        })
        expect(numbers(table, values)).toEqual(expected)
      }
      for (const [value, slot] of known) expect(Buffer.from(table.key(slot)).toString()).toBe(value)
      expect(table.size).toBe(known.size)
    }),
    { numRuns: 60 },
  )
})

test('replacements are written as they were given, in any order', () => {
  fc.assert(
    fc.property(texts, fc.array(fc.nat(), { maxLength: 500 }), (values, order) => {
      const table = new ValueTable()
      if (values.length === 0) return
      const slots = numbers(table, values)
      for (const [i, slot] of slots.entries()) if (!table.isSet(slot)) table.set(slot, `→${values[i]}`.repeat(3))
      const picked = order.map((n) => n % values.length)
      const asked = Int32Array.from(picked, (i) => slots[i] as number)
      const expected = plain(picked.map((i) => `→${values[i]}`.repeat(3)))
      const into = Buffer.alloc(table.sizeOf(asked))
      expect(table.emit(asked, into)).toBe(expected.length)
      expect(into.equals(expected)).toBe(true)
    }),
    { numRuns: 60 },
  )
})

test('a million values are told apart, and found again', () => {
  const table = new ValueTable()
  const block = (from: number) => Array.from({ length: 100_000 }, (_, i) => `V${from + i}`)
  for (let from = 0; from < 1_000_000; from += 100_000) expect(numbers(table, block(from))[0]).toBe(from)
  for (let from = 0; from < 1_000_000; from += 300_000) expect(numbers(table, block(from)).at(-1)).toBe(from + 99_999)
  expect(table.size).toBe(1_000_000)
})

test('values of a fixed width are bytes without a length', () => {
  const table = new ValueTable()
  const bytes = Uint8Array.from({ length: 12 * 1000 }, (_, i) => (i >> 4) & 0xff)
  const found = table.find(bytes, 1000, 12)
  const seen = new Map<string, number>()
  for (let i = 0; i < 1000; i++) {
    const key = Buffer.from(bytes.subarray(12 * i, 12 * i + 12)).toString('hex')
    seen.set(key, seen.get(key) ?? seen.size)
    expect(found.slots[i]).toBe(seen.get(key))
  }
})

test('what goes through one call is bounded: more comes back in pieces', () => {
  const table = new ValueTable()
  const long = ['x'.repeat(1_500_000), 'y'.repeat(1_500_000)]
  const bytes = plain(long)
  const first = table.find(bytes, 2, 0)
  expect(first).toMatchObject({ count: 1, bytes: 1_500_004 })
  expect(table.find(bytes.subarray(first.bytes), 1, 0).count).toBe(1)
  expect(table.size).toBe(2)
})

test('bytes that end before their values do are refused', () => {
  const table = new ValueTable()
  const bytes = plain(['one', 'two'])
  for (const cut of [1, 3, 4, 6, 8, 13])
    expect(() => table.find(bytes.subarray(0, cut), 2, 0), `${cut} bytes`).toThrow(RangeError)
  expect(() => table.find(new Uint8Array(7), 1, 8)).toThrow(RangeError)
  const lying = Buffer.from(bytes)
  lying.writeUInt32LE(0xffffffff, 0)
  expect(() => table.find(lying, 1, 0)).toThrow(RangeError)
})

test('a value without its replacement, or a null, is never written', () => {
  const table = new ValueTable()
  const [one = 0, two = 0] = numbers(table, ['one', 'two'])
  table.set(one, 'p')
  for (const slots of [[two], [one, two], [7]])
    expect(() => table.emit(Int32Array.from(slots), Buffer.alloc(100))).toThrow('without its replacement')
  table.set(two, null)
  expect(table.isNull(two)).toBe(true)
  expect(() => table.sizeOf(Int32Array.of(one, two))).toThrow('without its replacement')
  table.set(two, '')
  expect(table.sizeOf(Int32Array.of(one, two))).toBe(9)
})

test('equal values have equal prints, others have others, and another generation has others', () => {
  const table = new ValueTable()
  const values = Array.from({ length: 40_000 }, (_, i) => `v${i % 20_000}`)
  const printed = () => {
    const { prints = new Uint8Array(0), count } = table.find(plain(values), values.length, 0, true)
    expect([count, prints.length]).toEqual([values.length, 8 * values.length])
    return new BigUint64Array(new Uint8Array(prints).buffer)
  }
  const before = printed()
  expect(before.slice(0, 20_000)).toEqual(before.slice(20_000))
  expect(new Set(before).size).toBe(20_000)
  table.clear()
  expect(printed().some((print, i) => print === before[i])).toBe(false)
})

test('an emptied table knows nothing, and its numbers are of another generation', () => {
  const table = new ValueTable()
  numbers(table, ['one', 'two'])
  const { generation } = table
  table.clear()
  expect(table.size).toBe(0)
  expect(table.generation).not.toBe(generation)
  expect(numbers(table, ['two'])).toEqual([0])
  expect(table.isSet(0)).toBe(false)
})

test('columns take turns where there are more of them than tables', () => {
  const tables = new Tables({ columns: 20, maxBytes: 8 << 20 })
  const taken = Array.from({ length: 20 }, () => tables.take())
  expect(new Set(taken).size).toBe(8)
  const [first] = taken
  if (first) tables.touch(first)
  expect(tables.take()).not.toBe(first)
  expect(() => new Tables({ maxBytes: 0 })).toThrow('above 0')
})
