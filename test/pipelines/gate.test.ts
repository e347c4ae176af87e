import { beforeAll, expect, test } from 'vitest'
import type { Pseudonymizer } from '../../lib/client/pseudonymizer.ts'
import { PseudolakeError } from '../../lib/core/errors.ts'
import { duckdb, fixture } from '../parquet/helpers.ts'
import { gated, overwritten, pseudonym, withFooter, withPageStatistics } from './gate-planted.ts'

const VIN = { vin: {} }
const db = duckdb()
const PLAIN = 'compression uncompressed, row_group_size 2048'

/** Two row groups with a dictionary each; a null and an empty string in both. */
const rows = (change = 'vin', from = 'range(4096) r(i)') =>
  `with t as (select i, case when i % 50 = 1 then null when i % 50 = 2 then '' else 'VEHICLE' || (i % 50) end as vin,
   'dept' || (i % 5) as dept, 'note number ' || i as note from ${from}) select dept, ${change} as vin, note from t`

let input: Uint8Array
beforeAll(async () => {
  input = await db.copy(rows(), PLAIN)
})

test('what was written right passes every check, and the report says how much was looked at', async () => {
  const { failed, report } = await gated(input, VIN)
  expect(failed).toEqual([])
  const checks = Object.fromEntries(report.checks.map((check) => [check.name, check]))
  expect(checks.rows).toMatchObject({ coverage: 'all', counts: { rows: 4096, row_groups: 2 } })
  expect(checks.nulls).toMatchObject({ coverage: 'all', counts: { chunks: 6 } })
  expect(checks.byte_ranges?.coverage).toBe('all')
  expect(checks.copied_bytes?.coverage).toBe('part')
  expect(checks.pseudonyms?.counts).toEqual({ chunks: 2, values: 98 })
  expect(checks.one_to_one).toMatchObject({ coverage: 'all', counts: { chunks: 2 } })
  // The dictionaries of `dept`, and of `note` a page, for it has none.
  expect(checks.originals).toMatchObject({ coverage: 'part', counts: { matches: 0, dictionary_entries: 10 } })
  expect(checks.round_trip?.coverage).toBe('none')
})

test.each([
  ['leak-v1-snappy.parquet', 'secret'],
  ['leak-v1-zstd.parquet', 'secret'],
  ['leak-v2-lz4.parquet', 'secret'],
  ['leak-v2-none.parquet', 'secret'],
])('%s passes with its strings replaced', async (name) => {
  const columns = (
    await db.query(`select name from parquet_schema('${db.put(fixture(name))}') where type = 'BYTE_ARRAY'`)
  ).map((row) => row.name as string)
  const rules = Object.fromEntries(columns.slice(0, 2).map((column) => [column, {}]))
  expect((await gated(fixture(name), rules)).failed).toEqual([])
})

test('numbers, normalized values, values that become null, and single cells pass', async () => {
  const mixed = await db.copy(
    `select i::bigint as id, case when i % 3 = 0 then 'unknown' when i % 3 = 1 then 'Name' || (i % 9) else null end as name,
     'X' || i as code, i % 7 as n from range(3000) r(i)`,
    PLAIN,
  )
  const rules = { id: {}, name: { normalize: ['upper'], nullValues: ['unknown'] }, code: { mode: 'random' } } as const
  expect((await gated(mixed, rules)).failed).toEqual([])
})

test('lists keep their cells', async () => {
  const lists = await db.copy(`select i, ['T' || (i % 4), null, ''] as tags, [] as none from range(500) r(i)`, PLAIN)
  const path = (await db.query(`select list(name) as names from parquet_schema('${db.put(lists)}')`))[0]
    ?.names as string[]
  const leaf = `tags.${path[path.indexOf('tags') + 1]}.${path[path.indexOf('tags') + 2]}`
  expect((await gated(lists, { [leaf]: {} })).failed).toEqual([])
  const other = await db.copy(`select i, ['T' || (i % 4), '', null] as tags, [] as none from range(500) r(i)`, PLAIN)
  const { failed } = await gated(lists, { [leaf]: { nullValues: ['none'] } }, { other })
  expect(failed).toContain('one_to_one')
})

test('a lost row fails', async () => {
  const other = await db.copy(rows('vin', 'range(4095) r(i)'), PLAIN)
  const { failed, code, report } = await gated(input, VIN, { other })
  expect(failed).toContain('rows')
  expect(code).toBe('gate/failed')
  expect(report.checks.find(({ name }) => name === 'rows')?.findings[0]?.message).toBe('4095 rows, expected 4096')
})

test('a doubled row fails', async () => {
  const doubled = `(select unnest(case when i = 9 then [i, i] else [i] end) as i from range(4096) r(i))`
  const { failed } = await gated(input, VIN, { other: await db.copy(rows('vin', doubled), PLAIN) })
  expect(failed).toContain('rows')
})

test('what the gate is told of dictionaries is what it finds when it reads them itself', async () => {
  const [one, other] = [pseudonym('VEHICLE3'), pseudonym('VEHICLE4')]
  const swapped = (bytes: Buffer) => {
    const second = bytes.indexOf(one, bytes.indexOf(one) + 1)
    return overwritten(overwritten(bytes, other, one, second), one, other, second)
  }
  for (const gathered of [true, false]) {
    const right = await gated(input, VIN, { gathered })
    expect(right.report).toEqual((await gated(input, VIN)).report)
    expect(right.failed).toEqual([])
    expect((await gated(input, VIN, { gathered, tamper: swapped })).failed).toEqual(['one_to_one'])
  }
})

test('a row that was lost while another was doubled fails', async () => {
  const shifted = `(select case when i = 9 then 10 else i end as i from range(4096) r(i))`
  const { failed } = await gated(input, VIN, { other: await db.copy(rows('vin', shifted), PLAIN) })
  expect(failed).toContain('one_to_one')
})

test('a null that has become empty fails', async () => {
  const other = await db.copy(rows(`case when i = 51 then '' else vin end`), PLAIN)
  expect((await gated(input, VIN, { other })).failed).toContain('nulls')
})

test('a null that has become empty fails where a null came for it elsewhere', async () => {
  const change = `case when i = 51 then '' when i = 52 then null else vin end`
  const unique = { vin: { nullValues: ['none'] } }
  const { failed } = await gated(input, unique, { other: await db.copy(rows(change), PLAIN) })
  expect(failed).toEqual(['one_to_one'])
})

test('an original in a page header fails', async () => {
  const { failed, report } = await gated(input, VIN, {
    tamper: (bytes) => withPageStatistics(bytes, 1, 'VEHICLE3'),
  })
  expect(failed).toContain('headers')
  expect(JSON.stringify(report)).not.toContain('VEHICLE')
})

test('an original in the footer’s statistics fails', async () => {
  const bound = Buffer.from('VEHICLE3')
  const { failed } = await gated(input, VIN, {
    tamper: (bytes) =>
      withFooter(bytes, (groups) =>
        groups.map((group) => ({
          ...group,
          chunks: group.chunks.map((chunk, i) =>
            i === 1 ? { ...chunk, statistics: { ...chunk.statistics, min: bound, max: bound } } : chunk,
          ),
        })),
      ),
  })
  expect(failed).toContain('headers')
})

test('an original in place of a pseudonym fails', async () => {
  const { failed, report } = await gated(input, VIN, {
    replace: (texts) => texts.map((text) => (text === 'VEHICLE7' ? text : pseudonym(text))),
  })
  expect(failed).toContain('pseudonyms')
  expect(JSON.stringify(report)).not.toContain('VEHICLE7')
})

test('a swapped pseudonym fails', async () => {
  const [one, other] = [pseudonym('VEHICLE3'), pseudonym('VEHICLE4')]
  const { failed } = await gated(input, VIN, {
    // In the second row group only: in the whole table the two would have changed their names, which is no swap that anybody could see.
    tamper(bytes) {
      const second = bytes.indexOf(one, bytes.indexOf(one) + 1)
      return overwritten(overwritten(bytes, other, one, second), one, other, second)
    },
  })
  expect(failed).toEqual(['one_to_one'])
})

test('one pseudonym for two values fails', async () => {
  const { failed, report } = await gated(input, VIN, {
    replace: (texts) => texts.map((text) => pseudonym(text === 'VEHICLE4' ? 'VEHICLE3' : text)),
  })
  expect(failed).toEqual(['one_to_one'])
  expect(report.checks.find(({ name }) => name === 'one_to_one')?.findings[0]?.message).toContain(
    'stands for two values',
  )
})

test('a value with another pseudonym in a later file fails', async () => {
  let asked = 0
  const { failed } = await gated([input, input], VIN, {
    replace: (texts) => texts.map((text) => pseudonym(`${text === 'VEHICLE9' && asked++ > 0 ? 'other' : ''}${text}`)),
  })
  expect(failed).toEqual(['one_to_one'])
})

test('one pseudonym in two cells of mode random fails', async () => {
  const { failed } = await gated(input, { vin: { mode: 'random' } }, { replace: (texts) => texts.map(pseudonym) })
  expect(failed).toEqual(['one_to_one'])
})

test('a dictionary in mode random fails: its entries are one pseudonym for many cells', async () => {
  const { failed, report } = await gated(input, { vin: { mode: 'random' } }, { shared: true })
  expect(failed).toEqual(['one_to_one'])
  expect(report.checks.find(({ name }) => name === 'one_to_one')?.findings[0]?.message).toContain('a dictionary')
})

test('a column that was copied though it is to be replaced fails', async () => {
  const { failed } = await gated(input, VIN, { forgotten: ['vin'] })
  expect(failed).toEqual(expect.arrayContaining(['byte_ranges', 'pseudonyms', 'headers']))
})

test('copied bytes that changed fail', async () => {
  expect((await gated(input, VIN, { tamper: (bytes) => overwritten(bytes, 'dept3', 'dept9') })).failed).toEqual([
    'copied_bytes',
  ])
  const late = (bytes: Buffer) => overwritten(bytes, 'note number 4000', 'note number 9999')
  expect((await gated(input, VIN, { tamper: late, options: { full: true } })).failed).toEqual(['copied_bytes'])
})

test('a file that cannot be read back fails', async () => {
  expect((await gated(input, VIN, { tamper: (bytes) => bytes.subarray(0, -100) })).failed).toEqual(['readable'])
})

test('identifiers that hide in the dictionary of a copied column fail, whatever share of its cells they are above the limit', async () => {
  const hiding = await db.copy(`select vin, coalesce(nullif(vin, ''), 'nothing') as contact from (${rows()})`, PLAIN)
  const { failed, report } = await gated(hiding, VIN)
  expect(failed).toEqual(['originals'])
  const check = report.checks.find(({ name }) => name === 'originals')
  expect(check?.counts).toMatchObject({ cells: 4096 })
  expect(check?.findings[0]?.column).toBe('contact')
  expect(JSON.stringify(report)).not.toContain('VEHICLE')
  expect((await gated(hiding, VIN, { options: { maxMatchRatio: 1 } })).failed).toEqual([])
})

test('a few cells with an identifier in a dictionary are counted, each by its weight, and pass below the limit', async () => {
  const few = await db.copy(
    `select vin, case when i = 7 then 'VEHICLE7' else 'a comment' end as contact from
    (select i, 'VEHICLE' || (i % 50) as vin from range(2048) r(i))`,
    PLAIN,
  )
  const { failed, report } = await gated(few, VIN)
  expect(failed).toEqual([])
  expect(report.checks.find(({ name }) => name === 'originals')).toMatchObject({
    coverage: 'all',
    counts: { cells: 2048, matches: 1, dictionary_entries: 2 },
  })
})

test('identifiers that hide among texts that differ in every cell are found by gate.full', async () => {
  const hiding = await db.copy(
    `select 'VEHICLE' || (i % 50) as vin, case when i > 9000 and i % 3 = 0 then 'VEHICLE' || (i % 50) else 'text number ' || i end as free
     from range(10240) r(i)`,
    PLAIN,
  )
  expect((await gated(hiding, VIN)).failed).toEqual([])
  const { failed, report } = await gated(hiding, VIN, { options: { full: true } })
  expect(failed).toEqual(['originals'])
  expect(report.checks.find(({ name }) => name === 'originals')).toMatchObject({
    coverage: 'all',
    counts: { cells: 10240, matches: 413 },
  })
})

test('values of fewer than 6 characters are no originals to look for', async () => {
  const short = await db.copy(`select 'V' || (i % 50) as vin, 'V' || (i % 50) as other from range(2048) r(i)`, PLAIN)
  expect((await gated(short, VIN)).failed).toEqual([])
})

test('an identifier hides no better as it was before normalization', async () => {
  const hiding = await db.copy(
    `select 'vehicle' || (i % 50) as vin, 'vehicle' || (i % 50) as other from range(2048) r(i)`,
    PLAIN,
  )
  expect((await gated(hiding, { vin: { normalize: ['upper'] } })).failed).toEqual(['originals'])
})

test('what does not fit in the memory limit is said to be looked at in part', async () => {
  const many = await db.copy(`select 'VEHICLE' || i as vin from range(20000) r(i)`, PLAIN)
  const { failed, report } = await gated(many, VIN, { options: { memoryBytes: 300_000 } })
  expect(failed).toEqual([])
  const check = report.checks.find(({ name }) => name === 'one_to_one')
  expect(check?.coverage).toBe('part')
  expect(check?.notes[0]).toContain('memory limit')
})

const service = (back: (pseudonym: string) => string): Pseudonymizer => ({
  call: async ({ values }) => ({ values: values.map(back) }),
})

test('gate.reidentify turns a sample back, and fails where other values come', async () => {
  const known = new Map(Array.from({ length: 50 }, (_, i) => [pseudonym(`VEHICLE${i}`), `VEHICLE${i}`]))
  const right = await gated(input, VIN, {
    options: { reidentify: true },
    client: service((text) => known.get(text) ?? ''),
  })
  expect(right.failed).toEqual([])
  expect(right.report.checks.find(({ name }) => name === 'round_trip')?.counts).toEqual({ pseudonyms: 48 })
  const wrong = await gated(input, VIN, { options: { reidentify: true }, client: service(() => 'VEHICLE1') })
  expect(wrong.failed).toEqual(['round_trip'])
})

test('a service that denies the way back is no failure, and the report says so', async () => {
  const client: Pseudonymizer = {
    call: () => Promise.reject(new PseudolakeError('service/denied', 'not allowed', {})),
  }
  const { failed, report } = await gated(input, VIN, { options: { reidentify: true }, client })
  expect(failed).toEqual([])
  expect(report.checks.find(({ name }) => name === 'round_trip')).toMatchObject({ coverage: 'none' })
})
