import { beforeAll, expect, test } from 'vitest'
import { duckdb } from '../parquet/helpers.ts'
import {
  gated,
  overwritten,
  type Planted,
  pseudonym,
  type Rules,
  withFooter,
  withPageStatistics,
} from './gate-planted.ts'

const VIN = { vin: {} }
const db = duckdb()
const PLAIN = 'compression uncompressed, row_group_size 2048'

const rows = (change = 'vin', from = 'range(4096) r(i)') =>
  `with t as (select i, case when i % 50 = 1 then null when i % 50 = 2 then '' else 'VEHICLE' || (i % 50) end as vin,
   'dept' || (i % 5) as dept, 'note number ' || i as note from ${from}) select dept, ${change} as vin, note from t`

/** Three row groups with dictionaries of 30,000 values: each is a megabyte of pseudonyms, and goes to the storage as soon as it is made. */
const LARGE = `select 'VEHICLE' || (i % 30000) as vin, 'dept' || (i % 5) as dept from range(180000) r(i)`

let input: Uint8Array
let large: Uint8Array
beforeAll(async () => {
  input = await db.copy(rows(), PLAIN)
  large = await db.copy(LARGE, 'row_group_size 61440, dictionary_size_limit 100000')
})

const swapped = (bytes: Buffer) => {
  const [one, other] = [pseudonym('VEHICLE3'), pseudonym('VEHICLE4')]
  const second = bytes.indexOf(one, bytes.indexOf(one) + 1)
  return overwritten(overwritten(bytes, other, one, second), one, other, second)
}
const boundInFooter = (bytes: Buffer) =>
  withFooter(bytes, (groups) =>
    groups.map((group) => ({
      ...group,
      chunks: group.chunks.map((chunk, i) =>
        i === 1 ? { ...chunk, statistics: { ...chunk.statistics, min: Buffer.from('VEHICLE3') } } : chunk,
      ),
    })),
  )
/** As an original that has slipped through would be. */
const original = (bytes: Buffer) => overwritten(bytes, pseudonym('VEHICLE7'), 'V'.repeat(pseudonym('VEHICLE7').length))

/**
 * What is planted, and among the checks that fail the one that is there for it, when the file is read back and on its way: cells are looked at
 * before there is a footer then, and a run ends with the first that is wrong.
 */
const PLANTED: [string, [string, string], () => Planted | Promise<Planted>, Rules?][] = [
  [
    'a lost row',
    ['rows', 'one_to_one'],
    async () => ({ other: await db.copy(rows('vin', 'range(4095) r(i)'), PLAIN) }),
  ],
  [
    'a doubled row',
    ['rows', 'one_to_one'],
    async () => {
      const doubled = `(select unnest(case when i = 9 then [i, i] else [i] end) as i from range(4096) r(i))`
      return { other: await db.copy(rows('vin', doubled), PLAIN) }
    },
  ],
  [
    'a null that has become empty',
    ['nulls', 'one_to_one'],
    async () => ({ other: await db.copy(rows(`case when i = 51 then '' else vin end`), PLAIN) }),
  ],
  [
    'an original in a page header',
    ['headers', 'headers'],
    () => ({ tamper: (bytes) => withPageStatistics(bytes, 1, 'VEHICLE3') }),
  ],
  ['an original in the footer', ['headers', 'headers'], () => ({ tamper: boundInFooter })],
  ['an original in a dictionary', ['pseudonyms', 'pseudonyms'], () => ({ tamper: original })],
  ['a swapped pseudonym', ['one_to_one', 'one_to_one'], () => ({ tamper: swapped })],
  [
    'one pseudonym for two values',
    ['one_to_one', 'one_to_one'],
    () => ({ replace: (texts) => texts.map((text) => pseudonym(text === 'VEHICLE4' ? 'VEHICLE3' : text)) }),
  ],
  ['a dictionary in mode random', ['one_to_one', 'one_to_one'], () => ({ shared: true }), { vin: { mode: 'random' } }],
  ['a column that was copied', ['byte_ranges', 'byte_ranges'], () => ({ forgotten: ['vin'] })],
  [
    'a copied cell that was changed',
    ['copied_bytes', 'copied_bytes'],
    () => ({ tamper: (bytes) => overwritten(bytes, 'dept3', 'dept9') }),
  ],
  ['a file that is cut off', ['readable', 'readable'], () => ({ tamper: (bytes) => bytes.subarray(0, -100) })],
]

test.each(PLANTED)(
  '%s fails, on the way to a late storage as when it is read back',
  async (_, checks, planted, rules = VIN) => {
    for (const [i, check] of checks.entries()) {
      const { failed, code } = await gated(input, rules, { ...(await planted()), late: i === 1 })
      expect(failed).toContain(check)
      expect(code).toBe('gate/failed')
    }
  },
)

const handed = (of: Awaited<ReturnType<typeof gated>>) =>
  of.report.checks.find(({ name }) => name === 'handed_bytes') as (typeof of.report.checks)[number]

test('new dictionaries are looked at as they are handed over, and what is told of them is what reading back tells', async () => {
  for (const bytes of [input, large]) {
    const [back, onWay] = [await gated(bytes, VIN), await gated(bytes, VIN, { late: true })]
    expect(onWay.failed).toEqual([])
    const others = ({ report }: typeof back) => report.checks.filter(({ name }) => name !== 'handed_bytes')
    expect(others(onWay)).toEqual(others(back))
    const groups = bytes === input ? 2 : 3
    expect(handed(back)).toMatchObject({ coverage: 'all', counts: { chunks_read_back: groups } })
    expect(handed(onWay)).toMatchObject({ coverage: 'part', counts: { chunks_on_their_way: groups } })
    expect(handed(onWay).counts.chunks_read_back).toBeUndefined()
  }
})

test('what is planted in a row group that goes to the storage at once fails before the next one is made', async () => {
  let asked = 0
  const { failed, code } = await gated(large, VIN, {
    late: true,
    replace: (texts) => texts.map((text) => (asked++ === 29_000 ? text : pseudonym(text))),
  })
  expect([failed, code]).toEqual([['pseudonyms'], 'gate/failed'])
})

test('what the storage has otherwise than it was handed over fails where it is sampled, and everywhere with gate.full', async () => {
  const [first, last] = ['VEHICLE3', 'VEHICLE29999'].map(pseudonym) as [string, string]
  const early = (bytes: Buffer) => overwritten(bytes, first, last)
  const lateOne = (bytes: Buffer) => overwritten(bytes, last, pseudonym('VEHICLE3'), bytes.lastIndexOf(last))
  const run = async (spoil: (bytes: Buffer) => Uint8Array, full = false) =>
    (await gated(large, VIN, { late: true, spoil, options: { full } })).failed
  expect(await run(early)).toEqual(['handed_bytes'])
  expect(await run(lateOne)).toEqual([])
  expect(await run(lateOne, true)).toEqual(['handed_bytes'])
  expect(await run((bytes) => bytes.subarray(0, -1))).toEqual(['readable'])
})

test('a footer that says something else of a chunk than it was looked at by makes it be read back', async () => {
  const spoil = (bytes: Buffer) => bytes
  const found = await gated(input, VIN, {
    late: true,
    spoil,
    tamper: (bytes) =>
      withFooter(bytes, (groups) =>
        groups.map((group) => ({
          ...group,
          chunks: group.chunks.map(({ dictionaryPageOffset, ...chunk }, i) =>
            i === 1 && dictionaryPageOffset !== undefined
              ? { ...chunk, dataPageOffset: dictionaryPageOffset }
              : { ...chunk, ...(dictionaryPageOffset !== undefined && { dictionaryPageOffset }) },
          ),
        })),
      ),
  })
  expect(handed(found).counts.chunks_read_back).toBe(2)
})

test('a dictionary that is too large to be held is read back', async () => {
  const huge = await db.copy(
    `select 'V' || i as vin from range(160000) r(i)`,
    'row_group_size 163840, dictionary_size_limit 1000000',
  )
  const found = await gated(huge, VIN, { late: true, options: { memoryBytes: 32 << 20 } })
  expect(found.failed).toEqual([])
  expect(handed(found).counts.chunks_read_back).toBe(1)
})
