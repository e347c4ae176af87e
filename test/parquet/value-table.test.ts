import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compress } from '../../lib/parquet/codec.ts'
import { Tables } from '../../lib/parquet/tables.ts'
import { ValueTable } from '../../lib/parquet/value-table.ts'

/** Byte arrays in PLAIN encoding. */
function plain(values: readonly string[]): Uint8Array {
  const out = Buffer.alloc(values.reduce((size, value) => size + 4 + Buffer.byteLength(value), 0))
  let at = 0
  for (const value of values) {
    const length = out.write(value, at + 4)
    at = out.writeUInt32LE(length, at) + length
  }
  return out
}

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

test('pairs that are not as they were remembered are found, each by its position', () => {
  const table = new ValueTable()
  const values = Array.from({ length: 500 }, (_, i) => `VALUE${i}`)
  const out = values.map((value) => `pseudonym-of-${value}-0123456789`)
  const unlike = (pseudonyms: readonly string[]) => {
    const page = plain(pseudonyms)
    expect(table.hold('none', page, page.length)).toBe(true)
    return [...(table.unlike(plain(values), 500, 0) ?? [])]
  }
  expect(unlike(out)).toEqual(values.map((_, i) => i))
  for (const [i, slot] of numbers(table, values).entries()) table.set(slot, out[i] as string)
  expect(unlike(out)).toEqual([])
  // Every byte counts, the length too, and a swap is two.
  const changed = [...out]
  changed[3] = `${(out[3] as string).slice(0, -1)}x`
  changed[77] = (out[77] as string).slice(0, -1)
  changed[78] = `${out[78]}x`
  ;[changed[10], changed[11]] = [out[11] as string, out[10] as string]
  expect(unlike(changed)).toEqual([3, 10, 11, 77, 78])
  expect(table.hold('none', plain(out).subarray(0, 60), 60)).toBe(true)
  expect(() => table.unlike(plain(values), 500, 0)).toThrow(RangeError)
})

test('a page that is held is remembered where nothing was, however much it is', () => {
  const table = new ValueTable()
  const values = Array.from({ length: 30_000 }, (_, i) => `VALUE${i}`)
  const out = values.map((value) => `pseudonym of ${value}`.repeat(4))
  const page = plain(out)
  const keys = plain(values)
  table.set(numbers(table, ['VALUE7'])[0] as number, 'another')
  table.hold('none', page, page.length)
  expect(table.unlike(keys, values.length, 0)?.length).toBe(values.length)
  table.keep(keys, values.length, 0)
  expect(Buffer.from(table.held).equals(page)).toBe(true)
  expect([...(table.unlike(keys, values.length, 0) ?? [])]).toEqual([7])
  table.hold('none', page.subarray(0, 1000), 1000)
  expect(() => table.keep(keys, values.length, 0)).toThrow(RangeError)
  const more = plain([...values, 'one more'])
  table.hold('none', page, page.length)
  expect(() => table.keep(more, values.length + 1, 0)).toThrow(RangeError)
})

test('pairs are compared to their last byte, whatever their lengths are', () => {
  for (let length = 1; length < 70; length++) {
    const table = new ValueTable()
    const value = 'v'.repeat(length)
    const out = 'p'.repeat(length)
    const like = (key: string, pseudonym: string) => {
      const page = plain([pseudonym, 'behind it'])
      table.hold('none', page, page.length)
      return table.unlike(plain([key, 'behind it']), 1, 0, Int32Array.of(0))?.length === 0
    }
    expect(like(value, out)).toBe(false)
    table.set(0, out)
    expect(like(value, out)).toBe(true)
    for (let at = 0; at < length; at++) {
      const changed = (text: string) => `${text.slice(0, at)}x${text.slice(at + 1)}`
      expect([length, at, like(changed(value), out), like(value, changed(out))]).toEqual([length, at, false, false])
    }
  }
})

test('a page is held as it was before it was compressed, and one that cannot be is not', () => {
  const table = new ValueTable()
  const page = plain(Array.from({ length: 5000 }, (_, i) => `pseudonym ${i % 70}`))
  for (const codec of ['none', 'snappy', 'gzip', 'zstd'] as const) {
    const body = compress(codec, page)
    expect(table.hold(codec, body, page.length)).toBe(true)
    expect(Buffer.from(table.held).equals(page)).toBe(true)
    expect(table.hold(codec, body.subarray(0, body.length >> 1), page.length)).toBe(false)
    expect(table.held.length).toBe(0)
    expect(table.hold(codec, body, page.length + 1)).toBe(false)
  }
  expect(table.hold('none', new Uint8Array(5 << 20), 5 << 20)).toBe(false)
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
