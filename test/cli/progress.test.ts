import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { progress } from '../../cli/output/progress.ts'
import { waitlessClock } from '../iceberg/clock.ts'

const STATE = { label: 'nightly', done: 50, total: 100, detail: '1 of 2 files' }

async function watched(options: { quiet?: boolean; tty?: boolean }, rounds: number, state = STATE): Promise<string[]> {
  const texts: string[] = []
  const shown = progress({
    clock: waitlessClock(),
    quiet: false,
    tty: false,
    write: (text) => texts.push(text),
    ...options,
  })
  shown.update(state)
  for (let round = 0; round < rounds; round++) await setImmediate()
  shown.end()
  const told = texts.length
  for (let round = 0; round < 50; round++) await setImmediate()
  expect(texts).toHaveLength(told)
  return texts
}

test('a log gets a line every ten seconds, also while nothing is done', async () => {
  const lines = await watched({}, 100)
  expect(lines.length).toBeGreaterThan(2)
  expect(lines.slice(0, 2)).toEqual([
    'nightly  50 %, 1 of 2 files, 10 s so far, about 10 s left\n',
    'nightly  50 %, 1 of 2 files, 20 s so far, about 20 s left\n',
  ])
})

test('a run that ends within ten seconds leaves no line, and a quiet one none at all', async () => {
  expect(await watched({}, 3)).toEqual([])
  expect(await watched({ quiet: true }, 100)).toEqual([])
})

test('a terminal gets a bar at once, and it is cleared at the end', async () => {
  const texts = await watched({ tty: true }, 0)
  expect(texts[0]).toContain('nightly ████████████░░░░░░░░░░░░  50 %  1 of 2 files')
  expect(texts.at(-1)).toBe('\r\x1b[2K')
})

test('where nobody knows how much there is, no share of it is shown', async () => {
  const open = { ...STATE, total: 0 }
  expect((await watched({}, 100, open))[0]).toBe('nightly, 1 of 2 files, 10 s so far\n')
  expect((await watched({ tty: true }, 0, open))[0]).toBe('\r\x1b[2Knightly 1 of 2 files')
})
