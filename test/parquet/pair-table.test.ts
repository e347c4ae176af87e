import { expect, test } from 'vitest'
import { literalOf } from '../../lib/parquet/codec.ts'
import { ValueTable } from '../../lib/parquet/value-table.ts'
import { newEngine } from '../../lib/parquet/wasm/engine.ts'
import { plain } from './helpers.ts'

/** All pages are of one file, where nothing else is said. */
const ATTEMPT = { passed: false }

/** A table with values and what stands in their places, which are looked up and emitted as a run does it. */
class Pages {
  readonly table: ValueTable

  constructor(table = new ValueTable()) {
    this.table = table
  }

  find(values: readonly string[]): { readonly slots: Int32Array; readonly prints: Uint8Array } {
    const { slots, prints = new Uint8Array(0) } = this.table.find(plain(values), values.length, 0, true)
    return { slots: slots.slice(), prints: new Uint8Array(prints) }
  }

  /** Gives values their texts. */
  set(values: readonly string[], texts: readonly string[]): void {
    const { slots } = this.find(values)
    for (const [i, slot] of slots.entries()) this.table.set(slot, texts[i] as string)
  }

  repeated({ slots, prints } = this.find([]), attempt = ATTEMPT): boolean | undefined {
    return this.table.emitPage(slots, { prints, attempt })?.repeated
  }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `VALUE${i}`)
const ofName = (name: string) => `pseudonym-of-${name}-0123456789`

test('a page is what emit writes, in PLAIN and as one literal of Snappy', () => {
  const pages = new Pages()
  const values = names(5000)
  pages.set(values, values.map(ofName))
  const { slots, prints } = pages.find(values)
  for (const given of [undefined, prints, prints]) {
    const into = new Uint8Array(pages.table.sizeOf(slots))
    pages.table.emit(slots, into)
    const page = pages.table.emitPage(slots, given && { prints: given, attempt: ATTEMPT })
    expect(Buffer.compare(page?.plain ?? into.subarray(1), into)).toBe(0)
    expect(Buffer.compare(literalOf(page?.literal ?? into, into.length) ?? into.subarray(1), into)).toBe(0)
  }
  pages.table.set(slots[7] as number, null)
  expect(() => pages.table.emitPage(slots, { prints, attempt: ATTEMPT })).toThrow(
    expect.objectContaining({ code: 'internal/bug' }),
  )
})

test('a page repeats pairs when each of them was emitted before, in whatever order', () => {
  const pages = new Pages()
  const values = names(500)
  pages.set(values, values.map(ofName))
  const [all, half, backwards] = [values, values.slice(250), values.toReversed()].map((some) => pages.find(some))
  expect(pages.repeated(half)).toBe(false)
  expect(pages.repeated(half)).toBe(true)
  expect(pages.repeated(all)).toBe(false)
  for (const some of [all, half, backwards]) expect(pages.repeated(some)).toBe(true)
  // Nobody asked: nothing is remembered, and nothing said.
  expect(pages.table.emitPage(all?.slots as Int32Array)).not.toHaveProperty('repeated')
})

test('every byte of what stands in a value’s place counts, its length too, and a pair that changed is never taken for one that was', () => {
  for (let length = 0; length < 70; length++) {
    const pages = new Pages()
    const text = 'p'.repeat(length)
    pages.set(['one', 'behind it'], [text, 'other'])
    const both = pages.find(['one', 'behind it'])
    expect(pages.repeated(both)).toBe(false)
    expect(pages.repeated(both)).toBe(true)
    const others = Array.from({ length }, (_, at) => `${text.slice(0, at)}x${text.slice(at + 1)}`)
    for (const other of [...others, `${text}x`, text.slice(1), 'x']) {
      if (other === text) continue
      pages.table.set(0, other)
      // The second time too: the first that stood there is what is remembered.
      expect([length, other, pages.repeated(both), pages.repeated(both)]).toEqual([length, other, false, false])
    }
    pages.table.set(0, text)
    expect(pages.repeated(both)).toBe(true)
  }
})

test('every byte of a value counts: a number that is another value’s is found, though the pseudonym is that of the number', () => {
  for (let length = 1; length < 40; length++) {
    const pages = new Pages()
    const value = 'v'.repeat(length)
    const all = [value, ...Array.from({ length }, (_, at) => `${value.slice(0, at)}x${value.slice(at + 1)}`)]
    pages.set(all, all.map(ofName))
    const right = pages.find(all)
    pages.repeated(right)
    expect(pages.repeated(right)).toBe(true)
    for (let i = 1; i < all.length; i++) {
      const slots = right.slots.slice()
      slots[i] = 0
      expect(pages.repeated({ ...right, slots })).toBe(false)
    }
  }
})

test('a table that is emptied has no pairs any more', () => {
  const pages = new Pages()
  const values = names(100)
  const emitted = () => {
    pages.set(values, values.map(ofName))
    return pages.repeated(pages.find(values))
  }
  expect([emitted(), emitted()]).toEqual([false, true])
  pages.table.clear()
  expect([emitted(), emitted()]).toEqual([false, true])
})

test('pairs stay where their table grows, and none that was never emitted is taken for one that was', () => {
  const pages = new Pages()
  const all = names(60_000)
  const pieces: string[][] = []
  for (let at = 0; at < all.length; at += 5000) pieces.push(all.slice(at, at + 5000))
  for (const piece of pieces) {
    pages.set(piece, piece.map(ofName))
    expect(pages.repeated(pages.find(piece))).toBe(false)
    for (const before of pieces.slice(0, pieces.indexOf(piece))) expect(pages.repeated(pages.find(before))).toBe(true)
  }
})

test('where nearly nothing repeats it is not looked at any more', () => {
  const pages = new Pages()
  const said: (boolean | undefined)[] = []
  for (let at = 0; at < 240_000; at += 40_000) {
    const piece = names(at + 40_000).slice(at)
    pages.set(piece, piece.map(ofName))
    said.push(pages.repeated(pages.find(piece)))
  }
  expect(said).toEqual([false, false, false, false, false, false])
  expect(pages.repeated(pages.find(names(10)))).toBeUndefined()
})

test('values beyond those that a table can remember pairs of are new each time', () => {
  const pages = new Pages(new ValueTable(64 * 100))
  const values = names(300)
  pages.set(values, values.map(ofName))
  const [few, many] = [pages.find(values.slice(0, 64)), pages.find(values)]
  expect([pages.repeated(few), pages.repeated(few)]).toEqual([false, true])
  expect([pages.repeated(many), pages.repeated(many)]).toEqual([false, false])
})

test('what does not fit in the memory for one call goes another way', () => {
  const pages = new Pages(new ValueTable(1 << 20, newEngine({ in: 1 << 12, out: 1 << 12, count: 1 << 10 })))
  const values = names(700)
  pages.set(values.slice(0, 200), values.map(ofName))
  expect(pages.table.emitPage(pages.find(values.slice(0, 200)).slots)).toBeUndefined()
  for (let at = 0; at < 700; at += 100) pages.set(values.slice(at, at + 100), Array(100).fill(''))
  // Their prints alone are too many bytes.
  const slots = Int32Array.from(values, (_, i) => i)
  expect(
    pages.table.emitPage(slots, { prints: new Uint8Array(8 * slots.length), attempt: ATTEMPT }),
  ).not.toHaveProperty('repeated')
  expect(pages.table.emitPage(slots.slice(0, 1), { prints: new Uint8Array(7), attempt: ATTEMPT })).not.toHaveProperty(
    'repeated',
  )
})

test('pairs of a file that nobody has found right are new in the next one', () => {
  const pages = new Pages()
  const values = names(100)
  pages.set(values, values.map(ofName))
  const [some, all] = [pages.find(values.slice(0, 50)), pages.find(values)]
  const [first, second, third] = [{ passed: false }, { passed: false }, { passed: false }]
  expect([pages.repeated(all, first), pages.repeated(all, first)]).toEqual([false, true])
  first.passed = true
  expect(pages.repeated(some, second)).toBe(true)
  // What the first has brought goes with it: it is not known which of them the second was told to repeat.
  expect([pages.repeated(all, third), pages.repeated(all, third)]).toEqual([false, true])
  // Two at a time know nothing of each other.
  expect([pages.repeated(some, second), pages.repeated(some, third)]).toEqual([false, false])
})

test('a table has room for as many values with pairs as without', () => {
  for (const looks of [false, true]) {
    const pages = new Pages(new ValueTable(1 << 20))
    const values = names(4000)
    pages.set(values, values.map(ofName))
    const before = pages.table.bytes
    if (looks) expect(pages.repeated(pages.find(values))).toBe(false)
    expect(pages.table.bytes).toBe(before)
  }
})
