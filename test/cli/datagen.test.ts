import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../../cli/run.ts'
import { systemClock } from '../../lib/core/clock.ts'

const cwd = mkdtempSync(join(tmpdir(), 'pseudolake-cli-datagen-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

async function cli(...words: string[]) {
  let out = ''
  let err = ''
  const exit = await runCli(words, {
    env: {},
    tty: false,
    cwd,
    clock: systemClock(),
    random: () => 0.5,
    signal: new AbortController().signal,
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    lines: async function* () {},
  })
  return { exit, out, err }
}

test('datagen --json says what was written', async () => {
  const { exit, out } = await cli('datagen', '--rows', '1000', '--out', 'a.parquet', '--json')
  expect(exit).toBe(0)
  const { seconds, ...rest } = JSON.parse(out)
  const bytes = statSync(join(cwd, 'a.parquet')).size
  expect(rest).toEqual({ rows: 1000, files: 1, bytes, distinct: expect.any(Number), seed: 1 })
  expect(seconds).toBeGreaterThanOrEqual(0)
})

test('datagen SIZE_MB counts in millions of bytes', async () => {
  const { exit, out } = await cli('datagen', '0.2', '--format', 'csv', '--out', 'b', '--files', '2', '--seed', '9')
  expect(exit).toBe(0)
  expect(out).toMatch(/^[\d,]+ rows, [\d,]+ distinct vin, 19\d\.\d KB in 2 files, /)
  expect(statSync(join(cwd, 'b', 'part-00001.csv')).size).toBeGreaterThan(90_000)
})

test('datagen refuses what it cannot do with exit 2 and a reason', async () => {
  for (const words of [
    ['--out', 'c'],
    ['many', '--out', 'c'],
    ['--rows', '1', '--out', 'a.parquet'],
    ['1', '--rows', '5'],
  ]) {
    const { exit, out, err } = await cli('datagen', ...words)
    expect(exit, words.join(' ')).toBe(2)
    expect(out).toBe('')
    expect(err).toMatch(/\S/)
  }
})
