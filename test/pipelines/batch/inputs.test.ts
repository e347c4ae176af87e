import { mkdirSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lake } from '../../helpers/lake.ts'
import { inputs, tree, VEHICLES, VIN } from './vehicles.ts'

test('a file that was only touched, or copied over with the same bytes, counts as changed: content is not guessed', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await home.run({ columns: VIN })
  utimesSync(join(home.dir, 'in', 'a.parquet'), new Date(), new Date(Date.now() + 5000))
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'input/changed' })
})

test('an input without rows is done, and makes a table without rows', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': `${VEHICLES} limit 0` })
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'done', rows: 0, files: 1 })
  expect(await home.query('select count(*), count(s_vin) from t')).toEqual([['0', '0']])
  expect(await home.run({ columns: VIN })).toMatchObject({ status: 'nothing-to-do' })
})

test('input locations are file URIs too, with names as they are', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'bc.parquet': VEHICLES, 'd#e.parquet': VEHICLES })
  const run = (input: string) => home.run({ input, columns: VIN, set: [`output.table=db.t${input.length}`] })
  expect(await run('file://{dir}/in/?.parquet')).toMatchObject({ files: 1 })
  expect(await run('file://{dir}/in/d#e.parquet')).toMatchObject({ files: 1 })
  expect(await run('file:{dir}/in')).toMatchObject({ files: 3 })
  await expect(run('file://{dir}/100%/x')).rejects.toMatchObject({ code: 'config/invalid' })
})

test('input that cannot be read is refused by kind, and nothing is published', async () => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES, 'z.parquet': VEHICLES })
  const bad = join(home.dir, 'in', 'z.parquet')
  const size = statSync(bad).size
  truncateSync(bad, size - 100)
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({ code: 'input/corrupt' })
  writeFileSync(bad, 'dept,vin,n\nd1,VIN1,1\n')
  await expect(home.run({ columns: VIN })).rejects.toMatchObject({
    code: 'input/not-parquet',
    message: expect.stringContaining('CSV'),
  })
  await expect(home.run({ columns: VIN, input: '{dir}/nothing' })).rejects.toMatchObject({ code: 'input/not-found' })
  mkdirSync(join(home.dir, 'empty'))
  await expect(home.run({ columns: VIN, input: '{dir}/empty' })).rejects.toMatchObject({ code: 'input/not-found' })
  expect(tree(join(home.dir, 'warehouse'))).toEqual([])
})

test.each([
  ['{dir}/warehouse', 'around'],
  ['{dir}/warehouse/db/t/data', 'inside'],
  ['{dir}/**/*.parquet', 'by a glob'],
])('input %s, which lies %s the output, is refused', async (input) => {
  const home = await lake()
  await inputs(home, { 'a.parquet': VEHICLES })
  await expect(home.run({ columns: VIN, input })).rejects.toMatchObject({ code: 'config/overlap' })
})

test('a run can be held to a list of inputs, to recent ones, and to a number of them', async () => {
  const home = await lake()
  await inputs(home, Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.parquet`, VEHICLES])))
  const at = (name: string) => join(home.dir, 'in', `${name}.parquet`)
  expect(await home.run({ columns: VIN }, { inputsFrom: [at('c')] })).toMatchObject({ files: 1 })
  utimesSync(at('b'), new Date('2020-01-01T00:00:00Z'), new Date('2020-01-01T00:00:00Z'))
  const recent = await home.run({ columns: VIN }, { modifiedSince: Date.parse('2021-01-01T00:00:00Z'), maxFiles: 1 })
  expect(recent).toMatchObject({ files: 1, skipped_files: 1 })
  expect(recent.notes).toEqual([
    '1 input is older than --modified-since',
    '1 more input is to be done: --max-files was reached',
  ])
  expect(await home.run({ columns: VIN })).toMatchObject({ files: 2, skipped_files: 2 })
  expect(await home.query('select count(*) from t')).toEqual([['4000']])
  for (const bad of [[join(home.dir, 'elsewhere.parquet')], [at('none')]])
    await expect(home.run({ columns: VIN }, { inputsFrom: bad })).rejects.toMatchObject({
      code: expect.stringMatching(/^(options\/invalid|input\/not-found)$/),
    })
})
