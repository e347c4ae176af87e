import { expect, test } from 'vitest'
import { localStorage } from '../../lib/storage/local.ts'
import { runQuery } from '../../pipelines/query/run.ts'

const outside = { storage: localStorage(), tables: new Map<string, string>() }

test('columns of one name are told apart, so that rows by name lose none', async () => {
  const { columns, rows } = await runQuery('select 1 as a, 2 as a', outside)
  expect([columns.map(({ name }) => name), rows]).toEqual([['a', 'a:1'], [[1, 2]]])
})

test('an empty query is a mistake of the caller', async () => {
  await expect(runQuery(' \n', outside)).rejects.toMatchObject({ code: 'options/invalid' })
})
