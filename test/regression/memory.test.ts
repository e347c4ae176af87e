import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { generate } from '../../datagen/index.ts'
import { localStorage } from '../../lib/storage/local.ts'
import { duckdb } from '../helpers/lake.ts'

const MB = 2 ** 20
const run = promisify(execFile)

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-memory-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Peak memory of a run over one file, in MB. */
async function peak(
  dir: string,
  input: string,
  mode: string,
  threads = 1,
): Promise<{ rows: number; mb: number; distinct: number }> {
  const warehouse = join(dir, `warehouse-${mode}-${Math.random()}`)
  const args = ['test/regression/memory-run.ts', input, warehouse, mode, String(threads)]
  const { stdout } = await run(process.execPath, args, { maxBuffer: MB })
  const report = JSON.parse(stdout) as { rows: number; peak_rss_bytes: number; distinct: number }
  return { rows: report.rows, mb: report.peak_rss_bytes / MB, distinct: report.distinct }
}

async function dataset(
  dir: string,
  rows: number,
  distribution: 'uniform' | 'unique',
  format: 'parquet' | 'csv' = 'parquet',
): Promise<string> {
  const location = join(dir, `${distribution}-${rows}.${format}`)
  await generate({ location, rows, distribution, format }, { storage: localStorage() })
  return location
}

test('ten times the rows take no more memory', { timeout: 120_000 }, async () => {
  const dir = folder()
  const small = await peak(dir, await dataset(dir, 400_000, 'uniform'), 'deterministic')
  const large = await peak(dir, await dataset(dir, 4_000_000, 'uniform'), 'deterministic')
  expect(large).toMatchObject({ rows: 4_000_000, distinct: 10_000 })
  expect(large.mb).toBeLessThan(512)
  expect(large.mb - small.mb).toBeLessThan(96)
})

test('CSV: rows of many row groups take no more memory than those of two', { timeout: 120_000 }, async () => {
  const dir = folder()
  const small = await peak(dir, await dataset(dir, 1_500_000, 'uniform', 'csv'), 'deterministic')
  const input = await dataset(dir, 6_000_000, 'uniform', 'csv')
  // A single peak holds what the collector had not come to, too: the least of up to four counts.
  let least = Number.POSITIVE_INFINITY
  for (let tried = 0; tried < 4 && least - small.mb >= 96; tried++) {
    const large = await peak(dir, input, 'deterministic')
    expect(large).toMatchObject({ rows: 6_000_000, distinct: 10_000 })
    expect(large.mb).toBeLessThan(512)
    least = Math.min(least, large.mb)
  }
  expect(least - small.mb).toBeLessThan(96)
})

test('CSV: values of which none comes twice, and a pseudonym for each cell', { timeout: 120_000 }, async () => {
  const dir = folder()
  const input = await dataset(dir, 2_500_000, 'unique', 'csv')
  for (const mode of ['deterministic', 'random']) {
    const { rows, mb } = await peak(dir, input, mode)
    expect(rows).toBe(2_500_000)
    expect(mb).toBeLessThan(512)
  }
})

test('CSV: a thousand columns', { timeout: 120_000 }, async () => {
  const dir = folder()
  const input = join(dir, 'wide.csv')
  const columns = Array.from({ length: 1000 }, (_, i) => `'c' || (i * ${i + 7} % ${i + 3}) as c${i}`)
  await duckdb(`copy (select 'VIN' || (i % 1000) as vin, ${columns.join(', ')} from range(60000) r(i)) to '${input}'`)
  const { rows, mb } = await peak(dir, input, 'deterministic')
  expect(rows).toBe(60_000)
  expect(mb).toBeLessThan(512)
})

test('a million and a half values, none twice, stay below limits.memory_mb', { timeout: 120_000 }, async () => {
  const dir = folder()
  const { rows, mb } = await peak(dir, await dataset(dir, 1_500_000, 'unique'), 'deterministic')
  expect(rows).toBe(1_500_000)
  expect(mb).toBeLessThan(512)
})

test('two threads stay below it too, and whatever the values', { timeout: 240_000 }, async () => {
  const dir = folder()
  // Nearly as many as two threads are started for, since footers promise half as many again; and so many that there is one.
  for (const [name, distinct, distribution] of [
    ['again', 33_000, 'uniform'],
    ['once', undefined, 'unique'],
  ] as const) {
    const location = join(dir, name)
    await generate(
      { location, files: 4, rows: 2_400_000, distribution, ...(distinct && { distinct }) },
      { storage: localStorage() },
    )
    const { rows, mb } = await peak(dir, location, 'deterministic', 2)
    expect(rows).toBe(2_400_000)
    expect(mb).toBeLessThan(512)
  }
})

test('one row group that holds everything is read in pieces too', { timeout: 120_000 }, async () => {
  const dir = folder()
  const input = join(dir, 'one-group.parquet')
  await duckdb(
    `copy (select 'VIN' || (i % 10000) as vin, repeat('x', 100) || i as note from range(2000000) r(i)) to '${input}' (format parquet, row_group_size 4000000)`,
  )
  const { rows, mb } = await peak(dir, input, 'deterministic')
  expect(rows).toBe(2_000_000)
  expect(mb).toBeLessThan(512)
})
