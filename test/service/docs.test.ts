import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../lib/wire/contract.ts'
import { PROBLEMS } from '../../lib/wire/problem.ts'
import { folder } from './keyrings.ts'

const page = readFileSync(new URL('../../docs/service.md', import.meta.url), 'utf8')

test('docs/service.md lists every problem, with its status and meaning, and no other', () => {
  const rows = [...page.matchAll(/^\| (\d{3}) \| `([a-z/-]+)` \| (.*) \|$/gm)].map(([, status, code, says]) => [
    code,
    { status: Number(status), says },
  ])
  expect(Object.fromEntries(rows)).toEqual(PROBLEMS)
  expect(rows).toHaveLength(Object.keys(PROBLEMS).length)
  expect(page).toContain(MAX_BODY_BYTES.toLocaleString('en-US'))
})

test('the program of docs/service.md runs as it stands', async () => {
  const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(page) ?? []
  const dir = folder()
  const index = new URL('../../service/index.ts', import.meta.url).href
  writeFileSync(join(dir, 'program.mts'), program.replace("'pseudolake/service'", JSON.stringify(index)))
  const { stdout } = await promisify(execFile)(process.execPath, ['program.mts'], { cwd: dir })
  expect(stdout.trim()).toBe("[ 'WVWZZZ1JZXW000001' ]")
})
