import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lake } from '../../helpers/lake.ts'
import { inputs, tree, VEHICLES, VIN } from './vehicles.ts'

test('several columns, nested ones, and what is left out', async () => {
  const home = await lake(['default', 'people'])
  await inputs(home, {
    'a.parquet': `select i as id, {'name': 'N' || (i % 3), 'age': i} as person, ['T' || (i % 4), null, ''] as tags,
      [{'vin': 'V' || i, 'km': i}] as trips, map {'K' || (i % 2): 'M' || i} as attrs, 'secret' as note from range(50) r(i)`,
  })
  const report = await home.run({
    columns: {
      'person.name': { mode: 'deterministic', domain: 'people' },
      tags: { mode: 'deterministic' },
      'trips.vin': { mode: 'deterministic', as: 'car' },
      'attrs.value': { mode: 'deterministic' },
      note: { mode: 'drop' },
    },
  })
  expect(report.columns).toMatchObject([
    { column: 'id', action: 'copied', as: 'id' },
    { column: 'person.name', action: 'replaced', as: 'person.s_name', mode: 'deterministic', domain: 'people' },
    { column: 'person.age', action: 'copied', as: 'person.age' },
    { column: 'tags.element', action: 'replaced', as: 's_tags.element', mode: 'deterministic', domain: 'default' },
    {
      column: 'trips.element.vin',
      action: 'replaced',
      as: 'trips.element.car',
      mode: 'deterministic',
      domain: 'default',
    },
    { column: 'trips.element.km', action: 'copied', as: 'trips.element.km' },
    { column: 'attrs.key', action: 'copied', as: 's_attrs.key' },
    { column: 'attrs.value', action: 'replaced', as: 's_attrs.value', mode: 'deterministic', domain: 'default' },
    { column: 'note', action: 'dropped' },
  ])
  const rows = await home.query(
    `select id, person.s_name, person.age, s_tags[1], s_tags[2], s_tags[3], len(s_tags), trips[1].car, trips[1].km, map_keys(s_attrs)[1], map_values(s_attrs)[1] from t order by id`,
  )
  const names = await home.back(
    rows.map((row) => row[1]),
    'people',
  )
  const [tags, cars, values] = await Promise.all([3, 7, 10].map((i) => home.back(rows.map((row) => row[i]))))
  expect(
    rows.map((row, i) => [
      row[0],
      names[i],
      row[2],
      tags?.[i],
      row[4],
      row[5],
      row[6],
      cars?.[i],
      row[8],
      row[9],
      values?.[i],
    ]),
  ).toEqual(
    Array.from({ length: 50 }, (_, i) => [
      `${i}`,
      `N${i % 3}`,
      `${i}`,
      `T${i % 4}`,
      null,
      '',
      '3',
      `V${i}`,
      `${i}`,
      `K${i % 2}`,
      `M${i}`,
    ]),
  )
})

test('files whose writers name the inside of a list `element` and `item` go into one table', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select ['T' || i, null, ''] as tags, i + 1000 as n from range(50) r(i)` })
  copyFileSync('test/fixtures/parquet/list-item.parquet', join(home.dir, 'in', 'b.parquet'))
  await home.run({ columns: { tags: { mode: 'deterministic' } } })
  const rows = await home.query(
    'select s_tags[1], s_tags[3], n from t where len(s_tags) = 3 and n in (1, 2, 1000, 1049) order by n',
  )
  expect(await home.back(rows.map((row) => row[0]))).toEqual(['plain-1', 'plain-2', 'T0', 'T49'])
  expect(rows.map((row) => row[1])).toEqual(['', '', '', ''])
  expect(await home.query('select count(*) from t')).toEqual([['350']])
})

test('columns whose dotted names look alike are told apart by backticks', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select 'one' as "a.b", {'b': 'two'} as a` })
  await home.run({ columns: { '`a.b`': { mode: 'deterministic' }, 'a.b': { mode: 'deterministic' } } })
  expect(await home.back((await home.query('select "s_a.b", a.s_b from t'))[0] ?? [])).toEqual(['one', 'two'])
  expect(
    await home.run({ columns: { '`a.b`': { mode: 'deterministic' }, 'a.b': { mode: 'deterministic' } } }),
  ).toMatchObject({ status: 'nothing-to-do' })
})

test('key=value folders become columns, and can be sensitive', async () => {
  const home = await lake()
  await inputs(home, {
    'country=DE/vin=A%2FB/x.parquet': 'select 1 as n',
    'country=FR/vin=__HIVE_DEFAULT_PARTITION__/x.parquet': 'select 2 as n',
  })
  await home.run({ columns: VIN })
  const rows = await home.query('select n, country, s_vin from t order by n')
  expect(rows.map((row) => row.slice(0, 2))).toEqual([
    [1, 'DE'],
    [2, 'FR'],
  ])
  expect(await home.back(rows.map((row) => row[2]))).toEqual(['A/B', null])
})

test('with partitioning none a folder’s name is a name', async () => {
  const home = await lake()
  await inputs(home, { 'country=DE/x.parquet': `select 'a' as vin` })
  await home.run({ columns: VIN, set: ['input.partitioning=none'] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(['s_vin'])
})

test.each([
  ['unlisted_columns=drop', ['s_vin']],
  ['unlisted_columns=copy', ['dept', 's_vin', 'n']],
])('%s', async (setting, columns) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN, set: [setting] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(columns)
})

test('with unlisted_columns fail, a column nobody decided on stops the run', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns: VIN, set: ['unlisted_columns=fail'] })).rejects.toMatchObject({
    code: 'config/invalid',
    context: { columns: ['dept', 'n'] },
  })
})

test('a column that appears later stops the run, or is left out', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  rmSync(join(home.dir, 'in'), { recursive: true })
  await inputs(home, { 'b.parquet': `select *, 'secret' as email from (${VEHICLES})` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'table/schema-changed',
    context: { columns: ['email'] },
  })
  await home.run({ columns: VIN, set: ['schema_changes=drop'] })
  expect((await home.query('select column_name from (describe t)')).flat()).toEqual(['dept', 's_vin', 'n'])
  expect(await home.query('select count(*) from t')).toEqual([['2000']])
})

test('files of different schemas are refused before anything is written, naming file and column', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'b.parquet': `select dept, vin, n::varchar as n from (${VEHICLES})` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/mixed-schemas',
    context: { columns: ['n'] },
  })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
})

test.each([
  ['a column that is not there', { vni: { mode: 'deterministic' } }, 'input/column-missing'],
  ['two columns of one name', { vin: { mode: 'deterministic', as: 'dept' } }, 'config/invalid'],
  ['one column twice', { vin: { mode: 'deterministic' }, '`vin`': { mode: 'drop' } }, 'config/invalid'],
])('%s is refused', async (_, columns, code) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns })).rejects.toMatchObject({ code })
})
