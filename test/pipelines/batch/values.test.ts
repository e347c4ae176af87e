import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lake } from '../../helpers/lake.ts'
import { inputs, tree, VEHICLES, VIN } from './vehicles.ts'

test('the sensitive column is replaced in its place, nulls and empties stay, everything else is as it was', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  const report = await home.run({ columns: VIN })
  expect(report).toMatchObject({
    status: 'done',
    rows: 1000,
    files: 1,
    skipped_files: 0,
    commits: 1,
    distinct: 40,
    distinct_exact: true,
  })
  expect(report.service).toMatchObject({ requests: 2, retries: 0, throttled: 0 })
  const described = await home.query('select column_name from (describe t)')
  expect(described.flat()).toEqual(['dept', 's_vin', 'n'])
  const rows = await home.query('select dept, s_vin, n from t order by n')
  const vins = await home.back(rows.map((row) => row[1]))
  expect(rows.map(([dept, , n], i) => [dept, vins[i], Number(n)])).toEqual(
    Array.from({ length: 1000 }, (_, i) => [`d${i % 5}`, i % 7 === 0 ? null : i % 11 === 0 ? '' : `VIN${i % 40}`, i]),
  )
})

test('mode random gives every cell a pseudonym of its own, and all go back', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select i, 'SAME' as vin from range(500) r(i)` })
  await home.run({ columns: { vin: { mode: 'random' } } })
  const cells = (await home.query('select s_vin from t')).flat()
  expect(new Set(cells).size).toBe(500)
  expect(new Set(await home.back(cells))).toEqual(new Set(['SAME']))
})

test('values are normalized first, and what means null becomes null', async () => {
  const home = await lake()
  await inputs(home, {
    'a.parquet': `select * from (values (1, ' vin1 '), (2, 'VIN1'), (3, 'n/a'), (4, '  '), (5, null)) v(i, vin)`,
  })
  await home.run({ columns: { vin: { mode: 'deterministic', normalize: ['trim', 'upper'], null_values: ['N/A'] } } })
  const rows = (await home.query('select s_vin from t order by i')).flat()
  expect(await home.back(rows)).toEqual(['VIN1', 'VIN1', null, '', null])
  expect(rows[0]).toBe(rows[1])
})

test('the empty string stays empty, unless it is listed among what means null', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select * from (values (1, 'x'), (2, ''), (3, null)) v(i, vin)` })
  await home.run({ columns: { vin: { mode: 'deterministic', null_values: [''] } } })
  const rows = (await home.query('select s_vin from t order by i')).flat()
  expect(await home.back(rows)).toEqual(['x', null, null])
})

test('blanks and the word None are data like any other', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select * from (values (1, ' '), (2, 'None'), (3, 'null')) v(i, vin)` })
  await home.run({ columns: VIN })
  expect(await home.back((await home.query('select s_vin from t order by i')).flat())).toEqual([' ', 'None', 'null'])
})

test('a value that is not UTF-8 is named by its place, and nothing is published', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `select unhex('ff41') as vin, 1 as n union all select unhex('42'), 2` })
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/value-invalid',
    context: { outcome: 'nothing-published' },
  })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
})

test('neither table nor ledger holds a name of an input or a value of a replaced column', async () => {
  const home = await lake()
  await inputs(home, { 'PLANTED-name.parquet': `select 'PLANTED-value' || (i % 3) as vin, i from range(100) r(i)` })
  await home.run({ columns: VIN })
  for (const name of tree(join(home.dir, 'warehouse')))
    expect(`${name}${readFileSync(join(home.dir, 'warehouse', name), 'latin1')}`, name).not.toContain('PLANTED')
})
