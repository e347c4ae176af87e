import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { lake } from '../helpers/lake.ts'

test('the example of a batch run does what it says', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-example-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const args = ['--conditions=pseudolake-source', 'examples/batch.ts', join(dir, 'new')]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
  const distinct = /^10000 rows, (\d+) distinct values, 8 requests\n/.exec(stdout)?.[1]
  expect(stdout).toBe(`10000 rows, ${distinct} distinct values, 8 requests\n[["10000","${distinct}"]]\n`)
  expect(stderr).toContain('committed')
})

test('the example of a stream does what it says', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-example-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const args = ['--conditions=pseudolake-source', 'examples/stream.ts', join(dir, 'new')]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(stdout).toBe('1000 rows in 1 commits, caught-up\nthe table has 1000 rows and 100 pseudonyms\n')
})

test('the example of upkeep puts the files of a table together', async () => {
  const home = await lake()
  mkdirSync(join(home.dir, 'in'))
  for (const name of ['a', 'b', 'c']) {
    await home.sql(`copy (select 'VIN' || i as vin from range(10) r(i)) to '{dir}/in/${name}.parquet'`)
    await home.run({ columns: { vin: { mode: 'deterministic' } } })
  }
  const before = await home.query('select s_vin, count(*) from t group by all order by all')
  const args = ['--conditions=pseudolake-source', 'examples/upkeep.ts', home.table]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(stdout).toBe('3 files became 1\n3 snapshots expired, 3 data files removed\n')
  expect(await home.query('select s_vin, count(*) from t group by all order by all')).toEqual(before)
})
