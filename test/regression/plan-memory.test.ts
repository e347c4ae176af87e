import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { generate } from '../../datagen/index.ts'
import { localStorage } from '../../lib/storage/local.ts'

const run = promisify(execFile)

/** More for ten times the inputs. */
const MORE_MB = 64

test('a plan of a hundred thousand inputs holds no more than their names: ten times the inputs, hardly more memory', {
  timeout: 300_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-memory-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'seed.parquet')
  await generate({ location: file, rows: 100 }, { storage: localStorage() })
  const planned = async (inputs: number) => {
    const { stdout } = await run(process.execPath, ['test/regression/plan-memory-run.ts', file, String(inputs)])
    return JSON.parse(stdout) as { mb: number }
  }
  const few = await planned(10_000)
  // A peak is what is held and what the collector had not come to yet; only the first is in every run's.
  let many = await planned(100_000)
  for (let again = 0; again < 3 && many.mb - few.mb >= MORE_MB; again++) {
    const next = await planned(100_000)
    if (next.mb < many.mb) many = next
  }
  expect(few).toMatchObject({ files: 10_000, rows: 1_000_000, distinct: 100 })
  expect(many).toMatchObject({ files: 100_000, rows: 10_000_000, distinct: 100 })
  // A footer alone, as it is in memory, is some kilobytes; a name with size and version is 200 bytes.
  expect(many.mb - few.mb).toBeLessThan(MORE_MB)
  expect(many.mb).toBeLessThan(256)
})
