import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

test('the example of a batch run does what it says', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pseudolake-example-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const args = ['--conditions=pseudolake-source', 'examples/batch.ts', join(dir, 'new')]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
  const distinct = /^10000 rows, (\d+) distinct values, 8 requests\n/.exec(stdout)?.[1]
  expect(stdout).toBe(`10000 rows, ${distinct} distinct values, 8 requests\n[["10000","${distinct}"]]\n`)
  expect(stderr).toContain('committed')
})
