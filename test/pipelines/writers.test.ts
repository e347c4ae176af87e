/** A batch run over files of other writers, from configuration to query: lists of old forms, INT96, LZ4 of Hadoop. */
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lake } from '../helpers/lake.ts'

async function withFixture(name: string) {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  copyFileSync(new URL(`../fixtures/parquet/${name}.parquet`, import.meta.url), join(home.dir, 'in', 'a.parquet'))
  return home
}

const DET = { mode: 'deterministic' }

test('lists and maps of old writers become lists and maps of the table, with names that people know', async () => {
  const home = await withFixture('writer-java-lists-v1')
  const columns = {
    primitive: DET,
    bare: { ...DET, as: 'bared' },
    'group.s': DET,
    'nested.element.element': DET,
    'kv.value': DET,
  }
  // The other lists hold the same texts, which the gate would find.
  const report = await home.run({ columns, set: ['gate.max_match_ratio=1'] })
  expect(report).toMatchObject({ status: 'done', rows: 90 })
  const [row] = await home.query('select s_primitive, bared, "group", s_nested, s_kv, tuple from t limit 1 offset 3')
  const [primitive, bared, group, nested, kv, tuple] = row as unknown[][]
  const texts = ['plain-3', 'plain-3', '']
  expect(await home.back(primitive ?? [])).toEqual(texts)
  expect(bared).toEqual(primitive)
  expect(await home.back((group as { s_s: string | null }[]).map(({ s_s }) => s_s))).toEqual(['plain-3', null, ''])
  expect((nested as unknown[][]).map((inner) => inner.length)).toEqual([0, 1, 2])
  expect(await home.back((kv as { value: string | null }[]).map(({ value }) => value))).toEqual(['plain-3', null, ''])
  expect(tuple).toEqual([{ s: 'plain-3' }, { s: null }, { s: '' }])
})

test.each([
  ['writer-hive', 'tags'],
  ['writer-spark-legacy-lz4', 'tags.element'],
  ['writer-java-v1-lz4', 'tags'],
  ['writer-clickhouse-brotli', 'tags'],
])('the gate passes and nothing is lost: %s', async (name, tags) => {
  const home = await withFixture(name)
  const report = await home.run({ columns: { vin: DET, [tags]: DET, at: DET }, set: ['gate.full=true'] })
  expect(report).toMatchObject({ status: 'done', rows: 240 })
  const rows = await home.query('select id, s_vin, s_at from t order by id limit 2')
  expect(await home.back(rows.map((row) => row[1]))).toEqual(['plain-0-ä', 'plain-1-ä'])
  expect((await home.back(rows.map((row) => row[2]))).map((at) => at?.slice(0, 23))).toEqual([
    '2024-02-01T00:00:59.000',
    '2024-02-02T01:01:59.001',
  ])
})
