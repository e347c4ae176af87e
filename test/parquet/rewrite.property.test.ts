import fc from 'fast-check'
import { expect, test } from 'vitest'
import { duckdb, mapStrings, pseudonym, REPLACE, type Row, run } from './helpers.ts'

const duck = duckdb()

/** Few values and many, so that some chunks get a dictionary and others none; empty ones and more than ASCII among them. */
const text = fc.oneof(
  fc.constantFrom('', 'a', 'bb', 'Ü', '\u{1F697}', ' ', 'None'),
  fc.string({ unit: 'binary', maxLength: 12 }).map((s) => s.replaceAll('\0', '')),
)
const cell = fc.option(text, { nil: null })
const list = fc.option(fc.array(cell, { maxLength: 4 }), { nil: null })
const row = fc.record({
  s: cell,
  l: list,
  n: fc.option(fc.record({ a: cell, b: list }), { nil: null }),
  ll: fc.option(fc.array(list, { maxLength: 3 }), { nil: null }),
  i: fc.option(fc.integer(), { nil: null }),
})
const COLUMNS = "{s: 'VARCHAR', l: 'VARCHAR[]', n: 'STRUCT(a VARCHAR, b VARCHAR[])', ll: 'VARCHAR[][]', i: 'BIGINT'}"
const PROTECTED = ['s', 'l.list.element', 'n.a', 'n.b.list.element', 'll.list.element.list.element']

test('for any table, kept, swapped or decoded, a rewrite is the input with the map applied', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 200 }),
      fc.constantFrom('snappy', 'zstd', 'lz4_raw', 'uncompressed'),
      async (rows, times, codec) => {
        const json = duck.put(new TextEncoder().encode(rows.map((r) => JSON.stringify(r)).join('\n')))
        const input = await duck.copy(
          `SELECT c.* FROM read_json('${json}', format = 'newline_delimited', columns = ${COLUMNS}) c, range(${times})`,
          `COMPRESSION ${codec}, ROW_GROUP_SIZE 2048`,
        )
        const before = await duck.rows(input)
        const { i: _, ...strings } = before[0] as Row
        expect(Object.keys(strings)).toEqual(['s', 'l', 'n', 'll'])
        const mapped = before.map(({ i, ...rest }) => ({ ...(mapStrings(rest, pseudonym) as Row), i }))
        for (const treatment of [REPLACE, { ...REPLACE, nullable: true }, { ...REPLACE, perCell: true }]) {
          const columns = Object.fromEntries(PROTECTED.map((path) => [path, treatment]))
          const { bytes, written } = await run(input, columns)
          expect(await duck.rows(bytes)).toEqual(mapped)
          expect(written.rows).toBe(before.length)
        }
        expect(await duck.rows((await run(input, {})).bytes)).toEqual(before)
      },
    ),
    { numRuns: 12 },
  )
}, 60_000)
