import { describe, expect, test } from 'vitest'
import { Gathering } from '../../lib/parquet/gather.ts'
import { openParquet } from '../../lib/parquet/open.ts'
import { planRewrite } from '../../lib/parquet/plan.ts'
import { Replacements } from '../../lib/parquet/replacements.ts'
import { rewrite } from '../../lib/parquet/rewrite.ts'
import type { LeafNode } from '../../lib/parquet/schema.ts'
import { CREATED_BY, duckdb, pseudonym, REPLACE, stored, treat } from './helpers.ts'

const duck = duckdb()

/** Rewrites column `vin` with tables of so many bytes. @returns texts of each call, and the output's rows in order */
async function gathered(select: string, maxBytes: number) {
  const input = await duck.copy(select, 'ROW_GROUP_SIZE 2048')
  const { storage, object } = await stored(input)
  const file = await openParquet(storage, object)
  const plan = planRewrite(file, treat({ vin: REPLACE }), { fieldIds: () => 1 })
  const calls: (readonly string[])[] = []
  const replace = async (_column: LeafNode, texts: readonly string[]) => {
    calls.push(texts)
    await new Promise((resolve) => setImmediate(resolve))
    return texts.map(pseudonym)
  }
  const tables = new Replacements({ replace, maxBytes, fullRequest: 100 })
  const gathering = new Map(
    plan.columns.flatMap((column, i) => {
      const { source: leaf } = column
      if (!leaf || !column.replaced) return []
      const replacement = tables.of({ ...column, source: leaf })
      return [[i, new Gathering({ storage, file, leaf, replacement, flush: 1000 })] as const]
    }),
  )
  const writer = await storage.write('memory:/out.parquet')
  await rewrite(plan, { storage, file, writer, replace: tables, gathering, createdBy: CREATED_BY })
  const rows = async (bytes: Uint8Array) => (await duck.rows(bytes, 'vin')).map(({ vin }) => vin as string | null)
  const expected = (await rows(input)).map((vin) => (vin === null || vin === '' ? vin : pseudonym(vin)))
  expect(await rows(await storage.read('memory:/out.parquet'))).toEqual(expected)
  return { calls, asked: calls.flat(), exact: tables.exact, rowGroups: file.rowGroups.length }
}

const UNIQUE = `SELECT 'VEHICLE' || i AS vin, i FROM range(20000) t(i)`
const REPEATED = `SELECT CASE WHEN i % 11 = 0 THEN NULL WHEN i % 13 = 0 THEN '' ELSE 'V' || (hash(i) % 300) END AS vin FROM range(20000) t(i)`

describe('values are looked up before the rewriting comes to them', () => {
  test('those of all row groups where they fit: each once, in requests that are full', async () => {
    const { calls, asked, exact, rowGroups } = await gathered(REPEATED, 8 << 20)
    expect(rowGroups).toBeGreaterThan(5)
    expect(new Set(asked).size).toBe(asked.length)
    // Whole requests of a hundred, and what is left at the end.
    expect(calls.filter((texts) => texts.length % 100 !== 0).length).toBeLessThanOrEqual(1)
    expect(exact).toBe(true)
  })

  test('some row groups at a time where they do not: values that come once are asked for once', async () => {
    const { calls, asked, exact, rowGroups } = await gathered(UNIQUE, 600_000)
    expect(new Set(asked).size).toBe(20_000)
    expect(asked).toHaveLength(20_000)
    expect(calls.filter((texts) => texts.length % 100 !== 0).length).toBeLessThan(rowGroups)
    expect(exact).toBe(false)
  })

  test('in a table that is far too small values are asked for again, and the file is as right', async () => {
    const { asked } = await gathered(REPEATED, 1000)
    expect(asked.length).toBeGreaterThan(300)
  })
})
