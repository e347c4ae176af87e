/** Rules for fields inside of objects and lists, in a stream whose schema nobody has declared. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ruledFields } from '../../../pipelines/stream/ruled.ts'
import { storedFields } from '../../../pipelines/stream/schema.ts'
import { recipient, type Stage, stage } from './stage.ts'

const PLANTED = 'PLANTED-7f3a'
const NESTED = { columns: { 'who.vin': { mode: 'deterministic' }, 'items.element.vin': { mode: 'deterministic' } } }

const record = (n: number) => ({
  n,
  who: { name: `name ${n}`, vin: `${PLANTED}-${n}`, at: { city: 'x' } },
  items: [{ vin: `${PLANTED}-a${n}`, k: n }, { k: 0 }, null],
})

function expectNowhere(on: Stage): void {
  for (const name of readdirSync(on.dir, { recursive: true, encoding: 'utf8' })) {
    const file = join(on.dir, name)
    if (statSync(file).isFile()) expect(readFileSync(file).includes(PLANTED), name).toBe(false)
  }
}

test('fields inside of objects and of lists are pseudonymized, what is beside them is copied, and pinned from then on', async () => {
  const on = await stage(1)
  await on.put([record(1), record(2)])
  expect(await on.run(NESTED)).toMatchObject({ rows: 2 })
  await on.put([{ n: 3, who: { vin: `${PLANTED}-3`, added: PLANTED }, items: [] }, { n: 4 }])
  expect(await on.run(NESTED)).toMatchObject({ rows: 2 })
  const rows = await on.inOrder('n, who.s_vin, who.name, who.at.city, items[1].s_vin, items[1].k')
  expect(rows.map(([n, , name, city, , k]) => [n, name, city, k])).toEqual([
    ['1', 'name 1', 'x', '1'],
    ['2', 'name 2', 'x', '2'],
    ['3', null, null, null],
    ['4', null, null, null],
  ])
  expect(await on.back(rows.flatMap(([, vin]) => (vin === null ? [] : [vin])))).toEqual(
    [1, 2, 3].map((n) => `${PLANTED}-${n}`),
  )
  expect(await on.back(rows.slice(0, 2).map((row) => row[4]))).toEqual([`${PLANTED}-a1`, `${PLANTED}-a2`])
  expectNowhere(on)
}, 30_000)

test('a field that no record had yet is there all the same, and pseudonymized when it comes', async () => {
  const on = await stage(1)
  const settings = { ...NESTED, new_fields: 'add' }
  await on.put([{ n: 1, who: null }, { n: 2 }])
  expect(await on.run(settings)).toMatchObject({ rows: 2 })
  await on.put([record(3)])
  expect(await on.run(settings)).toMatchObject({ rows: 1 })
  const [row] = await on.query('select who.s_vin, items[1].s_vin from t where n = 3')
  expect(await on.back(row as string[])).toEqual([`${PLANTED}-3`, `${PLANTED}-a3`])
  expectNowhere(on)
}, 30_000)

test('a record that has something else in its place later on is a bad one', async () => {
  const on = await stage(1)
  const { publicKey } = recipient()
  const settings = { ...NESTED, quarantine: { path: `${on.dir}/quarantine`, recipient: publicKey } }
  await on.put([record(1)])
  await on.run(settings)
  await on.put([
    { n: 2, who: PLANTED },
    { n: 3, who: { vin: { deeper: PLANTED } } },
    { n: 4, items: { vin: PLANTED } },
    { n: 5, items: [[PLANTED]] },
    record(6),
  ])
  expect(await on.run(settings)).toMatchObject({ rows: 1, quarantined: 4 })
  expectNowhere(on)
}, 30_000)

test.each([
  ['a text', { who: PLANTED }],
  ['a list', { who: [{ vin: PLANTED }] }],
  ['now an object, now a text', { who: { vin: PLANTED } }, { who: PLANTED }],
])(
  'where the first records have %s on the path of a rule the run ends, and nothing of them is anywhere',
  async (_, ...records) => {
    const on = await stage(1)
    await on.put(records)
    const settings = { columns: { 'who.vin': { mode: 'deterministic' } } }
    await expect(on.run(settings)).rejects.toMatchObject({
      code: 'input/column-missing',
      message: expect.not.stringContaining(PLANTED),
      context: { hint: expect.stringContaining('schema') },
    })
    expect(await on.query('select count(*) from t')).toEqual([['0']])
    expectNowhere(on)
  },
)

test('keys that were seen are told from others by the same secret before and after the first records', async () => {
  const on = await stage(1)
  const settings = { ...NESTED, dedupe: { keys: ['n'], window: '1h' } }
  await on.put([record(1), record(1)])
  expect(await on.run(settings)).toMatchObject({ rows: 1, duplicates: 1 })
  await on.put([record(1), record(2)])
  expect(await on.run(settings)).toMatchObject({ rows: 1, duplicates: 1 })
})

test('a field that is to be dropped needs no declared schema; one that no record has stops the run, as its name may be wrong', async () => {
  const on = await stage(1)
  const columns = { vin: { mode: 'deterministic' }, note: { mode: 'drop' } }
  await on.put([{ vin: 'V', note: PLANTED, n: 1 }])
  expect(await on.run({ columns })).toMatchObject({ rows: 1 })
  expectNowhere(on)
  const other = await stage(1)
  await other.put([{ vin: 'V', notes: PLANTED, n: 1 }])
  await expect(other.run({ columns })).rejects.toMatchObject({ code: 'input/column-missing' })
  expectNowhere(other)
})

test('what rules say of fields, and what is left of two that contradict each other', () => {
  const ruled = (...paths: string[]) =>
    storedFields(ruledFields(paths.map((path) => ({ path: path.split('.'), mode: 'deterministic' }) as never)))
  expect(ruled('a', 'b.c', 'b.d.e', 'l.element', 'm.element.x', 'm.element.y')).toEqual({
    a: 'string',
    b: { c: 'string', d: { e: 'string' } },
    l: ['string'],
    m: [{ x: 'string', y: 'string' }],
  })
  expect(ruled('a', 'a.b')).toEqual({ a: 'string' })
  expect(ruled('a.b', 'a')).toEqual({ a: 'string' })
})
