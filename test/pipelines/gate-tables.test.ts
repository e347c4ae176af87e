import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyHashes, hashByteArrays } from '../../lib/parquet/value-hashes.ts'
import { type Entries, hasCharacters, isPseudonym, MIN_CHARACTERS } from '../../pipelines/batch/gate/entries.ts'
import { HashTable } from '../../pipelines/batch/gate/hash-table.ts'
import { Mapping } from '../../pipelines/batch/gate/mapping.ts'
import { longOnes, notPseudonyms } from '../../pipelines/batch/gate/texts.ts'
import { pseudonym } from './gate-planted.ts'

const plenty = () => ({ bytes: 64 << 20 })

/** Hashes that crowd: few first halves, also at the end of the table, so that what has no room in its place is pushed on and over the end. */
function crowded(count: number, places: number): { a: Int32Array; b: Int32Array } {
  const a = Int32Array.from({ length: count }, (_, i) =>
    i % 3 === 0 ? places - 1 - (i % 40) : Math.imul(i, 0x9e3779b1),
  )
  const b = Int32Array.from({ length: count }, (_, i) => Math.imul(i + 1, 0x85ebca6b) | 1)
  return { a, b }
}

test('a table that grows where it is keeps what it has, and finds nothing else', () => {
  const count = 60_000
  for (const places of [4096, 8192, 32_768]) {
    const hashes = crowded(count, places)
    // Two thirds are spread; a third of 700 may crowd at one place and over the end.
    for (let i = 2100; i < count; i++) hashes.a[i] = Math.imul(i, 0x9e3779b1)
    const values = Int32Array.from({ length: count }, (_, i) => i * 7)
    const table = new HashTable('map', plenty())
    const fresh = new Int32Array(count)
    for (let from = 0; from < count; from += 700) {
      const to = Math.min(count, from + 700)
      const part = { a: hashes.a.subarray(from, to), b: hashes.b.subarray(from, to) }
      expect(table.merge(part, values.subarray(from, to), to - from, fresh)).toMatchObject({
        end: to - from,
        fresh: to - from,
        kept: to - from,
      })
    }
    expect(table.size).toBe(count)
    expect(table.merge(hashes, values, count, fresh)).toMatchObject({ end: count, fresh: 0 })
    expect(table.present(hashes, count, fresh)).toBe(count)
    const others = { a: hashes.a, b: hashes.b.map((b) => b ^ 2) }
    expect(table.present(others, count, fresh)).toBe(0)
    expect(table.absent(others, count, fresh)).toBe(count)
    expect(fresh[count - 1]).toBe(count - 1)
    const changed = values.slice()
    changed[40_000] = -1
    expect(table.merge(hashes, changed, count, fresh).end).toBe(40_000)
  }
})

test('a table takes no more than its budget, and says of what is new whether it was kept', () => {
  const count = 20_000
  const hashes = crowded(count, 1)
  for (let i = 0; i < count; i++) hashes.a[i] = Math.imul(i, 0x9e3779b1)
  const budget = { bytes: 200_000 }
  const table = new HashTable('set', budget)
  const fresh = new Int32Array(count)
  const { end, fresh: found, kept } = table.add(hashes, count, fresh, true)
  expect([end, found]).toEqual([count, count])
  expect(kept).toBe(table.size)
  expect(kept).toBeLessThan(count)
  expect(budget.bytes).toBeGreaterThanOrEqual(0)
  expect(table.present(hashes, count, fresh)).toBe(kept)
})

test('a mapping says what two maps say, whatever pairs come in whatever parts', () => {
  const number = fc.integer({ min: 0, max: 40 })
  fc.assert(
    fc.property(fc.array(fc.array(fc.tuple(number, number), { maxLength: 30 }), { maxLength: 8 }), (parts) => {
      const mapping = new Mapping(plenty())
      const there = new Map<number, number>()
      const back = new Map<number, number>()
      for (const part of parts) {
        const lane = (of: (pair: [number, number]) => number) => Int32Array.from(part, of)
        const values = { a: lane(([v]) => v), b: lane(([v]) => v + 1) }
        const pseudonyms = { a: lane(([, p]) => p), b: lane(([, p]) => p + 1) }
        const news: number[] = []
        let wrong = false
        for (const [k, [value, replaced]] of part.entries()) {
          if ((there.get(value) ?? replaced) !== replaced || (back.get(replaced) ?? value) !== value) wrong = true
          if (!there.has(value)) news.push(k)
          there.set(value, replaced)
          back.set(replaced, value)
        }
        const fresh = new Int32Array(part.length)
        const judged = mapping.pairs(values, pseudonyms, part.length, fresh)
        expect(judged.wrong !== undefined).toBe(wrong)
        // A run ends with the first that is wrong.
        if (wrong) return
        expect([...fresh.subarray(0, judged.fresh)]).toEqual(news)
        expect(judged.kept).toBe(news.length)
      }
    }),
  )
})

test('many texts are seen as each of them is', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.string().map(pseudonym),
    fc.base64String({ minLength: 40, maxLength: 80 }),
    fc
      .tuple(fc.string().map(pseudonym), fc.nat(50), fc.string({ minLength: 1, maxLength: 1 }))
      .map(([of, at, other]) => `${of.slice(0, at)}${other}${of.slice(at + 1)}`),
  )
  fc.assert(
    fc.property(fc.array(text, { minLength: 64, maxLength: 200 }), (texts) => {
      const entries = entriesOf(texts)
      const chosen = Int32Array.from(texts.map((_, i) => i).filter((i) => i % 5 !== 0 || texts.length < 90))
      const positions = (isOne: (i: number) => boolean) => [...chosen.keys()].filter((k) => isOne(chosen[k] as number))
      expect([...notPseudonyms(entries, chosen)]).toEqual(positions((i) => !isPseudonym(entries, i)))
      expect([...longOnes(entries, chosen)]).toEqual(
        positions((i) => hasCharacters(entries.bytes, entries.from[i] as number, entries.to[i] as number)),
      )
      expect(MIN_CHARACTERS).toBe(6)
    }),
    { numRuns: 20 },
  )
})

function entriesOf(texts: readonly string[]): Entries {
  const bytes = Buffer.concat(
    texts.map((text) => {
      const body = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(body.length)
      return Buffer.concat([length, body])
    }),
  )
  const hashes = emptyHashes(texts.length)
  hashByteArrays(bytes, texts.length, 7, hashes)
  return { ...hashes, count: texts.length, kind: new Uint8Array(texts.length), allValues: true, bytes }
}
