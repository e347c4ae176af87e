import { expect, test } from 'vitest'
import { duckdb, opened, REPLACE, run } from './helpers.ts'

const duck = duckdb()

test('what is said of a written file is what its readers find', async () => {
  const input = await duck.copy(
    `SELECT i - 3000 AS n, (i - 10)::DOUBLE / 4 AS d, 'name ' || (i % 700) AS s, (i - 9)::DECIMAL(30, 2) AS m,
       CASE WHEN i % 3 = 0 THEN NULL ELSE 'plain-' || i END AS vin, CASE WHEN i > 9000 THEN 1::SMALLINT END AS few,
       [i, i + 1] AS l FROM range(10000) t(i)`,
    'ROW_GROUP_SIZE 2048',
  )
  const { bytes, written } = await run(input, { vin: REPLACE })
  const { file } = await opened(bytes)
  expect(written).toMatchObject({ bytes: bytes.length, rows: 10_000 })
  expect(written.splitOffsets).toEqual(file.rowGroups.map((group) => group.columns[0]?.start))
  const column = (name: string) => written.columns.find((c) => c.path[0] === name)
  expect(column('n')).toMatchObject({ values: 10_000, nulls: 0, replaced: false, repeated: false })
  const at = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? [])
  expect(at(column('n')?.min).readBigInt64LE()).toBe(-3000n)
  expect(at(column('n')?.max).readBigInt64LE()).toBe(6999n)
  expect(at(column('d')?.min).readDoubleLE()).toBe(-2.5)
  expect(at(column('s')?.max).toString()).toBe('name 99')
  expect(column('vin')).toMatchObject({ nulls: 3334, replaced: true })
  expect(column('vin')).not.toHaveProperty('min')
  // Row groups that hold nothing but nulls don't take the bounds away.
  expect(column('few')).toMatchObject({ nulls: 9001, physical: 'INT32' })
  expect(at(column('few')?.min).readInt32LE()).toBe(1)
  expect(column('l')).toMatchObject({ repeated: true, values: 20_000, path: ['l', 'list', 'element'] })
  expect(column('l')).not.toHaveProperty('min')
  expect(written.columns.reduce((sum, c) => sum + c.bytes, 0)).toBe(file.rowGroups.reduce((sum, g) => sum + g.bytes, 0))
  expect(new Set(written.columns.map((c) => c.fieldId)).size).toBe(written.columns.length)
  expect(file.leaves.map((leaf) => leaf.fieldId)).toEqual(written.columns.map((c) => c.fieldId))
})
