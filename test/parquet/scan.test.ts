import { expect, test } from 'vitest'
import { scanTexts, type TextBatch } from '../../lib/parquet/scan.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import type { ReadOptions } from '../../lib/storage/storage.ts'
import { duckdb, fixture, opened } from './helpers.ts'

const duck = duckdb()

async function scan(bytes: Uint8Array, column: string, rowGroups?: readonly number[]) {
  const { storage, file } = await opened(bytes)
  let read = 0
  const counting = {
    ...storage,
    read: async (location: string, options: ReadOptions = {}) => {
      const part = await storage.read(location, options)
      read += part.length
      return part
    },
  }
  const leaf = file.leaves.find((node) => node.path.join('.') === column) as LeafNode
  const batches: TextBatch[] = []
  for await (const batch of scanTexts(counting, file, leaf, rowGroups ? { rowGroups } : {})) batches.push(batch)
  return { batches, read, file }
}

async function distinct(bytes: Uint8Array, column: string): Promise<Set<unknown>> {
  const rows = await duck.rows(bytes, `DISTINCT ${column} AS v`)
  return new Set(rows.map((row) => row.v).filter((v) => v !== null && v !== ''))
}

test.each(['leak-v1-none.parquet', 'leak-v2-zstd.parquet', 'delta-v1.parquet', 'delta-v2.parquet'])(
  'the texts of a column are all there, whatever pages they are in: %s',
  async (name) => {
    const input = fixture(name)
    for (const column of ['vin', 'mail', 'id']) {
      const { batches } = await scan(input, column)
      const expected = await distinct(input, `${column}::VARCHAR`)
      expect(new Set(batches.flatMap((batch) => batch.texts))).toEqual(expected)
    }
  },
)

test('a dictionary gives each entry once per chunk, and pages that fell back give their values', async () => {
  const { batches } = await scan(fixture('leak-v1-none.parquet'), 'mail')
  const first = batches.filter((batch) => batch.rowGroup === 0)
  expect(first.map((batch) => batch.dictionary).filter(Boolean)).toHaveLength(1)
  expect(first.length).toBeGreaterThan(2)
  expect(first.flatMap((batch) => batch.texts)).toHaveLength(700)
  expect(first[0]?.cells).toBe(700)
})

test('where the footer proves that all pages use the dictionary, only the dictionary is read', async () => {
  const input = fixture('leak-v1-none.parquet')
  const { batches, read, file } = await scan(input, 'vin')
  expect(batches.map((batch) => batch.dictionary)).toEqual([true, true, true])
  const chunks = file.rowGroups.map((group) => group.columns[1] as (typeof group.columns)[0])
  expect(read).toBe(chunks.reduce((sum, chunk) => sum + chunk.dataPageOffset - chunk.start, 0))
})

test('only the row groups that are asked for are read', async () => {
  const { batches } = await scan(fixture('delta-v2.parquet'), 'mail', [1])
  expect(new Set(batches.map((batch) => batch.rowGroup))).toEqual(new Set([1]))
})
