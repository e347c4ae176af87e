import { expect, test } from 'vitest'
import { compress, snappyLiterals } from '../../lib/parquet/codec.ts'
import { type KnownValues, PairTable } from '../../lib/parquet/pair-table.ts'
import { ValueTable } from '../../lib/parquet/value-table.ts'
import { plain } from './helpers.ts'

const ROOM = { bytes: 4 << 20, count: 1 << 17 }
const newTable = () => new PairTable(ROOM, 1 << 20)

/** As a run looks them up. */
function knownIn(table: ValueTable, values: readonly string[]): KnownValues {
  const { slots, prints = new Uint8Array(0) } = table.find(plain(values), values.length, 0, true)
  return { generation: table.generation, size: table.size, slots: slots.slice(), prints: new Uint8Array(prints) }
}

function hold(table: PairTable, pseudonyms: readonly string[]): void {
  const page = plain(pseudonyms)
  expect(table.hold('none', page, page.length)).toBe(true)
}

test('pairs that are not as they were remembered are counted', () => {
  const table = newTable()
  const names = Array.from({ length: 500 }, (_, i) => `VALUE${i}`)
  const values = knownIn(new ValueTable(), names)
  const out = names.map((name) => `pseudonym-of-${name}-0123456789`)
  const unlike = (pseudonyms: readonly string[]) => {
    hold(table, pseudonyms)
    return table.unlike(values)
  }
  expect(unlike(out)).toBe(500)
  table.keep(values)
  expect(unlike(out)).toBe(0)
  // Every byte counts, the length too, and a swap is two.
  const changed = [...out]
  changed[3] = `${(out[3] as string).slice(0, -1)}x`
  changed[77] = (out[77] as string).slice(0, -1)
  changed[78] = `${out[78]}x`
  ;[changed[10], changed[11]] = [out[11] as string, out[10] as string]
  expect(unlike(changed)).toBe(5)
  expect(table.hold('none', plain(out).subarray(0, 60), 60)).toBe(true)
  expect(() => table.unlike(values)).toThrow(RangeError)
  expect(() => table.keep(values)).toThrow(RangeError)
})

test('what is remembered is the first that was, in the generation that it is of', () => {
  const table = newTable()
  const inputs = new ValueTable()
  const names = Array.from({ length: 30_000 }, (_, i) => `VALUE${i}`)
  const out = names.map((name) => `pseudonym of ${name}`.repeat(4))
  const values = knownIn(inputs, names)
  table.expect(values.size)
  hold(table, ['another'])
  table.keep(knownIn(inputs, ['VALUE7']))
  hold(table, out)
  expect(table.unlike(values)).toBe(30_000)
  table.keep(values)
  expect(Buffer.from(table.held).equals(plain(out))).toBe(true)
  expect(table.unlike(values)).toBe(1)
  hold(table, ['another'])
  expect(table.unlike(knownIn(inputs, ['VALUE7']))).toBe(0)
  inputs.clear()
  expect(table.unlike(knownIn(inputs, ['VALUE7']))).toBe(1)
  hold(table, out)
  expect(table.unlike(knownIn(inputs, names))).toBe(30_000)
})

test('a value that is given the number of another is found, though its pseudonym is that of the number', () => {
  const table = newTable()
  const values = knownIn(new ValueTable(), ['one', 'two'])
  hold(table, ['pseudonym of one', 'pseudonym of two'])
  table.keep(values)
  hold(table, ['pseudonym of one', 'pseudonym of one'])
  expect(table.unlike({ ...values, slots: Int32Array.of(0, 0) })).toBe(1)
})

test('what has a higher number than may be remembered, or is too much, is never known', () => {
  const table = new PairTable({ bytes: 1 << 20, count: 1000 }, 100)
  const names = Array.from({ length: 300 }, (_, i) => `V${i}`)
  const values = knownIn(new ValueTable(), names)
  hold(table, names)
  table.keep(values)
  expect(table.unlike(values)).toBe(200)
  const many = knownIn(
    new ValueTable(),
    Array.from({ length: 1001 }, (_, i) => `V${i}`),
  )
  expect(table.unlike(many)).toBeUndefined()
  table.keep(many)
  expect(table.pageRoom((1 << 20) + 1)).toBeUndefined()
  expect(table.hold('none', new Uint8Array((1 << 20) + 1), (1 << 20) + 1)).toBe(false)
})

test('pairs are looked at to their last byte, whatever their lengths are', () => {
  for (let length = 1; length < 70; length++) {
    const inputs = new ValueTable()
    const table = newTable()
    const value = 'v'.repeat(length)
    const out = 'p'.repeat(length)
    const like = (key: string, pseudonym: string) => {
      hold(table, [pseudonym, 'behind it'])
      const known = knownIn(inputs, [key, 'behind it'])
      return table.unlike({ ...known, slots: Int32Array.of(0), prints: known.prints.subarray(0, 8) }) === 0
    }
    expect(like(value, out)).toBe(false)
    hold(table, [out])
    table.keep(knownIn(inputs, [value]))
    expect(like(value, out)).toBe(true)
    for (let at = 0; at < length; at++) {
      const changed = (text: string) => `${text.slice(0, at)}x${text.slice(at + 1)}`
      expect([length, at, like(changed(value), out), like(value, changed(out))]).toEqual([length, at, false, false])
    }
  }
})

test('of a million pairs that were never seen none is taken for one that was', () => {
  const table = newTable()
  const names = Array.from({ length: 20_000 }, (_, i) => `V${i}`)
  const values = knownIn(new ValueTable(), names)
  const pseudonyms = (salt: number) => names.map((name) => `p${salt}.${name}`)
  hold(table, pseudonyms(0))
  table.keep(values)
  for (let salt = 1; salt <= 50; salt++) {
    hold(table, pseudonyms(salt))
    expect(table.unlike(values)).toBe(20_000)
  }
})

test('a page is held as it was before it was compressed, and one that cannot be is not', () => {
  const table = newTable()
  const page = plain(Array.from({ length: 5000 }, (_, i) => `pseudonym ${i % 70}`))
  for (const codec of ['none', 'snappy', 'gzip', 'zstd'] as const) {
    const body = compress(codec, page)
    expect(table.hold(codec, body, page.length)).toBe(true)
    expect(Buffer.from(table.held).equals(page)).toBe(true)
    expect(table.hold(codec, body.subarray(0, body.length >> 1), page.length)).toBe(false)
    expect(table.held.length).toBe(0)
    expect(table.hold(codec, body, page.length + 1)).toBe(false)
  }
})

test('a page that was read into the table’s own memory is held there', () => {
  const table = newTable()
  const page = plain(Array.from({ length: 5000 }, (_, i) => `pseudonym ${i}`))
  const bodies = { literal: snappyLiterals([page]), compressed: compress('snappy', page) }
  for (const [name, body] of Object.entries(bodies)) {
    // With its header in front.
    const room = (table.pageRoom(body.length + 30) as Uint8Array).subarray(30)
    room.set(body)
    expect(table.hold('snappy', room, page.length), name).toBe(true)
    expect(Buffer.from(table.held).equals(page), name).toBe(true)
    // What was read with it is still there.
    table.keep(knownIn(new ValueTable(), ['a value']))
    expect(Buffer.from(room.subarray(0, body.length)).equals(body), name).toBe(true)
  }
  const cut = table.pageRoom(bodies.literal.length - 1) as Uint8Array
  cut.set(bodies.literal.subarray(0, cut.length))
  expect(table.hold('snappy', cut, page.length)).toBe(false)
})
