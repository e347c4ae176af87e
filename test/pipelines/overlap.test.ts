import { expect, test } from 'vitest'
import { requireApart } from '../../pipelines/batch/overlap.ts'

const output = '/lake/warehouse/db/t'
const state = '/lake/warehouse/_pseudolake'

test.each([
  '/lake',
  '/lake/',
  '/',
  '/lake/warehouse/db',
  '/lake/warehouse/db/t',
  '/lake/warehouse/db/t/data/x.parquet',
  '/lake/warehouse/db/t/data/*.parquet',
  '/lake/**/*.parquet',
  '/lake/ware*/db/*/data/*.parquet',
  '/lake/{raw,warehouse/db}/t/data/*',
])('an input that could hold the table’s own files is refused: %s', (input) => {
  expect(() => requireApart({ input, output, state })).toThrow(expect.objectContaining({ code: 'config/overlap' }))
})

test.each([
  '/lake/raw',
  '/lake/warehouse/db/t2/',
  '/lake/warehouse/other',
  '/lake/part-*.parquet',
  '/lake/*/*.parquet',
  '/lake/raw*/db/*/data/*.parquet',
  '/lake/{a,b}.parquet',
])('an input beside the table is taken, though a wildcard stands above both: %s', (input) => {
  expect(() => requireApart({ input, output, state })).not.toThrow()
})

test('ledgers lie neither in the input, where they would be read, nor in the table', () => {
  for (const where of ['/raw/state', `${output}/state`])
    expect(() => requireApart({ input: '/raw', output, state: where })).toThrow(
      expect.objectContaining({ code: 'config/overlap' }),
    )
  expect(() => requireApart({ input: '/raw/', output, state: '/raw/_state' })).not.toThrow()
})
